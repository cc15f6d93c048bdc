"""sanitize: correct invalid hyperparameter ranges and report each correction."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

from robusttune._policy import Policy
from robusttune._space.parameters import Adjustment, Choice, Float, Int, Parameter, Value
from robusttune._space.roles import Role, Rule, is_number, rule_for

# Models compute in float32 or narrower: beyond these, a number is inf, or 0 (IEEE 754 binary32).
_LARGEST = 3.4028234e38
_SMALLEST = 1.1754944e-38

# Linear sampling of a range of this many decades puts less than 1 % of the values into its lowest
# one; such scales are searched in the logarithm (Bengio 2012, arXiv 1206.5533, section 3.3).
_DECADES = 3.0
# A logarithmic range cannot begin at 0; it begins this many times below its upper bound instead.
_LOG_SPAN = 1e4

# More steps than this cannot be told apart in the 15 digits of a float.
_MOST_STEPS = 1e12

_Range: TypeAlias = Float | Int


def sanitize(
    parameter: Parameter,
    role: Role | None,
    policy: Policy | None = None,
    *,
    optimizers: Collection[str] = (),
    survived: float | None = None,
    samples: int | None = None,
) -> tuple[Parameter, tuple[Adjustment, ...]]:
    """Return the parameter with invalid values corrected, and the corrections.

    A sound parameter comes back as it is. The result only ever has values that work for the role,
    is never wider than what was asked for, and comes back as it is when it is sanitized again.

    Args:
        parameter: What the search space asks for.
        role: What the parameter does; None: unknown, and only what is invalid for every
            role is corrected.
        policy: Its `sanitize` and `keep` count; None: the default policy. With "warn" the
            parameter comes back as it is, with the changes that would be made.
        optimizers: Names of the optimizer classes that the search can use (e.g. "adam"), which
            set the cap of a learning rate; empty: not known.
        survived: Highest learning rate that survived a range test, three times which is its cap;
            None: there was no test.
        samples: Rows of training data, which cap a batch size; None: not known.

    Returns:
        The parameter and its adjustments, at most one per field.

    Example:
        >>> lr, changes = sanitize(Float("lr", 0.0, 10.0), Role.LEARNING_RATE, optimizers=["Adam"])
        >>> str(lr)
        'Float(1e-05, 1.0, log)'
        >>> [change.field for change in changes]
        ['low', 'high', 'log']
    """
    policy = Policy.given(policy)
    if policy.sanitize == "off" or parameter.name in policy.keep:
        return parameter, ()
    rule = rule_for(role, optimizers=optimizers, survived=survived, samples=samples)
    sanitizer = _Sanitizer(parameter)
    if isinstance(parameter, Choice):
        _fix_choices(sanitizer, parameter, rule)
    else:
        _fix_bounds(sanitizer, rule)
        _fix_step(sanitizer)
        _limit(sanitizer, rule)
        _fix_scale(sanitizer, rule)
        _fit_step(sanitizer)
    _fix_default(sanitizer)
    adjustments = sanitizer.adjustments()
    if not adjustments or policy.sanitize == "warn":
        return parameter, adjustments
    return sanitizer.parameter, adjustments


class _Sanitizer:
    """A parameter on its way, and the reasons for each field that was changed."""

    def __init__(self, parameter: Parameter) -> None:
        self.original = parameter
        self.parameter = parameter
        self.reasons: dict[str, str] = {}

    @property
    def range(self) -> _Range:
        assert not isinstance(self.parameter, Choice)
        return self.parameter

    def set(self, field: str, value: Any, reason: str) -> None:
        if _same(getattr(self.parameter, field), value):
            return
        self.parameter = replace(self.parameter, **{field: value})
        self.reasons.setdefault(field, reason)

    def set_bounds(self, low: float, high: float, low_reason: str, high_reason: str) -> None:
        kind: Any = int if isinstance(self.parameter, Int) else float
        self.set("low", kind(low), low_reason)
        self.set("high", kind(high), high_reason)

    def adjustments(self) -> tuple[Adjustment, ...]:
        changed = []
        for field in self.parameter.__slots__:
            before, after = getattr(self.original, field), getattr(self.parameter, field)
            if not _same(before, after):
                changed.append(
                    Adjustment(self.original.name, field, before, after, self.reasons[field])
                )
        return tuple(changed)


def _same(one: Any, other: Any) -> bool:
    """Return whether two field values are the same, NaN being the same as NaN, and 1 not as 1.0."""
    return repr(one) == repr(other)


def _finite(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= _LARGEST


def _fix_bounds(sanitizer: _Sanitizer, rule: Rule) -> None:
    """Make both bounds finite and ordered."""
    low, high = sanitizer.range.low, sanitizer.range.high
    reason = "the bound is not a finite float32 number"
    if not _finite(low) and not _finite(high):
        low = rule.floor
        high = rule.ceiling if rule.high is not None else max(rule.floor, 1.0)
    elif not _finite(low):
        low = rule.floor if rule.low is not None and rule.floor <= high else high
    elif not _finite(high):
        high = rule.ceiling if rule.high is not None and rule.ceiling >= low else low
    elif low > high:
        low, high, reason = high, low, "the bounds are swapped"
    sanitizer.set_bounds(low, high, reason, reason)


def _limit(sanitizer: _Sanitizer, rule: Rule) -> None:
    """Leave only what the role allows between the bounds."""
    bounds = sanitizer.range
    low, high = bounds.low, bounds.high
    low_reason, high_reason = rule.why_low, rule.why_high
    if rule.below(low):
        low = _floor(rule, high)
    elif rule.above(low):
        low, low_reason = rule.ceiling, rule.why_high
    if rule.above(high):
        high = max(rule.ceiling, low)
    elif rule.below(high):
        high, high_reason = low, rule.why_low
    low, high = _on_grid(bounds, min(low, high), high)
    if isinstance(bounds, Int):
        low, high = math.ceil(low), math.floor(high)
        if low > high:  # no integer between them
            low = high = low if rule.allows(low) else high
    sanitizer.set_bounds(low, high, low_reason, high_reason)


def _floor(rule: Rule, high: float) -> float:
    """Return what takes the place of a lower bound that is too small."""
    if not rule.scale or rule.floor == 0 or rule.above(high) or high <= 0:
        return rule.floor
    decades_below = float(f"{high / 10**_DECADES:.12g}") or high
    return min(rule.floor, decades_below)


def _on_grid(bounds: _Range, low: float, high: float) -> tuple[float, float]:
    """Return bounds that were moved inwards, on values that the steps reach."""
    step = bounds.step
    if step is None or bounds.reverse or (bounds.log and bounds.low <= 0):
        return low, high
    start, width = Decimal(str(bounds.low)), Decimal(str(step))

    def index(value: float) -> float:
        if bounds.log:
            return math.log(value / bounds.low, step)
        return float((Decimal(str(value)) - start) / width)

    def value_at(index: int) -> float:
        return bounds.low * step**index if bounds.log else float(start + index * width)

    if max(abs(index(low)), abs(index(high))) > _MOST_STEPS:
        return low, high
    first = low if low == bounds.low else value_at(math.ceil(index(low) - 1e-9))
    last = high if high == bounds.high else value_at(math.floor(index(high) + 1e-9))
    return (first, last) if low <= first <= last <= high else (low, high)


def _fix_scale(sanitizer: _Sanitizer, rule: Rule) -> None:
    """Sample in the logarithm where orders of magnitude matter, and only where that is possible."""
    bounds = sanitizer.range
    if bounds.log:
        least = 1 if isinstance(bounds, Int) else _SMALLEST
        if bounds.low >= least or 0 < bounds.low <= bounds.high <= least:
            return
        if bounds.high < least or bounds.low < 0:
            sanitizer.set("log", False, "a logarithmic range must be positive")
            sanitizer.set("reverse", False, "a logarithmic range must be positive")
            if isinstance(bounds, Int):
                sanitizer.set("step", 1, "a linear range of integers has a step")
        else:
            low = 1 if isinstance(bounds, Int) else max(bounds.high / _LOG_SPAN, _SMALLEST)
            sanitizer.set("low", low, "a logarithmic range cannot begin at 0")
        return
    if (
        not rule.scale
        or bounds.step is not None
        or isinstance(bounds, Int)
        or bounds.low < _SMALLEST
    ):
        return
    decades = math.log10(bounds.high / bounds.low)
    if decades >= _DECADES - 1e-9:
        share = 100 * 10 ** (1 - decades)
        sanitizer.set(
            "log",
            True,
            f"linear sampling over {decades:.0f} decades leaves {share:.2g} % of the values to the"
            " lowest one",
        )


def _fix_step(sanitizer: _Sanitizer) -> None:
    """Drop a step that is no step: 0, negative, not finite, a ratio of at most 1, or too fine."""
    bounds = sanitizer.range
    step = bounds.step
    if step is None:
        return
    # An integer range without a step has the step 1; a logarithmic one has any integer.
    none = 1 if isinstance(bounds, Int) and not bounds.log else None
    least = 1 if bounds.log else 0
    if not _finite(step) or step <= least:
        sanitizer.set("step", none, f"a step must be finite and more than {least}")
    elif isinstance(bounds, Float) and _steps(bounds, step) > _MOST_STEPS:
        sanitizer.set("step", None, "the step is too fine for the numbers in the range")


def _steps(bounds: Float, step: float) -> float:
    """Return how many steps fit in a range."""
    if not bounds.log:
        return (bounds.high - bounds.low) / step
    if bounds.low <= 0:
        return 0.0
    return (math.log(bounds.high) - math.log(bounds.low)) / math.log(step)


def _fit_step(sanitizer: _Sanitizer) -> None:
    """Shorten a step that is longer than the range, and drop a ratio that lost its logarithm."""
    bounds = sanitizer.range
    original = sanitizer.original
    assert not isinstance(original, Choice)
    if bounds.step is None or bounds.low == bounds.high:
        return
    if original.log and not bounds.log:
        none = 1 if isinstance(bounds, Int) else None
        sanitizer.set("step", none, "it was the ratio of a logarithmic range")
        return
    longest = bounds.high / bounds.low if bounds.log else bounds.high - bounds.low
    if isinstance(bounds, Int):
        longest = math.floor(longest)
    if bounds.step > longest * (1 + 1e-9) and longest > (1 if bounds.log else 0):
        reason = "the step is longer than the range, so that there is only one value"
        sanitizer.set("step", longest, reason)


def _fix_choices(sanitizer: _Sanitizer, choice: Choice, rule: Rule) -> None:
    """Drop choices that are repeated, not finite or cannot work; keep at least one, if any."""
    if not choice.choices:
        return
    kept: list[Value] = []
    seen: set[str] = set()
    reasons: list[str] = []
    for given in choice.choices:
        value = given
        if rule.real and is_number(given) and isinstance(given, int) and _finite(given):
            value = float(given)
            reasons.append(f"{given!r} must be a float")
        if is_number(value) and not _finite(value):
            reason = f"{value} is not a finite float32 number"
        elif is_number(value) and not rule.allows(value):
            reason = rule.why_low if rule.below(value) else rule.why_high
        elif _is_plain(value) and repr(value) in seen:
            reason = f"{value!r} is repeated"
        else:
            seen.add(repr(value))
            kept.append(value)
            continue
        reasons.append(reason)
    if not kept:
        kept = [_nearest(choice, rule)]
        reasons.append("no choice is left, and this is the nearest value that works")
    sanitizer.set("choices", tuple(kept), "; ".join(dict.fromkeys(reasons)))


def _is_plain(value: object) -> bool:
    """Return whether two values with the same text are the same: not so for any object."""
    return value is None or isinstance(value, (str, int, float))


def _nearest(choice: Choice, rule: Rule) -> Value:
    """Return the value that works and is nearest to choices that all do not."""
    numbers = [v for v in choice.choices if is_number(v) and _finite(v)]
    above = bool(numbers) and rule.above(numbers[0])
    value = rule.ceiling if above else rule.floor
    whole = all(isinstance(number, int) for number in choice.choices)
    if rule.real or not whole:
        return float(value)
    return math.floor(value) if above else math.ceil(value)


def _fix_default(sanitizer: _Sanitizer) -> None:
    """Move a default into the range, or to the first choice."""
    parameter = sanitizer.parameter
    default = parameter.default
    if default is None:
        return
    if isinstance(parameter, Choice):
        if not any(_same(default, value) for value in parameter.choices):
            sanitizer.set("default", None, "the default is not one of the choices")
        return
    assert is_number(default)
    if not _finite(default):
        sanitizer.set("default", None, "the default is not a finite float32 number")
    elif not parameter.low <= default <= parameter.high:
        nearest = min(max(default, parameter.low), parameter.high)
        sanitizer.set("default", nearest, "the default is outside the range")
