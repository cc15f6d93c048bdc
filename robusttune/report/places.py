"""Places: where the value of a hyperparameter is along an axis of a picture."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from robusttune.regions import Axis
from robusttune.regions.axes import is_number
from robusttune.report.draw import Scale

GOLDEN = 0.6180339887498949
_MOST_CHOICES = 12


def axis_scale(
    values: Sequence[Any], axis: Axis, ruled: Container[str], start: float, stop: float
) -> Scale:
    """Return a scale with all values; of many choices those that the rule names, and others."""
    if axis.kind == "choice" or not all(map(is_number, values)) or not values:
        names = sorted({text_of(value) for value in values}) or ["none"]
        if len(names) > _MOST_CHOICES:
            names.sort(key=lambda name: name not in ruled)
            names = [*sorted(names[: _MOST_CHOICES - 1]), "others"]
        return Scale(start, stop, names=tuple(names))
    return Scale.around(start, stop, [float(value) for value in values], log=axis.log)


def text_of(value: Any) -> str:
    """Return a value of a choice as a text."""
    return value if isinstance(value, str) else str(value)


def offset(index: int, ratio: float) -> float:
    """Return an offset in -0.5..0.5 that spreads trials evenly, in a fixed way."""
    return ((index + 1) * ratio) % 1.0 - 0.5


def place_on(scale: Scale, value: Any, spread: float) -> float:
    """Return a position; trials of the same value of a choice are spread over its band."""
    if not scale.names:
        return scale.at(value)
    text = text_of(value)
    text = text if text in scale.names else scale.names[-1]
    return scale.at(text) + spread * 0.7 * (scale.stop - scale.start) / len(scale.names)
