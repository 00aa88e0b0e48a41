"""lint.py - rules for alerts and dashboards. Each check yields one text per finding.

Those for dashboards follow what Grafana's own dashboard linter asks for; those for alerts, what makes an alert worth being woken by.
"""

import json
import re

import promql
import rules

SEVERITIES = {"critical", "warning", "info"}
RUNBOOK_PARTS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
# Series that others export, with the labels that we use of them.
FOREIGN = {"up": {"job", "instance"}, "kube_pod_container_resource_limits": {"namespace", "pod", "container", "resource"}}
FOREIGN_PREFIX = "pg_"  # postgres_exporter's; the proof checks that they are there
TARGET_LABELS = {"job", "instance", "namespace", "pod"}
COUNTER_FUNCTIONS = {"rate", "irate", "increase", "changes", "resets", "present_over_time", "absent", "absent_over_time"}
COUNTER_SUFFIXES = ("_total", "_bucket", "_count", "_sum")
# Queries with a fixed range instead of $__rate_interval, and why.
FIXED_RANGES = {
    "Dead letters, 1 h": "the panel says which hour",
    "Starts": "the alert's own window, so that its threshold fits",
    "Deployments": "its column of dead letters names its hour",
}


# --- the worker's metrics, as docs/METRICS.md lists them


def documented():
    """Name of each series that the worker exposes: its labels. A histogram gives three."""
    text = (rules.ROOT / "docs/METRICS.md").read_text()
    found = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*)\|", text, re.M):
        labels = set(re.findall(r"\w+", re.sub(r"\(.*?\)", "", labels)))
        if kind == "histogram":
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            found[name] = labels
    return found


def bounds():
    """Bucket bounds by metric, as docs/METRICS.md lists them; those that share bounds stand under "durations"."""
    text = (rules.ROOT / "docs/METRICS.md").read_text()
    return {name.strip("`"): values.split(", ") for name, values in re.findall(r"^- (`?\w+`?): ([\d., ]*\d)", text, re.M)}


def values_of_labels():
    """(label, metric) to the values that docs/METRICS.md lists for it."""
    text = (rules.ROOT / "docs/METRICS.md").read_text()
    found = {}
    for label, metrics, values in re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", text, re.M):
        for metric in re.findall(r"`(\w+)`", metrics):
            found[label, f"memingest_{metric}"] = set(re.findall(r"`(\w+)`", values))
    return found


def labels_of(metric, recorded):
    """The labels of a series, or None if nobody has such a series."""
    known = documented()
    if metric in known:
        return known[metric] | TARGET_LABELS
    if metric in FOREIGN:
        return FOREIGN[metric]
    if metric in recorded:
        level = metric.split(":")[0]
        return set(level.split("_"))
    return None


# --- expressions


def check_selector(selector, recorded):
    labels = labels_of(selector.metric, recorded)
    if labels is None:
        yield f"{selector.metric} is in no table of metrics"
        return
    for label, (operator, value) in selector.matchers.items():
        if label not in labels:
            yield f"{selector.metric} has no label {label}"
        allowed = values_of_labels().get((label, selector.metric))
        if allowed and not value.startswith("$"):
            for one in value.split("|"):
                if one not in allowed:
                    yield f"{selector.metric} never has {label}={one}"
        if label == "le" and operator == "=":
            base = selector.metric.removesuffix("_bucket")
            if value not in bounds().get(base, bounds().get("durations", [])):
                yield f"{value} is no bucket bound of {base}"
    if selector.metric.endswith(COUNTER_SUFFIXES) and not COUNTER_FUNCTIONS & set(selector.inside):
        yield f"{selector.metric} is a counter, but is used outside rate() and increase()"
    if {"rate", "irate", "increase"} & set(selector.inside[-1:]) and not selector.metric.endswith(COUNTER_SUFFIXES):
        yield f"{selector.metric} is a gauge, but is used inside rate() or increase()"


