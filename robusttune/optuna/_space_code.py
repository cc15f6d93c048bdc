"""Lines of code that change an Optuna objective's search space; needs no Optuna."""

from __future__ import annotations

from collections.abc import Iterable

from robusttune._regions import Condition
from robusttune._report.python_code import expression, listed, number, variable
from robusttune._report.space_change import Narrowing, ProductBound, SpaceChange, remark, within
from robusttune._space.parameters import Choice, Float, Int


def lines(change: SpaceChange) -> str:
    """Return lines to paste into an objective, with `trial` as its trial."""
    by = change.by
    if by is None:
        return f"if {_condition(change.conditions, change.optional)}:\n    {_PRUNE}"
    if isinstance(by, Narrowing) and isinstance(by.narrowed, Choice):
        return _fewer_choices(by, change.optional) + remark(change)
    return _bounds(change) + remark(change)


_PRUNE = "raise optuna.TrialPruned()"


def _fewer_choices(by: Narrowing, optional: frozenset[str]) -> str:
    parameter, narrowed = by.parameter, by.narrowed
    assert isinstance(parameter, Choice)
    assert isinstance(narrowed, Choice)
    name = variable(parameter.name)
    call = f"{name} = trial.suggest_categorical({parameter.name!r}, "
    if not by.where:
        note = "  # in a new study: the choices of this one are fixed"
        return f"{call}{listed(narrowed.choices)}){note}"
    return (
        f"{call}{listed(parameter.choices)})\n"
        f"if {_condition(by.where, optional)} and {name} not in {listed(narrowed.choices)}:\n"
        f"    {_PRUNE}"
    )


def _bounds(change: SpaceChange) -> str:
    """Return the line for a number whose range one or several regions narrow."""
    assert change.by is not None
    parameter = change.by.parameter
    assert not isinstance(parameter, Choice)
    fixed: Float | Int = parameter  # by what always holds
    lows: list[str] = []
    highs: list[str] = []
    for part in (change.by, *change.others):
        if isinstance(part, ProductBound):
            symbol = "/" if part.exponent > 0 else "*"
            highs.append(f"{number(part.limit)} {symbol} {variable(part.other)}")
            continue
        narrowed = part.narrowed
        assert not isinstance(narrowed, Choice)
        if not part.where:
            fixed = within(fixed, narrowed)
            continue
        condition = _condition(part.where, change.optional)
        if narrowed.high != parameter.high:
            highs.append(f"{number(narrowed.high)} if {condition} else {number(parameter.high)}")
        else:
            lows.append(f"{number(narrowed.low)} if {condition} else {number(parameter.low)}")
    product = isinstance(change.by, ProductBound)
    low = _one_of("max", fixed.low, lows, bare=fixed.low == parameter.low)
    high = _one_of("min", fixed.high, highs, bare=fixed.high == parameter.high and not product)
    return f"{variable(parameter.name)} = {_suggestion(parameter, low, high)}"


def _one_of(function: str, fixed: float, others: list[str], *, bare: bool) -> str:
    """Return the tightest of some bounds, as code.

    Args:
        function: "min" or "max".
        fixed: The bound that always holds.
        others: Code of further bounds.
        bare: Whether a single further bound says the fixed one already.
    """
    if not others:
        return number(fixed)
    if bare and len(others) == 1:
        return others[0]
    return f"{function}({', '.join([number(fixed), *others])})"


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
