"""The flight recorder around a PyTorch fit: steps are eager, so the host decides on each update.

One number a step, the gradient norm, is read from the device before the update; with it comes the
loss. Whether `torch.compile` compiles the step or not, this part stays outside of its graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from robusttune._compat.torch import norms_of, scaled
from robusttune._diagnosis.backends.torch_backend import outside_of_graphs
from robusttune._guard.clipping import LARGEST, Clipping, Row, clip_of
from robusttune._guard.recorder import FitRecorder, optimizers_of, running_state


class ModelRecorder(FitRecorder):
    """Instruments optimizers and train step of a model; see FitRecorder."""

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        self._clippings = [
            (optimizer, Clipping(clip_of(self.clip, optimizer)))
            for optimizer in optimizers_of(model)
        ]
        self._failed = False
        self._loss: Any = None
        self._row: list[float] | None = None
        self._before: tuple[Sequence[Any], list[Any]] | None = None
        self._running: list[Any] | None = None  # what the forward pass changes

    def _instrument(self) -> None:
        for optimizer, clipping in self._clippings:
            self.put(
                optimizer,
                apply=self._guarded(optimizer, clipping),
                scale_loss=self._noted(optimizer.scale_loss),
            )
        train_step = self.model.train_step
        begin_step = outside_of_graphs(self._begin_step)
        end_step = outside_of_graphs(self._end_step)

        def recorded_train_step(data: Any) -> Any:
            begin_step()
            try:
                logs = train_step(data)
            except Exception:  # PyTorch refuses a probability that is NaN
                self.keep_data(data, failing=True)
                raise
            end_step(logs, data)
            return logs

        self.put(self.model, train_step=outside_of_graphs(recorded_train_step, with_calls=False))

    def _noted(self, scale_loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def noted_scale_loss(loss: Any) -> Any:
            self._loss = loss.detach()
            return scale_loss(loss)

        return outside_of_graphs(noted_scale_loss, with_calls=False)

    def epoch_begins(self) -> None:
        """Take note that callbacks may have chosen otherwise what is trained."""
        self._running = None

    def _begin_step(self) -> None:
        self._loss = self._row = None
        if self._running is None:
            self._running = running_state(self.model)
        # A step that fails leaves it as it is now.
        values = [variable.value.detach().clone() for variable in self._running]
        self._before = (self._running, values)

    def _end_step(self, logs: Any, data: Any) -> None:
        self._before = None
        if self._row is None:  # no update was made
            return
        if math.isnan(self._row[Row.LOSS]) and self._loss is None and isinstance(logs, dict):
            # What a train_step of the user's logs is a mean over the epoch so far, perhaps, which
            # tells of a divergence all the same.
            logged = logs.get("loss")
            if logged is not None and getattr(logged, "ndim", 0) == 0:
                self._row[Row.LOSS] = float(logged)
        self._seen.append(self._row)
        self._steps += 1
        failing = not math.isfinite(self._row[Row.SIZE])
        if not self._failed or (failing and self.failing_batch is None):
            self.keep_data(data, failing=failing)

    def _guarded(self, optimizer: Any, clipping: Clipping) -> Callable[..., Any]:
        apply = optimizer.apply

        def looked_at(grads: list[Any]) -> list[Any] | None:
            """Return the gradients to update with; None where there must be no update."""
            some = [gradient.detach() for gradient in grads if gradient is not None]
            if not some:
                return grads
            norm, loss = _numbers(some, self._loss)
            scale = _loss_scale(optimizer)
            size = _size(norm if scale is None else norm / scale)
            shown = size
            if scale is not None and not math.isfinite(size):
                shown = 0.0  # a LossScaleOptimizer meets such gradients by design, and skips them
            if self._loss is not None and not math.isfinite(loss):
                shown = math.nan
            if self._row is None or math.isfinite(self._row[Row.SIZE]):
                self._row = [loss, shown]  # of several updates in one step, the one that failed
            if self._failed or not math.isfinite(shown):
                self._failed = True
                self._restore()
                return None
            factor = clipping.factor(size) if math.isfinite(size) else 1.0
            if factor < 1.0:
                clipped = iter(scaled(some, factor))
                grads = [None if gradient is None else next(clipped) for gradient in grads]
            return grads

        look = outside_of_graphs(looked_at)

        def guarded_apply(grads: Any, trainable_variables: Any = None) -> Any:
            chosen = look(list(grads))
            return None if chosen is None else apply(chosen, trainable_variables)

        return outside_of_graphs(guarded_apply, with_calls=False)

    def _restore(self) -> None:
        if self._before is not None:
            for variable, value in zip(*self._before, strict=True):
                variable.assign(value)

    @property
    def clipped_steps(self) -> int:
        """Steps whose gradients were clipped."""
        return sum(clipping.clipped for _, clipping in self._clippings)


def _numbers(gradients: Sequence[Any], loss: Any) -> tuple[float, float]:
    """Return the global norm of gradients and the loss, in one read of the device."""
    floats = [g if g.dtype in (torch.float32, torch.float64) else g.float() for g in gradients]
    norm = torch.linalg.vector_norm(torch.stack([n.float() for n in norms_of(floats)]))
    if loss is None:
        return float(norm), math.nan
    both = torch.stack([norm, loss.to(norm.device, torch.float32).reshape(())]).tolist()
    return both[0], both[1]


def _size(norm: float) -> float:
    """Return half the square of a norm, as float32 has it."""
    size = norm * norm / 2
    return size if not size > LARGEST else math.inf


def _loss_scale(optimizer: Any) -> float | None:
    """The factor in the gradients of a LossScaleOptimizer; None elsewhere."""
    if not hasattr(optimizer, "inner_optimizer"):
        return None
    return float(optimizer.dynamic_scale.value if optimizer.built else optimizer.initial_scale)
