"""The flight recorder inside a TensorFlow training step.

While a fit runs, the optimizer's `apply` is replaced on the instance. The replacement computes the
global gradient norm once, which serves clipping, the test for finiteness and the record. An
ordinary step takes the fast branch of one `tf.cond`, in which the update runs as it always does.
Everything rare (the first steps, a spike to clip, a non-finite step to skip) is in the other one,
behind a function call that is not inlined: TensorFlow visits each operation of an untaken branch.

Each small operation costs a tiny model about half a percent of its step, so an ordinary step has as
few as possible. Its row (loss and size of the gradient) is an output of the step where the host
sees each step's outputs; only elsewhere is it written to a table.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from robusttune._guard.clipping import (
    LARGEST,
    PEAK_DECAY,
    PEAK_GROWTH,
    SPIKE,
    WARM_UP_SPIKE,
    WARM_UP_STEPS,
    Row,
    clip_of,
)
from robusttune._guard.recorder import ENOUGH_ROWS

# In squares, where the recorder works: the least and the largest next peak, and a spike.
_GATE = (PEAK_DECAY**2, PEAK_GROWTH**2, SPIKE**2)
# TensorFlow's graphs of what is part of the function around it.
_BRANCHES = ("CondBranchFuncGraph", "WhileCondFuncGraph", "WhileBodyFuncGraph")


class SlowPathState(IntEnum):
    """Values that only a step on the slow path changes; float32."""

    STEPS = 0  # careful ones: all of the warm-up, then a few
    CLIPPED = 1
    FAILED = 2  # 1 from the failing step on: no update is made any more


class StepRecorder:
    """Instruments one optimizer for the duration of one fit.

    Args:
        optimizer: The optimizer whose `apply` is guarded.
        clip: "auto", a global norm, or None; ignored where the optimizer clips by itself, and
            "auto" where it bounds its steps.
        history: Rows that the table keeps.
        rides: Whether the host sees the outputs of each step, so that no table is needed.
        on_batch: Called on the host with the batch of an early step and of the failing step; None
            where batches cannot leave the step (XLA, several replicas).
        one_branch: Whether all steps take the careful branch: XLA, which fuses it, and replicas,
            whose merges cannot stand in a call of its own.

    Attributes:
        row: Row of the step that was traced last, as a tensor of the step's own graph; None where
            it does not ride.
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        clip: float | Literal["auto"] | None,
        history: int,
        rides: bool,
        on_batch: Callable[[Sequence[np.ndarray[Any, Any]], bool], None] | None,
        one_branch: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.clip = clip_of(clip, optimizer)
        self.rides = rides
        self.on_batch = on_batch
        self.one_branch = one_branch
        with tf.init_scope():

            def variable(start: Any) -> Any:
                return tf.Variable(start, trainable=False, name="robusttune")

            # Half the squared recent peak, times _GATE: how far the peak may fall and rise in a
            # step, and the size from which a step needs care. A negative limit: every step does.
            self.peak_bounds = variable(np.array([0.0, 0.0, -1.0], np.float32))
            self.slow_path = variable(np.zeros(len(SlowPathState), np.float32))
            self.table = variable(np.zeros((history, len(Row)), np.float32))
            self.count = variable(np.int64(0))  # of the rows that were written to the table
        self.row: Any = None
        self._local = threading.local()  # replicas of a mirrored step run in threads
        self._apply = optimizer.apply
        self._scale_loss = optimizer.scale_loss

    @property
    def failed(self) -> bool:
        """Whether a step failed; read from the device."""
        return bool(self.slow_path.numpy()[SlowPathState.FAILED])

    @property
    def clipped_steps(self) -> int:
        """Steps whose gradients were clipped; read from the device."""
        return int(self.slow_path.numpy()[SlowPathState.CLIPPED])

    def rows(self) -> tuple[np.ndarray[Any, Any], int]:
        """Return the table, oldest row first, shape (n, len(Row)), and the rows ever written."""
        count, table = int(self.count.numpy()), self.table.numpy()
        start = count % len(table) if count > len(table) else 0
        return np.roll(table, -start, axis=0)[:count], count

    @property
    def methods(self) -> dict[str, Any]:
        """Replacements of the optimizer's methods, by name, on the instance."""
        return {"apply": self._guarded_apply, "scale_loss": self._noted_scale_loss}

    def forget_failure(self) -> None:
        """Let updates through again.

        A function of the user's that was traced during the fit still has the guarded update in it:
        it must not skip the updates of the next fit because of a failure in this one.
        """
        self.slow_path.assign(tf.zeros_like(self.slow_path))

    def begin_step(self, batch: Any, state: Sequence[Any]) -> None:
        """Note, while tracing, the batch, and that no loss was seen yet.

        Args:
            batch: What the step trains on.
            state: Variables that its forward pass changes. A step that fails leaves them as they
                are now.
        """
        self._local.batch = [t for t in tf.nest.flatten(batch) if isinstance(t, tf.Tensor)]
        self._local.state = [(variable, tf.convert_to_tensor(variable.value)) for variable in state]
        self._local.loss = None
        self._graph = _this_graph()
        self.row = None

    def row_with(self, logs: Any) -> Any:
        """Return the row that rides with a step's logs, with their loss where no other was seen.

        A train_step of the user's need not scale its loss. What it logs is a mean over the epoch so
        far, perhaps, which tells of a divergence all the same.
        """
        if self.row is None or not isinstance(logs, dict):
            return None
        logged: Any = logs.get("loss")
        seen = getattr(self._local, "loss", None) is not None
        if seen or not tf.is_tensor(logged) or logged.shape.rank != 0:
            return self.row
        return tf.stack([tf.cast(logged, tf.float32), self.row[Row.SIZE]])

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
        within = _is_within(self._graph)
        loss = getattr(self._local, "loss", None) if within else None
        squares = [_half_square(g) for g in grads if g is not None]
        if loss is not None:
            loss = tf.cast(loss, tf.float32)
            squares.append(_nan_unless_finite(loss))
        scale = self._loss_scale()
        size = tf.add_n(squares)
        size = size if scale is None else size / (scale * scale)
        if not within:  # the trace outlives the step, whose tensors it must not hold
            self._local.batch = self._local.state = []
        context = tf.distribute.get_replica_context()
        if context is not None and tf.distribute.has_strategy():
            return self._apply_in_replicas(context, grads, trainable_variables, loss, size)
        self._record(
            loss,
            size,
            skips_itself=scale is not None,
            apply=self._traced_once(grads, trainable_variables),
        )
        return None

    def _traced_once(self, grads: list[Any], variables: Any) -> Callable[[Any], Any]:
        """Return what applies the gradients times a factor; both branches share its trace."""
        if tf.executing_eagerly() or self.one_branch:
            return lambda factor: self._apply(_scaled(grads, factor), variables)
        update = tf.function(lambda given: self._apply(given, variables), autograph=False)
        return lambda factor: update(_scaled(grads, factor))

    def _apply_in_replicas(
        self, context: Any, grads: Any, variables: Any, loss: Any, size: Any
    ) -> None:
        # A condition around an update that merges replicas must stand outside of the replicas.
        # Non-finite values survive the sum, so all replicas agree on it.
        total = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [size, tf.constant(0.0) if loss is None else loss]
        )

        def across(strategy: Any, grads: Any, variables: Any, sizes: Any, losses: Any) -> None:
            first = strategy.experimental_local_results

            def apply(factor: Any) -> None:
                strategy.extended.call_for_each_replica(
                    lambda g, v: self._apply(_scaled(g, factor), v), args=(grads, variables)
                )

            self._record(
                None if loss is None else first(losses)[0],
                first(sizes)[0],
                skips_itself=self._loss_scale() is not None,
                apply=apply,
            )

        context.merge_call(across, args=(grads, variables, *total))

    def _record(
        self, loss: Any, size: Any, *, skips_itself: bool, apply: Callable[[Any], Any]
    ) -> None:
        """Run one update through the guard."""
        rides = self.rides and self._graph is _this_graph()
        row = self._row_of(loss, size, skips_itself)
        low, high, limit = tf.unstack(self.peak_bounds.read_value())
        state = getattr(self._local, "state", [])

        def fast() -> None:
            apply(None)
            if self.clip == "auto":
                self.peak_bounds.assign(
                    _GATE * tf.raw_ops.ClipByValue(t=size, clip_value_min=low, clip_value_max=high)
                )
            if not rides:
                self._write(row)

        def careful() -> None:
            steps, clipped, failed = tf.unstack(self.slow_path.read_value())
            usable = tf.math.is_finite(row[Row.SIZE])
            self._send_if(failed > 0, self._collects(steps), usable)

            def accept() -> None:
                finite = tf.math.is_finite(size)  # or a LossScaleOptimizer skips the step by itself
                peak = high / PEAK_GROWTH**2
                known = tf.where(finite, size, peak)
                warm = (steps < WARM_UP_STEPS) | (high <= 0)
                factor, peak_bounds, clips = self._clipped(known, peak, warm)
                apply(factor)
                armed = tf.logical_not(self._collects(steps + 1.0)) & (peak_bounds[2] > 0)
                self.peak_bounds.assign(
                    tf.where(armed, peak_bounds, [1.0, 1.0, -1.0] * peak_bounds)
                )
                count = clipped + tf.cast(clips & finite, tf.float32)
                self.slow_path.assign([steps + 1.0, count, failed])

            def restore() -> None:
                for variable, value in state:
                    variable.assign(value)

            def reject() -> None:
                restore()
                self.peak_bounds.assign([low, high, -1.0])
                self.slow_path.assign([steps + 1.0, clipped, 1.0])

            def step() -> None:
                tf.cond(usable, accept, reject)
                if not rides:
                    self._write(row)

            tf.cond(failed > 0, restore, step)

        if tf.executing_eagerly() or self.one_branch:
            careful()
        else:
            apart = tf.function(
                careful, autograph=False, experimental_attributes={"_noinline": True}
            )
            tf.cond(size < limit, fast, apart)
        if rides:
            # Of several updates in one step, the one that failed is the one to see.
            earlier = self.row
            self.row = (
                row
                if earlier is None
                else tf.where(tf.math.is_finite(earlier[Row.SIZE]), row, earlier)
            )

    def _row_of(self, loss: Any, size: Any, skips_itself: bool) -> Any:
        shown = tf.constant(np.nan, tf.float32) if loss is None else loss
        if skips_itself:  # a LossScaleOptimizer meets non-finite gradients by design
            otherwise = tf.constant(0.0) if loss is None else _nan_unless_finite(loss)
            size = tf.where(tf.math.is_finite(size), size, otherwise)
        return tf.stack([shown, size])

    def _write(self, row: Any) -> None:
        index = self.count.read_value() % self.table.shape[0]
        self.table.scatter_nd_update([[index]], [row])
        self.count.assign_add(1)

    def _clipped(self, size: Any, peak: Any, warm: Any) -> tuple[Any, Any, Any]:
        """Return the factor for the gradients, the new peak_bounds, and whether it clips."""
        one = tf.constant(1.0)
        if self.clip == "auto":
            spike = (peak > 0) & (size > peak * tf.where(warm, WARM_UP_SPIKE**2, SPIKE**2))
            grown = tf.where(warm & ~spike, size, peak * PEAK_GROWTH**2)
            renewed = tf.maximum(peak * PEAK_DECAY**2, tf.minimum(size, grown))
            return tf.where(spike, tf.sqrt(peak / size), one), _GATE * renewed, spike
        if self.clip is None:
            return one, tf.constant([0.0, 0.0, LARGEST]), tf.constant(False)
        limit = float(self.clip) ** 2 / 2
        clips = size > limit
        return tf.where(clips, tf.sqrt(limit / size), one), tf.constant([0.0, 0.0, limit]), clips

    def _collects(self, steps: Any) -> Any:
        """Whether batches are still kept after so many steps."""
        early = steps < WARM_UP_STEPS
        batch = getattr(self._local, "batch", [])
        if self.on_batch is None or not batch or batch[0].shape.rank == 0:
            return early
        rows = tf.cast(tf.maximum(tf.shape(batch[0])[0], 1), tf.float32)
        return early | (steps * rows < ENOUGH_ROWS)

    def _send_if(self, already: Any, early: Any, usable: Any) -> None:
        """Hand the batch of an early step, and of the failing one, to the host."""
        batch = getattr(self._local, "batch", [])
        if self.on_batch is not None and batch:
            wanted = tf.logical_not(already) & (early | tf.logical_not(usable))
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


def _this_graph() -> Any:
    """The graph that is being traced; None where steps run eagerly."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _is_within(step: Any) -> bool:
    """Whether what is traced now is a step itself, or a branch or loop of it.

    Else it is a function of the user's, whose trace serves other steps and other fits as well.
    """
    graph = _this_graph()
    while graph is not step and type(graph).__name__ in _BRANCHES:
        graph = graph.outer_graph
    return graph is step


def _nan_unless_finite(loss: Any) -> Any:
    # Grappler, TensorFlow's graph optimizer, may take `loss * 0` for 0, whatever the loss is.
    return tf.where(tf.math.is_finite(loss), 0.0, np.nan)


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
