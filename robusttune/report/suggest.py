"""Suggest: what to change in the search space, as lines for Keras Tuner and for Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import permutations
from keyword import iskeyword
from typing import Any

from robusttune.records import TrialRecord
from robusttune.regions import Axis, Condition, Region
from robusttune.regions.axes import is_number
from robusttune.report.search import has_ended

_KIND = {"float": ("Float", "float"), "int": ("Int", "int")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """One change of the search space.

    Args:
        text: What to do, as a sentence.
        region: The rule of the region that this leaves out.
        keras_tuner: Lines to paste into a build function, with `hp` as its hyperparameters.
        optuna: Lines to paste into an objective, with `trial` as its trial.
        healthy_trials_lost: Trials of the search that were fine and would not be drawn any more.
    """

    text: str
    region: str
    keras_tuner: str
    optuna: str
    healthy_trials_lost: int

    def __str__(self) -> str:
        return self.text


def suggest(
    regions: Sequence[Region], records: Sequence[TrialRecord], axes: Mapping[str, Axis]
) -> list[Suggestion]:
    """Return one change per region whose failures other hyperparameters can avoid."""
    bounded = {name: _bounded(axis, records) for name, axis in axes.items()}
    healthy = [record for record in records if not record.unstable and record.status != "failed"]
    begun = [record.params for record in records if record.params and has_ended(record)]
    optional = {n for n, axis in axes.items() if not all(map(axis.active_in, begun))}
    suggestions = []
    for region in regions:
        cause = region.dominant_cause
        if cause is not None and cause.depends_on_parameters is False:
            continue
        lost = sum(region.contains(record.params) for record in healthy)
        refused = _refuse(region, optional, lost)
        suggestions.append(_leave_out(region, bounded, optional, refused))
    return suggestions


def _refuse(region: Region, optional: Set[str], lost: int) -> Suggestion:
    """Return the change that is always right: a trial of the region is not run."""
    for_keras_tuner, for_optuna = (
        " and ".join(_python(condition, optional, host) for condition in region.conditions)
        for host in ("keras_tuner", "optuna")
    )
    return Suggestion(
        text=f"Leave out {region.rule}.",
        region=region.rule,
        keras_tuner=(
            f"if {for_keras_tuner}:\n"
            '    raise keras_tuner.errors.FailedTrialError("known to be unstable")'
        ),
        optuna=f"if {for_optuna}:\n    raise optuna.TrialPruned()",
        healthy_trials_lost=lost,
    )


def _bounded(axis: Axis, records: Sequence[TrialRecord]) -> Axis:
    """Return the axis with the bounds that were seen where none are declared."""
    seen = [record.params[axis.name] for record in records if axis.active_in(record.params)]
    if axis.kind == "choice" or axis.choices:
        unique = {repr(value): value for value in seen}
        return axis if axis.choices else replace(axis, choices=tuple(unique.values()))
    numbers = [float(value) for value in seen if is_number(value)] or [0.0]
    low = _rounded(min(numbers), down=True) if axis.low is None else axis.low
    high = _rounded(max(numbers), down=False) if axis.high is None else axis.high
    return replace(axis, low=low, high=high)


def _rounded(value: float, *, down: bool) -> float:
    """Return a bound of two digits that still admits the value."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    whole = math.floor(value / unit) if down else math.ceil(value / unit)
    return float(f"{whole * unit:.12g}")


def _leave_out(
    region: Region, axes: Mapping[str, Axis], optional: Set[str], refused: Suggestion
) -> Suggestion:
    """Return the change that leaves a region out by narrowing one hyperparameter of its rule.

    A number is narrowed rather than a choice, and one on a logarithmic scale rather than others:
    that is where a learning rate is.
    """
    products = [condition for condition in region.conditions if len(condition.factors) > 1]
    if products:
        return _bound_product(region, products[0], axes, refused)
    first = min(
        region.conditions,
        key=lambda condition: (condition.values is not None, not axes[condition.name].log),
    )
    others = [condition for condition in region.conditions if condition is not first]
    axis = axes[first.name]
    narrowed = _narrowed(axis, first)
    if narrowed is None:
        return refused
    return replace(
        refused,
        text=_sentence(axis, first, narrowed, others),
        keras_tuner=_keras_tuner(axis, narrowed, others) or refused.keras_tuner,
        optuna=_optuna(axis, narrowed, others, optional),
    )


