"""BuildProbe: builds a hypermodel's models in isolation, to see what a hyperparameter does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as hp_types

from robusttune._keras_tuner.isolated_state import isolated_state
from robusttune._records import one_line
from robusttune._space.observed_roles import Build, is_indirect, roles_shown
from robusttune._space.parameters import Value
from robusttune._space.roles import Role

_log = logging.getLogger("robusttune.tuners")

# Together these bound what a search pays before its first trial: usual builds take 0.1 s or less.
_MOST_BUILDS = 40
_MOST_SECONDS = 20.0
_MOST_ALTERNATIVES = 8  # values of one choice that are tried as an optimizer's name


@dataclass(frozen=True, slots=True)
class Finding:
    """Effect of one hyperparameter, seen in two builds.

    Args:
        roles: The roles whose numbers were the hyperparameter's own value in both builds.
        indirect: The roles whose numbers changed otherwise.
    """

    roles: tuple[Role, ...]
    indirect: frozenset[Role]


def point(
    hyperparameters: keras_tuner.HyperParameters,
    hp: Any,
    values: Mapping[str, Value],
    fill: Callable[[Any], Value] = lambda other: other.default,
) -> keras_tuner.HyperParameters:
    """Return a point of a search space at which a hyperparameter is active.

    Args:
        hyperparameters: The search space, which stays as it is.
        hp: One of it.
        values: Values by name; those of its parents give way where it would not be active.
        fill: Gives the value of every other hyperparameter that is active.
    """
    trial = hyperparameters.copy()
    trial.values = dict(values)
    for condition in hp.conditions:
        if trial.values.get(condition.name) not in condition.values:
            trial.values[condition.name] = condition.values[0]
    for other in trial.space:
        if not trial.is_active(other):
            trial.values.pop(other.name, None)
        elif other.name not in trial.values:
            trial.values[other.name] = fill(other)
    return trial


class BuildProbe:
    """Builds models with chosen values, within a budget, and without disturbing the search.

    Args:
        build: The hypermodel's build function; None: nothing can be shown.
    """

    def __init__(self, build: Callable[[Any], Any] | None) -> None:
        self._build = build
        self._seen: dict[str, Build | None] = {}
        self._seconds = 0.0

    def ask(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        hp: Any,
        values: tuple[Value, Value],
        base: Mapping[str, Value],
    ) -> Finding | None:
        """Return what a hyperparameter does, by building with two of its values.

        Args:
            hyperparameters: The search space.
            hp: One of it; its conditions are made to hold.
            values: Two different values of it.
            base: Values of other hyperparameters, by name; the rest has its defaults.

        Returns:
            None where a build fails, or the budget is spent: that shows nothing.
        """
        one, other = values
        first = self._model(hyperparameters, hp, {**base, hp.name: one})
        second = self._model(hyperparameters, hp, {**base, hp.name: other})
        if first is None or second is None:
            return None
        return Finding(
            tuple(roles_shown(first, one, second, other)),
            frozenset(role for role in Role if is_indirect(role, first, second)),
        )

    def leaves_out(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        hp: Any,
        role: Role,
        base: Mapping[str, Value],
    ) -> bool:
        """Return whether 0 of something gives a model without the layer that has it.

        A layer of 0 units may well be built (Keras 3.7 does), and not be trained.
        """
        model = self._model(hyperparameters, hp, {**base, hp.name: 0})
        return model is not None and model.count(role, 0) == 0

    def optimizers(
        self, hyperparameters: keras_tuner.HyperParameters, hp: Any, base: Mapping[str, Value]
    ) -> frozenset[str]:
        """Return the optimizer classes in use while a hyperparameter is active; empty: unknown.

        Each value of each other categorical hyperparameter is built once.
        """
        parents = {condition.name for condition in hp.conditions}
        variants: list[dict[str, Value]] = [{}]
        for other in hyperparameters.space:
            if other.name == hp.name or other.name in parents:
                continue
            names = isinstance(other, hp_types.Choice) and isinstance(other.values[0], str)
            if names or isinstance(other, hp_types.Boolean):
                alternatives = list(other.values)
                if len(alternatives) > _MOST_ALTERNATIVES:
                    return frozenset()
                variants.extend({other.name: value} for value in alternatives)
        found = set()
        for variant in variants:
            model = self._model(hyperparameters, hp, {**base, **variant})
            if model is None or model.optimizer is None:
                return frozenset()
            found.add(model.optimizer)
        return frozenset(found)

    def _model(
        self, hyperparameters: keras_tuner.HyperParameters, hp: Any, values: Mapping[str, Value]
    ) -> Build | None:
        trial = point(hyperparameters, hp, values)
        key = repr(sorted(trial.values.items()))
        if key not in self._seen:
            if len(self._seen) >= _MOST_BUILDS or self._seconds >= _MOST_SECONDS:
                _log.info("no more builds for %s: names say what is left", hp.name)
                return None
            self._seen[key] = self._built(trial)
        return self._seen[key]

    def _built(self, trial: keras_tuner.HyperParameters) -> Build | None:
        if self._build is None:
            return None
        began = time.perf_counter()
        try:
            with isolated_state():
                return Build.of(self._build(trial))
        except Exception as error:  # a build that fails here shows nothing; the trials will tell
            _log.debug("a build on the side failed: %s", one_line(repr(error)))
            return None
        finally:
            self._seconds += time.perf_counter() - began
