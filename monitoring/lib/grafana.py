"""grafana.py - dashboards in Grafana's classic JSON (schema version 42), built from short descriptions of panels.

    board = Board("uid", "Title", "what it is for", variables, links)
    board.row("Throughput")
    board.add(lines("Consumed", "reqps", "What it says.", ("sum(rate(memingest_records_consumed_total{%}[%r]))", "{{stream}}")))
    board.json()

In a query {%} stands for the matchers of job and instance, which every query has; {%s}, {%d}, ... for more of them (SHORT below), all with
room for another after a comma, as in {%s,reason="decode"}; and [%r] for [$__rate_interval]. Recorded series have no instance: {%j}, {%js}.
Panels flow from left to right in rows of 24 units.
"""

import json

SCHEMA_VERSION = 42
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SHORT = {
    "%js": 'job=~"$job",stream=~"$stream"',
    "%j": 'job=~"$job"',
    "%s": 'job=~"$job",instance=~"$instance",stream=~"$stream"',
    "%d": 'job=~"$job",instance=~"$instance",datname=~"$datname"',
    "%t": 'job=~"$job",instance=~"$instance",datname=~"$datname",schemaname!~"pg_temp.*"',  # without the workers' staging tables
    "%": 'job=~"$job",instance=~"$instance"',
}
GREEN, YELLOW, RED, NEUTRAL = "green", "yellow", "red", "text"


def expand(query):
    for short, matchers in SHORT.items():
        query = query.replace("{" + short, "{" + matchers)
    return query.replace("[%r]", "[$__rate_interval]")


def steps(*limits, first=GREEN):
    """Thresholds: steps((60, YELLOW), (300, RED)); the colour below the first limit is first."""
    return {"mode": "absolute", "steps": [{"color": first, "value": None}] + [{"color": c, "value": v} for v, c in limits]}


def targets(queries, instant=False, form="time_series"):
    made = []
    for i, (query, legend) in enumerate(queries):
        target = {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": expand(query),
            "legendFormat": legend,
            "refId": chr(ord("A") + i),
        }
        target |= {"instant": True, "range": False} if instant else {"instant": False, "range": True}
        if form != "time_series":
            target["format"] = form
        made.append(target)
    return made


def panel(kind, title, unit, description, queries, size, *, defaults=None, options=None, overrides=None, **more):
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": queries,
        "gridPos": {"w": size[0], "h": size[1]},
        "fieldConfig": {"defaults": {"unit": unit} | (defaults or {}), "overrides": overrides or []},
        "options": options or {},
    } | more


def stat(title, unit, description, query, *, legend="", thresholds=None, width=3, decimals=None, name=False):
    """One number. name: show the series' legend instead of its value."""
    defaults = {"thresholds": thresholds or steps(first=NEUTRAL), "color": {"mode": "thresholds"}}
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "colorMode": "value",
        "graphMode": "none" if name else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "wideLayout": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "name" if name else "value",
    }
    return panel("stat", title, unit, description, targets([(query, legend)]), (width, 4), defaults=defaults, options=options)


def lines(title, unit, description, *queries, thresholds=None, stack=False, width=8, height=8, low=0, links=None):
    """A graph over time. Thresholds are drawn as dashed lines."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stack else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
        "axisSoftMin": low,
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic"}, "thresholds": thresholds or steps()}
    if links:
        defaults["links"] = links
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, unit, description, targets(queries), (width, height), defaults=defaults, options=options)


def heat(title, unit, description, query, width=12, height=8):
    """The buckets of a histogram over time."""
    target = targets([(query, "{{le}}")], form="heatmap")
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "rowsFrame": {"layout": "auto"},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False},
        "cellValues": {"unit": "short"},
        "filterValues": {"le": 1e-9},
    }
    return panel("heatmap", title, unit, description, target, (width, height), options=options)


def column(field, title, unit, thresholds=None, links=None, width=None):
    """How a table shows one query's values, or one label."""
    properties = [{"id": "displayName", "value": title}, {"id": "unit", "value": unit}]
    if thresholds:
        properties += [{"id": "thresholds", "value": thresholds}, {"id": "custom.cellOptions", "value": {"type": "color-text"}}]
    if links:
        properties.append({"id": "links", "value": links})
    if width:
        properties.append({"id": "custom.width", "value": width})
    return {"matcher": {"id": "byName", "options": field}, "properties": properties}