def _narrowed(axis: Axis, condition: Condition) -> Axis | None:
    """Return what is left of an axis; None where that is not one range, or nothing."""
    if axis.choices or axis.kind == "choice":
        keep = tuple(v for v in axis.choices if not condition.holds({axis.name: v}))
        return replace(axis, choices=keep) if keep else None
    if condition.low is not None and condition.high is None:
        if condition.low < (axis.low or 0.0):
            return None
        return replace(axis, high=_last(axis, condition.low))
    if condition.high is not None and condition.low is None:
        low = _next(axis, _last(axis, condition.high))
        return None if axis.high is None or low > axis.high else replace(axis, low=low)
    return None


def _last(axis: Axis, value: float) -> float:
    """Return the largest value of an axis that is not above another; in a continuum that one."""
    start, step = axis.low or 0.0, axis.step
    if step is None:
        return float(math.floor(value)) if axis.kind == "int" else value
    if axis.log:
        return start * step ** math.floor(math.log(value / start, step) + 1e-9)
    return start + step * math.floor((value - start) / step + 1e-9)


def _next(axis: Axis, value: float) -> float:
    """Return the least value of an axis above another; a continuum has none, and keeps it."""
    if axis.step is not None:
        # Keras Tuner multiplies by the step on a logarithmic scale.
        return value * axis.step if axis.log else value + axis.step
    return value + 1.0 if axis.kind == "int" else value


def _sentence(axis: Axis, condition: Condition, narrowed: Axis, others: Sequence[Condition]) -> str:
    where = f" where {' and '.join(map(str, others))}" if others else ""
    if axis.choices:
        kept = ", ".join(map(repr, narrowed.choices))
        return f"Let {axis.name} be {kept} only{where}."
    if condition.high is None:
        return f"Lower the upper bound of {axis.name} to {_number(axis, narrowed.high)}{where}."
    return f"Raise the lower bound of {axis.name} to {_number(axis, narrowed.low)}{where}."


def _keras_tuner(axis: Axis, narrowed: Axis, others: Sequence[Condition]) -> str | None:
    """Return the lines for Keras Tuner, None where a scope cannot have these conditions."""
    if not others:
        return f"{_variable(axis.name)} = {_hp(narrowed)}"
    if len(others) > 1 or others[0].values is None:
        return None
    parent = others[0]
    inside = _listed(parent.values or ())
    name = _suffixed(axis.name, parent)
    return (
        f"with hp.conditional_scope({parent.name!r}, {inside}):\n"
        f"    {_variable(name)} = {_hp(replace(narrowed, name=name))}\n"
        f"# and {axis.name!r} as before under the other values of {parent.name!r}"
    )


def _suffixed(name: str, parent: Condition) -> str:
    return "_".join([name, *(str(value) for value in parent.values or ())])


def _hp(axis: Axis) -> str:
    if axis.choices:
        return f"hp.Choice({axis.name!r}, {_listed(axis.choices)})"
    arguments = [repr(axis.name), _number(axis, axis.low), _number(axis, axis.high)]
    arguments += [f"step={_number(axis, axis.step)}"] * (axis.step is not None)
    arguments += ['sampling="log"'] * axis.log
    return f"hp.{_KIND[axis.kind][0]}({', '.join(arguments)})"


