"""Features: the columns in which regions are looked for, hyperparameters and their products."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, compress
from typing import Any

import numpy as np

from robusttune._records import plain
from robusttune._regions.axes import Axis, Floats, is_number

Bools = np.ndarray[Any, np.dtype[np.bool_]]

# More hyperparameters than this are not multiplied with each other.
_MOST_FACTORS = 6
# Fewer distinct values than this, and than half of the trials, are a grid: a rule then names one.
_GRID = 12


@dataclass(frozen=True, eq=False)
class Feature:
    """One column, in which a condition is a range or a set of values.

    Args:
        name: The hyperparameter, or a product such as "learning_rate * units".
        factors: Name and exponent (1 or -1) of each hyperparameter in it.
        axis: The scale. A product is looked at on the logarithmic one.
        column: Positions on the scale, or indices into `values`; NaN where inactive; shape (n,).
        values: The values of a choice; empty for numbers.
        numbers: The values themselves, not on the scale; None for a choice.
    """

    name: str
    factors: tuple[tuple[str, int], ...]
    axis: Axis
    column: Floats
    values: tuple[Any, ...] = ()
    numbers: Floats | None = None

    @cached_property
    def distinct(self) -> Floats:
        """The positions that occur, ascending."""
        return np.unique(self.column[~np.isnan(self.column)])

    @property
    def is_grid(self) -> bool:
        """Whether the numbers come from a short list."""
        known = int((~np.isnan(self.column)).sum())
        return not self.values and len(self.distinct) < min(_GRID, known / 2)

    @property
    def is_product(self) -> bool:
        """Whether this is a product or a quotient of two hyperparameters."""
        return len(self.factors) > 1

    def cost(self, alike: int) -> float:
        """Return what one condition costs, in nats: which of the features alike, and where."""
        places = len(self.values) or 2 * min(len(self.distinct) - 1, 16)
        return float(np.log(alike * places))

    def take(self, rows: Bools) -> Feature:
        """Return the feature of some trials only."""
        numbers = None if self.numbers is None else self.numbers[rows]
        return replace(self, column=self.column[rows], numbers=numbers)


def features_of(params: Mapping[str, Sequence[Any]], axes: Mapping[str, Axis]) -> list[Feature]:
    """Return the features of hyperparameters: each by itself, then products and quotients.

    Args:
        params: The values of each hyperparameter, INACTIVE where it is not in the trial, or None
            where it is a number; all of the same length.
        axes: Kind and scale of each of them.
    """
    single = [_single(axes[name], values) for name, values in params.items()]
    single = [feature for feature in single if len(feature.distinct) > 1]
    return single + _products(single)


def _single(axis: Axis, values: Sequence[Any]) -> Feature:
    factors = ((axis.name, 1),)
    active = [axis.has(value) for value in values]
    numeric = axis.kind != "choice" and all(map(is_number, compress(values, active)))
    if numeric:
        numbers = np.full(len(values), np.nan)
        numbers[active] = [float(value) for value in compress(values, active)]
        return Feature(axis.name, factors, axis, axis.scale(numbers), numbers=numbers)
    keys = [json.dumps(plain(value)) if axis.has(value) else None for value in values]
    known = {key: value for key, value in zip(keys, values, strict=True) if key is not None}
    order = {key: float(index) for index, key in enumerate(sorted(known))}
    codes = np.array([np.nan if key is None else order[key] for key in keys], dtype=float)
    return Feature(axis.name, factors, axis, codes, tuple(known[key] for key in sorted(known)))


def _products(single: Sequence[Feature]) -> list[Feature]:
    """Return products and quotients of two numbers, one of which varies over decades.

    What blows up training scales with such products (learning rate x width, learning rate / batch
    size), and no small number of boxes has a slanted border.
    """
    factors = [
        feature
        for feature in single
        if not feature.values
        and not np.isnan(feature.column).any()
        and (feature.axis.log or (feature.axis.kind == "int" and feature.distinct[0] > 0))
    ]
    factors = sorted(factors, key=lambda feature: not feature.axis.log)[:_MOST_FACTORS]
    products = []
    for left, right in combinations(factors, 2):
        if not left.axis.log:
            continue
        for sign, symbol in ((1, "*"), (-1, "/")):
            name = f"{left.name} {symbol} {right.name}"
            terms = ((left.name, 1), (right.name, sign))
            numbers = power_product((left.numbers, right.numbers), terms)
            axis = Axis(name=name, kind="float", log=True)
            product = Feature(name, terms, axis, axis.scale(numbers), numbers=numbers)
            if len(product.distinct) > 1:
                products.append(product)
    return products


def power_product(numbers: Sequence[Any], factors: Sequence[tuple[str, int]]) -> Any:
    """Return the product of numbers or arrays, each to the power 1 or -1 of its factor."""
    result = numbers[0]
    for number, (_, exponent) in zip(numbers[1:], factors[1:], strict=True):
        result = result * number if exponent > 0 else result / number
    return result
