"""Suggest: what to change in the search space so that its unstable regions are left out.

What is decided here is data, a `SpaceChange`; the hosts turn it into lines of their own code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

from robusttune._records import TrialRecord
from robusttune._regions import Axis, Condition, Region
from robusttune._regions.axes import axis_of, is_number
from robusttune._report.python_code import number
from robusttune._report.search_data import has_ended
from robusttune._report.sources import lines_of
from robusttune._report.space_change import Narrowing, ProductBound, SpaceChange
from robusttune._space.parameters import Choice, Float, Int, Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """One change of the search space.

    Args:
        text: What to do, as a sentence.
        region: The rule of the region that this leaves out.
        keras_tuner: Lines to paste into a build function, with `hp` as its hyperparameters.
        optuna: Lines to paste into an objective, with `trial` as its trial.
        place: Place of the parameter that changes, in the order in which trials ask for them; lines
            that refuse trials come after all of them.
        healthy_trials_lost: Trials of the search that were fine and would not be drawn any more.
        further: Lines for each further host that is registered, by its name.
    """

    text: str
    region: str
    keras_tuner: str
    optuna: str
    healthy_trials_lost: int
    place: int = 0
    further: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def code(self) -> dict[str, str]:
        """The lines for each host, by its name."""
        return {"keras_tuner": self.keras_tuner, "optuna": self.optuna, **self.further}

    def __str__(self) -> str:
        return self.text


def suggest(
    regions: Sequence[Region],
    records: Sequence[TrialRecord],
    axes: Mapping[str, Axis],
    space: Mapping[str, Parameter],
) -> list[Suggestion]:
    """Return one change per region whose failures other hyperparameters can avoid.

    Args:
        regions: The unstable regions.
        records: The trials.
        axes: All hyperparameters that occur, by name.
        space: Those of them that are declared; others are taken to be as wide as the trials are.
    """
    whole = {name: _whole(axis, space.get(name), records) for name, axis in axes.items()}
    healthy = [record for record in records if not record.unstable and record.status != "failed"]
    begun = [record.params for record in records if record.params and has_ended(record)]
    optional = frozenset(n for n, axis in axes.items() if not all(map(axis.active_in, begun)))
    order = {name: place for place, name in enumerate(axes)}
    avoidable = [
        region
        for region in regions
        if region.dominant_cause is None or region.dominant_cause.depends_on_parameters is not False
    ]
    ranges = [_range_for(region, whole, order) for region in avoidable]
    suggestions = []
    for region, by in zip(avoidable, ranges, strict=True):
        names = {name for condition in region.conditions for name, _ in condition.factors}
        present = {name: _presence(name, begun, optional) for name in names & optional}
        change = SpaceChange(
            conditions=region.conditions,
            optional=optional,
            present={name: condition for name, condition in present.items() if condition},
            by=by,
            others=tuple(
                other
                for other in ranges
                if other is not None and other is not by and _are_alike(other, by)
            ),
            after=_asked_later(by, order),
        )
        code = lines_of(change)
        suggestions.append(
            Suggestion(
                text=_sentence(region, by),
                region=region.rule,
                keras_tuner=code.pop("keras_tuner"),
                optuna=code.pop("optuna"),
                healthy_trials_lost=sum(region.contains(record.params) for record in healthy),
                place=len(order) if by is None else order.get(by.parameter.name, len(order)),
                further=code,
            )
        )
    return suggestions


def _are_alike(one: Narrowing | ProductBound, other: Narrowing | ProductBound | None) -> bool:
    """Whether two changes are of the range of one number."""
    if other is None or one.parameter.name != other.parameter.name:
        return False
    return not isinstance(one.parameter, Choice)


def _asked_later(by: Narrowing | ProductBound | None, order: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names that a change needs and that a script asks for after its parameter."""
    if by is None:
        return ()
    if isinstance(by, ProductBound):
        needed = [by.other]
    else:
        needed = [name for condition in by.where for name, _ in condition.factors]
    return tuple(name for name in needed if order[name] > order[by.parameter.name])


# A parameter with more values than this is no switch.
_MOST_SWITCHED = 20


def _presence(
    name: str, trials: Sequence[Mapping[str, Any]], optional: frozenset[str]
) -> Condition | None:
    """Return which values of another hyperparameter switch one on; None where none does."""
    for other in trials[0] if trials else ():
        if other in optional:
            continue
        on = {repr(params[other]): params[other] for params in trials if name in params}
        off = {repr(params[other]) for params in trials if name not in params}
        if on and off and off.isdisjoint(on) and len(on) <= _MOST_SWITCHED:
            return Condition(name=other, factors=((other, 1),), values=tuple(on.values()))
    return None


def _whole(axis: Axis, declared: Parameter | None, records: Iterable[TrialRecord]) -> Parameter:
    """Return a hyperparameter with the values or bounds that were seen where none are declared."""
    if isinstance(declared, Choice):
        return declared
    bounded = axis.kind != "choice" and axis.low is not None and axis.high is not None
    looked_at = () if bounded else records
    seen = [record.params[axis.name] for record in looked_at if axis.active_in(record.params)]
    if axis.kind == "choice":
        return Choice(axis.name, tuple({repr(value): value for value in seen}.values()))
    kind: Any = Int if axis.kind == "int" else Float
    known = kind(axis.name, axis.low, axis.high, axis.log) if declared is None else declared
    numbers = [float(value) for value in seen if is_number(value)] or [0.0]
    low = _rounded(min(numbers), down=True) if axis.low is None else known.low
    high = _rounded(max(numbers), down=False) if axis.high is None else known.high
    exact = int if kind is Int else float
    whole: Parameter = replace(known, low=exact(low), high=exact(high))
    return whole


