"""TensorFlow: a tape, and one graph with a while loop for all steps of a replay."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from robusttune._compat.tensorflow import without_retracing_warning
from robusttune.diagnosis.backends.interface import Loop, Losses, Step, loss_curve


def value_and_grad(
    function: Callable[[list[Any]], tuple[Any, Any]], values: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    """Return (value, more, gradients); see `Backend`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(values))
        value, more = function(list(values))
    return value, more, list(tape.gradient(value, list(values)))


def hessian_product(
    function: Callable[[list[Any]], Any], values: Sequence[Any], direction: Sequence[Any]
) -> list[Any]:
    """Return the Hessian times a direction, backward over backward; see `Backend`."""
    values = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(values)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(values)
            value = function(list(values))
        gradients = inner.gradient(value, values, unconnected_gradients="zero")
        along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradients, direction, strict=True)])
    return list(outer.gradient(along, values, unconnected_gradients="zero"))


def apply_gradients(optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
    """Let an optimizer update its variables; see `Backend`."""
    pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    optimizer.apply([g for g, _ in pairs], [v for _, v in pairs])


def training_loop(step: Step, variables: Sequence[Any]) -> Loop:
    """Return a loop that is traced once; see `Backend`."""

    def robusttune_loop(order: Any, data: list[Any], inputs: Mapping[str, Any], steps: Any) -> Any:
        count = tf.shape(order)[0]

        def going(done: Any, losses: Any, finite: Any) -> Any:
            return tf.logical_and(done < steps, finite)

        def body(done: Any, losses: Any, finite: Any) -> Any:
            index = order[done % count]
            loss = tf.cast(step([leaf[index] for leaf in data], inputs), tf.float32)
            return done + 1, losses.write(done, loss), tf.math.is_finite(loss)

        state = (tf.constant(0), tf.TensorArray(tf.float32, steps), tf.constant(True))
        taken, losses, _ = tf.while_loop(going, body, state)
        return losses.stack()[:taken]

    traced = without_retracing_warning(
        tf.function(robusttune_loop, autograph=False, reduce_retracing=True)
    )

    def loop(
        starts: Sequence[Sequence[Any]],
        orders: Sequence[Any],
        data: Sequence[Any],
        inputs: Mapping[str, float],
        steps: int,
    ) -> tuple[Losses, list[list[Any]]]:
        given = {name: tf.constant(value, tf.float32) for name, value in inputs.items()}
        curves, ends = [], []
        for start, order in zip(starts, orders, strict=True):
            for variable, value in zip(variables, start, strict=True):
                variable.assign(value)
            # TensorArray makes the number of steps a shape: a tensor, or each gets its own trace.
            losses = traced(tf.constant(order, tf.int32), list(data), given, tf.constant(steps))
            curves.append(loss_curve(losses, steps))
            ends.append([tf.convert_to_tensor(variable.value) for variable in variables])
        return np.stack(curves), ends

    return loop


def compiled(function: Callable[..., Any], variables: Sequence[Any]) -> Any:
    """Return the function as a graph; see `Backend`."""
    return without_retracing_warning(tf.function(function, autograph=False, reduce_retracing=True))


def untouched_randomness() -> contextlib.AbstractContextManager[None]:
    """Do nothing: `random_states` knows TensorFlow's generator."""
    return contextlib.nullcontext()
