"""Lines of code that change an Optuna objective's search space; needs no Optuna."""

from __future__ import annotations

from collections.abc import Iterable

from robusttune.regions import Condition
from robusttune.report.python_code import expression, listed, number, variable
from robusttune.report.space_change import Narrowing, ProductBound, SpaceChange
from robusttune.space.parameters import Choice, Float, Int


def lines(change: SpaceChange) -> str:
    """Return lines to paste into an objective, with `trial` as its trial."""
    if isinstance(change.by, ProductBound):
        return _following(change.by)
    if isinstance(change.by, Narrowing):
        return _narrowing(change.by, change.optional)
    return f"if {_condition(change.conditions, change.optional)}:\n    {_PRUNE}"


_PRUNE = "raise optuna.TrialPruned()"


def _narrowing(by: Narrowing, optional: frozenset[str]) -> str:
    condition = _condition(by.where, optional)
    parameter, narrowed = by.parameter, by.narrowed
    name = variable(parameter.name)
    if isinstance(parameter, Choice) or isinstance(narrowed, Choice):
        assert isinstance(parameter, Choice)
        assert isinstance(narrowed, Choice)
        call = f"{name} = trial.suggest_categorical({parameter.name!r}, "
        if not by.where:
            note = "  # in a new study: the choices of this one are fixed"
            return f"{call}{listed(narrowed.choices)}){note}"
        return (
            f"{call}{listed(parameter.choices)})\n"
            f"if {condition} and {name} not in {listed(narrowed.choices)}:\n"
            f"    {_PRUNE}"
        )
    low, high = number(narrowed.low), number(narrowed.high)
    if by.where and narrowed.high != parameter.high:
        high = f"{high} if {condition} else {number(parameter.high)}"
    elif by.where:
        low = f"{low} if {condition} else {number(parameter.low)}"
    return f"{name} = {_suggestion(parameter, low, high)}"


def _following(by: ProductBound) -> str:
    symbol = "/" if by.exponent > 0 else "*"
    high = f"{number(by.limit)} {symbol} {variable(by.other)}"
    bound = f"min({number(by.parameter.high)}, {high})"
    code = _suggestion(by.parameter, number(by.parameter.low), bound)
    return f"{variable(by.parameter.name)} = {code}"


def _suggestion(parameter: Float | Int, low: str, high: str) -> str:
    """Return Optuna's call for a number between two bounds, which are code."""
    arguments = [repr(parameter.name), low, high]
    if parameter.step is not None and not parameter.log:
        arguments.append(f"step={number(parameter.step)}")
    arguments += ["log=True"] * (parameter.log and not parameter.reverse)
    kind = "int" if isinstance(parameter, Int) else "float"
    return f"trial.suggest_{kind}({', '.join(arguments)})"


def _condition(conditions: Iterable[Condition], optional: frozenset[str]) -> str:
    def read(name: str) -> tuple[str | None, str]:
        return f"{name!r} in trial.params" if name in optional else None, variable(name)

    return expression(conditions, read)