def _rounded(value: float, *, down: bool) -> float:
    """Return a bound of two digits that still admits the value."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    whole = math.floor(value / unit) if down else math.ceil(value / unit)
    return float(f"{whole * unit:.12g}")


def _range_for(
    region: Region, space: Mapping[str, Parameter], order: Mapping[str, int]
) -> Narrowing | ProductBound | None:
    """Return how the range of one hyperparameter leaves a region out; None where none does.

    A number is narrowed rather than a choice, and one on a logarithmic scale rather than others:
    that is where a learning rate is.
    """
    products = [condition for condition in region.conditions if len(condition.factors) > 1]
    if products:
        return _product_bound(region, products[0], space, order)
    first = min(
        region.conditions,
        key=lambda condition: (
            condition.values is not None,
            not axis_of(space[condition.name]).log,
        ),
    )
    parameter = space[first.name]
    if isinstance(parameter, Choice):
        narrowed: Parameter | None = _fewer_choices(parameter, first)
    else:
        narrowed = _nearer_bound(parameter, first)
    if narrowed is None:
        return None
    where = tuple(condition for condition in region.conditions if condition is not first)
    return Narrowing(parameter=parameter, narrowed=narrowed, where=where)


def _fewer_choices(parameter: Choice, condition: Condition) -> Choice | None:
    """Return what is left of a choice; None where that is nothing."""
    keep = tuple(v for v in parameter.choices if not condition.holds({parameter.name: v}))
    return replace(parameter, choices=keep) if keep else None


def _nearer_bound(parameter: Float | Int, condition: Condition) -> Float | Int | None:
    """Return what is left of a range; None where that is not one range, or nothing."""
    if parameter.reverse and parameter.step is not None:
        return None  # its grid hangs on both ends
    if condition.low is not None and condition.high is None:
        if condition.low < parameter.low:
            return None
        return _bounded(parameter, high=_last(parameter, condition.low))
    if condition.high is not None and condition.low is None:
        low = _next(parameter, _last(parameter, condition.high))
        return None if low > parameter.high else _bounded(parameter, low=low)
    return None


def _bounded(parameter: Float | Int, **bound: float) -> Float | Int:
    exact: Any = int if isinstance(parameter, Int) else float
    bounded: Float | Int = replace(parameter, **{end: exact(x) for end, x in bound.items()})
    return bounded


def _last(parameter: Float | Int, value: float) -> float:
    """Return the largest value of a range that is not above another; in a continuum that one."""
    start, step = parameter.low, parameter.step
    if step is None:
        return math.floor(value) if isinstance(parameter, Int) else value
    if parameter.log:
        return start * step ** math.floor(math.log(value / start, step) + 1e-9)
    return start + step * math.floor((value - start) / step + 1e-9)


def _next(parameter: Float | Int, value: float) -> float:
    """Return the least value of a range above another; a continuum has none, and keeps it."""
    if parameter.step is not None:
        # Keras Tuner multiplies by the step on a logarithmic scale.
        return value * parameter.step if parameter.log else value + parameter.step
    return value + 1 if isinstance(parameter, Int) else value


def _product_bound(
    region: Region,
    product: Condition,
    space: Mapping[str, Parameter],
    order: Mapping[str, int],
) -> ProductBound | None:
    """Return how one factor of a product gets a bound that follows the other one.

    Only a continuum can follow, and only if its range is never left with nothing.
    """
    limit = product.low
    if limit is None or product.high is not None or len(region.conditions) > 1:
        return None
    factors = sorted(product.factors, key=lambda factor: -order[factor[0]])  # the last one follows
    for (name, exponent), (other, other_exponent) in permutations(factors):
        parameter = space[name]
        if exponent < 0 or not isinstance(parameter, Float) or parameter.step is not None:
            continue
        if _lowest_bound(limit, space[other], other_exponent) >= parameter.low:
            return ProductBound(
                parameter=parameter, other=other, exponent=other_exponent, limit=limit
            )
    return None


def _lowest_bound(limit: float, other: Parameter, exponent: int) -> float:
    """Return the least of what the values of one factor of a product leave to the other one."""
    values = other.choices if isinstance(other, Choice) else (other.low, other.high)
    numbers = [float(value) for value in values if is_number(value)]
    if min(numbers) <= 0:  # which nothing can be divided by
        return 0.0
    return limit / max(numbers) if exponent > 0 else limit * min(numbers)


def _sentence(region: Region, by: Narrowing | ProductBound | None) -> str:
    """Return what to do."""
    if by is None:
        return f"Leave out {region.rule}."
    if isinstance(by, ProductBound):
        return f"Keep {region.conditions[0].name} below {number(by.limit)}."
    name, narrowed = by.parameter.name, by.narrowed
    where = f" where {' and '.join(map(str, by.where))}" if by.where else ""
    if isinstance(narrowed, Choice):
        return f"Let {name} be {', '.join(map(repr, narrowed.choices))} only{where}."
    assert not isinstance(by.parameter, Choice)
    if narrowed.high != by.parameter.high:
        return f"Lower the upper bound of {name} to {number(narrowed.high)}{where}."
    return f"Raise the lower bound of {name} to {number(narrowed.low)}{where}."
