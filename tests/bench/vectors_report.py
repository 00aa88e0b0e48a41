"""vectors_report.py - what tests/bench/vectors measured, as lines while it runs, as tables in Markdown, as one SVG."""

from html import escape

BUILD = f"{'':44}{'vectors/s':>10}{'CPU us':>9}{'wall us':>9}{'WAL B':>8}{'disk B':>8}   a vector"
SEARCH = f"{'':8}{'':36}{'effort':>7}{'recall':>8}{'p50 ms':>8}{'p95 ms':>8}{'CPU ms':>8}   p50, CPU of HNSW in bulk at that recall"
WIDTH, LABELS, BARS, LINE = 1000, 260, 420, 18


def build_head():
    return BUILD


def build_line(line):
    rate = 1e6 / line["wall_us"] if line["wall_us"] > 0 else 0
    return (f"{line['what']:44}{rate:>10,.0f}{line['cpu_us']:>9,.0f}{line['wall_us']:>9,.0f}{line['wal_bytes']:>8,.0f}"
            f"{line['disk_bytes']:>8,.0f}")


def search_head():
    return SEARCH


def share_text(share):
    return f"{share * 100:g}%"


def search_line(line):
    return (f"{share_text(line['share']):>6}  {line['what']:36}{line['effort']:>7.0f}{line['recall']:>8.3f}{line['p50_ms']:>8.2f}"
            f"{line['p95_ms']:>8.2f}{line['cpu_ms']:>8.2f}   {line['p50_ratio']:.2f}, {line['cpu_ratio']:.2f}")


def drain_text(found):
    return (f"drain ({found['ingest']}): {found['burst']:,} rows at {found['burst_per_s']:,.0f}/s, then {found['rows'] - found['burst']:,} at {found['rate']:,.0f}/s, {found['searches_per_s']} searches/s; sealed "
            f"{found['sealed_after_s']:.0f} s after the last came, {found['sealed_per_s']:,.0f}/s; at most {found['most_unindexed']:,} not indexed; "
            f"p50 {found['p50_ms']:.1f} (settled {found['settled_p50_ms']:.1f}), p95 {found['p95_ms']:.1f} ms (settled "
            f"{found['settled_p95_ms']:.1f}; without what queued {found['ran_p95_ms']:.1f}); {found['cpu_us']:,.0f} us CPU a row with its searches")


def missed_text(found):
    return (f"missed: {found['missed']:,} of {found['rows']:,} rows, each looked for after its commit ({found['of_these_found_by_more_effort']} of these "
            f"are found by more effort); at most {found['most_unindexed']:,} not indexed; {found['seconds']:.0f} s")


# --- Markdown


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def markdown(results):
    out = [about(results), ""]
    if "check" in results:
        c = results["check"]
        out += [f"recall@{results['k']} of one HNSW index (m 16, ef_construction 64) at ef 40, {c['rows']:,} rows: real vectors "
                f"{c['real']:.3f}, the widened set {c['widened']:.3f}.", ""]
    if "build" in results:
        out += table(["a vector", "vectors/s", "CPU us", "wall us", "WAL bytes", "disk bytes"],
                     [[e["what"], f"{1e6 / e['wall_us']:,.0f}", f"{e['cpu_us']:,.0f}", f"{e['wall_us']:,.0f}", f"{e['wal_bytes']:,.0f}",
                       f"{e['disk_bytes']:,.0f}"] for e in results["build"]])
    if "search" in results:
        out += table(["rows left", "", "effort", "recall", "p50 ms", "p95 ms", "CPU ms", "p50, CPU of HNSW in bulk at that recall"],
                     [[share_text(e["share"]), e["what"], f"{e['effort']:.0f}", f"{e['recall']:.3f}", f"{e['p50_ms']:.2f}", f"{e['p95_ms']:.2f}",
                       f"{e['cpu_ms']:.2f}", f"{e['p50_ratio']:.2f}, {e['cpu_ratio']:.2f}"] for e in results["search"]])
    out += [part(results[name]) + "\n" for name, part in [("drain", drain_text), ("missed", missed_text)] if name in results]
    if results.get("missing"):
        out.append(f"memingest was left out: {results['missing']}.\n")
    return "\n".join(out)


def about(results):
    return "; ".join(about_parts(results))


def about_parts(results):
    m = results["machine"]
    return (f"{results['rows']:,} rows of 384 floats, {results['real']:,} of them real text vectors and the rest mixes, {results['queries']} real queries",
            f"{m['cores']} cores of {m['cpu']}; PostgreSQL {results['postgres']}, pgvector {results['pgvector']}; {results['taken']}")


# --- SVG


def bars(title, entries, top):
    """entries: (label, value, text, class)."""
    out = [f'<text x="10" y="{top + 14}" class="t">{escape(title)}</text>']
    most = max((value for _, value, _, _ in entries), default=0) or 1
    for i, (label, value, text, kind) in enumerate(entries):
        y, width = top + 22 + i * LINE, max(value, 0) / most * BARS
        out.append(f'<text x="{LABELS - 6}" y="{y + 12}" class="l">{escape(label)}</text>')
        out.append(f'<rect x="{LABELS}" y="{y + 2}" width="{width:.1f}" height="{LINE - 5}" class="{kind}"/>')
        out.append(f'<text x="{LABELS + width + 5:.1f}" y="{y + 12}">{escape(text)}</text>')
    return out, top + 34 + len(entries) * LINE