def _optuna(axis: Axis, narrowed: Axis, others: Sequence[Condition], optional: Set[str]) -> str:
    condition = " and ".join(_python(other, optional, "optuna") for other in others)
    variable = _variable(axis.name)
    if axis.choices:
        call = f"{variable} = trial.suggest_categorical({axis.name!r}, "
        if not others:
            note = "  # in a new study: the choices of this one are fixed"
            return f"{call}{_listed(narrowed.choices)}){note}"
        return (
            f"{call}{_listed(axis.choices)})\n"
            f"if {condition} and {variable} not in {_listed(narrowed.choices)}:\n"
            "    raise optuna.TrialPruned()"
        )
    low, high = _number(axis, narrowed.low), _number(axis, narrowed.high)
    if others and narrowed.high != axis.high:
        high = f"{high} if {condition} else {_number(axis, axis.high)}"
    elif others:
        low = f"{low} if {condition} else {_number(axis, axis.low)}"
    return f"{variable} = {_suggest(axis, low, high)}"


def _suggest(axis: Axis, low: str, high: str) -> str:
    """Return Optuna's call for a number between two bounds, which are code."""
    arguments = [repr(axis.name), low, high]
    arguments += [f"step={_number(axis, axis.step)}"] * (axis.step is not None and not axis.log)
    arguments += ["log=True"] * axis.log
    return f"trial.suggest_{_KIND[axis.kind][1]}({', '.join(arguments)})"


def _bound_product(
    region: Region, product: Condition, axes: Mapping[str, Axis], refused: Suggestion
) -> Suggestion:
    """Return the change that bounds a product: one factor gets a bound that follows the other.

    Only a continuum can follow, and only if its range is never left with nothing. In Keras Tuner a
    range cannot depend on a value, so that there the region is refused.
    """
    limit = product.low
    if limit is None or product.high is not None or len(region.conditions) > 1:
        return refused
    for factor, other in permutations(product.factors):
        axis = axes[factor[0]]
        if factor[1] < 0 or axis.kind != "float" or axis.choices or axis.step is not None:
            continue
        if _lowest_bound(limit, axes[other[0]], other[1]) < (axis.low or 0.0):
            continue
        symbol = "/" if other[1] > 0 else "*"
        bound = f"min({_number(axis, axis.high)}, {limit:.12g} {symbol} {_variable(other[0])})"
        return replace(
            refused,
            text=f"Keep {product.name} below {limit:.12g}.",
            optuna=f"{_variable(axis.name)} = {_suggest(axis, _number(axis, axis.low), bound)}",
        )
    return refused


def _lowest_bound(limit: float, other: Axis, exponent: int) -> float:
    """Return the least of what the values of one factor of a product leave to the other one."""
    values = [float(value) for value in other.choices or (other.low or 0.0, other.high or 0.0)]
    if min(values) <= 0:  # which nothing can be divided by
        return 0.0
    return limit / max(values) if exponent > 0 else limit * min(values)


def _python(condition: Condition, optional: Set[str], host: str) -> str:
    """Return a condition as code over variables that are named like the hyperparameters.

    A hyperparameter that not every trial has is asked for first. Under Keras Tuner a trial may have
    it without ever having assigned the variable, so the value comes from `hp` there.
    """
    guards: list[str] = []
    code = ""
    for name, exponent in condition.factors:
        value = _variable(name)
        if name in optional and host == "optuna":
            guards.append(f"{name!r} in trial.params")
        elif name in optional:
            guards.append(f"{name!r} in hp")
            value = f"hp.get({name!r})"
        code += f"{' * ' if exponent > 0 else ' / '}{value}" if code else value
    return " and ".join([*guards, str(replace(condition, name=code))])


def _variable(name: str) -> str:
    """Return a Python name for a hyperparameter."""
    word = "".join(letter if f"_{letter}".isidentifier() else "_" for letter in name)
    word = word if word.isidentifier() else f"_{word}"
    return f"{word}_" if iskeyword(word) else word


def _listed(values: Sequence[Any]) -> str:
    return repr(list(values))


def _number(axis: Axis, value: float | None) -> str:
    number = value or 0.0
    return str(int(number)) if axis.kind == "int" else f"{number:.12g}"
