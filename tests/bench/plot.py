"""plot.py - the benchmark's results as one SVG: events a second as bars, latency as dots, each row of the table in a panel."""

from html import escape

TITLES = {1: "1  Ceiling: PostgreSQL alone", 2: "2  Worker", 3: "3  What people do today", 4: "4  Batch size",
          5: "5  Round trip to the database", 6: "6  Size of the table", 7: "7  Indexes", 8: "8  Latency", 9: "9  Decoder",
          10: "10  A vector field that is searched", 11: "11  Files", 12: "12  Vectors made for another stream"}
WIDTH, LABELS, BARS, LINE = 1000, 310, 330, 18


def value_of(entry):
    """What the bar shows, and how it is written."""
    if "ns" in entry:
        return entry["ns"], f"{entry['ns']:,.0f} ns, {entry['ratio']:.1f} times Avro-C"
    if "p50_ms" in entry:
        return entry["p99_ms"], f"p50 {entry['p50_ms']:.0f}, p99 {entry['p99_ms']:.0f}, p99.9 {entry['p999_ms']:.0f} ms"
    text = f"{entry['events_per_s']:,.0f}/s"
    if entry["ratio"]:
        text += f", worker {entry['ratio']:.0f} times faster" if "faster" in entry["of"] else f", {entry['ratio']:.2f} of {entry['of']}"
    return entry["events_per_s"], text


def panel(row, entries, top):
    out = [f'<text x="10" y="{top + 14}" class="t">{escape(TITLES[row])}</text>']
    most = max(value_of(e)[0] for e in entries) or 1
    for i, entry in enumerate(entries):
        value, text = value_of(entry)
        y, width = top + 22 + i * LINE, value / most * BARS
        out.append(f'<text x="{LABELS - 6}" y="{y + 12}" class="l">{escape(entry["what"])}</text>')
        out.append(f'<rect x="{LABELS}" y="{y + 2}" width="{width:.1f}" height="{LINE - 5}" class="r{row}"/>')
        out.append(f'<text x="{LABELS + width + 5:.1f}" y="{y + 12}">{escape(text)}</text>')
    return out, top + 34 + len(entries) * LINE


def svg(results):
    rows = sorted({e["row"] for e in results["lines"]})
    body, top = [], 50
    for row in rows:
        lines, top = panel(row, [e for e in results["lines"] if e["row"] == row], top)
        body += lines
    machine = results["machine"]
    about = (f"{results['events']:,} events, {results['repeats']} repeats; {machine['cores']} cores of {machine['cpu']}, broker and "
             f"database beside; PostgreSQL {results['postgres']}; {results['taken']}")
    style = "text{font:12px sans-serif;fill:#222}.l{text-anchor:end}.t{font-weight:bold}rect{fill:#4878a8}.r1{fill:#999}.r3{fill:#b86a3c}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">',
        f'<style>{style}</style><rect width="{WIDTH}" height="{top}" style="fill:#fff"/>',
        '<text x="10" y="20" style="font-size:16px;font-weight:bold">memingest: events a second</text>',
        f'<text x="10" y="38">{escape(about)}</text>', *body, "</svg>", ""])
