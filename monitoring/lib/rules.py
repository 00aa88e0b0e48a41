"""rules.py - monitoring/rules/*.yaml as read: alerts, recorded series, and the limits that dashboards draw."""

import pathlib

import promql
import yaml

MONITORING = pathlib.Path(__file__).resolve().parent.parent
ROOT = MONITORING.parent


def load():
    """All rules, each with the name of its group."""
    found = []
    for path in sorted((MONITORING / "rules").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += [dict(rule, group=group["name"], file=path.name) for rule in group["rules"]]
    return found


def alerts():
    return {rule["alert"]: rule for rule in load() if "alert" in rule}


def recorded():
    return {rule["record"]: rule for rule in load() if "record" in rule}


def limit(alert, which=None):
    """The number that an alert compares with; dashboards take their thresholds from here. Of several, which one must be said."""
    found = promql.limits(alerts()[alert]["expr"])
    if which is None and len(set(found)) != 1:
        raise ValueError(f"{alert} compares with {found}: say which")
    return found[which or 0]
