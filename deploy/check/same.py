"""same.py CHART KUSTOMIZE: compares what the chart renders with what kustomize builds, object by object.

Both are written by hand from the same facts (probes, rights, grace period, memory, ...), and this is what keeps them the same. Left out of
the comparison is what belongs to the tool: metadata other than the name, checksums, and the hash that kustomize puts into the name of a
ConfigMap. The INI files are compared key by key. Hooks of the chart (the test pod) have no counterpart.
"""
import configparser
import difflib
import pathlib
import re
import sys

import yaml

LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")


def ini(text):
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",), delimiters=("=",))
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


def plain(thing):
    """An object without what belongs to the tool that made it."""
    thing = {key: value for key, value in thing.items() if key != "metadata"}
    if thing["kind"] == "ConfigMap":
        thing["data"] = {key: ini(text) for key, text in thing["data"].items()}
    template = thing.get("spec", {}).get("template")
    if template:
        meta = template.pop("metadata")
        template["labels"] = {key: value for key, value in meta["labels"].items() if key in LABELS}
        template["annotations"] = {
            key: value for key, value in meta.get("annotations", {}).items() if not key.startswith("checksum/")
        }
        for source in template["spec"]["volumes"][0]["projected"]["sources"]:
            if "configMap" in source:
                source["configMap"]["name"] = re.sub(r"-[0-9a-z]{10}$", "", source["configMap"]["name"])
    return thing


def objects(file):
    found = {}
    for thing in filter(None, yaml.safe_load_all(pathlib.Path(file).read_text())):
        if "helm.sh/hook" not in thing["metadata"].get("annotations", {}):
            name = re.sub(r"-[0-9a-z]{10}$", "", thing["metadata"]["name"])
            found[f"{thing['kind']} {name}"] = yaml.safe_dump(plain(thing)).splitlines()
    return found


def main():
    chart, kustomize = (objects(file) for file in sys.argv[1:])
    different = 0
    for name in sorted(chart.keys() | kustomize.keys()):
        lines = list(difflib.unified_diff(chart.get(name, []), kustomize.get(name, []), "chart", "kustomize", lineterm=""))
        if lines:
            different += 1
            print(f"{name} differs:", *lines, sep="\n")
    print(f"{len(chart)} objects of the chart, {len(kustomize)} of kustomize, {different} differ")
    return different > 0 or not chart


if __name__ == "__main__":
    sys.exit(main())
