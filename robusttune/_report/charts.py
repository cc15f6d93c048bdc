"""Charts: the pictures of a report, each made of plain records and frames."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from robusttune._records import TrialRecord
from robusttune._regions import Axis
from robusttune._report.importance import Importance
from robusttune._report.marks import (
    BEST,
    Mark,
    Marks,
    bin_labels,
    groups_of,
    is_wide,
    objectives_are_wide,
)
from robusttune._report.places import ACROSS, UP, axis_scale, offset, place_on
from robusttune._report.search_data import has_ended, has_failed, objective_of
from robusttune._report.svg import AxisScale, Drawing, Point, fitted, mark as drawn_mark
from robusttune._report.words import counted

# Height of the strip of trials that are not on the scale of the objective.
_STRIP = 26.0

# Healthy and pruned trials in one picture; of more a regular sample is drawn.
_MOST_HEALTHY = 800
# Trials in the picture of a slice, which says that it shows a sample.
MOST_IN_SLICE = 200


@dataclass(frozen=True)
class Looks:
    """How the trials of a search are drawn.

    Args:
        marks: Of the kinds of failure.
        keys: The name of each trial within the page, by the `id` of its record.
        best: The best trial; None where there is none.
        less_is_better: Whether the best trial has the least objective.
    """

    marks: Marks
    keys: Mapping[int, str]
    best: TrialRecord | None = None
    less_is_better: bool = True


def key(mark: Mark) -> Markup:
    """Return a mark as an image, for a legend or a table."""
    return drawn_mark(mark.outline, mark.kind)


def thinned(
    records: Sequence[TrialRecord], looks: Looks, most: int = _MOST_HEALTHY
) -> list[TrialRecord]:
    """Return the trials to draw: all that failed, were unstable or run, the best, some healthy."""
    calm = [r for r in records if has_ended(r) and not has_failed(r) and r is not looks.best]
    every = max(1, math.ceil(len(calm) / most))
    left_out = {id(r) for index, r in enumerate(calm) if index % every}
    return [record for record in records if id(record) not in left_out]


def drawn_note(drawn: int, of: int) -> str:
    """Return a sentence where not all trials are drawn; else ""."""
    if drawn == of:
        return ""
    return (
        f"{drawn:,} of {of:,} trials drawn: all that failed, were unstable or still run, the best,"
        " and a regular sample of the others."
    )


def draw_trials(
    drawing: Drawing,
    placed: Iterable[tuple[TrialRecord, Point]],
    looks: Looks,
    faded: Container[int] = (),
) -> None:
    """Draw healthy trials as dots, below the failing ones in the marks of their kinds.

    Args:
        drawing: Where.
        placed: Each trial with its place.
        looks: How.
        faded: The `id` of each record that is drawn palely.
    """
    points = {id(record): (record, point) for record, point in placed}
    for group in groups_of([record for record, _ in points.values()], looks.marks):
        for fade in (False, True):
            alike = [record for record in group.records if (id(record) in faded) is fade]
            at = [points[id(record)][1] for record in alike]
            keys = [looks.keys[id(record)] for record in alike]
            kind = group.mark.kind + " faded" * fade
            if group.mark.outline:
                drawing.shapes(at, group.mark.outline, kind, keys)
            else:
                drawing.dots(at, kind, keys)
    best = points.get(id(looks.best))
    if best is not None:
        keys = [looks.keys[id(best[0])]]
        drawing.shapes([best[1]], BEST.outline, BEST.kind, keys)


def marginal_chart(rows: Sequence[Mapping[str, Any]], baseline: float) -> Markup:
    """Return the failure rate of each bin of one hyperparameter, with its interval."""
    name, rows = rows[0]["parameter"], rows[:10]
    worst = max(rows, key=lambda row: row["failure_rate"])
    told = f"highest, {worst['failure_rate']:.0%}, at {worst['bin']}."
    drawing = Drawing(300, 190, f"Failure rate by {name}: {told}")
    x, y = AxisScale(38, 284), AxisScale(148, 26, 0.0, 1.0)
    for share in (0.0, 0.5, 1.0):
        drawing.line([(x.start, y.at(share)), (x.stop, y.at(share))], "grid")
        drawing.text((x.start - 6, y.at(share) + 3.5), f"{share:.0%}", "tick", "end")
    wide = (x.stop - x.start) / len(rows)
    for index, row in enumerate(rows):
        left = x.start + index * wide
        middle, top = left + wide / 2, y.at(row["failure_rate"])
        told = f"{row['bin']}: {row['failures']} of {row['trials']} failed"
        drawing.box((left + wide * 0.16, top), (wide * 0.68, y.start - top), "bar", told)
        drawing.line([(middle, y.at(row["ci_low"])), (middle, y.at(row["ci_high"]))], "whisker")
    for share, label in bin_labels(rows):
        drawing.text((x.start + share * wide, y.start + 15), label, "tick")
    drawing.line([(x.start, y.at(baseline)), (x.stop, y.at(baseline))], "baseline")
    drawing.text((x.start - 30, 13), fitted(str(name), 34), "name", "start")
    return drawing.svg()


def timeline_chart(
    records: Sequence[TrialRecord], looks: Looks, objective: str
) -> tuple[Markup, str]:
    """Return all trials in order, and a note on what is not drawn.

    Those with an objective are on its scale, with the best so far as a line; the others are in
    strips above: those without one, and those that were pruned, whose last value is none. Where no
    trial has an objective, as with several objectives, there is no scale of it.
    """
    shown = thinned(records, looks)
    values = [value for record in shown if (value := objective_of(record)) is not None]
    told = f"{counted(len(records))} in order, with the objective of those that have one."
    numbers = [record.number or 0 for record in shown]
    x = AxisScale(78, 926, min(numbers) - 0.5, max(numbers) + 0.5, whole=True)
    strips = {"no value": 29.0}
    if any(record.status == "pruned" and not has_failed(record) for record in records):
        strips["pruned"] = 29.0 + _STRIP
    top = 46 + _STRIP * (len(strips) - 1)
    y = AxisScale(top, top, names=("",))
    if values:
        y = AxisScale.around(top + 170, top + 22, values, log=objectives_are_wide(shown))
    drawing = Drawing(940, y.start + 44, told)
    for name, middle in strips.items():
        drawing.box((x.start, middle - 11), (x.stop - x.start, 22), "band")
        if values or len(strips) > 1:
            drawing.text((x.start - 6, middle + 4), name, "tick", "end")
    drawing.frame(x, y, "trial", objective if values else "", ticks=10)
    if looks.best is not None:
        drawing.line(_best_so_far(records, looks.less_is_better, x, y), "so-far")
    placed = []
    for record in shown:
        value = objective_of(record)
        is_pruned = record.status == "pruned" and not has_failed(record)
        above = strips["pruned" if is_pruned else "no value"]
        placed.append((record, (x.at(record.number or 0), above if value is None else y.at(value))))
    draw_trials(drawing, placed, looks)
    return drawing.svg(), drawn_note(len(shown), len(records))


def _best_so_far(
    records: Sequence[TrialRecord], less_is_better: bool, x: AxisScale, y: AxisScale
) -> list[Point]:
    """Return the corners of the line of the best objective up to each trial."""
    scored = [r for r in records if r.value is not None and r.status == "completed"]
    sign = 1.0 if less_is_better else -1.0
    corners: list[Point] = []
    level = math.inf
    for record in scored:
        if sign * (record.value or 0.0) < level:
            place = x.at(record.number or 0)
            if corners:
                corners.append((place, corners[-1][1]))
            level = sign * (record.value or 0.0)
            corners.append((place, y.at(record.value)))
    return [*corners, (x.stop, corners[-1][1])] if corners else []


def importance_chart(
    failing: Mapping[str, Importance], objective: Mapping[str, float], most: int = 12
) -> Markup:
    """Return how much each hyperparameter explains, as a dot with its interval and as a bar."""
    names = list(dict.fromkeys([*failing, *objective]))[:most]
    both = bool(failing) and bool(objective)
    row = 34.0 if both else 24.0
    told = ", ".join(f"{name} {failing[name].share:.0%}" for name in names[:3] if name in failing)
    drawing = Drawing(640, 44 + row * len(names), f"What decides: {told or ', '.join(names[:3])}.")
    x = AxisScale(200, 600, 0.0, 1.0)
    bottom = 14 + row * len(names)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        drawing.line([(x.at(share), 8), (x.at(share), bottom)], "grid")
        drawing.text((x.at(share), bottom + 18), f"{share:.0%}", "tick")
    for index, name in enumerate(names):
        middle = 14 + row * (index + 0.5)
        drawing.text((190, middle + 4), fitted(name, 21), "name", "end")
        lines = [middle - 7, middle + 7] if both else [middle, middle]
        if name in failing:
            each = failing[name]
            told = f"failing: {each.share:.0%}, {each.low:.0%} to {each.high:.0%}"
            drawing.box((x.start, lines[0] - 5), (x.at(each.share) - x.start, 10), "bar k0", told)
            drawing.line([(x.at(each.low), lines[0]), (x.at(each.high), lines[0])], "whisker")
        if name in objective:
            share = objective[name]
            drawing.box(
                (x.start, lines[1] - 5),
                (x.at(share) - x.start, 10),
                "bar",
                f"the objective: {share:.0%}",
            )
    return drawing.svg()


def slice_chart(
    name: str, axis: Axis, records: Sequence[TrialRecord], looks: Looks, objective: str
) -> Markup:
    """Return the objective over one hyperparameter, with the failing trials in a strip above."""
    active = [record for record in records if axis.active_in(record.params)]
    shown = active[:: -(-len(active) // MOST_IN_SLICE) or 1]
    drawing = Drawing(300, 220, f"{objective} over {name}, the failing trials above.")
    x = axis_scale([record.params[name] for record in shown], axis, (), 52, 288)
    values = [v for r in shown if not has_failed(r) and (v := objective_of(r)) is not None]
    y = AxisScale.around(168, 64, values or [0.0], log=is_wide(values, 30.0))
    drawing.box((x.start, 22), (x.stop - x.start, 30), "band")
    drawing.text((x.start - 6, 41), "failed", "tick", "end")
    drawing.frame(x, y, name, "", ticks=4)
    placed = []
    for index, record in enumerate(shown):
        value = None if has_failed(record) else objective_of(record)
        if value is None and not has_failed(record):
            continue
        height = 37.0 + 20 * offset(index, UP) if value is None else y.at(value)
        across = place_on(x, record.params[name], offset(index, ACROSS))
        placed.append((record, (across, height)))
    draw_trials(drawing, placed, looks)
    return drawing.svg()
