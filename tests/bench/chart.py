"""The verdicts as an SVG chart: a bar for each bound, as a share of what is allowed. It follows the reader's light or dark mode."""

import statistics
from html import escape

import report

LINE, TOP, LEFT, WIDTH, RIGHT = 19, 34, 330, 260, 210  # pixels
MOST = 2.0  # of what is allowed; longer bars are cut

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.quiet { fill: #59636e }
.reached { fill: #1a7f64 }
.missed { fill: #c2570c }
.limit, .spread { stroke: #1f2328 }
.spread { stroke-opacity: .55 }
.limit { stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .quiet { fill: #9198a1 }
  .reached { fill: #3fb68b }
  .missed { fill: #f0883e }
  .limit, .spread { stroke: #e6edf3 }
}
"""


def draw(rows, results):
    measured = [(row, bound, bound.values(results[row.name])) for row in rows for bound in row.bounds]
    measured = [(row, bound, values) for row, bound, values in measured if values and bound.at_most]
    height = TOP + LINE * len(measured) + 6
    limit = LEFT + WIDTH / MOST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" role="img">',
        "<title>What otus-httpd was to reach, and what was measured</title>",
        f"<style>{STYLE}</style>",
        f'<text x="{limit}" y="14" text-anchor="middle" class="quiet">at most (shorter is better)</text>',
    ]
    for number, (row, bound, values) in enumerate(measured):
        parts += bar(TOP + LINE * number, f"{row.label}: {bound.label}", bound, values)
    parts += [f'<line x1="{limit}" x2="{limit}" y1="20" y2="{height - 4}" class="limit"/>', "</svg>"]
    return "\n".join(parts) + "\n"


def bar(top, label, bound, values):
    middle = statistics.median(values)
    reached = middle <= bound.at_most
    low, end, high = (LEFT + WIDTH * min(v / bound.at_most, MOST) / MOST for v in (min(values), middle, max(values)))
    told = f"{report.figure(middle, bound.unit)} of {report.amount(bound.at_most, bound.unit)}" + ("" if reached else ", not reached")
    base = top + 13
    return [
        f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{LEFT}" y="{top + 3}" width="{max(end - LEFT, 1):.1f}" height="{LINE - 6}" rx="2" class="{"reached" if reached else "missed"}"/>',
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{top + LINE / 2}" y2="{top + LINE / 2}" class="spread"/>',
        f'<text x="{LEFT + WIDTH + 8}" y="{base}">{escape(told)}</text>',
    ]
