"""The flight recorder around a TensorFlow fit: all optimizers of a model, and its batches."""

from __future__ import annotations

import collections
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from robusttune._compat.keras import (
    all_layers,
    build_symbolically,
    own_non_trainable_variables,
)
from robusttune.diagnosis.arrays import leaves
from robusttune.diagnosis.trace import Batch
from robusttune.guard.tensorflow_graphs import forget_step_graphs
from robusttune.guard.tensorflow_step import ENOUGH_ROWS, WARM_UP_STEPS, StepRecorder
from robusttune.records import one_line

_log = logging.getLogger("robusttune.guard")

# Batches larger than this are not kept, in bytes each; and not more than so many bytes of them.
MAX_BATCH_BYTES = 16 * 2**20
MAX_KEPT_BYTES = 8 * MAX_BATCH_BYTES

_LOGS_KEY = "robusttune_row"
# Methods that are replaced on the model's instance, in front of those of its class.
_REPLACED = ("train_step", "fit")
# What Keras catches itself: the data are at their end, and the fit goes on.
_END_OF_DATA = (StopIteration, tf.errors.OutOfRangeError)


class ModelRecorder:
    """Instruments a model for the duration of one fit: optimizers, train step, train function.

    Args:
        model: A compiled Keras model on the TensorFlow backend.
        clip: See StepRecorder.
        history: Rows that are kept.
        before_first_step: Called on the host once the model is built.
        after_step: Called on the host after each call of the train function.
        abandoned: Called where the fit has raised, and will not end in good order.

    Attributes:
        batches: The first batches.
        latest: The batches of the last steps, as long as `keeps_latest`.
        failing_batch: That of the step that failed; None where it is not known.
        missing: Why something is not known, by its name in a FitTrace.
        tapping_seconds: What reading batches off the input took, but for the first step.
    """

    def __init__(
        self,
        model: Any,
        *,
        clip: float | Literal["auto"] | None,
        history: int,
        before_first_step: Callable[[], None],
        after_step: Callable[[], None],
        abandoned: Callable[[], None],
    ) -> None:
        self.model = model
        self.batches: list[Batch] = []
        self._kept_rows = self._kept_bytes = 0
        self.latest: collections.deque[Batch] = collections.deque(maxlen=WARM_UP_STEPS)
        self.keeps_latest = False
        self.failing_batch: Batch | None = None
        self.missing: dict[str, str] = {}
        self.tapping_seconds = 0.0
        self._before_first_step = before_first_step
        self._after_step = after_step
        self._abandoned = abandoned
        self._begun = False
        self._structure: Any = None
        self._seen: collections.deque[Any] = collections.deque(maxlen=history)
        self._steps = self._looked = 0
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
        optimizers = optimizers_of(model)
        self.steps = [
            StepRecorder(
                optimizer,
                clip=clip,
                history=history,
                rides=model.steps_per_execution == len(optimizers) == 1 and not merges,
                on_batch=None if self.missing else self._receive,
                one_branch=bool(model.jit_compile) or merges,
            )
            for optimizer in optimizers
        ]

    def attach(self) -> None:
        """Instrument the model; its train function is built anew, before it is traced."""
        for step in self.steps:
            step.attach()
        model = self.model
        # A tf.function of the user's would keep its trace, with this fit in it, for the next fit;
        # Keras makes one of the whole step anyway.
        train_step = getattr(model.train_step, "python_function", model.train_step)

        def noted_train_step(data: Any) -> Any:
            self._structure = data
            state = [] if self._merges else _running_state(model)
            for step in self.steps:
                step.begin_step(data, state)
            logs = train_step(data)
            # A row that rides along with the logs costs less than a variable that is read.
            row = self.steps[0].row_with(logs) if len(self.steps) == 1 else None
            return logs if row is None else {**logs, _LOGS_KEY: row}

        def fit(*args: Any, **kwargs: Any) -> Any:
            self._abandoned()  # another fit begins: the last one has raised, in a callback perhaps
            return model.fit(*args, **kwargs)

        methods = vars(model)
        # Not those of another guard of this fit.
        self._own = {
            name: methods[name]
            for name in _REPLACED
            if name in methods and getattr(methods[name], "__module__", "") != __name__
        }
        methods.update(train_step=noted_train_step, fit=fit)
        model.train_function = None
        model.make_train_function()
        train_function = model.train_function

        def watched_train_function(iterator: Any) -> Any:
            try:
                return self._call(train_function, iterator)
            except _END_OF_DATA:
                raise
            except BaseException:  # Ctrl-C too: the model must not stay as it is now
                self._abandoned()
                raise

        model.train_function = watched_train_function

    def _call(self, train_function: Any, iterator: Any) -> Any:
        first = not self._begun
        if first:  # only now: callbacks may choose what is trained
            self._begun = True
            self._build_state(iterator)
            self._before_first_step()
        if self.keeps_latest or (self._tapped and self._wants_batches):
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
            step.detach()
        for name in _REPLACED:
            vars(self.model).pop(name, None)
        vars(self.model).update(self._own)
        self.model.train_function = None
        self._structure = None
        forget_step_graphs()

    def keep_latest(self, wanted: bool) -> None:
        """Begin to keep the batches of the coming steps, or cease to."""
        self.keeps_latest = wanted and self._can_tap
        if not wanted:
            self.latest.clear()

    @property
    def has_latest(self) -> bool:
        """Whether latest batches are at hand, or never will be."""
        return bool(self.latest) or not self._can_tap

    @property
    def clipped_steps(self) -> int:
        """Steps whose gradients were clipped."""
        return sum(step.clipped_steps for step in self.steps)

    def look(self) -> tuple[list[list[float]], int]:
        """Return the rows since the last look, oldest first, and the number of steps so far.

        At most `history` rows are kept: who looks less often misses some.
        """
        if self._seen:
            new = self._steps - self._looked
            self._looked = self._steps
            if new == 1:
                return [self._seen[-1].numpy().tolist()], self._steps
            unseen = list(self._seen)[-new:] if new else []
            return [row.numpy().tolist() for row in unseen], self._steps
        table, self._steps = self._watched().rows()
        new = min(self._steps - self._looked, len(table))
        self._looked = self._steps
        return table[len(table) - new :].tolist(), self._steps

    def history(self) -> tuple[np.ndarray[Any, Any], int]:
        """Return the kept rows, oldest first, shape (n, len(Row)), and the number of steps."""
        if self._seen:
            return np.stack([row.numpy() for row in self._seen]), self._steps
        return self._watched().rows()

    def _watched(self) -> StepRecorder:
        """The optimizer that failed, else the first one."""
        others = self.steps[1:]
        return next((step for step in others if step.failed), self.steps[0])

    def _receive(self, arrays: Sequence[np.ndarray[Any, Any]], failing: bool) -> None:
        self._keep_batch(_batch_of(self._structure, arrays), failing)

    def _keep_batch(self, batch: Batch | None, failing: bool = False) -> None:
        if batch is None:
            self.missing["failing_batch"] = f"more than {MAX_BATCH_BYTES >> 20} MiB a batch"
        elif failing:
            self.failing_batch = batch
        elif self._wants_batches:  # several optimizers take several steps a batch
            arrays = [array for _, array in leaves((batch.x, batch.y, batch.sample_weight))]
            self.batches.append(batch)
            self._kept_rows += max((len(array) for array in arrays if array.ndim), default=1)
            self._kept_bytes += sum(array.nbytes for array in arrays)

    @property
    def _wants_batches(self) -> bool:
        """Whether a replay needs more of the first batches: steps, or rows, within the memory."""
        few = len(self.batches) < WARM_UP_STEPS or self._kept_rows < ENOUGH_ROWS
        return few and self._kept_bytes < MAX_KEPT_BYTES

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
                self._keep_batch(batch)
            if self.keeps_latest and batch is not None:
                self.latest.append(batch)
            elif self.keeps_latest:
                self._can_tap = self.keeps_latest = False
        return iter(source)


def _batch_of(structure: Any, arrays: Sequence[np.ndarray[Any, Any]]) -> Batch | None:
    """Return a batch nested as `structure`, its tensors being the arrays; None: it is too large."""
    if sum(array.nbytes for array in arrays) > MAX_BATCH_BYTES:
        return None
    leaves = iter(arrays)
    data = tf.nest.map_structure(
        lambda leaf: np.array(next(leaves)) if isinstance(leaf, tf.Tensor) else None, structure
    )
    return Batch(*keras.utils.unpack_x_y_sample_weight(data))


def _running_state(model: Any) -> list[Any]:
    """Return what the forward pass itself changes: the moving statistics of layers in training."""
    return [
        variable
        for layer in all_layers(model)
        if layer.trainable
        for variable in own_non_trainable_variables(layer)
        if "float" in str(variable.dtype)
    ]


def optimizers_of(model: Any) -> list[Any]:
    """Return the Keras optimizers that the model holds: one, or several as in a GAN."""
    found = [model.optimizer] if isinstance(model.optimizer, keras.optimizers.Optimizer) else []
    for value in vars(model).values():
        if isinstance(value, keras.optimizers.Optimizer) and not any(value is o for o in found):
            found.append(value)
    return found
