"""Replays of a model that trains by itself: its own `train_step`, and no compiled loss.

What such a step computes is known to nobody but the step: it is run as it is, on the model itself,
with copies of its optimizers, and all that the model holds is put back afterwards. Needs
TensorFlow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from robusttune._compat.keras import (
    all_layers,
    variables_trained_by,
)
from robusttune.diagnosis.arrays import Array
from robusttune.diagnosis.replay import (
    CannotReplayError,
    Losses,
    Setting,
    copied,
    curve,
    slots_of,
    training_loop,
)
from robusttune.random_states import untouched_keras_generator


class OwnStepProgram:
    """Training steps by the model's own `train_step`, compiled once.

    The loss is what the step reports as "loss"; without that, the sum of all that it reports as
    some loss.

    Args:
        model: A built Keras model that is compiled without a loss.
        clip: Global norm that gradients are clipped to; None: what the optimizers do themselves.
        slots: Whether optimizers start with the slots of the model's own, as after the fit; else
            with none, as before it.
        setting: Gives a context manager in which the step is traced.

    Raises:
        CannotReplayError: An optimizer cannot be swapped for a copy.
    """

    def __init__(
        self,
        model: Any,
        *,
        clip: float | None = None,
        slots: bool = False,
        setting: Setting = contextlib.nullcontext,
    ) -> None:
        self.model = model
        self._setting = setting
        self._factor = tf.Variable(1.0, trainable=False)
        self._copies: list[tuple[Any, str, Any, list[Any]]] = []
        for owner, name, optimizer in _optimizers(model):
            copy = copied(optimizer, self._factor)
            if clip is not None:
                copy.clipnorm = copy.clipvalue = None
                copy.global_clipnorm = clip
            copy.build(_trained_by(optimizer, model))
            source = slots_of(optimizer) if slots and optimizer.built else copy.variables
            self._copies.append(
                (owner, name, copy, [tf.convert_to_tensor(v.value) for v in source])
            )
        self._step = type(model).train_step.__get__(model)
        self._loop = training_loop(self._loss)

    def run(self, weights: Sequence[Array], batches: Any, steps: int, rate: float) -> Losses:
        """Train from `weights` over stacked batches, again and again; as `Program.run`."""
        with _put_back(self.model), untouched_keras_generator(), self._setting():
            for owner, name, copy, values in self._copies:
                vars(owner)[name] = copy
                for slot, value in zip(copy.variables, values, strict=True):
                    slot.assign(value)
            self.model.set_weights(weights)
            self._factor.assign(rate)
            return curve(self._loop(batches, tf.constant(steps)), steps)

    def _loss(self, x: Any, y: Any, sample_weight: Any) -> Any:
        for metric in self.model.metrics:  # so that a running mean is the value of one step
            metric.reset_state()
        logs = self._step(keras.utils.pack_x_y_sample_weight(x, y, sample_weight))
        found = {name: value for name, value in logs.items() if "loss" in name}
        if not found:
            raise CannotReplayError("the model's own train_step reports no loss")
        reported = [found["loss"]] if "loss" in found else list(found.values())
        return tf.add_n([tf.reduce_mean(tf.cast(value, tf.float32)) for value in reported])


def _optimizers(model: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield (owner, attribute, optimizer) for all that the model and its parts hold."""
    for layer in [model, *all_layers(model, include_self=False)]:
        for name, value in vars(layer).items():
            if name.startswith("_") or isinstance(value, str):
                continue
            if isinstance(value, keras.optimizers.Optimizer):
                yield layer, name, value
            elif isinstance(value, (list, tuple, dict)):
                items = value.values() if isinstance(value, dict) else value
                if any(isinstance(item, keras.optimizers.Optimizer) for item in items):
                    raise CannotReplayError(f"the model keeps optimizers in {name}")


def _trained_by(optimizer: Any, model: Any) -> list[Any]:
    """Return the variables that an optimizer updates."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.built:
        return variables_trained_by(inner)
    if optimizer is not model.optimizer or len(list(_optimizers(model))) > 1:
        raise CannotReplayError("the model's optimizers were never used")
    return list(model.trainable_variables)


@contextlib.contextmanager
def _put_back(model: Any) -> Iterator[None]:
    """Restore what a step may change of the model: variables and attributes."""
    layers = [model, *all_layers(model, include_self=False)]
    attributes = [(layer, dict(vars(layer))) for layer in layers]
    variables = {id(v): v for v in (*model.variables, *model.metrics_variables)}
    for _, kept in attributes:
        variables |= {id(v): v for v in kept.values() if isinstance(v, tf.Variable)}
    values = [(v, np.array(v.numpy())) for v in variables.values()]
    try:
        yield
    finally:
        for layer, kept in attributes:
            vars(layer).clear()
            vars(layer).update(kept)
        for variable, value in values:
            variable.assign(value)
