"""The picture of a comparison: how soon each contender has vanilla's best, and what it wastes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.peers.summary import SearchRow
from robusttune._report.svg import AxisScale, Drawing

_WIDTH = 760.0
_STYLE = (
    "<style>"
    "svg{background:#fff;font-family:system-ui,sans-serif}"
    "text{font-size:12px;fill:#1b1f24}.tick{font-size:11px;fill:#57606a}.name{font-weight:600}"
    "polyline{fill:none}.grid{stroke:#d5dae0}.axis{stroke:#57606a}.half{stroke:#57606a;"
    "stroke-dasharray:4 3}"
    ".curve{stroke-width:2.5}.useful{fill:#a9c1d4}.wasted{fill:#c44e00}"
    ".c0{stroke:#8a6500}.c1{stroke:#b0338a}.c2{stroke:#00765a}.c3{stroke:#6a3fa0}"
    ".c4{stroke:#444c56}.c5{stroke:#0b62a3}"
    "</style>"
)


def chart(
    ratios: Sequence[tuple[str, Sequence[float]]],
    searches: Sequence[SearchRow],
    *,
    reference: str,
) -> str:
    """Return the picture as SVG text.

    Args:
        ratios: For each contender, its seconds to the reference's final best, as a share of the
            reference's whole search, one number a search; inf where it never came to it.
        searches: All searches, for the seconds.
        reference: What the references are called.
    """
    top, line = 260.0, 26.0
    height = top + 90 + line * len(ratios)
    drawing = Drawing(
        _WIDTH, height, f"Seconds to the final best of {reference}, and seconds wasted"
    )
    _race(drawing, ratios, reference, bottom=top)
    _bars(drawing, [name for name, _ in ratios], searches, top + 62, line)
    svg = str(drawing.svg())
    opening = svg.index(">") + 1
    head = svg[:opening].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return head + _STYLE + svg[opening:]


def _race(
    drawing: Drawing,
    ratios: Sequence[tuple[str, Sequence[float]]],
    reference: str,
    *,
    bottom: float,
) -> None:
    """Share of the cases that have come to the best, over time."""
    x, y = AxisScale(50, 470, 0.0, 1.5), AxisScale(bottom, 40, 0.0, 1.0)
    drawing.frame(x, y, "seconds, as a share of that whole search")
    drawing.text(
        (14, 20),
        f"share of the cases that have come to the final best of {reference} (of their host)",
        "name",
        "start",
    )
    drawing.line([(x.at(0.5), y.start), (x.at(0.5), y.stop)], "half")
    for index, (name, values) in enumerate(ratios):
        points, height = [(x.at(0), y.at(0))], 0.0
        for value in sorted(v for v in values if math.isfinite(v) and v <= x.high):
            points.append((x.at(value), y.at(height)))
            height += 1 / len(values)
            points.append((x.at(value), y.at(height)))
        points.append((x.stop, y.at(height)))
        drawing.line(points, f"curve c{index}")
        at = 56.0 + 20 * index
        drawing.line([(490, at - 4), (512, at - 4)], f"curve c{index}")
        drawing.text((520, at), name, anchor="start")


def _bars(
    drawing: Drawing, names: Sequence[str], searches: Sequence[SearchRow], top: float, line: float
) -> None:
    """Seconds of all searches of each contender, the wasted ones apart."""
    of = {name: [row for row in searches if row.contender == name] for name in names}
    most = max(sum(row.seconds for row in rows) for rows in of.values())
    x = AxisScale(290, _WIDTH - 90, 0.0, most)
    drawing.text((x.start, top - 8), "seconds of all searches, wasted ones in red", "name", "start")
    for index, (name, rows) in enumerate(of.items()):
        y = top + line * index
        total, wasted = sum(r.seconds for r in rows), sum(r.wasted for r in rows)
        drawing.text((x.start - 8, y + 14), name, anchor="end")
        drawing.box((x.start, y + 2), (x.at(wasted) - x.start, line - 8), "wasted")
        drawing.box((x.at(wasted), y + 2), (x.at(total) - x.at(wasted), line - 8), "useful")
        drawing.text((x.at(total) + 6, y + 14), f"{wasted:.0f} of {total:.0f}", "tick", "start")
