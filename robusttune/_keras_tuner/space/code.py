"""Lines of code that change a Keras Tuner search space; needs no Keras Tuner."""

from __future__ import annotations

from dataclasses import replace

from robusttune._keras_tuner.parameters import sampling_of
from robusttune._regions import Condition
from robusttune._report.python_code import expression, listed, number, variable
from robusttune._report.space_change import Narrowing, SpaceChange, remark, together
from robusttune._space.parameters import Choice, Int, Parameter


def lines(change: SpaceChange) -> str:
    """Return lines to paste into a build function, with `hp` as its hyperparameters.

    In Keras Tuner a range cannot depend on a value, but for the values of one parent that a
    conditional scope names. Elsewhere the trials of the region are refused.
    """
    if isinstance(change.by, Narrowing):
        narrowed, where = together(change), change.by.where
        if not where:
            return f"{variable(narrowed.name)} = {_declaration(narrowed)}"
        if len(where) == 1 and where[0].values is not None:
            return _scope(narrowed, where[0]) + remark(change)
    return _refusal(change)


def _refusal(change: SpaceChange) -> str:
    def read(name: str) -> tuple[str | None, str]:
        # A trial may have it without ever having assigned the variable.
        if name in change.optional:
            # Keras Tuner gives a trial values of what it never asks for.
            parent = change.present.get(name)
            asks = f"{replace(parent, name=f'hp.get({parent.name!r})')} and " if parent else ""
            return f"{asks}{name!r} in hp", f"hp.get({name!r})"
        return None, variable(name)

    return (
        f"if {expression(change.conditions, read)}:\n"
        '    raise keras_tuner.errors.FailedTrialError("known to be unstable")'
    )


def _scope(narrowed: Parameter, parent: Condition) -> str:
    values = parent.values or ()
    name = "_".join([narrowed.name, *map(str, values)])
    return (
        f"with hp.conditional_scope({parent.name!r}, {listed(values)}):\n"
        f"    {variable(name)} = {_declaration(replace(narrowed, name=name))}\n"
        f"# and {narrowed.name!r} as before under the other values of {parent.name!r}"
    )


def _declaration(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return f"hp.Choice({parameter.name!r}, {listed(parameter.choices)})"
    arguments = [repr(parameter.name), number(parameter.low), number(parameter.high)]
    if parameter.step is not None:
        arguments.append(f"step={number(parameter.step)}")
    if parameter.log:
        arguments.append(f'sampling="{sampling_of(parameter)}"')
    kind = "Int" if isinstance(parameter, Int) else "Float"
    return f"hp.{kind}({', '.join(arguments)})"
