"""Places: where the value of a hyperparameter is along an axis of a picture."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from robusttune._regions import Axis
from robusttune._regions.axes import is_number
from robusttune._report.svg import AxisScale

# Steps that spread points evenly over a plane. Source: Roberts, "The Unreasonable Effectiveness of
# Quasirandom Sequences" (2018), R2.
ACROSS, UP = 0.7548776662466927, 0.5698402909980532
_MOST_CHOICES = 12
# Values of a number that make a grid, and how wide marks of one of them are spread, in SVG units.
_MOST_GRID, _WIDEST = 20, 30.0


def axis_scale(
    values: Sequence[Any], axis: Axis, ruled: Container[str], start: float, stop: float
) -> AxisScale:
    """Return a scale with all values; of many choices those that the rule names, and others."""
    if axis.kind == "choice" or not all(map(is_number, values)) or not values:
        names = sorted({text_of(value) for value in values}) or ["none"]
        if len(names) > _MOST_CHOICES:
            names.sort(key=lambda name: name not in ruled)
            names = [*sorted(names[: _MOST_CHOICES - 1]), "others"]
        return AxisScale(start, stop, names=tuple(names))
    numbers = [float(value) for value in values]
    # Marks of the same place may be spread beyond the first and the last one.
    room = 0.09 if len(set(numbers)) <= _MOST_GRID else 0.05
    return AxisScale.around(start, stop, numbers, log=axis.log, room=room)


def text_of(value: Any) -> str:
    """Return a value of a choice as a text."""
    return value if isinstance(value, str) else str(value)


def offset(index: int, ratio: float) -> float:
    """Return an offset in -0.5..0.5 that spreads trials evenly, in a fixed way."""
    return ((index + 1) * ratio) % 1.0 - 0.5


def place_on(scale: AxisScale, value: Any, spread: float) -> float:
    """Return a position; trials of the same value of a choice are spread over its band."""
    if not scale.names:
        return scale.at(value)
    text = text_of(value)
    text = text if text in scale.names else scale.names[-1]
    return scale.at(text) + spread * 0.7 * (scale.stop - scale.start) / len(scale.names)


@dataclass(frozen=True)
class Grid:
    """The few values that a number takes, so that marks of the same place can be spread.

    Args:
        scale: Of the axis.
        values: The values, ascending; empty where they are many, or not to be spread.
    """

    scale: AxisScale
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, scale: AxisScale, values: Sequence[Any]) -> Grid:
        """Return the grid of the values along a scale."""
        if scale.names:
            return cls(scale)
        distinct = sorted(set(values))
        few = 1 < len(distinct) <= _MOST_GRID and 3 * len(distinct) < len(values)
        return cls(scale, tuple(map(float, distinct)) if few else ())

    def at(self, value: Any, spread: float) -> float:
        """Return a position; trials of the same value are spread around it."""
        if not self.values:
            return place_on(self.scale, value, spread)
        places = [self.scale.at(one) for one in self.values]
        gap = min(abs(right - left) for left, right in pairwise(places))
        return self.scale.at(value) + spread * min(0.7 * gap, _WIDEST)

    def border(self, value: float) -> float:
        """Return where a bound is drawn: of a grid between the values that it lies between."""
        above = [one for one in self.values if one > value]
        below = [one for one in self.values if one <= value]
        if not above or not below:
            return self.scale.at(value)
        return (self.scale.at(below[-1]) + self.scale.at(above[0])) / 2
