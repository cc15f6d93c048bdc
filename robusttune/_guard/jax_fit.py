"""The flight recorder around a JAX fit: its state travels through the step beside Keras's own.

Keras's step is a pure function of the state of model, optimizer and metrics. Its update is put off
until loss and gradients are known, and is made by a loop that runs once for a finite step and not
at all for another: the update happens in place, as without a guard, and rounds as it does there. A
train_step of the user's may go on with the weights that it has updated: there the new state is
taken where the step is finite, and the old one elsewhere, which costs a copy.

The host looks at a step's row when the next step is on its way, so that it never waits for a device
that has nothing else to do.
"""

from __future__ import annotations

import collections
import contextlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import IntEnum
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from robusttune._compat.keras import (
    jax_state_attached,
    jax_steps_wrapped,
    loss_tracker_of,
    nnx_is_enabled,
)
from robusttune._guard.clipping import (
    PEAK_DECAY,
    PEAK_GROWTH,
    SPIKE,
    WARM_UP_SPIKE,
    WARM_UP_STEPS,
    Row,
    clip_of,
)
from robusttune._guard.recorder import (
    MAX_KEPT_BYTES,
    CannotRecordError,
    FitRecorder,
    Rows,
    optimizers_of,
)


class _State(IntEnum):
    """State that travels through the step; float32."""

    PEAK = 0  # recent peak of the gradient's size
    STEPS = 1
    CLIPPED = 2
    FAILED = 3  # 1 from the failing step on: no update is made any more


class _Tracing:
    """Values of a step, seen while it is traced or run eagerly."""

    def __init__(self, state: Any) -> None:
        self.peak, self.steps, self.clipped, self.failed = (state[i] for i in _State)
        self.loss: Any = None
        self.size: Any = None
        self.gradients: list[Any] | None = None  # of the update that was put off


