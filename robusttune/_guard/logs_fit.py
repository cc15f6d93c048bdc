"""The recorder of a fit that cannot be instrumented: the loss of each step, from Keras's own logs.

It sees a bad step after its update: the fit ends with it, and the weights have it.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import keras

from robusttune._compat.keras import jax_state_attached
from robusttune._guard.recorder import FitRecorder
from robusttune._guard.watch import step_loss


class LogsRecorder(FitRecorder):
    """Watches the train function of a model from outside; see FitRecorder."""

    knows_norms = False

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        self._can_tap = False
        self._state: Any = None  # of a JAX fit
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self.end_of_data = (StopIteration, tf.errors.OutOfRangeError)
        self.epoch_begins()

    def epoch_begins(self) -> None:
        """Take note that the running means of the logs begin anew."""
        self._mean = math.nan
        self._batch = 0

    def model_state(self) -> AbstractContextManager[None]:
        """Give the model its state for a block in the midst of an epoch, where it has none."""
        if self._state is None:
            return super().model_state()
        return jax_state_attached(self.model, self._state)

    def _call(self, train_function: Any, *args: Any) -> Any:
        on_jax = keras.backend.backend() == "jax"  # where the state travels through the steps
        self._state = args[0] if on_jax else None
        self._begin()
        returned = train_function(*args)
        logs, self._state = returned if on_jax else (returned, None)
        mean = float(logs["loss"]) if isinstance(logs, dict) and "loss" in logs else None
        self._steps += 1
        self._batch += 1
        if mean is None:
            self._seen.append((math.nan, 0.0))
        else:
            loss = step_loss(mean, self._mean, self._batch)
            self._seen.append((loss, math.nan if math.isnan(mean) else 0.0))
            self._mean = mean
        self._after_step()
        return returned
