"""derived.py - files that are made from others: dashboards' JSON from their modules, the chart's copies of rules and dashboards."""

import difflib
import importlib
import sys

from rules import MONITORING, ROOT

CHART = ROOT / "deploy/helm/memingest/files"
sys.path.append(str(MONITORING / "dashboards"))


def dashboards():
    """File name and JSON of every dashboard, as its module builds it."""
    made = {}
    for path in sorted((MONITORING / "dashboards").glob("*.py")):
        board = importlib.import_module(path.stem).board()
        made[f"{board.head['uid']}.json"] = board.json()
    return made


def derived():
    """Every derived file with the text that it must have."""
    boards, files = dashboards(), {}
    for name, text in boards.items():
        files[MONITORING / "dashboards" / name] = files[CHART / "dashboards" / name] = text
    for path in sorted((MONITORING / "rules").glob("*.yaml")):
        files[CHART / "rules" / path.name] = path.read_text()
    return files


def stale(files):
    """Files that lie where derived ones do, but that nothing makes any more."""
    found = [*(MONITORING / "dashboards").glob("*.json"), *(CHART / "dashboards").glob("*"), *(CHART / "rules").glob("*")]
    return [path for path in found if path not in files]


def differences():
    """One text per derived file that is not as it must be."""
    files, found = derived(), []
    for path, text in files.items():
        name = str(path.relative_to(ROOT))
        if not path.exists():
            found.append(f"{name} is missing")
        elif path.read_text() != text:
            diff = list(
                difflib.unified_diff(path.read_text().splitlines(), text.splitlines(), name, "its source", lineterm="", n=1)
            )
            found.append("\n".join([f"{name} is not what its source makes:", *diff[:12]]))
    return found + [f"{path.relative_to(ROOT)} has no source" for path in stale(files)]


def write():
    files = derived()
    for path in stale(files):
        path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