class ModelRecorder(FitRecorder):
    """Instruments optimizer and train step of a model; see FitRecorder."""

    lag = 1

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        if nnx_is_enabled():
            raise CannotRecordError("with NNX, Keras calls the train_step of the class")
        optimizers_of(model)
        self._optimizer = model.optimizer
        if not isinstance(self._optimizer, keras.optimizers.Optimizer):
            raise CannotRecordError("the optimizer is not a Keras optimizer")
        self._clip = clip_of(self.clip, self._optimizer)
        self._tracing: _Tracing | None = None
        self._state: Any = None
        self._given: tuple[Any, ...] | None = None  # Keras's state before or after a step
        self._data: collections.deque[Any] = collections.deque(maxlen=self.look_every + self.lag)
        self._failed = False

    # Inside the step

    def _instrument(self) -> None:
        model, optimizer = self.model, self._optimizer
        train_step, apply = model.train_step, optimizer.stateless_apply
        tracker = loss_tracker_of(model)
        if tracker is not None:
            update = tracker.update_state

            def noted_update_state(values: Any, *args: Any, **kwargs: Any) -> Any:
                if self._tracing is not None:
                    self._tracing.loss = values
                return update(values, *args, **kwargs)

            self.put(tracker, update_state=noted_update_state)

        puts_off = type(model).train_step is keras.Model.train_step

        def guarded_apply(optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
            now = self._tracing
            if now is None:
                return apply(optimizer_variables, grads, trainable_variables)
            grads = self._guarded(list(grads), optimizer_variables, now)
            if puts_off:
                now.gradients = grads
                return trainable_variables, optimizer_variables
            return apply(optimizer_variables, grads, trainable_variables)

        def guarded_train_step(state: Any, data: Any) -> Any:
            *old, own = state
            self._tracing = now = _Tracing(own)
            try:
                logs, new = train_step(tuple(old), data)
            finally:
                self._tracing = None
            row, ok = _row_of(now, logs)
            if puts_off:
                kept = _updated(ok, apply, now.gradients, new[1], old)
            else:
                kept = _chosen(ok, new[:3], old[:3])
            counts = jnp.stack([now.peak, now.steps, now.clipped, jnp.float32(0)])
            own = jnp.where(ok, counts, own.at[_State.FAILED].set(1.0))
            return (logs, row), (*kept, *new[3:], own)

        self.put(optimizer, stateless_apply=guarded_apply)
        self.put(model, train_step=guarded_train_step)

    def _guarded(self, grads: list[Any], optimizer_variables: Any, now: _Tracing) -> list[Any]:
        """Note the size of a gradient, and return it clipped."""
        some = [gradient for gradient in grads if gradient is not None]
        if not some:
            return grads
        size = sum(0.5 * jnp.sum(jnp.square(g.astype("float32"))) for g in some)
        scale = _loss_scale(self._optimizer, optimizer_variables)
        shown = size
        if scale is not None:  # a LossScaleOptimizer meets non-finite gradients by design
            size = size / (scale * scale)
            shown = jnp.where(jnp.isfinite(size), size, 0.0)
        # Of several updates in one step, the one that failed is the one to see.
        earlier = now.size
        now.size = shown if earlier is None else jnp.where(jnp.isfinite(earlier), shown, earlier)
        finite = jnp.isfinite(size)
        factor, clips = self._factor(jnp.where(finite, size, now.peak), now)
        now.steps = now.steps + 1
        if factor is None:
            return grads
        clips = clips & finite
        now.clipped = now.clipped + clips
        factor = jnp.where(finite, factor, 1.0)
        return [None if g is None else g * factor.astype(g.dtype) for g in grads]

    def _factor(self, size: Any, now: _Tracing) -> tuple[Any, Any]:
        """Return what to multiply with, and whether that clips; as `Clipping.factor`."""
        if self._clip is None:
            return None, None
        if self._clip != "auto":
            limit = float(self._clip) ** 2 / 2
            return jnp.where(size > limit, jnp.sqrt(limit / size), 1.0), size > limit
        peak = now.peak
        warm = (now.steps < WARM_UP_STEPS) | (peak <= 0)
        spike = (peak > 0) & (size > peak * jnp.where(warm, WARM_UP_SPIKE**2, SPIKE**2))
        grown = jnp.where(warm & ~spike, size, peak * PEAK_GROWTH**2)
        now.peak = jnp.maximum(peak * PEAK_DECAY**2, jnp.minimum(size, grown))
        return jnp.where(spike, jnp.sqrt(peak / size), 1.0), spike

    # Around it

    def _make_train_function(self) -> None:
        wrapped = jax_steps_wrapped(self.model, self._recorded, _replicated())
        with wrapped as was_made:
            self.model.make_train_function()
        if not was_made():
            raise CannotRecordError("the model makes its train function by itself")

    def _recorded(self, step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return the compiled step with Keras's own signature again."""

        def recorded_step(state: Any, data: Any) -> Any:
            own = _initial_state() if self._state is None else self._state
            (logs, row), (*after, self._state) = step((*state, own), data)
            self._given = tuple(after)
            self._seen.append(row)
            self._steps += 1
            self._note(data)
            return logs, self._given

        return recorded_step

    def _call(self, train_function: Any, state: Any, iterator: Any) -> Any:
        if not self._begun:
            self._given = tuple(state)
            self._begin()
        self._given = None
        returned = train_function(state, iterator)
        self._after_step()
        return returned

    def _note(self, data: Any) -> None:
        if self._failed:
            return
        early = self.wants_batches
        self.keep_data(data)
        if early:
            return
        if self.look_every == 1 or self._size(data) * self.look_every <= MAX_KEPT_BYTES:
            self._data.append((self._steps - 1, data))
        else:
            self.missing.setdefault("failing_batch", f"check_every is {self.look_every}")

    @staticmethod
    def _size(data: Any) -> int:
        return sum(getattr(leaf, "nbytes", 0) for leaf in keras.tree.flatten(data))

    def look(self, *, whole: bool = True) -> tuple[Rows, int]:
        """Return the rows since the last look, and find the batch of a step that failed."""
        rows, steps = super().look(whole=whole)
        for step, row in enumerate(rows, steps - len(rows)):
            if not self._failed and not math.isfinite(row[Row.SIZE]):
                self._failed = True
                self._find_failing_batch(step)
        return rows, steps

    def _find_failing_batch(self, failed: int) -> None:
        if failed < len(self.batches):
            self.failing_batch = self.batches[failed]
            del self.batches[failed:]
        for step, data in self._data:
            if step == failed:
                self.keep_data(data, failing=True)
        self._data.clear()

    def model_state(self) -> AbstractContextManager[None]:
        """Give the model its state for a block: within an epoch its variables are empty."""
        if self._given is None:
            return contextlib.nullcontext()
        return jax_state_attached(self.model, self._given)

    def detach(self) -> None:
        """Leave the model as it was."""
        super().detach()
        self._given = None
        self._data.clear()

    @property
    def clipped_steps(self) -> int:
        """Steps whose gradients were clipped; read from the device."""
        if self._state is None or self._state.is_deleted():  # by a step that raised while it ran
            return 0
        return int(np.asarray(self._state)[_State.CLIPPED])


def _row_of(now: _Tracing, logs: Any) -> tuple[Any, Any]:
    """Return the row of a step, and whether its update may be made."""
    size = jnp.float32(0) if now.size is None else now.size
    loss = now.loss
    if loss is not None:
        loss = jnp.mean(jnp.asarray(loss, "float32"))
        size = jnp.where(jnp.isfinite(loss), size, jnp.nan)
    else:
        # What a train_step of the user's logs is a mean over the epoch so far, perhaps, which tells
        # of a divergence all the same.
        logged = logs.get("loss") if isinstance(logs, dict) else None
        known = logged is not None and jnp.ndim(logged) == 0
        loss = jnp.asarray(logged, "float32") if known else jnp.float32(jnp.nan)
    ok = jnp.isfinite(size) & (now.failed == 0)
    return jnp.stack([loss, size]), ok


def _updated(
    ok: Any, apply: Callable[..., Any], gradients: Any, others: Any, old: list[Any]
) -> tuple[Any, ...]:
    """Return the state after the update of a good step, else the old one.

    Args:
        ok: Whether the step is good, shape ().
        apply: The optimizer's own stateless_apply.
        gradients: One for each trainable variable; None: no update was asked for.
        others: The new non-trainable variables.
        old: Trainable, non-trainable and optimizer variables from before the step.
    """

    def update(state: tuple[Any, ...]) -> tuple[Any, ...]:
        weights, slots = state
        return (weights, slots) if gradients is None else apply(slots, gradients, weights)

    weights, slots = _once(ok, update, (list(old[0]), list(old[2])))
    return weights, _statistics(ok, others, old[1]), slots


def _statistics(ok: Any, new: Any, old: Any) -> Any:
    """Return the new non-trainable variables where a step is good, else the old ones.

    What is computed in a loop or selected, XLA rounds otherwise than Keras's own step: so the loop
    is the one that runs for a bad step.
    """
    new, old = _leaves_of(new, old)
    return _once(~ok, lambda _: old, new)


def _once(ok: Any, function: Callable[[Any], Any], state: Any) -> Any:
    """Return function(state) where `ok`, else the state; in place, where that is compiled."""
    if not isinstance(ok, jax.core.Tracer):
        return function(state) if bool(ok) else state

    def body(carried: tuple[Any, Any]) -> tuple[Any, Any]:
        new = jax.tree.leaves(function(carried[1]))
        old, structure = jax.tree.flatten(carried[1])
        leaves = [jnp.asarray(n, o.dtype) for n, o in zip(new, old, strict=True)]
        return jnp.bool_(False), jax.tree.unflatten(structure, leaves)

    return jax.lax.while_loop(lambda carried: carried[0], body, (ok, state))[1]


def _chosen(ok: Any, after: tuple[Any, ...], before: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the new state where a step is good, else the old one, element by element."""
    weights, slots = (_where(ok, *_leaves_of(after[i], before[i])) for i in (0, 2))
    chosen = (weights, _statistics(ok, after[1], before[1]), slots)
    return tuple(
        jax.tree.unflatten(jax.tree.structure(new), leaves)
        for new, leaves in zip(after, chosen, strict=True)
    )


def _leaves_of(after: Any, before: Any) -> tuple[list[Any], list[Any]]:
    """Return the leaves of two states, of the same dtypes."""
    new, old = jax.tree.leaves(after), jax.tree.leaves(before)
    if len(old) != len(new):  # a train_step that adds to its state: nothing to go back to
        return new, new
    return new, [jnp.asarray(o, n.dtype) for o, n in zip(old, new, strict=True)]


def _where(ok: Any, new: list[Any], old: list[Any]) -> list[Any]:
    return [jnp.where(ok, n, o) for n, o in zip(new, old, strict=True)]


def _loss_scale(optimizer: Any, optimizer_variables: Any) -> Any:
    """The factor in the gradients of a LossScaleOptimizer; None elsewhere."""
    if not hasattr(optimizer, "inner_optimizer"):
        return None
    places = {id(variable): i for i, variable in enumerate(optimizer.variables)}
    return jnp.asarray(optimizer_variables[places[id(optimizer.dynamic_scale)]], "float32")


def _replicated() -> Any:
    """Return the sharding of a number that all devices have; None without a distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return None
    mesh = getattr(distribution.device_mesh, "backend_mesh", None)
    if mesh is None:
        raise CannotRecordError("this version of Keras does not tell the mesh of its devices")
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())  # type: ignore[no-untyped-call]


def _initial_state() -> Any:
    sharding = _replicated()
    state = np.zeros(len(_State), np.float32)
    return jax.device_put(state) if sharding is None else jax.device_put(state, sharding)
