"""The flight recorder around a TensorFlow fit: all optimizers of a model, and its batches."""

from __future__ import annotations

import collections
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from robusttune.guard.tensorflow_step import WARM_UP_STEPS, Row, StepRecorder
from robusttune.guard.trace import Batch
from robusttune.records import one_line

# Batches larger than this are not kept, in bytes each.
MAX_BATCH_BYTES = 16 * 2**20

_LOGS_KEY = "robusttune_row"


class ModelRecorder:
    """Instruments a model for the duration of one fit: optimizers, train step, train function.

    Args:
        model: A compiled Keras model on the TensorFlow backend.
        clip: See StepRecorder.
        history: Rows that are kept.
        after_step: Called on the host after each call of the train function.
        every_step: Whether the host reads the row of every step by itself.
    """

    def __init__(
        self,
        model: Any,
        *,
        clip: float | Literal["auto"] | None,
        history: int,
        after_step: Callable[[], None],
        every_step: bool,
    ) -> None:
        self.model = model
        self.batches: list[Batch] = []
        self.failing_batch: Batch | None = None
        self.missing: dict[str, str] = {}
        self._after_step = after_step
        self._structure: Any = None
        self._last_row: Any = None
        replicas = model.distribute_strategy.num_replicas_in_sync
        # XLA cannot call the host, but the first batches can be read off its input.
        self._tapped = bool(model.jit_compile) and replicas == 1
        if replicas > 1:
            self.missing["failing_batch"] = f"{replicas} replicas"
        elif self._tapped:
            self.missing["failing_batch"] = "jit_compile"
        self._seen: collections.deque[Any] | None = None
        if every_step and model.steps_per_execution == 1:
            self._seen = collections.deque(maxlen=history)
        self.steps = [
            StepRecorder(
                optimizer,
                clip=clip,
                history=1 if self._seen is not None else history,
                on_batch=None if self.missing else self._keep_batch,
                one_branch=bool(model.jit_compile) or replicas > 1,
            )
            for optimizer in optimizers_of(model)
        ]

    def attach(self) -> None:
        """Instrument the model; its train function is built anew, before it is traced."""
        for step in self.steps:
            step.attach()
        train_step = self.model.train_step

        def noted_train_step(data: Any) -> Any:
            self._structure = data
            for step in self.steps:
                step.begin_step(data)
            logs = train_step(data)
            rows = [step.row for step in self.steps]
            # The row rides along with the logs: cheaper than reading a variable from the host.
            if isinstance(logs, dict) and len(rows) == 1 and _in_this_graph(rows[0]):
                return {**logs, _LOGS_KEY: rows[0]}
            return logs

        self.model.__dict__["train_step"] = noted_train_step
        self.model.train_function = None
        self.model.make_train_function()
        train_function = self.model.train_function

        def watched_train_function(iterator: Any) -> Any:
            if self._tapped and len(self.batches) < WARM_UP_STEPS:
                iterator = self._tap(iterator)
            logs = train_function(iterator)
            self._last_row = None
            if isinstance(logs, dict) and _LOGS_KEY in logs:
                logs = dict(logs)
                self._last_row = logs.pop(_LOGS_KEY)
            self._after_step()
            return logs

        self.model.train_function = watched_train_function

    def detach(self) -> None:
        """Leave the model as it was; the next fit builds and traces its own train function."""
        for step in self.steps:
            step.detach()
        self.model.__dict__.pop("train_step", None)
        self.model.train_function = None
        self._structure = self._last_row = None

    def last_row(self) -> np.ndarray[Any, Any]:
        """Return the row of the last step, shape (len(Row),)."""
        row = self._last_row
        row = (
            _failed_or_first([s.state.numpy() for s in self.steps]) if row is None else row.numpy()
        )
        row = row if row.ndim == 1 else row[0]
        if self._seen is not None and (
            not self._seen or row[Row.STEPS] > self._seen[-1][Row.STEPS]
        ):
            self._seen.append(row)
        return np.asarray(row)

    def history(self) -> np.ndarray[Any, Any]:
        """Return the kept rows, oldest first, shape (n, len(Row))."""
        if self._seen is not None:
            return np.array(self._seen).reshape(-1, len(Row))
        table = _failed_or_first([step.state.numpy() for step in self.steps])
        return np.asarray(table[table[:, Row.STEPS] > 0][::-1])

    def _keep_batch(self, arrays: Sequence[np.ndarray[Any, Any]], failing: bool) -> None:
        if sum(array.nbytes for array in arrays) > MAX_BATCH_BYTES:
            self.missing["failing_batch"] = f"more than {MAX_BATCH_BYTES >> 20} MiB a batch"
            return
        leaves = iter(arrays)
        data = tf.nest.map_structure(
            lambda leaf: np.array(next(leaves)) if isinstance(leaf, tf.Tensor) else None,
            self._structure,
        )
        batch = Batch(*keras.utils.unpack_x_y_sample_weight(data))
        if failing:
            self.failing_batch = batch
        elif len(self.batches) < WARM_UP_STEPS:  # several optimizers take several steps a batch
            self.batches.append(batch)

    def _tap(self, iterator: Any) -> Any:
        """Return an iterator over what one call takes from this one, keeping its batches."""
        taken: list[Any] = []
        try:
            source = tf.data.Dataset.from_generator(
                lambda: iter(taken), output_signature=iterator.element_spec
            )
        except (AttributeError, TypeError, ValueError) as error:
            self._tapped = False
            self.missing["first_batches"] = one_line(f"jit_compile, and {error}")
            return iterator
        taken.extend(itertools.islice(iterator, self.model.steps_per_execution))
        for data in taken:
            self._structure = data
            tensors = [leaf for leaf in tf.nest.flatten(data) if isinstance(leaf, tf.Tensor)]
            self._keep_batch([tensor.numpy() for tensor in tensors], failing=False)
        self._structure = None
        return iter(source)


def optimizers_of(model: Any) -> list[Any]:
    """Return the Keras optimizers that the model holds: one, or several as in a GAN."""
    found = [model.optimizer] if isinstance(model.optimizer, keras.optimizers.Optimizer) else []
    for value in vars(model).values():
        if isinstance(value, keras.optimizers.Optimizer) and not any(value is o for o in found):
            found.append(value)
    return found


def _failed_or_first(states: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    failed = [state for state in states if np.atleast_2d(state)[0, Row.FAILED]]
    return (failed or list(states))[0]


def _in_this_graph(tensor: Any) -> bool:
    if tensor is None:
        return False
    if tf.executing_eagerly():
        return True
    with contextlib.suppress(AttributeError):
        return bool(tensor.graph is tf.compat.v1.get_default_graph())
    return False
