"""Facts of a compiled Keras model: optimizer, learning rate, losses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robusttune._compat.keras import (
    gives_list_of_outputs,
    learning_rate_as_given,
    loss_options,
)

# The learning rates that Keras itself starts with (optimizers/*.py), except where a paper's
# own default differs by orders of magnitude: Adadelta 1.0 (arXiv 1212.5701), Adagrad 0.01.
_DEFAULT_RATES = {
    "sgd": 0.01,
    "adagrad": 0.01,
    "adadelta": 1.0,
    "ftrl": 0.01,
    "lion": 1e-4,
    "muon": 1e-3,
}
_DEFAULT_RATE = 1e-3
# Ten times the default is still ordinary: published recipes lie within that decade.
_ORDINARY_FACTOR = 10.0

# At so many of its steps a schedule is looked at.
_SOME_STEPS = 100

_ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "kldivergence": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "huber_loss": "huber",
}


@dataclass(frozen=True, slots=True)
class LossFacts:
    """One loss function of a compiled model.

    Args:
        name: Keras's name of it ("mean_squared_error"), or the user's function's own name.
        built_in: Whether it is one of Keras's own.
        from_logits: Whether it takes logits.
        ignore_class: A label that stands for "no label"; None without one.
        axis: The axis of the classes.
    """

    name: str
    built_in: bool
    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1


@dataclass(frozen=True, slots=True)
class OutputHead:
    """The end of a model for one output.

    Args:
        units: Size of the last axis of the predictions; None where unknown.
        activation: Name of the last activation ("softmax"); None where unknown.
        name: By which targets in a dict belong to it; None where there is none.
        axes: Axes of the predictions, the rows included; None where unknown.
    """

    units: int | None = None
    activation: str | None = None
    name: str | None = None
    axes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a compiled model; None means unknown.

    Args:
        optimizer: Class name of the optimizer in lower case ("adam"); of several that train the
            model by its own train_step, the one whose rate is the furthest from ordinary ones.
        learning_rate: Its learning rate at the end of the fit.
        losses: Its loss functions, one per output where there are several.
    """

    optimizer: str | None = None
    learning_rate: float | None = None
    losses: tuple[LossFacts, ...] = ()

    @property
    def ordinary_rate(self) -> float | None:
        """The upper end of the learning rates that this optimizer is ordinarily used with."""
        if self.optimizer is None:
            return None
        return _ORDINARY_FACTOR * _DEFAULT_RATES.get(self.optimizer, _DEFAULT_RATE)


def model_facts(model: Any) -> ModelFacts:
    """Read the facts of a Keras model; nothing is imported and nothing is changed."""
    losses = tuple(_facts_of(loss) for loss in _given_losses(model))
    compiled = _optimizer_facts(getattr(model, "optimizer", None))
    if losses:
        return replace(compiled, losses=losses)
    # A GAN, say: compile() gave it an optimizer, and its train_step uses others.
    own = [_optimizer_facts(v) for v in vars(model).values() if hasattr(v, "apply_gradients")]
    own = [facts for facts in own if facts != compiled] or [compiled]
    return max(own, key=lambda facts: (facts.learning_rate or 0.0) / (facts.ordinary_rate or 1.0))


def _optimizer_facts(optimizer: Any) -> ModelFacts:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    name = type(inner).__name__.lower() if inner is not None else None
    return ModelFacts(optimizer=name, learning_rate=_rate(inner))


def highest_rate(model: Any, steps: int) -> float | None:
    """Return the highest learning rate of a schedule over its first steps; None without one."""
    import keras

    optimizer = getattr(model, "optimizer", None)
    schedule = learning_rate_as_given(getattr(optimizer, "inner_optimizer", optimizer))
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return None
    some = sorted({round(step) for step in np.linspace(0, steps, _SOME_STEPS)})
    rates = np.array([float(schedule(step)) for step in some])
    return float(rates[np.isfinite(rates)].max(initial=0.0))


def updates_made(model: Any) -> int | None:
    """Return how many updates an optimizer that skips some has made; None for any other.

    A `LossScaleOptimizer` leaves out the steps whose scaled gradients are not finite.
    """
    inner = getattr(getattr(model, "optimizer", None), "inner_optimizer", None)
    return None if inner is None else int(inner.iterations)


def loss_scale(model: Any) -> float:
    """Return the factor on the loss of a `LossScaleOptimizer`; 1 for any other."""
    return float(getattr(getattr(model, "optimizer", None), "dynamic_scale", 1.0))


def output_names(model: Any) -> tuple[str, ...]:
    """Return the names of outputs that a model gives as a list, in their order; else nothing."""
    names = getattr(model, "output_names", None) or ()
    return tuple(names) if gives_list_of_outputs(model) else ()


def by_output(structure: Any, names: Sequence[str | None]) -> Any:
    """Return a dict of losses or targets as a list in the order of the outputs, as Keras reads it.

    Anything else, and a dict with other keys, is returned as it is.
    """
    if isinstance(structure, Mapping) and set(structure) == set(names):
        return [structure[name] for name in names]
    return structure


def _rate(optimizer: Any) -> float | None:
    if optimizer is None:
        return None
    try:
        # The number that somebody wrote, of which an optimizer keeps the nearest float32: 1e-4 is
        # not below 1e-4.
        return float(str(np.float32(float(optimizer.learning_rate))))
    except (AttributeError, TypeError, ValueError):
        return None


def compiled_losses(model: Any) -> list[Any]:
    """Return the losses of a model as `model_facts` lists them, Keras's names as functions."""
    import keras

    given = _given_losses(model)
    return [keras.losses.get(loss) if isinstance(loss, str) else loss for loss in given]


def _given_losses(model: Any) -> list[Any]:
    return _flat(by_output(getattr(model, "loss", None), output_names(model)))


def _flat(loss: Any) -> list[Any]:
    if loss is None:
        return []
    if isinstance(loss, Mapping):
        return [one for name in sorted(loss) for one in _flat(loss[name])]
    if isinstance(loss, (list, tuple)):
        return [one for item in loss for one in _flat(item)]
    return [loss]


def _facts_of(loss: Any) -> LossFacts:
    if isinstance(loss, str):
        name = _ALIASES.get(loss.lower(), _snake(loss))
        return LossFacts(name=_ALIASES.get(name, name), built_in=True)
    function = getattr(loss, "fn", loss)
    module = getattr(function, "__module__", None) or type(loss).__module__
    name = getattr(function, "__name__", None) or _snake(type(loss).__name__)
    options = loss_options(loss)
    own = function is not loss and type(loss).__module__.split(".")[0] != "keras"
    return LossFacts(
        name=_ALIASES.get(name, name),
        built_in=str(module).split(".")[0] == "keras" and not own,
        from_logits=bool(options.get("from_logits", False)),
        ignore_class=options.get("ignore_class"),
        axis=options.get("axis", -1),
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
