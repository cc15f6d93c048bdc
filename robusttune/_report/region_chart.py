"""The picture of a region: trials over the two hyperparameters that decide, the region shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from robusttune._records import TrialRecord
from robusttune._regions import Axis, Condition, Region
from robusttune._report.charts import Looks, draw_trials, drawn_note, thinned
from robusttune._report.marks import in_plane, plane_of, slanted_area
from robusttune._report.places import ACROSS, UP, Grid, axis_scale, offset, text_of
from robusttune._report.svg import AxisScale, Drawing


def region_chart(
    region: Region, records: Sequence[TrialRecord], axes: Mapping[str, Axis], looks: Looks
) -> tuple[Markup, str]:
    """Return the trials over the two hyperparameters that decide, and a note on what is missing.

    Trials that do not satisfy the rule's conditions on other hyperparameters are faded.
    """
    names = plane_of(region.conditions, records, axes)
    complete = [r for r in records if all(axes[name].active_in(r.params) for name in names)]
    shown = thinned(complete, looks)
    ruled = {text_of(value) for condition in region.conditions for value in condition.values or ()}
    x = axis_scale([record.params[names[0]] for record in shown], axes[names[0]], ruled, 62, 446)
    y = AxisScale(272, 28, names=("",))
    if len(names) > 1:
        y = axis_scale(
            [record.params[names[1]] for record in shown], axes[names[1]], ruled, 272, 28
        )

    told = f"Where {region.rule}, {region.failures} of {region.trials} failed."
    drawing = Drawing(460, 320, f"Trials over {' and '.join(names)}. {told}")
    drawn, others = in_plane(region.conditions, names)
    slanted = any(len(condition.factors) > 1 for condition in drawn)
    grids = [
        Grid(scale) if slanted else Grid.of(scale, [record.params[name] for record in shown])
        for name, scale in zip(names, (x, y), strict=False)
    ]
    grids += [Grid(y)] * (len(names) < 2)
    _shade(drawing, drawn, grids, names)
    drawing.frame(x, y, names[0], names[1] if len(names) > 1 else "")
    faded = {id(r) for r in shown if not all(c.holds(r.params) for c in others)}
    placed = []
    for index, record in enumerate(shown):
        values = [record.params[name] for name in names] + [""]
        across = grids[0].at(values[0], offset(index, ACROSS))
        placed.append((record, (across, grids[1].at(values[1], offset(index, UP)))))
    draw_trials(drawing, placed, looks, faded)
    note = _note(others, len(records) - len(complete), names)
    thin = drawn_note(len(shown), len(complete))
    return drawing.svg(), " ".join(filter(None, (note, thin)))


def _note(others: Sequence[Condition], missing: int, names: Sequence[str]) -> str:
    notes = []
    if others:
        notes.append(f"Pale marks do not satisfy {' and '.join(map(str, others))}.")
    if missing:
        notes.append(f"{missing} trials without {' or '.join(names)} are not shown.")
    return " ".join(notes)


def _shade(
    drawing: Drawing, conditions: Sequence[Condition], grids: Sequence[Grid], names: Sequence[str]
) -> None:
    """Fill the part of the plane in which all conditions hold."""
    x, y = (grid.scale for grid in grids)
    spans = [[(x.start, x.stop)], [(y.start, y.stop)]]
    for condition in conditions:
        if len(condition.factors) > 1:
            _shade_product(drawing, condition, x, y)
            return
        along = names.index(condition.name)
        spans[along] = _spans(condition, grids[along])
    for left, right in spans[0]:
        for low, high in spans[1]:
            corner = min(left, right), min(low, high)
            drawing.box(corner, (abs(right - left), abs(high - low)), "region")


def _spans(condition: Condition, grid: Grid) -> list[tuple[float, float]]:
    scale = grid.scale
    if condition.values is None:
        low = scale.start if condition.low is None else grid.border(condition.low)
        high = scale.stop if condition.high is None else grid.border(condition.high)
        return [(low, high)]
    half = (scale.stop - scale.start) / max(len(scale.names), 1) / 2
    texts = [text_of(value) for value in condition.values]
    return [(scale.at(t) - half, scale.at(t) + half) for t in texts if t in scale.names]


def _shade_product(drawing: Drawing, condition: Condition, x: AxisScale, y: AxisScale) -> None:
    """Fill the side of a slanted border, followed in small steps."""
    steps = [step / 60 for step in range(61)]
    values = [
        x.low * (x.high / x.low) ** share if x.log else x.low + share * (x.high - x.low)
        for share in steps
    ]
    corners = slanted_area(condition, values, (y.low, y.high))
    if corners:
        drawing.area([(x.at(value), y.at(other)) for value, other in corners], "region")
