"""The flight recorder around a TensorFlow fit: all optimizers of a model, and its batches."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from robusttune._compat.keras import build_symbolically
from robusttune._diagnosis.trace import Batch
from robusttune._guard import recorder
from robusttune._guard.recorder import FitRecorder, Rows, optimizers_of, running_state
from robusttune._guard.tensorflow_graphs import forget_step_graphs
from robusttune._guard.tensorflow_step import StepRecorder
from robusttune._records import one_line

_log = logging.getLogger("robusttune.guard")

_LOGS_KEY = "robusttune_row"


class ModelRecorder(FitRecorder):
    """Instruments optimizers, train step and train function of a model; see FitRecorder."""

    end_of_data = (StopIteration, tf.errors.OutOfRangeError)

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        optimizers = optimizers_of(model)
        self._structure: Any = None
        with model.distribute_strategy.scope():
            # Whether updates do, also those of a single replica.
            merges = self._merges = tf.distribute.has_strategy()
        # XLA cannot call the host, but the first batches can be read off its input.
        self._tapped = bool(model.jit_compile) and not merges
        self._can_tap = not merges
        if merges:
            self.missing["failing_batch"] = "replicas of a tf.distribute strategy"
        elif self._tapped:
            self.missing["failing_batch"] = "jit_compile"
        self.steps = [
            StepRecorder(
                optimizer,
                clip=self.clip,
                history=options["history"],
                rides=model.steps_per_execution == len(optimizers) == 1 and not merges,
                on_batch=None if self.missing else self._receive,
                one_branch=bool(model.jit_compile) or merges,
            )
            for optimizer in optimizers
        ]

    def _instrument(self) -> None:
        for step in self.steps:
            self.put(step.optimizer, **step.methods)
        model = self.model
        # A tf.function of the user's would keep its trace, with this fit in it, for the next fit;
        # Keras makes one of the whole step anyway.
        train_step = getattr(model.train_step, "python_function", model.train_step)

        def noted_train_step(data: Any) -> Any:
            self._structure = data
            state = [] if self._merges else running_state(model)
            for step in self.steps:
                step.begin_step(data, state)
            logs = train_step(data)
            # A row that rides along with the logs costs less than a variable that is read.
            row = self.steps[0].row_with(logs) if len(self.steps) == 1 else None
            return logs if row is None else {**logs, _LOGS_KEY: row}

        self.put(model, train_step=noted_train_step)

    def _call(self, train_function: Any, iterator: Any) -> Any:
        first = not self._begun
        if first:
            self._build_state(iterator)
        self._begin()
        if self.keeps_latest or (self._tapped and self.wants_batches):
            began = time.perf_counter()
            iterator = self._tap(iterator)
            self.tapping_seconds += 0.0 if first else time.perf_counter() - began
        logs = train_function(iterator)
        row = logs.pop(_LOGS_KEY, None)
        if row is not None:
            self._seen.append(row)
            self._steps += 1
        self._after_step()
        return logs

    def _build_state(self, iterator: Any) -> None:
        """Make the variables of model, metrics and optimizer, before the first step is traced.

        A step that is traced before they exist makes them, and is then traced a second time.
        """
        model = self.model
        if type(model).train_step is not keras.Model.train_step or self._merges:
            return
        try:
            batch = tf.nest.map_structure(
                lambda spec: keras.KerasTensor(spec.shape, spec.dtype.name), iterator.element_spec
            )
            build_symbolically(model, batch)
        except Exception:  # whatever it is, the step itself raises it in its own words
            _log.debug("the state of the fit is built by its first step", exc_info=True)

    def detach(self) -> None:
        """Leave the model as it was; the next fit builds and traces its own train function."""
        for step in self.steps:
            step.forget_failure()
        super().detach()
        self._structure = None
        forget_step_graphs()

    @property
    def clipped_steps(self) -> int:
        """Steps whose gradients were clipped."""
        return sum(step.clipped_steps for step in self.steps)

    def look(self, *, whole: bool = True) -> tuple[Rows, int]:
        """Return the rows since the last look, oldest first, and the number of steps so far.

        At most `history` rows are kept: who looks less often misses some.
        """
        if self._seen:
            return super().look(whole=whole)
        table, self._steps = self._watched().rows()
        new = min(self._steps - self._looked, len(table))
        self._looked = self._steps
        return table[len(table) - new :].tolist(), self._steps

    def history(self) -> tuple[np.ndarray[Any, Any], int]:
        """Return the kept rows, oldest first, shape (n, len(Row)), and the number of steps."""
        if self._seen:
            return super().history()
        return self._watched().rows()

    def _watched(self) -> StepRecorder:
        """The optimizer that failed, else the first one."""
        others = self.steps[1:]
        return next((step for step in others if step.failed), self.steps[0])

    def _receive(self, arrays: Sequence[np.ndarray[Any, Any]], failing: bool) -> None:
        self.keep_batch(_batch_of(self._structure, arrays), failing)

    def _tap(self, iterator: Any) -> Any:
        """Return an iterator over what one call takes from this one, keeping its batches."""
        taken: list[Any] = []
        try:
            source = tf.data.Dataset.from_generator(
                lambda: iter(taken), output_signature=iterator.element_spec
            )
        except (AttributeError, TypeError, ValueError) as error:
            if self._tapped:
                self.missing["first_batches"] = one_line(f"jit_compile, and {error}")
            self._tapped = self._can_tap = self.keeps_latest = False
            return iterator
        taken.extend(itertools.islice(iterator, self.model.steps_per_execution))
        for data in taken:
            leaves = [leaf for leaf in tf.nest.flatten(data) if isinstance(leaf, tf.Tensor)]
            batch = _batch_of(data, [leaf.numpy() for leaf in leaves])
            if self._tapped:
                self.keep_batch(batch)
            if self.keeps_latest and batch is not None:
                self.latest.append(batch)
            elif self.keeps_latest:
                self._can_tap = self.keeps_latest = False
        return iter(source)


def _batch_of(structure: Any, arrays: Sequence[np.ndarray[Any, Any]]) -> Batch | None:
    """Return a batch nested as `structure`, its tensors being the arrays; None: it is too large."""
    if sum(array.nbytes for array in arrays) > recorder.MAX_BATCH_BYTES:
        return None
    leaves = iter(arrays)
    data = tf.nest.map_structure(
        lambda leaf: np.array(next(leaves)) if isinstance(leaf, tf.Tensor) else None, structure
    )
    return Batch(*keras.utils.unpack_x_y_sample_weight(data))
