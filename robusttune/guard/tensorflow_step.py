"""The flight recorder inside a TensorFlow training step.

While a fit runs, the optimizer's `apply` is replaced on the instance. The replacement computes the
global gradient norm once, which serves clipping, the test for finiteness and the record. An
ordinary step takes the fast branch of one `tf.cond`, in which the update runs as it always does.
Everything rare (the first steps, a spike to clip, a non-finite step to skip) is in the other one,
behind a function call that is not inlined: TensorFlow visits each operation of an untaken branch.

All state is one small variable, the row of the last step. Where the host does not look after every
step, it has more rows, the last step first. A failed step is the last one that is written, so the
record freezes at the failure.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

# Steps at the start that take the careful branch: they have no history to be compared with, and
# their batches are kept for the diagnosis.
WARM_UP_STEPS = 8
# A gradient norm this many times above its recent peak is a spike. Ordinary steps stay below: none
# of the healthy fits of benchmarks/healthy.py is clipped.
SPIKE = 10.0
# The same while there is hardly any history.
WARM_UP_SPIKE = 100.0
# The recent peak fades by 1 % a step, and a spike raises it at most twofold.
PEAK_DECAY = 0.99
PEAK_GROWTH = 2.0
_ROOT_2 = math.sqrt(2.0)
_LARGEST = float(np.finfo(np.float32).max)


class Row(IntEnum):
    """Columns of the state; float32, so steps count exactly up to 2**24.

    SIZE is the gradient norm over the root of 2, as TensorFlow's l2_loss gives it; it is NaN where
    the loss or the gradient is. GATE is the recent peak of SIZE, or without automatic clipping the
    largest size that needs no care. Up to its sign: where that is negative, the step needs care.
    """

    LOSS = 0
    SIZE = 1
    GATE = 2
    STEPS = 3
    CLIPPED = 4
    FAILED = 5


class StepRecorder:
    """Instruments one optimizer for the duration of one fit.

    Args:
        optimizer: The optimizer whose `apply` is guarded.
        clip: "auto", a global norm, or None; ignored where the optimizer clips by itself.
        history: Rows that are kept.
        on_batch: Called on the host with the batch of a warm-up step and of the failing step; None
            where batches cannot leave the step (XLA, several replicas).
        one_branch: Whether all steps take the careful branch: XLA, which fuses it, and replicas,
            whose merges cannot stand in a call of its own.
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        clip: float | Literal["auto"] | None,
        history: int,
        on_batch: Callable[[Sequence[np.ndarray[Any, Any]], bool], None] | None,
        one_branch: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.clip = None if clips_by_itself(optimizer) else clip
        self.on_batch = on_batch
        self.one_branch = one_branch
        with tf.init_scope():
            start = np.zeros((history, len(Row)) if history > 1 else len(Row), np.float32)
            self.state = tf.Variable(start, trainable=False, name="robusttune_state")
        self.row: Any = None
        self._local = threading.local()  # replicas of a mirrored step run in threads
        self._apply = optimizer.apply
        self._scale_loss = optimizer.scale_loss

    def attach(self) -> None:
        """Put the guarded `apply` and `scale_loss` on the optimizer's instance."""
        self.optimizer.__dict__["apply"] = self._guarded_apply
        self.optimizer.__dict__["scale_loss"] = self._noted_scale_loss

    def detach(self) -> None:
        """Take them off again: the class's own methods show through."""
        for name in ("apply", "scale_loss"):
            self.optimizer.__dict__.pop(name, None)

    def begin_step(self, batch: Any) -> None:
        """Note, while tracing, the batch and that no loss was seen yet."""
        self._local.batch = [t for t in tf.nest.flatten(batch) if isinstance(t, tf.Tensor)]
        self._local.loss = None
        self.row = None

    def _noted_scale_loss(self, loss: Any) -> Any:
        self._local.loss = loss
        return self._scale_loss(loss)

    def _guarded_apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        grads = list(grads)
        if not any(g is not None for g in grads):
            return self._apply(grads, trainable_variables)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            if not self.optimizer.built:
                with tf.init_scope():
                    self.optimizer.build(trainable_variables)
        loss = getattr(self._local, "loss", None)
        squares = [_half_square(g) for g in grads if g is not None]
        if loss is not None:
            loss = tf.cast(loss, tf.float32)
            squares.append(loss * 0.0)  # a loss that is not finite makes the sum NaN
        scale = self._loss_scale()
        size = tf.sqrt(tf.add_n(squares))
        size = size if scale is None else size / scale
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            return self._apply_in_replicas(context, grads, trainable_variables, loss, size)
        self.row = self._record(
            loss,
            size,
            skips_itself=scale is not None,
            apply=lambda factor: self._apply(_scaled(grads, factor), trainable_variables),
        )
        return None

    def _apply_in_replicas(
        self, context: Any, grads: Any, variables: Any, loss: Any, size: Any
    ) -> None:
        # A condition around an update that merges replicas must stand outside of the replicas.
        # Non-finite values survive the sum, so all replicas agree on it.
        total = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [size * size, tf.constant(0.0) if loss is None else loss]
        )

        def across(strategy: Any, grads: Any, variables: Any, squares: Any, losses: Any) -> None:
            first = strategy.experimental_local_results

            def apply(factor: Any) -> None:
                strategy.extended.call_for_each_replica(
                    lambda g, v: self._apply(_scaled(g, factor), v), args=(grads, variables)
                )

            self._record(
                None if loss is None else first(losses)[0],
                tf.sqrt(first(squares)[0]),
                skips_itself=self._loss_scale() is not None,
                apply=apply,
            )

        context.merge_call(across, args=(grads, variables, *total))

    def _record(
        self, loss: Any, size: Any, *, skips_itself: bool, apply: Callable[[Any], Any]
    ) -> Any:
        """Run one update through the guard; returns the new row."""
        rows = self.state.read_value()
        last = tf.unstack(rows if rows.shape.rank == 1 else rows[0])
        shown_loss = tf.constant(np.nan, tf.float32) if loss is None else loss

        def write(size: Any, gate: Any, clipped: Any, failed: Any) -> Any:
            row = tf.stack([shown_loss, size, gate, last[Row.STEPS] + 1.0, clipped, failed])
            whole = row if rows.shape.rank == 1 else tf.concat([row[None], rows[:-1]], axis=0)
            self.state.assign(whole)
            return row

        def fast() -> Any:
            apply(None)
            gate = last[Row.GATE]
            if self.clip == "auto":
                gate = tf.maximum(gate * PEAK_DECAY, tf.minimum(size, gate * PEAK_GROWTH))
            return write(size, gate, last[Row.CLIPPED], last[Row.FAILED])

        def careful() -> Any:
            # A LossScaleOptimizer meets non-finite gradients by design and skips them by itself.
            usable = tf.math.is_finite(shown_loss if skips_itself and loss is not None else size)
            usable = tf.constant(True) if skips_itself and loss is None else usable
            already = last[Row.FAILED] > 0
            self._send_if(already, last[Row.STEPS] < WARM_UP_STEPS, usable)
            return tf.cond(
                already,
                lambda: tf.stack(last),
                lambda: tf.cond(usable, accept, lambda: write(size, -1.0, last[Row.CLIPPED], 1.0)),
            )

        def accept() -> Any:
            finite = tf.math.is_finite(size)
            known = tf.where(finite, size, tf.abs(last[Row.GATE]))
            factor, gate, clipped = self._clipped(known, last[Row.GATE], last[Row.STEPS])
            apply(factor)
            armed = (last[Row.STEPS] + 1.0 >= WARM_UP_STEPS) & (gate > 0)
            count = last[Row.CLIPPED] + tf.cast(clipped & finite, tf.float32)
            return write(known, tf.where(armed, gate, -gate), count, last[Row.FAILED])

        if tf.executing_eagerly() or self.one_branch:
            return careful()
        limit = last[Row.GATE] * SPIKE if self.clip == "auto" else last[Row.GATE]
        apart = tf.function(careful, autograph=False, experimental_attributes={"_noinline": True})
        return tf.cond(size < limit, fast, apart)

    def _clipped(self, size: Any, gate: Any, steps: Any) -> tuple[Any, Any, Any]:
        """Return the factor for the gradients, the size of the new gate, and whether it clips."""
        one = tf.constant(1.0)
        if self.clip == "auto":
            peak = tf.abs(gate)
            warm = (steps < WARM_UP_STEPS) | (gate <= 0)
            spike = (peak > 0) & (size > peak * tf.where(warm, WARM_UP_SPIKE, SPIKE))
            grown = tf.where(warm & tf.logical_not(spike), size, peak * PEAK_GROWTH)
            peak = tf.maximum(peak * PEAK_DECAY, tf.minimum(size, grown))
            return tf.where(spike, tf.abs(gate) / size, one), peak, spike
        if self.clip is None:
            return one, tf.constant(_LARGEST), tf.constant(False)
        limit = float(self.clip) / _ROOT_2
        return tf.where(size > limit, limit / size, one), tf.constant(limit), size > limit

    def _send_if(self, already: Any, warm: Any, usable: Any) -> None:
        """Hand the batch of a warm-up step, and of the failing one, to the host."""
        batch = getattr(self._local, "batch", [])
        if self.on_batch is not None and batch:
            wanted = tf.logical_not(already) & (warm | tf.logical_not(usable))
            tf.cond(wanted, lambda: self._send(batch, usable), lambda: None)

    def _send(self, batch: list[Any], usable: Any) -> None:
        # TensorFlow keeps this function for ever: it must not keep the model.
        recorder = weakref.ref(self)

        def receive(usable: Any, *arrays: np.ndarray[Any, Any]) -> None:
            alive = recorder()
            if alive is not None and alive.on_batch is not None:
                alive.on_batch(arrays, not bool(usable))

        tf.numpy_function(receive, [usable, *batch], [])

    def _loss_scale(self) -> Any:
        """The factor in the gradients of a LossScaleOptimizer; None elsewhere."""
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return None
        if not self.optimizer.built:
            return tf.constant(float(self.optimizer.initial_scale))
        return tf.cast(self.optimizer.dynamic_scale.value, tf.float32)


def clips_by_itself(optimizer: Any) -> bool:
    """Whether the user gave the optimizer a clipnorm, clipvalue or global_clipnorm."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return any(
        getattr(inner, name, None) is not None
        for name in ("clipnorm", "clipvalue", "global_clipnorm")
    )


def _half_square(gradient: Any) -> Any:
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.nn.l2_loss(tf.cast(values, tf.float32))


def _scaled(grads: Sequence[Any], factor: Any) -> list[Any]:
    if factor is None:
        return list(grads)

    def times(gradient: Any) -> Any:
        if gradient is None:
            return None
        if isinstance(gradient, tf.IndexedSlices):
            values = gradient.values * tf.cast(factor, gradient.values.dtype)
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return gradient * tf.cast(factor, gradient.dtype)

    return [times(gradient) for gradient in grads]