def kind_of(what):
    return "o" if what.startswith("memingest") else "i" if what.startswith("IVF") else "h"


def recall_panel(results, top):
    """CPU a query over recall, all rows: a line for each contender, over the efforts that were tried."""
    height, left, width = 200, 60, WIDTH - 300
    sweeps = [e for e in results["sweeps"] if e["share"] == 1 and e["recall"] > 0.9]
    out = [f'<text x="10" y="{top + 14}" class="t">CPU ms a query by recall@{results["k"]}, no filter</text>']
    most = max((e["cpu_ms"] for e in sweeps), default=1)
    for i in range(6):
        x = left + width * i / 5
        out.append(f'<text x="{x:.0f}" y="{top + height + 46}" text-anchor="middle">{0.9 + 0.02 * i:.2f}</text>')
        out.append(f'<line x1="{x:.0f}" y1="{top + 26}" x2="{x:.0f}" y2="{top + height + 30}" class="g"/>')
    out.append(f'<text x="{left - 6}" y="{top + 36}" class="l">{most:.1f}</text><text x="{left - 6}" y="{top + height + 30}" class="l">0</text>')
    for n, what in enumerate(dict.fromkeys(e["what"] for e in sweeps)):
        spots = [(left + width * (e["recall"] - 0.9) * 10, top + 30 + height * (1 - e["cpu_ms"] / most)) for e in sweeps if e["what"] == what]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        out.append(f'<polyline points="{line}" class="p {kind_of(what)}"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{kind_of(what)}"/>' for x, y in spots]
        out.append(f'<rect x="{left + width + 20}" y="{top + 30 + n * LINE}" width="10" height="10" class="{kind_of(what)}"/>'
                   f'<text x="{left + width + 34}" y="{top + 39 + n * LINE}">{escape(what)}</text>')
    return out, top + height + 60


def curve_panel(found, top):
    """Rows that are not indexed, and the p95 of searches, over the seconds."""
    height, left, width = 160, 60, WIDTH - 300
    points = found["curve"]
    if len(points) < 2:
        return [], top
    first, span = points[0]["s"], points[-1]["s"] - points[0]["s"]
    out = [f'<text x="10" y="{top + 14}" class="t">{escape(drain_title(found))}</text>']
    for name, kind, text, at in [("unindexed", "o", "rows not indexed", 0), ("p95_ms", "h", "p95 of searches, ms", 1)]:
        most = max(p[name] for p in points) or 1
        line = " ".join(f"{left + width * (p['s'] - first) / span:.1f},{top + 30 + height * (1 - p[name] / most):.1f}" for p in points)
        out.append(f'<polyline points="{line}" class="p {kind}"/>')
        out.append(f'<rect x="{left + width + 20}" y="{top + 30 + at * LINE}" width="10" height="10" class="{kind}"/>'
                   f'<text x="{left + width + 34}" y="{top + 39 + at * LINE}">{text}, to {most:,.0f}</text>')
    out.append(f'<text x="{left}" y="{top + height + 46}">{first} s</text>'
               f'<text x="{left + width}" y="{top + height + 46}" class="l">{points[-1]["s"]} s</text>')
    return out, top + height + 60


def drain_title(found):
    return f"{found['burst']:,} rows at once, then {found['rate']:,.0f} a second until second {found['seconds']:.0f}, {found['searches_per_s']} searches/s, the indexer at work"


def svg(results):
    body, top = [], 64
    panels = []
    if "build" in results:
        panels.append(bars("CPU us a vector until it is indexed", [(e["what"], e["cpu_us"], f"{e['cpu_us']:,.0f} us", kind_of(e["what"]))
                                                                  for e in results["build"][1:]], top))
        top = panels[-1][1]
    if "search" in results:
        panels.append(recall_panel(results, top))
        top = panels[-1][1]
        panels.append(bars(f"CPU ms a query at recall {results['goal']}, by the share of rows that a filter leaves",
                           [(f"{share_text(e['share'])}  {e['what']}", e["cpu_ms"],
                             f"{e['cpu_ms']:.2f} ms" + (f", recall {e['recall']:.3f}" if e["recall"] < results["goal"] - 5e-4 else ""), kind_of(e["what"]))
                            for e in results["search"]], top))
        top = panels[-1][1]
    if "drain" in results:
        panels.append(curve_panel(results["drain"], top))
        top = panels[-1][1]
    for lines, _ in panels:
        body += lines
    style = ("text{font:12px sans-serif;fill:#222}.l{text-anchor:end}.t{font-weight:bold}.h{fill:#999;stroke:#999}.i{fill:#b86a3c;stroke:#b86a3c}"
             ".o{fill:#4878a8;stroke:#4878a8}.p{fill:none;stroke-width:2}.g{stroke:#ddd}")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">',
        f'<style>{style}</style><rect width="{WIDTH}" height="{top}" style="fill:#fff"/>',
        '<text x="10" y="20" style="font-size:16px;font-weight:bold">memingest: vectors, found</text>',
        *[f'<text x="10" y="{38 + 16 * i}">{escape(text)}</text>' for i, text in enumerate(about_parts(results))], *body, "</svg>", ""])
