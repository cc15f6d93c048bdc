"""Region: one rule over hyperparameters, and how the trials fared that satisfy it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._records import plain
from robusttune._regions.axes import is_number
from robusttune._regions.boxes import Bound
from robusttune._regions.features import Bools, Feature, power_product


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One part of a rule: low < value <= high, or value in values.

    Args:
        name: The hyperparameter, or a product such as "learning_rate * units".
        factors: Name and exponent (1 or -1) of each hyperparameter in it.
        low: Exclusive lower bound; None where there is none.
        high: Inclusive upper bound; None where there is none.
        values: The values of a choice that satisfy it; None for numbers.
    """

    name: str
    factors: tuple[tuple[str, int], ...]
    low: float | None = None
    high: float | None = None
    values: tuple[Any, ...] | None = None

    def __str__(self) -> str:
        if self.values is not None:
            if len(self.values) == 1:
                return f"{self.name} == {self.values[0]!r}"
            return f"{self.name} in {self.values!r}"
        if self.low is None:
            return f"{self.name} <= {self.high:.12g}"
        if self.high is None:
            return f"{self.name} > {self.low:.12g}"
        return f"{self.low:.12g} < {self.name} <= {self.high:.12g}"

    @classmethod
    def of(cls, feature: Feature, bound: Bound) -> Condition:
        """Return the condition on the values of a feature instead of on its positions."""
        if feature.values:
            values = tuple(feature.values[code] for code in sorted(bound.codes))
            return cls(name=feature.name, factors=feature.factors, values=values)
        low, high = (
            float(f"{feature.axis.unscale(end):.12g}") if np.isfinite(end) else None
            for end in (bound.low, bound.high)
        )
        return cls(name=feature.name, factors=feature.factors, low=low, high=high)

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether hyperparameter values satisfy the condition; one that is missing does not."""
        if not all(name in params for name, _ in self.factors):
            return False
        values = [plain(params[name]) for name, _ in self.factors]
        if self.values is not None:
            return any(_same(values[0], value) for value in self.values)
        if not all(map(is_number, values)):
            return False
        try:
            number = power_product([float(value) for value in values], self.factors)
        except ZeroDivisionError:
            return False
        above = self.low is None or _exceeds(number, self.low)
        return bool(above and (self.high is None or not _exceeds(number, self.high)))

    def holds_in(self, feature: Feature) -> Bools:
        """Return which trials satisfy the condition, shape (trials,)."""
        numbers = feature.numbers
        if self.values is not None or numbers is None:
            codes = [i for i, value in enumerate(feature.values) if self.holds({self.name: value})]
            return np.isin(feature.column, codes)
        inside: Bools = ~np.isnan(numbers)
        with np.errstate(invalid="ignore", over="ignore"):
            if self.low is not None:
                inside &= _exceeds(numbers, self.low)
            if self.high is not None:
                inside &= ~_exceeds(numbers, self.high)
        return inside


def _exceeds(numbers: Any, bound: float) -> Any:
    """Whether a number or an array is above a bound, which was rounded to 12 digits."""
    return numbers - bound > 1e-11 * abs(bound)


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the space of hyperparameters in which trials fail more often than elsewhere.

    Args:
        conditions: All of them hold in the region.
        trials: Trials in the region.
        failures: How many of them failed.
        failure_rate: failures / trials.
        baseline_rate: Failure rate of the whole search.
        ci_low: Lower end of the rate's 95 % interval (Wilson). It does not know that the region was
            picked because trials failed there; `p_value` does.
        ci_high: Upper end of it.
        p_value: How often a search without any unstable region shows one as striking: labels are
            permuted and the whole search for regions is done again.
        dominant_cause: The most frequent cause of the failures; None where none has a cause.
        seconds_lost: Wall time of the failures.
        exception: What the failures raised, on one line; None where they did not fail of one and
            the same exception, or it is the only one of the search.

    Example:
        >>> condition = Condition(name="lr", factors=(("lr", 1),), low=0.1)
        >>> region = Region(conditions=(condition,), trials=9, failures=9, failure_rate=1.0,
        ...                 baseline_rate=0.3, ci_low=0.7, ci_high=1.0, p_value=0.005)
        >>> region.rule, region.contains({"lr": 1.0}), region.contains({})
        ('lr > 0.1', True, False)
    """

    conditions: tuple[Condition, ...]
    trials: int
    failures: int
    failure_rate: float
    baseline_rate: float
    ci_low: float
    ci_high: float
    p_value: float
    dominant_cause: FailureCause | None = None
    seconds_lost: float = 0.0
    exception: str | None = None

    @property
    def rule(self) -> str:
        """The region as one can say it, e.g. "learning_rate > 0.03 and optimizer == 'sgd'"."""
        return " and ".join(map(str, self.conditions))

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial is in the region; a missing hyperparameter satisfies no condition.

        Args:
            params: Hyperparameter values by name.
        """
        return all(condition.holds(params) for condition in self.conditions)
