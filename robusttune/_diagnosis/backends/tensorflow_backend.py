"""TensorFlow: a tape, and one graph with a while loop for all steps of a replay."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from robusttune._compat.tensorflow import without_retracing_warning
from robusttune._diagnosis.backends.interface import Loop, Losses, Step, loss_curve

_log = logging.getLogger("robusttune.diagnosis")

# A loop has room for so many steps; longer ones are traced for the next power of two.
_ROOM = 512


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
        found = inner.gradient(value, values, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in found]  # dense ones
        along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradients, direction, strict=True)])
    return list(outer.gradient(along, values, unconnected_gradients="zero"))


def apply_gradients(optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
    """Let an optimizer update its variables; see `Backend`."""
    pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    optimizer.apply([g for g, _ in pairs], [v for _, v in pairs])


def training_loop(step: Step, variables: Sequence[Any], *, fused: bool = False) -> Loop:
    """Return a loop that is traced once; see `Backend`."""

    def robusttune_loop(
        room: int, order: Any, data: list[Any], inputs: Mapping[str, Any], steps: Any
    ) -> tuple[Any, Any]:
        count = tf.shape(order)[0]

        def going(done: Any, losses: Any, finite: Any) -> Any:
            return tf.logical_and(done < steps, finite)

        def body(done: Any, losses: Any, finite: Any) -> Any:
            index = order[done % count]
            loss = step([leaf[index] for leaf in data], inputs)
            loss = tf.reshape(tf.cast(loss, tf.float32), ())
            return done + 1, losses.write(done, loss), tf.math.is_finite(loss)

        state = (tf.constant(0), tf.TensorArray(tf.float32, room), tf.constant(True))
        taken, losses, _ = tf.while_loop(going, body, state)
        return taken, losses.stack()

    def compiled_by(xla: bool) -> Any:
        function = tf.function(
            robusttune_loop, autograph=False, reduce_retracing=True, jit_compile=xla or None
        )
        return without_retracing_warning(function)

    traced = [compiled_by(xla) for xla in ((True, False) if fused else (False,))]

    def train(start: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        while True:
            for variable, value in zip(variables, start, strict=True):
                variable.assign(value)
            try:
                taken, losses = traced[0](*args)
                return int(taken), losses.numpy()
            except Exception:  # XLA cannot compile every operation
                if len(traced) == 1:
                    raise
                _log.debug("XLA does not compile the replay", exc_info=True)
                del traced[0]

    def loop(
        starts: Sequence[Sequence[Any]],
        orders: Sequence[Any],
        data: Sequence[Any],
        inputs: Mapping[str, float],
        steps: int,
    ) -> tuple[Losses, list[list[Any]]]:
        given = {name: tf.constant(value, tf.float32) for name, value in inputs.items()}
        room = max(_ROOM, 1 << (steps - 1).bit_length())
        curves, ends = [], []
        for start, order in zip(starts, orders, strict=True):
            now = tf.constant(order, tf.int32)
            taken, losses = train(start, room, now, list(data), given, tf.constant(steps))
            curves.append(loss_curve(losses[:taken], steps))
            ends.append([tf.convert_to_tensor(variable.value) for variable in variables])
        return np.stack(curves), ends

    return loop


def compiled(function: Callable[..., Any], variables: Sequence[Any]) -> Any:
    """Return the function as a graph; see `Backend`."""
    return without_retracing_warning(tf.function(function, autograph=False, reduce_retracing=True))


def untouched_randomness() -> contextlib.AbstractContextManager[None]:
    """Do nothing: `random_states` knows TensorFlow's generator."""
    return contextlib.nullcontext()