def check_expression(expr, recorded):
    parsed = promql.parse(expr)
    if not parsed.selectors:
        yield "selects no series"
    known = {"le"} | TARGET_LABELS
    for selector in parsed.selectors:
        if not selector.metric.startswith(FOREIGN_PREFIX):
            yield from check_selector(selector, recorded)
            known |= labels_of(selector.metric, recorded) or set()
    if not any(s.metric.startswith(FOREIGN_PREFIX) for s in parsed.selectors):
        for label in sorted(parsed.grouping - known):
            yield f"groups by {label}, which no series of it has"


# --- rules, tests and runbooks


def result_labels(expr, recorded):
    """Labels that an alert may name: those it groups by, else those of its series."""
    parsed = promql.parse(expr)
    labels = set(parsed.grouping)
    for selector in parsed.selectors:
        labels |= labels_of(selector.metric, recorded) or set()
    return labels


def check_alert(name, rule, recorded):
    if "for" not in rule:
        yield "has no for"
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        yield f"its severity is none of {', '.join(sorted(SEVERITIES))}"
    texts = rule.get("annotations", {})
    for part in ("summary", "description"):
        if not texts.get(part, "").strip():
            yield f"has no {part}"
        for label in re.findall(r"\$labels\.(\w+)", texts.get(part, "")):
            if label not in result_labels(rule["expr"], recorded):
                yield f"its {part} names the label {label}, which its expression does not give"
    if texts.get("runbook_url") != f"monitoring/runbooks/{name}.md":
        yield f"its runbook_url is not monitoring/runbooks/{name}.md"
    path = rules.MONITORING / "runbooks" / f"{name}.md"
    if not path.exists():
        yield f"has no runbook {path.name}"
        return
    text = path.read_text()
    if [line for line in text.splitlines() if line.startswith("## ")] != RUNBOOK_PARTS or not text.startswith(f"# {name}\n"):
        yield f"its runbook has not the parts # {name}, {', '.join(RUNBOOK_PARTS)}"
    for part in re.split(r"^## .*\n", text, flags=re.M)[1:]:
        if len(part.split()) < 5:
            yield "a part of its runbook says nothing"


