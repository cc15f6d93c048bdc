"""The picture of a region: trials over the two hyperparameters that decide, the region shaded."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from robusttune.records import TrialRecord
from robusttune.regions import Axis, Condition, Region
from robusttune.regions.axes import is_number
from robusttune.report.charts import draw_trials, sampled
from robusttune.report.draw import Drawing, Scale
from robusttune.report.marks import Marks, in_plane, plane_of, slanted_area

_GOLDEN = 0.6180339887498949
_MOST_CHOICES = 12


def region_chart(
    region: Region, records: Sequence[TrialRecord], axes: Mapping[str, Axis], marks: Marks
) -> tuple[Markup, str]:
    """Return the trials over the two hyperparameters that decide, and a note on what is missing.

    Trials that do not satisfy the rule's conditions on other hyperparameters are faded.
    """
    names = plane_of(region.conditions, records, axes)
    complete = [r for r in records if all(axes[name].active_in(r.params) for name in names)]
    shown = sampled(complete)
    ruled = {_text(value) for condition in region.conditions for value in condition.values or ()}
    x = _scale([record.params[names[0]] for record in shown], axes[names[0]], ruled, 62, 446)
    y = Scale(272, 28, names=("",))
    if len(names) > 1:
        y = _scale([record.params[names[1]] for record in shown], axes[names[1]], ruled, 272, 28)

    told = f"Where {region.rule}, {region.failures} of {region.trials} failed."
    drawing = Drawing(460, 320, f"Trials over {' and '.join(names)}. {told}")
    drawn, others = in_plane(region.conditions, names)
    _shade(drawing, drawn, x, y, names)
    drawing.frame(x, y, names[0], names[1] if len(names) > 1 else "")
    faded = {id(r) for r in shown if not all(c.holds(r.params) for c in others)}
    placed = []
    for index, record in enumerate(shown):
        values = [record.params[name] for name in names] + [""]
        spread = _spread(index, _GOLDEN), _spread(index, _GOLDEN**2)
        placed.append((record, (_at(x, values[0], spread[0]), _at(y, values[1], spread[1]))))
    draw_trials(drawing, placed, marks, faded)
    return drawing.svg(), _note(others, len(records) - len(complete), names)


def _note(others: Sequence[Condition], missing: int, names: Sequence[str]) -> str:
    notes = []
    if others:
        notes.append(f"Pale marks do not satisfy {' and '.join(map(str, others))}.")
    if missing:
        notes.append(f"{missing} trials without {' or '.join(names)} are not shown.")
    return " ".join(notes)


def _scale(
    values: Sequence[Any], axis: Axis, ruled: Container[str], start: float, stop: float
) -> Scale:
    """Return a scale with all values; of many choices those that the rule names, and others."""
    if axis.kind == "choice" or not all(map(is_number, values)) or not values:
        names = sorted({_text(value) for value in values}) or ["none"]
        if len(names) > _MOST_CHOICES:
            names.sort(key=lambda name: name not in ruled)
            names = [*sorted(names[: _MOST_CHOICES - 1]), "others"]
        return Scale(start, stop, names=tuple(names))
    return Scale.around(start, stop, [float(value) for value in values], log=axis.log)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _spread(index: int, ratio: float) -> float:
    """Return an offset in -0.5..0.5 that spreads trials evenly, in a fixed way."""
    return ((index + 1) * ratio) % 1.0 - 0.5


def _at(scale: Scale, value: Any, spread: float) -> float:
    """Return a position; trials of the same value of a choice are spread over its band."""
    if not scale.names:
        return scale.at(value)
    text = _text(value)
    text = text if text in scale.names else scale.names[-1]
    return scale.at(text) + spread * 0.7 * (scale.stop - scale.start) / len(scale.names)


def _shade(
    drawing: Drawing, conditions: Sequence[Condition], x: Scale, y: Scale, names: Sequence[str]
) -> None:
    """Fill the part of the plane in which all conditions hold."""
    spans = [[(x.start, x.stop)], [(y.start, y.stop)]]
    for condition in conditions:
        if len(condition.factors) > 1:
            _shade_product(drawing, condition, x, y)
            return
        along = names.index(condition.name)
        spans[along] = _spans(condition, (x, y)[along])
    for left, right in spans[0]:
        for low, high in spans[1]:
            corner = min(left, right), min(low, high)
            drawing.box(corner, (abs(right - left), abs(high - low)), "region")


def _spans(condition: Condition, scale: Scale) -> list[tuple[float, float]]:
    if condition.values is None:
        low = scale.start if condition.low is None else scale.at(condition.low)
        high = scale.stop if condition.high is None else scale.at(condition.high)
        return [(low, high)]
    half = (scale.stop - scale.start) / max(len(scale.names), 1) / 2
    texts = [_text(value) for value in condition.values]
    return [(scale.at(t) - half, scale.at(t) + half) for t in texts if t in scale.names]


def _shade_product(drawing: Drawing, condition: Condition, x: Scale, y: Scale) -> None:
    """Fill the side of a slanted border, followed in small steps."""
    steps = [step / 60 for step in range(61)]
    values = [
        x.low * (x.high / x.low) ** share if x.log else x.low + share * (x.high - x.low)
        for share in steps
    ]
    corners = slanted_area(condition, values, (y.low, y.high))
    if corners:
        drawing.area([(x.at(value), y.at(other)) for value, other in corners], "region")