def table(title, description, by, queries, columns, *, hide=(), width=24, height=8, sort=None):
    """One line per value of the labels "by"; one column per query, the n-th query's field being "Value #A", "Value #B", ..."""
    joined = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {name: True for name in ("Time", *hide)},
                "indexByName": {b: i for i, b in enumerate(by)},
            },
        },
    ]
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": ""}}
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": True}]
    return panel(
        "table",
        title,
        "short",
        description,
        targets([(q, "") for q in queries], instant=True, form="table"),
        (width, height),
        defaults={
            "custom": {"align": "auto", "filterable": False},
            "thresholds": steps(first=NEUTRAL),
            "color": {"mode": "thresholds"},
        },
        options=options,
        overrides=columns,
        transformations=joined,
    )


def datasource_variable():
    return {
        "name": "datasource",
        "label": "Data Source",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "refresh": 1,
        "options": [],
        "current": {},
    }


def label_variable(name, label, query, description):
    """A choice of several values of a label, all at first."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "StandardVariableQuery", "qryType": 1},
        "regex": "",
        "sort": 1,
        "hide": 0,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "options": [],
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def annotation(name, description, query, text, color):
    return {
        "name": name,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "datasource": DATASOURCE,
        "expr": expand(query),
        "step": "30s",
        "titleFormat": name,
        "textFormat": text,
        "tagKeys": "",
        "useValueForTime": False,
        "description": description,
    }


def link(title, uid, tags=()):
    return {
        "title": title,
        "type": "link",
        "icon": "dashboard",
        "url": f"/d/{uid}",
        "keepTime": True,
        "includeVars": True,
        "asDropdown": False,
        "targetBlank": False,
        "tags": list(tags),
        "tooltip": title,
    }


class Board:
    def __init__(self, uid, title, description, variables, links, annotations=(), span="now-1h"):
        self.panels, self.x, self.y, self.height, self.collapsed = [], 0, 0, 0, None
        self.head = {
            "uid": uid,
            "title": title,
            "description": description,
            "tags": ["memingest"],
            "links": links,
            "span": span,
            "variables": [datasource_variable(), *variables],
            "annotations": list(annotations),
        }

    def place(self, entry, width, height):
        if self.x + width > 24:
            self.break_line()
        entry["gridPos"] = {"x": self.x, "y": self.y, "w": width, "h": height}
        entry["id"] = 1 + sum(1 + len(p.get("panels", [])) for p in self.panels)
        self.x, self.height = self.x + width, max(self.height, height)

    def break_line(self):
        self.x, self.y, self.height = 0, self.y + self.height, 0

    def row(self, title, collapsed=False):
        self.break_line()
        entry = {"type": "row", "title": title, "collapsed": collapsed, "panels": []}
        self.place(entry, 24, 1)
        self.panels.append(entry)
        self.break_line()
        self.collapsed = entry if collapsed else None

    def add(self, *panels):
        for entry in panels:
            self.place(entry, entry["gridPos"]["w"], entry["gridPos"]["h"])
            (self.collapsed["panels"] if self.collapsed else self.panels).append(entry)

    def json(self):
        head = self.head
        built_in = {
            "builtIn": 1,
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": True,
            "hide": True,
            "iconColor": "rgba(0, 211, 255, 1)",
            "name": "Annotations & Alerts",
            "type": "dashboard",
        }
        board = {
            "id": None,
            "uid": head["uid"],
            "title": head["title"],
            "description": head["description"],
            "tags": head["tags"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "timezone": "browser",
            "time": {"from": head["span"], "to": "now"},
            "timepicker": {},
            "fiscalYearStartMonth": 0,
            "liveNow": False,
            "preload": False,
            "weekStart": "",
            "links": head["links"],
            "annotations": {"list": [built_in, *head["annotations"]]},
            "templating": {"list": head["variables"]},
            "panels": self.panels,
        }
        return json.dumps(board, indent=1, ensure_ascii=False) + "\n"
