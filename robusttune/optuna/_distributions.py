"""Optuna's distributions in neutral terms, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from robusttune._space.parameters import Choice, Float, Int, Parameter


def parameter_of(name: str, distribution: BaseDistribution) -> Parameter | None:
    """Return a distribution in neutral terms; None for an unknown kind.

    Args:
        name: Name of the hyperparameter.
        distribution: What its values are drawn from.
    """
    if isinstance(distribution, CategoricalDistribution):
        return Choice(name, tuple(distribution.choices))
    if isinstance(distribution, IntDistribution):
        step = None if distribution.step == 1 else distribution.step
        return Int(name, distribution.low, distribution.high, distribution.log, step)
    if isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        return Float(name, low, high, distribution.log, distribution.step)
    return None


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Return the distribution from which a hyperparameter is drawn.

    Raises:
        ValueError: Optuna does not take it.
    """
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.choices)
    if isinstance(parameter, Int):
        step = parameter.step if parameter.step is not None else 1
        return IntDistribution(parameter.low, parameter.high, parameter.log, step)
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)


def parameters_of(trials: Iterable[FrozenTrial]) -> dict[str, Parameter]:
    """Return the hyperparameters of trials by name, each as wide as the widest of its ranges.

    An objective may ask for another range in each trial. Choices are the same in all trials of a
    study, and so is the scale.
    """
    last: dict[str, BaseDistribution] = {}
    widest: dict[str, Parameter] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            known = last.get(name)
            if distribution is known or distribution == known:  # as a rule
                continue
            last[name] = distribution
            parameter = parameter_of(name, distribution)
            if parameter is not None:
                widest[name] = _hull(widest.get(name, parameter), parameter)
    return widest


def _hull(known: Parameter, other: Parameter) -> Parameter:
    """Return a range with the values of both; the first one where there is no such range."""
    if isinstance(known, Int) and isinstance(other, Int):
        low, high = min(known.low, other.low), max(known.high, other.high)
        return replace(known, low=low, high=high)
    if isinstance(known, Float) and isinstance(other, Float):
        return replace(known, low=min(known.low, other.low), high=max(known.high, other.high))
    return known
