"""Replays: the fit again from its start, some steps long, with one thing changed.

A replay trains shadow variables: the model's own `call` and `compute_loss` run in a
`keras.StatelessScope` on their values, and a copy of the optimizer updates them. Neither the model,
nor its optimizer, nor any random state changes. Needs TensorFlow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from robusttune._compat.keras import (
    learning_rate_as_given,
    learning_rate_set_aside,
    takes_training_argument,
)
from robusttune._compat.tensorflow import without_retracing_warning
from robusttune.diagnosis.arrays import Array

Losses = np.ndarray[Any, np.dtype[np.float64]]
Setting = Callable[[], contextlib.AbstractContextManager[Any]]


class CannotReplayError(Exception):
    """The fit cannot be replayed; the message says why."""


class Program:
    """Training steps of one model on shadow variables, compiled once.

    Args:
        model: A compiled, built Keras model.
        loss: Takes (y, predictions) and returns the loss; None: the model's own.
        clip: Global norm that gradients are clipped to; None: what the optimizer itself does.
        slots: Whether the optimizer starts with the slots and the step of the model's own, as after
            the fit; else with none, as before it.
        setting: Gives a context manager in which the step is traced.
    """

    def __init__(
        self,
        model: Any,
        *,
        loss: Callable[[Any, Any], Any] | None = None,
        clip: float | None = None,
        slots: bool = False,
        setting: Setting = contextlib.nullcontext,
    ) -> None:
        self.model = model
        self._loss = loss
        self._clip = clip
        self._setting = setting
        self._variables = list(model.variables)
        trainable = {id(v) for v in model.trainable_variables}
        self._shadows = [
            keras.Variable(
                v.numpy(), trainable=id(v) in trainable, dtype=v.dtype, name=f"shadow_{i}"
            )
            for i, v in enumerate(self._variables)
        ]
        self._trained = [
            shadow
            for variable, shadow in zip(self._variables, self._shadows, strict=True)
            if id(variable) in trainable
        ]
        self._factor = tf.Variable(1.0, trainable=False)
        self._optimizer = copied(model.optimizer, self._factor)
        self._optimizer.build(self._trained)
        source = slots_of(model.optimizer) if slots else self._optimizer.variables
        self._slots = [tf.convert_to_tensor(v.value) for v in source]
        if [v.shape for v in self._slots] != [v.shape for v in self._optimizer.variables]:
            raise CannotReplayError("the optimizer's slots are not those of its copy")
        self._loop = training_loop(self._step)

    def run(self, weights: Sequence[Array], batches: Any, steps: int, rate: float) -> Losses:
        """Train from `weights` over stacked batches, again and again.

        Args:
            weights: In the order of model.get_weights().
            batches: (x, y, sample_weight), each leaf of shape (batches, rows, ...).
            steps: How many steps, >= 1.
            rate: Factor on the learning rate.

        Returns:
            The losses without penalties, shape (steps,); NaN from the first non-finite one on.
        """
        self._reset(weights)
        self._factor.assign(rate)
        with self._setting():
            return curve(self._loop(batches, tf.constant(steps)), steps)

    def weights(self) -> list[Array]:
        """Return the weights of the last run, in the order of model.get_weights()."""
        places = {id(v): s for v, s in zip(self._variables, self._shadows, strict=True)}
        return [places[id(v)].numpy() for v in self.model.weights]

    def loss_at(self, weights: Sequence[Array], x: Any, y: Any, sample_weight: Any) -> float:
        """Return the loss without penalties at given weights, as in inference."""
        self._reset(weights)
        return self.evaluate(x, y, sample_weight)

    def evaluate(self, x: Any, y: Any, sample_weight: Any) -> float:
        """Return the loss without penalties at the weights of the last run, as in inference."""
        with self._setting():
            loss, penalty, _ = self._forward(x, y, sample_weight, training=False)
        return float(loss - penalty)

    def _reset(self, weights: Sequence[Array]) -> None:
        values = {id(v): w for v, w in zip(self.model.weights, weights, strict=True)}
        for variable, shadow in zip(self._variables, self._shadows, strict=True):
            shadow.assign(values.get(id(variable), variable.value))
        for slot, value in zip(self._optimizer.variables, self._slots, strict=True):
            slot.assign(value)

    def _step(self, x: Any, y: Any, sample_weight: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, penalty, state = self._forward(x, y, sample_weight)
            scaled = self._optimizer.scale_loss(loss)
        found = tape.gradient(scaled, [s.value for s in self._trained])
        pairs = zip(found, self._trained, strict=True)
        gradients, trained = zip(*[(g, v) for g, v in pairs if g is not None], strict=True)
        if self._clip is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._clip)
        self._optimizer.apply(gradients, trained)
        for variable, shadow in zip(self._variables, self._shadows, strict=True):
            if not shadow.trainable:
                shadow.assign(state.get_current_value(variable))
        return loss - penalty

    def _forward(
        self, x: Any, y: Any, sample_weight: Any, *, training: bool = True
    ) -> tuple[Any, Any, Any]:
        """Return loss and penalties at the shadow weights, and the scope with the new state."""
        mapping = [(v, s.value) for v, s in zip(self._variables, self._shadows, strict=True)]
        with keras.StatelessScope(mapping, collect_losses=True) as state:
            knows = takes_training_argument(self.model)
            predictions = self.model(x, **({"training": training} if knows else {}))
            penalty = penalties(self.model)
            if self._loss is None:
                loss = self.model.compute_loss(
                    x=x, y=y, y_pred=predictions, sample_weight=sample_weight
                )
            else:
                loss = self._loss(y, predictions) + penalty
        return loss, penalty, state


def training_loop(step: Callable[[Any, Any, Any], Any]) -> Any:
    """Return a compiled (batches, steps) -> losses that ends at the first non-finite loss.

    Args:
        step: Takes (x, y, sample_weight), trains on them and returns the loss.
    """

    def robusttune_loop(batches: Any, steps: Any) -> Any:
        count = tf.shape(tf.nest.flatten(batches)[0])[0]

        def going(done: Any, losses: Any, finite: Any) -> Any:
            return tf.logical_and(done < steps, finite)

        def body(done: Any, losses: Any, finite: Any) -> Any:
            x, y, weight = tf.nest.map_structure(
                lambda leaf: None if leaf is None else leaf[done % count], batches
            )
            loss = tf.cast(step(x, y, weight), tf.float32)
            return done + 1, losses.write(done, loss), tf.math.is_finite(loss)

        state = (tf.constant(0), tf.TensorArray(tf.float32, steps), tf.constant(True))
        taken, losses, _ = tf.while_loop(going, body, state)
        return losses.stack()[:taken]

    return without_retracing_warning(
        tf.function(robusttune_loop, autograph=False, reduce_retracing=True)
    )


def curve(taken: Any, steps: int) -> Losses:
    """Return the losses of a loop as an array of shape (steps,), NaN where it had ended."""
    losses = np.full(steps, np.nan)
    found = np.asarray(taken, np.float64)
    losses[: len(found)] = np.where(np.isfinite(found), found, np.nan)
    return losses


def penalties(model: Any) -> Any:
    """Return the sum of regularizers and added losses; 0 where the model has no other loss."""
    if model.loss is None or not model.losses:
        return tf.constant(0.0)
    return tf.add_n([tf.cast(tf.reduce_sum(loss), tf.float32) for loss in model.losses])


class _Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate, or a schedule of it, times a factor that is set between replays."""

    def __init__(self, base: Any, factor: Any) -> None:
        self._base = base
        self._factor = factor

    def __call__(self, step: Any) -> Any:
        base = self._base(step) if callable(self._base) else self._base
        return tf.cast(base, tf.float32) * self._factor


