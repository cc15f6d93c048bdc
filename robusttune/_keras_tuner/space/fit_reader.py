"""What a Keras Tuner search says of its fits, read from models that are built on the side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as hp_types

from robusttune._keras_tuner.isolated_state import aside
from robusttune._keras_tuner.parameters import EPOCHS, parameters_of
from robusttune._keras_tuner.space.build_probe import point
from robusttune._records import one_line
from robusttune._space.fits import (
    Fit,
    FitReader,
    fit_of_data,
    fit_of_model,
    roles_in,
)

_log = logging.getLogger("robusttune.tuners")

_MOST_BUILDS = 20
_BATCH = 32  # rows of a batch where `fit` is not told
# What a number does to the layers is seen in models; the others change none of what they are of.
_OF_LAYERS = ("depth", "width", "activation")


def reader_of(
    hyperparameters: keras_tuner.HyperParameters,
    build: Callable[[Any], Any],
    fit_args: Sequence[Any],
    fit_kwargs: Mapping[str, Any],
    *,
    own_fit: bool,
    epochs: int | None = None,
) -> FitReader | None:
    """Return what reads a fit from hyperparameter values.

    Each value of each choice is built once, and each whole number at both its ends.

    Args:
        hyperparameters: The search space.
        build: The hypermodel's build function.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Its keyword arguments.
        own_fit: Whether fits are the user's own, so that data and epochs may be others.
        epochs: Epochs of a fit, where the tuner sets them; None: as `fit_kwargs` say.

    Returns:
        None where fits are of a kind that is not known.
    """
    roles = {
        name: role
        for name, role in roles_in(parameters_of(hyperparameters.space).values()).items()
        if role not in ("optimizer", "activation")  # models tell these better
    }
    rates = [name for name, role in roles.items() if role == "learning_rate"]
    if len(rates) != 1:
        return None
    builder = _Builder(hyperparameters, build)
    rate = hyperparameters.get(rates[0]) if rates[0] in hyperparameters.values else None
    usual = builder.fit(None, {})
    if usual is None or rate is None or abs(usual.pop("rate") - rate) > 1e-5 * abs(rate):
        return None
    by_choice, varying, besides = {}, set(), 0
    for hp in hyperparameters.space:
        if isinstance(hp, (hp_types.Choice, hp_types.Boolean)) and hp.name not in roles:
            effects = {}
            for value in hp.values if isinstance(hp, hp_types.Choice) else (False, True):
                fit = builder.fit(hp, {hp.name: value})
                effects[repr(value)] = None if fit is None else _differing(fit, usual)
            by_choice[hp.name] = effects
        elif isinstance(hp, hp_types.Int) and roles.get(hp.name) in (None, "depth"):
            ends = [builder.fit(hp, {hp.name: value}) for value in (hp.min_value, hp.max_value)]
            low, high = ends
            if low is None or high is None:
                return None
            if roles.get(hp.name) == "depth":
                besides = int(low["depth"]) - hp.min_value
                if high["depth"] - low["depth"] != hp.max_value - hp.min_value:
                    del roles[hp.name]
                    varying.add("depth")
            else:
                varying |= {name for name in _OF_LAYERS if low[name] != high[name]}
    if builder.spent:
        _log.info("too many builds: what fits are made of is not known")
        return None
    fixed = {name: value for name, value in usual.items() if name not in varying}
    if own_fit:
        return FitReader(roles, fixed, by_choice, layers_besides=besides)
    x = fit_args[0] if fit_args else fit_kwargs.get("x")
    y = fit_args[1] if len(fit_args) > 1 else fit_kwargs.get("y")
    fixed |= fit_of_data(x, y, fixed["loss"])
    fixed.setdefault("batch_size", fit_kwargs.get("batch_size") or _BATCH)
    if epochs is None and not any("epoch" in hp.name.lower() for hp in hyperparameters.space):
        epochs = fit_kwargs.get("epochs")
    rows = len(x) if x is not None and "columns" in fixed else None
    return FitReader(roles, fixed, by_choice, rows, epochs, besides, EPOCHS)


def _differing(fit: Fit, usual: Fit) -> Fit:
    return {name: value for name, value in fit.items() if name in usual and usual[name] != value}


class _Builder:
    """Builds models on the side, so many at most."""

    def __init__(
        self, hyperparameters: keras_tuner.HyperParameters, build: Callable[[Any], Any]
    ) -> None:
        self._hyperparameters = hyperparameters
        self._build = build
        self._left = _MOST_BUILDS

    @property
    def spent(self) -> bool:
        """Whether there were more to build than may be."""
        return self._left < 0

    def fit(self, hp: Any, values: Mapping[str, Any]) -> Fit | None:
        """Return what a model with some values says of its fits."""
        self._left -= 1
        if self.spent or not self._hyperparameters.space:
            return None
        trial = point(self._hyperparameters, hp or self._hyperparameters.space[0], values)
        try:
            with aside():
                return fit_of_model(self._build(trial))
        except Exception as error:  # a build that fails here shows nothing; the trials will tell
            _log.debug("a build on the side failed: %s", one_line(repr(error)))
            return None
