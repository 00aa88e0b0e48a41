"""preview.py - a dashboard's panels with measured data, drawn as one SVG in the dashboard's own layout.

It is a preview, not Grafana's rendering: same panels, queries, units, thresholds and places; lines, tables and heat maps in a plain style.
"""

import math
import time
from html import escape
from typing import NamedTuple

COLUMN, UNIT, GAP, TOP = 58, 26, 6, 64
COLORS = ["#3274d9", "#e0752d", "#3f9142", "#c4162a", "#8f3bb8", "#b8860b", "#00838f", "#7a5c3e", "#d5468f", "#5a6b7b"]
NAMED = {"green": "#3f9142", "yellow": "#c98a00", "red": "#c4162a", "text": "#222"}
STYLE = (
    "text{font:11px 'DejaVu Sans',sans-serif;fill:#222}.t{font-size:12px;font-weight:bold}.a{font-size:9px;fill:#666}"
    ".h{font-size:15px;font-weight:bold}"
    ".big{font-size:26px;font-weight:bold}.row{font-size:14px;font-weight:bold}.e{text-anchor:end}.m{text-anchor:middle}"
)
AGO = [(86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")]
BYTES = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")]
SHORT = [(1e9, "B"), (1e6, "M"), (1e3, "k"), (1, "")]
SUFFIX = {"eps": "/s", "ops": "/s", "rowsps": "/s", "Bps": "/s", "reqps": "/s"}


class Area(NamedTuple):
    x: float
    y: float
    w: float
    h: float


def scaled(value, scale):
    for size, name in scale:
        if abs(value) >= size:
            return f"{value / size:.3g} {name}".rstrip()
    return f"{value:.3g} {scale[-1][1]}".rstrip() if value else f"0 {scale[-1][1] if scale is not AGO else 's'}".rstrip()


def written(value, unit):
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bool_on_off":
        return "On" if value else "Off"
    scale = AGO if unit == "s" else BYTES if unit in ("bytes", "Bps") else SHORT
    return scaled(value, scale) + SUFFIX.get(unit, "")


def text(x, y, words, kind="", color=None):
    style = f' style="fill:{color}"' if color else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{style}>{escape(str(words))}</text>'


def fitted(words, width, size=6.3):
    most = int(width / size)
    return words if len(words) <= most else words[: max(most - 1, 1)] + "…"


def color_of(value, thresholds):
    color = "text"
    for step in thresholds.get("steps", []):
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return NAMED[color]


def nice_ticks(low, high, unit):
    """Three to six round numbers between two: steps of 1, 2 or 5, for bytes of KiB or MiB."""
    base = 1024 ** int(math.log(max(high, 1), 1024)) if unit in ("bytes", "Bps") else 60 if unit == "s" and high > 150 else 1
    rough = (high - low) / base / 3
    power = 10 ** math.floor(math.log10(rough))
    step = base * power * max(m for m in (1, 2, 5) if m * power <= rough)
    first = math.ceil(low / step - 1e-9)
    return [(first + i) * step for i in range(int(high / step + 1e-9) - first + 1)]


# --- kinds of panels: each draws into the area below the title


def stacked(series):
    """Each series on top of those before it; times at which one has no value count as 0."""
    total, made = {}, []
    for name, points in series:
        values = dict(points)
        for t in sorted({t for _, p in series for t, _ in p}):
            total[t] = total.get(t, 0) + values.get(t, 0)
        made.append((name, sorted(total.items())))
    return made


class Plot(NamedTuple):
    """Where the data of a panel goes, and what its edges stand for."""

    area: Area
    span: tuple
    low: float
    high: float

    def x(self, t):
        return self.area.x + (t - self.span[0]) / (self.span[1] - self.span[0]) * self.area.w

    def y(self, value):
        return self.area.y + self.area.h - (value - self.low) / (self.high - self.low) * self.area.h

    def across(self, value, stroke):
        return f'<path d="M{self.area.x:.1f} {self.y(value):.1f}h{self.area.w:.1f}" {stroke}/>'

    def curve(self, points, gap=5):
        """Path of a line, broken where samples are missing for longer than the gap."""
        pieces, before = [], None
        for t, value in points:
            pieces.append(f"{'M' if before is None or t - before > gap else 'L'}{self.x(t):.1f} {self.y(value):.1f}")
            before = t
        return "".join(pieces)

    def axes(self, unit):
        out = []
        for tick in nice_ticks(self.low, self.high, unit):
            out += [self.across(tick, 'stroke="#ddd"'), text(self.area.x - 4, self.y(tick) + 3, written(tick, unit), "a e")]
        return out + self.times()

    def times(self):
        below, parts = self.area.y + self.area.h + 11, 4
        times = [self.span[0] + (self.span[1] - self.span[0]) * i / parts for i in range(parts + 1)]
        return [
            text(self.x(t), below, time.strftime("%H:%M:%S", time.gmtime(t)), "a e" if t == times[-1] else "a m") for t in times
        ]


def legend(names, plot, rows):
    """Four names in a row; how many found no room stands behind the last."""
    out, wide = [], (plot.area.w + 40) / min(4, max(len(names), 1))
    shown = names[: 4 * rows]
    for i, name in enumerate(shown):
        x, y = plot.area.x - 40 + (i % 4) * wide, plot.area.y + plot.area.h + 24 + 13 * (i // 4)
        more = f" (+{len(names) - len(shown)})" if i == len(shown) - 1 and len(names) > len(shown) else ""
        color = COLORS[i % len(COLORS)]
        out.append(f'<rect x="{x:.1f}" y="{y - 8:.1f}" width="8" height="8" fill="{color}"/>')
        out.append(text(x + 11, y, fitted(name, wide - 14 - 6 * len(more), 5.6) + more, "a"))
    return out


def draw_lines(panel, data, area, span):
    defaults = panel["fieldConfig"]["defaults"]
    custom, is_stacked = defaults["custom"], defaults["custom"]["stacking"]["mode"] == "normal"
    series = stacked(data) if is_stacked else data
    rows = min(2, (len(series) + 3) // 4)
    values = [v for _, points in series for _, v in points]
    low, high = min([custom["axisSoftMin"], *values]), max(values, default=1)
    high = high if high > low else low + 1
    plot = Plot(Area(area.x + 52, area.y + 4, area.w - 60, area.h - 22 - 13 * rows), span, low, high + (high - low) * 0.06)
    out = plot.axes(defaults["unit"])
    for i, (_, points) in reversed(list(enumerate(series))):
        color, path = COLORS[i % len(COLORS)], plot.curve(points)
        if is_stacked:
            end, start = plot.x(points[-1][0]), plot.x(points[0][0])
            floor = f"L{end:.1f} {plot.y(0):.1f}L{start:.1f} {plot.y(0):.1f}Z"
            out.append(f'<path d="{plot.curve(points, gap=1e9)}{floor}" fill="{color}" fill-opacity=".25"/>')
        out.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.3"/>')
    if custom["thresholdsStyle"]["mode"] != "off":
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is not None and low <= step["value"] <= plot.high:
                out.append(plot.across(step["value"], f'stroke="{NAMED[step["color"]]}" stroke-dasharray="5 4"'))
    return out + legend([name for name, _ in series], plot, rows)


def draw_stat(panel, data, area, span):
    defaults = panel["fieldConfig"]["defaults"]
    name, points = data[0]
    last = points[-1][1]
    words = name if panel["options"]["textMode"] == "name" else written(last, defaults["unit"])
    color = color_of(last, defaults["thresholds"])
    out = [text(area.x + area.w / 2, area.y + area.h / 2 + 4, words, "big m", color)]
    low, high = min(v for _, v in points), max(v for _, v in points)
    if panel["options"]["graphMode"] == "area" and high > low:
        plot = Plot(Area(area.x + 4, area.y + area.h - 22, area.w - 8, 18), span, low, high)
        out.append(f'<path d="{plot.curve(points)}" fill="none" stroke="#9ab" stroke-width="1"/>')
    return out


def bucket_sums(data, span, columns):
    """Cumulative buckets by le become, for each bucket, its own sums within as many columns of time."""
    rows = sorted(((float(name), dict(points)) for name, points in data), key=lambda row: row[0])
    width, found = (span[1] - span[0]) / columns, []
    for i, (le, values) in enumerate(rows):
        below, sums = rows[i - 1][1] if i else {}, [0.0] * columns
        for t, value in values.items():
            sums[min(int((t - span[0]) / width), columns - 1)] += max(value - below.get(t, 0), 0)
        found.append((le, sums))
    return found


def draw_heat(panel, data, area, span):
    """A cell per bucket and time; the darker, the more."""
    columns, unit = 60, panel["fieldConfig"]["defaults"]["unit"]
    rows = bucket_sums(data, span, columns)
    most = max(max(sums) for _, sums in rows) or 1
    plot = Plot(Area(area.x + 52, area.y + 4, area.w - 60, area.h - 22), span, 0, len(rows))
    high, wide = plot.area.h / len(rows), plot.area.w / columns
    size, out = f'width="{wide - 0.5:.1f}" height="{high - 0.5:.1f}" fill="#e0752d"', plot.times()
    for i, (le, sums) in enumerate(rows):
        y = plot.y(i + 1)
        out.append(text(plot.area.x - 4, y + high / 2 + 4, "∞" if le == float("inf") else written(le, unit), "a e"))
        for j, value in enumerate(sums):
            if value > 0:
                x, strength = plot.area.x + j * wide, max((value / most) ** 0.5, 0.08)
                out.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill-opacity="{strength:.2f}"/>')
    return out


def draw_table(panel, data, area, _):
    """data: for each query, label value -> number."""
    columns = panel["fieldConfig"]["overrides"]
    names = [c["properties"][0]["value"] for c in columns]
    wide = [0.16] + [0.84 / (len(columns) - 1)] * (len(columns) - 1)
    out, y = [], area.y + 14
    for line in [None, *sorted({key for values in data for key in values})]:
        x = area.x + 8
        for i, column in enumerate(columns):
            given = {p["id"]: p["value"] for p in column["properties"]}
            if line is None:
                out.append(text(x, y, names[i], "a"))
            elif i == 0:
                out.append(text(x, y, line, "", "#3274d9"))
            elif line in data[i - 1]:
                value = data[i - 1][line]
                out.append(
                    text(
                        x,
                        y,
                        written(value, given["unit"]),
                        "",
                        color_of(value, given["thresholds"]) if "thresholds" in given else None,
                    )
                )
            x += wide[i] * (area.w - 16)
        y += 18
    return out


DRAW = {"timeseries": draw_lines, "stat": draw_stat, "heatmap": draw_heat, "table": draw_table}


def flattened(board):
    """Panels in order with their places; collapsed rows are opened, and what is below them moves down."""
    down = 0
    for panel in board["panels"]:
        at = panel["gridPos"]
        yield panel, at["y"] + down
        inner = panel.get("panels", [])
        for child in inner:
            yield child, child["gridPos"]["y"] + down
        if inner:
            down += max(c["gridPos"]["y"] + c["gridPos"]["h"] for c in inner) - at["y"] - 1


def svg(board, results, span, about):
    """results: panel id -> what its kind draws."""
    body, bottom = [], 0
    for panel, row in flattened(board):
        at = panel["gridPos"]
        x, y, w, h = GAP + at["x"] * COLUMN, TOP + row * UNIT, at["w"] * COLUMN - GAP, at["h"] * UNIT - GAP
        bottom = max(bottom, y + h + GAP)
        if panel["type"] == "row":
            body.append(text(x, y + 17, "▾ " + panel["title"], "row"))
            continue
        body.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="#fff" stroke="#ccc"/>'
            + text(x + 7, y + 15, fitted(panel["title"], w - 10, 7.2), "t")
        )
        body += DRAW[panel["type"]](panel, results[panel["id"]], Area(x, y + 20, w, h - 22), span)
    width = GAP * 2 + 24 * COLUMN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom}" viewBox="0 0 {width} {bottom}">',
            f'<style>{STYLE}</style><rect width="{width}" height="{bottom}" fill="#f4f5f7"/>',
            text(GAP, 22, board["title"], "h"),
            text(GAP, 40, about),
            text(GAP, 56, "A preview by monitoring/proof of measured data, not Grafana's rendering."),
            *body,
            "</svg>",
            "",
        ]
    )