def slots_of(optimizer: Any) -> list[Any]:
    """Return the variables of an optimizer without its learning rate, which a replay sets."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = learning_rate_as_given(inner)
    return [variable for variable in optimizer.variables if variable is not rate]


def copied(optimizer: Any, factor: Any) -> Any:
    """Return a fresh optimizer with the same settings whose learning rate is scaled by `factor`.

    Raises:
        CannotReplayError: There is no optimizer, or it cannot be made again.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise CannotReplayError(f"the optimizer is {type(optimizer).__name__}, not one of Keras")
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return keras.optimizers.LossScaleOptimizer(
            copied(inner, factor),
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
    base = learning_rate_as_given(optimizer)
    schedule = isinstance(base, keras.optimizers.schedules.LearningRateSchedule)
    # A user's schedule need not be serializable: it is left out of the config.
    aside = learning_rate_set_aside(optimizer) if schedule else contextlib.nullcontext()
    try:
        with aside:
            config = {**optimizer.get_config(), "learning_rate": 1.0}
            copy = type(optimizer).from_config(config)
    except Exception as error:  # a user's own class: whatever it raises is the reason
        raise CannotReplayError(f"the optimizer cannot be made again: {error!r}") from error
    copy.learning_rate = _Scaled(base if schedule else float(optimizer.learning_rate), factor)
    return copy
