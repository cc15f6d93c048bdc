"""Axis: one hyperparameter as a direction to look along, and the scale to look on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard

import numpy as np

from robusttune._space.parameters import Choice, Int, Parameter

Kind = Literal["float", "int", "choice"]
Floats = np.ndarray[Any, np.dtype[np.float64]]

# In place of the value of a hyperparameter that a trial does not have. None may not stand for that:
# it may be one of the values of a choice.
INACTIVE: Final = object()

# A positive range this wide is looked at on a logarithmic scale if the values sit better there.
_WIDE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One hyperparameter: what kind it is and on which scale it is looked at.

    Made by `axis_of` from a declared hyperparameter, by `infer_axis` where none is declared.

    Args:
        name: Name of the hyperparameter.
        kind: "float" and "int" are ordered; "choice" is a set of values without an order.
        log: Whether distances are ratios; only for positive numbers.
        low: Declared lower bound; None where unknown.
        high: Declared upper bound; None where unknown.
        step: Declared distance between two values; None for a continuum.
        choices: Declared values of a choice, numbers included; empty where unknown.
    """

    name: str
    kind: Kind
    log: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def has(self, value: Any) -> bool:
        """Whether this is a value: not INACTIVE, and None only where it may have been chosen."""
        return value is not INACTIVE and (value is not None or self.kind == "choice")

    def active_in(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial with these hyperparameters has this one."""
        return self.has(params.get(self.name, INACTIVE))

    def scale(self, values: Floats) -> Floats:
        """Map values to the scale of the axis; what the scale lacks becomes NaN. Shape (n,)."""
        if not self.log:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled: Floats = np.where(values > 0, np.log10(values), np.nan)
        return scaled

    def unscale(self, position: float) -> float:
        """Map a position on the scale back to a value."""
        return 10.0**position if self.log else position


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a hyperparameter value is a finite number that NumPy can hold; bool is not one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def infer_axis(name: str, values: Iterable[Any]) -> Axis:
    """Return the axis that values of an undeclared hyperparameter suggest.

    The scale is logarithmic where the values are positive, span more than a factor of 20, and
    have their median nearer to the middle of the range there than on the linear scale.

    Args:
        name: Name of the hyperparameter.
        values: The values that were tried, None where it was inactive.
    """
    seen = [value for value in values if value is not None]
    if not seen or not all(map(is_number, seen)):
        return Axis(name=name, kind="choice")
    kind: Kind = "int" if all(isinstance(value, int) for value in seen) else "float"
    return Axis(name=name, kind=kind, log=_sits_better_on_log(np.asarray(seen, dtype=float)))


def axis_of(parameter: Parameter) -> Axis:
    """Return the axis along which a declared hyperparameter is looked at.

    A choice of three or more different numbers is looked at in their order. Bounds that are not
    finite count as unknown.
    """
    if isinstance(parameter, Choice):
        return _choice_axis(parameter)
    low, high, step = map(_number, (parameter.low, parameter.high, parameter.step))
    return Axis(
        name=parameter.name,
        kind="int" if isinstance(parameter, Int) else "float",
        # A reverse logarithm is densest at the upper end, which ratios would press together.
        log=parameter.log and not parameter.reverse and low is not None and low > 0,
        low=low,
        high=high,
        step=step,
    )


def _choice_axis(parameter: Choice) -> Axis:
    name, values = parameter.name, parameter.choices
    numbers = sorted({value for value in values if is_number(value)})
    if len(numbers) < 3 or not all(map(is_number, values)):
        return Axis(name=name, kind="choice", choices=values)
    return Axis(
        name=name,
        kind="int" if all(isinstance(value, int) for value in values) else "float",
        log=_sits_better_on_log(np.asarray(numbers, dtype=float)),
        choices=values,
    )


def _sits_better_on_log(values: Floats) -> bool:
    low, high = float(values.min()), float(values.max())
    if low <= 0 or high / low <= _WIDE:
        return False
    median = float(np.median(values))
    linear = (median - low) / (high - low)
    log = math.log(median / low) / math.log(high / low)
    return abs(log - 0.5) < abs(linear - 0.5)