def tested_alerts():
    """For each alert, whether a promtool test expects it to fire, and whether one expects it not to."""
    import yaml

    found = {}
    for path in sorted((rules.MONITORING / "tests").glob("*.yaml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                fires = bool(case.get("exp_alerts"))
                found.setdefault(case["alertname"], set()).add(fires)
    return found


def check_rules():
    recorded, alerts, tested = rules.recorded(), rules.alerts(), tested_alerts()
    for rule in rules.load():
        name = rule.get("alert") or rule["record"]
        for finding in check_expression(rule["expr"], recorded):
            yield f"{name}: {finding}"
        if "record" in rule and not re.fullmatch(r"[a-z_]+:\w+:\w+", name):
            yield f"{name}: its name is not level:metric:operations"
    for name, rule in alerts.items():
        for finding in check_alert(name, rule, recorded):
            yield f"{name}: {finding}"
        if not name.startswith("Memingest") or not name.isalnum():
            yield f"{name}: its name is not CamelCase with Memingest before it"
        for fires, what in ((True, "fires it"), (False, "leaves it silent")):
            if fires not in tested.get(name, set()):
                yield f"{name}: no test {what}"
    for path in sorted((rules.MONITORING / "runbooks").glob("*.md")):
        if path.stem not in alerts:
            yield f"runbooks/{path.name} belongs to no alert"


# --- dashboards


def panels_of(board):
    for entry in board["panels"]:
        yield entry
        yield from entry.get("panels", [])


def check_variables(board):
    variables = {v["name"]: v for v in board["templating"]["list"]}
    source = variables.get("datasource", {})
    if source.get("type") != "datasource" or source.get("query") != "prometheus" or source.get("label") != "Data Source":
        yield 'the variable datasource is not one of type prometheus, labelled "Data Source"'
    for name in ("job", "instance"):
        if name not in variables:
            yield f"has no variable {name}"
    for name, variable in variables.items():
        if name == "datasource":
            continue
        if not (variable["multi"] and variable["includeAll"] and variable["allValue"] == ".+"):
            yield f"the variable {name} is not multi with .+ for all"
        if variable["refresh"] != 2:
            yield f"the variable {name} does not follow the time range"
        if variable["datasource"]["uid"] != "${datasource}":
            yield f"the variable {name} does not use the data source variable"


def check_target(panel, target, variables, recorded):
    expr = target["expr"].replace("$__rate_interval", "5m")
    yield from check_expression(expr, recorded)
    for selector in promql.parse(target["expr"]).selectors:
        labels = labels_of(selector.metric, recorded) or {"job", "instance"}
        for label in ("job", "instance", "stream"):
            if label in labels & variables and selector.matchers.get(label) != ("=~", f"${label}"):
                yield f"{selector.metric} is not limited to ${label}"
        if selector.range and selector.range != "$__rate_interval" and panel["title"] not in FIXED_RANGES:
            yield f"{selector.metric}[{selector.range}]: not $__rate_interval, and no reason is given"
    metrics = {s.metric for s in promql.parse(expr).selectors}
    if any(m.startswith("process_") for m in metrics) and "memingest_build_info" not in metrics:
        yield "would show every process that Prometheus knows: process_* needs memingest_build_info beside it"
    grouping = promql.parse(expr).grouping
    for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
        if label not in grouping and not any(":" in s.metric for s in promql.parse(expr).selectors):
            yield f"its legend names {label}, which it does not group by"
    if target["datasource"]["uid"] != "${datasource}":
        yield "a query does not use the data source variable"


def check_panel(panel, variables, recorded):
    if panel["type"] == "row":
        if not panel["title"]:
            yield "a row has no title"
        return
    for part in ("title", "description"):
        if not panel.get(part, "").strip():
            yield f"has no {part}"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "has no unit"
    if panel.get("datasource", {}).get("uid") != "${datasource}":
        yield "does not use the data source variable"
    if not panel["targets"]:
        yield "has no query"
    for target in panel["targets"]:
        yield from check_target(panel, target, variables, recorded)


def check_layout(board):
    """Panels do not lie on each other, within the 24 columns."""
    taken = {}
    for group in [board["panels"], *[p["panels"] for p in board["panels"] if p.get("panels")]]:
        taken.clear()
        for panel in group:
            at = panel["gridPos"]
            if at["x"] + at["w"] > 24:
                yield f"{panel['title']} is wider than the page"
            for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
                if taken.setdefault(cell, panel["title"]) != panel["title"]:
                    yield f"{panel['title']} lies on {taken[cell]}"
                    break
    ids = [p["id"] for p in panels_of(board)]
    if len(ids) != len(set(ids)):
        yield "two panels have one id"
    titles = [p["title"] for p in panels_of(board)]
    for title in sorted({t for t in titles if titles.count(t) > 1}):
        yield f"two panels are called {title}"


def check_board(name, board, uids, recorded):
    if board["schemaVersion"] != 42 or board["editable"] or board["id"] is not None or "__inputs" in board:
        yield "is not of schema version 42, or editable, or has an id or inputs of its own"
    if f"{board['uid']}.json" != name or not board["tags"] or not board["title"] or not board["description"]:
        yield "its uid is not its file name, or it has no tags, title or description"
    for entry in board["links"]:
        if entry["url"].removeprefix("/d/") not in uids:
            yield f"links to {entry['url']}, which is no dashboard of ours"
    for found in re.findall(r"/d/([\w-]+)\?", json.dumps(board)):
        if found not in uids:
            yield f"a panel links to {found}, which is no dashboard of ours"
    yield from check_variables(board)
    yield from check_layout(board)
    variables = {v["name"] for v in board["templating"]["list"]}
    for panel in panels_of(board):
        for finding in check_panel(panel, variables, recorded):
            yield f"{panel['title']}: {finding}"
    for entry in board["annotations"]["list"]:
        if not entry.get("builtIn"):
            for finding in check_expression(entry["expr"].replace("$__rate_interval", "5m"), recorded):
                yield f"annotation {entry['name']}: {finding}"


def check_dashboards():
    recorded = rules.recorded()
    boards = {path.name: json.loads(path.read_text()) for path in sorted((rules.MONITORING / "dashboards").glob("*.json"))}
    uids = {board["uid"] for board in boards.values()}
    if len(uids) != len(boards):
        yield "two dashboards have one uid"
    for name, board in boards.items():
        for finding in check_board(name, board, uids, recorded):
            yield f"{name}: {finding}"
