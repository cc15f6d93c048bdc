"""FitRecorder: what the flight recorder around a fit is on every backend.

It instruments a model for one fit: what runs inside the step keeps a failing update from the
weights, clips, and notes loss and gradient; this part counts, keeps batches, and hands over.
`tensorflow_fit`, `torch_fit` and `jax_fit` have the part inside the step.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, NoReturn

import keras
import numpy as np

from robusttune._compat.keras import all_layers, own_non_trainable_variables
from robusttune._diagnosis.arrays import leaves
from robusttune._diagnosis.trace import Batch
from robusttune._guard.clipping import WARM_UP_STEPS, Row

_log = logging.getLogger("robusttune.guard")

# Batches are kept until so many rows were seen: with few, the noise of a loss hides what a replay
# has learned.
ENOUGH_ROWS = 512
# Batches larger than this are not kept, in bytes each; and not more than so many bytes of them.
MAX_BATCH_BYTES = 16 * 2**20
MAX_KEPT_BYTES = 8 * MAX_BATCH_BYTES

Rows = list[list[float]]


class CannotRecordError(Exception):
    """A fit cannot be instrumented; the message says why."""


class FitRecorder:
    """Instruments a model for the duration of one fit.

    Args:
        model: A compiled Keras model.
        clip: "auto", a global norm, or None; see `clip_of`.
        history: Rows that are kept.
        look_every: Steps between two looks of the host, at most `history`.
        before_first_step: Called once the model is built, before its first step.
        after_step: Called after each call of the train function.
        abandoned: Called where the fit has raised, and will not end in good order; with the
            exception of a step, or None.

    Attributes:
        lag: Steps at the end whose rows a look leaves to the next one.
        batches: The first batches.
        latest: The batches of the last steps, as long as `keeps_latest`.
        failing_batch: That of the step that failed; None where it is not known.
        missing: Why something is not known, by its name in a FitTrace.
        tapping_seconds: What keeping batches took, but for the first step.
        knows_norms: Whether gradient norms are known.

    Raises:
        CannotRecordError: This fit cannot be instrumented.
    """

    lag = 0
    knows_norms = True
    # What Keras catches itself: the data are at their end, and the fit goes on.
    end_of_data: tuple[type[BaseException], ...] = (StopIteration,)

    def __init__(
        self,
        model: Any,
        *,
        clip: float | Literal["auto"] | None,
        history: int,
        look_every: int,
        before_first_step: Callable[[], None],
        after_step: Callable[[], None],
        abandoned: Callable[[BaseException | None], None],
    ) -> None:
        self.model = model
        self.clip = clip
        self.look_every = look_every
        self.batches: list[Batch] = []
        self.latest: collections.deque[Batch] = collections.deque(maxlen=WARM_UP_STEPS)
        self.keeps_latest = False
        self.failing_batch: Batch | None = None
        self.missing: dict[str, str] = {}
        self.tapping_seconds = 0.0
        self._kept_rows = self._kept_bytes = 0
        self._before_first_step = before_first_step
        self._after_step = after_step
        self._abandoned = abandoned
        self._begun = False
        self._can_tap = True
        self._seen: collections.deque[Any] = collections.deque(maxlen=history)
        self._steps = self._looked = 0
        self._replaced: list[tuple[dict[str, Any], str, Any]] = []

    def attach(self) -> None:
        """Instrument the model; its train function is built anew, before it is traced."""
        model = self.model

        def fit(*args: Any, **kwargs: Any) -> Any:
            self._abandoned(None)  # another fit begins: the last one has raised in a callback
            return model.fit(*args, **kwargs)

        self.put(model, fit=fit)
        self._instrument()
        model.train_function = None
        self._make_train_function()
        train_function = model.train_function

        def watched_train_function(*args: Any) -> Any:
            try:
                return self._call(train_function, *args)
            except self.end_of_data:
                raise
            except BaseException as error:  # Ctrl-C too: the model must not stay as it is now
                self._abandoned(error)
                raise

        model.train_function = watched_train_function

    def detach(self) -> None:
        """Leave the model as it was; the next fit builds its own train function."""
        for methods, name, own in reversed(self._replaced):
            methods.pop(name, None)
            if own is not None:
                methods[name] = own
        self._replaced.clear()
        self.model.train_function = None

    def put(self, owner: Any, **methods: Any) -> None:
        """Replace methods on an instance until `detach`, in front of those of its class."""
        own = vars(owner)
        for name, method in methods.items():
            before = own.get(name)
            if getattr(before, "__module__", "").startswith("robusttune._guard"):
                before = None  # of another guard of this fit
            self._replaced.append((own, name, before))
            own[name] = method

    def _instrument(self) -> None:
        """Put what runs inside the step on the model and its optimizers."""

    def _make_train_function(self) -> None:
        self.model.make_train_function()

    def _call(self, train_function: Any, *args: Any) -> Any:
        """Call the train function with what Keras hands it, and return what it returns."""
        self._begin()
        logs = train_function(*args)
        self._after_step()
        return logs

    def _begin(self) -> bool:
        """Do what comes before the first step; return whether this is it."""
        if self._begun:
            return False
        self._begun = True  # only now: callbacks may choose what is trained
        with self.model_state():
            self._before_first_step()
        return True

    def model_state(self) -> AbstractContextManager[None]:
        """Give the model its state for a block in the midst of an epoch, where it has none."""
        return contextlib.nullcontext()

    def epoch_begins(self) -> None:
        """Take note that the running means of the logs begin anew."""

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
        return 0

    def look(self, *, whole: bool = True) -> tuple[Rows, int]:
        """Return the rows since the last look, oldest first, and the number of steps up to them.

        At most `history` rows are kept: who looks less often misses some.

        Args:
            whole: Whether the rows of the last `lag` steps are wanted too.
        """
        end = len(self._seen) - (0 if whole else self.lag)
        seen = max(self._steps - len(self._seen) + end, self._looked)
        new = min(seen - self._looked, max(end, 0))
        self._looked = seen
        if new == 1:
            return [np.asarray(self._seen[end - 1]).tolist()], seen
        return [np.asarray(row).tolist() for row in list(self._seen)[end - new : end]], seen

    def history(self) -> tuple[np.ndarray[Any, Any], int]:
        """Return the kept rows, oldest first, shape (n, len(Row)), and the number of steps."""
        rows = [np.asarray(row, np.float32) for row in self._seen]
        return np.array(rows, np.float32).reshape(-1, len(Row)), self._steps

    def keep_batch(self, batch: Batch | None, failing: bool = False) -> None:
        """Keep a batch where it is wanted; None: it is too large."""
        if batch is None:
            self.missing["failing_batch"] = f"more than {MAX_BATCH_BYTES >> 20} MiB a batch"
        elif failing:
            self.failing_batch = batch
        elif self.wants_batches:  # several optimizers take several steps a batch
            arrays = [array for _, array in leaves((batch.x, batch.y, batch.sample_weight))]
            self.batches.append(batch)
            self._kept_rows += max((len(array) for array in arrays if array.ndim), default=1)
            self._kept_bytes += sum(array.nbytes for array in arrays)

    @property
    def wants_batches(self) -> bool:
        """Whether a replay needs more of the first batches: steps, or rows, within the memory."""
        few = len(self.batches) < WARM_UP_STEPS or self._kept_rows < ENOUGH_ROWS
        return few and self._kept_bytes < MAX_KEPT_BYTES

    def keep_data(self, data: Any, *, failing: bool = False) -> None:
        """Keep what a step has trained on, as far as it is wanted.

        Args:
            data: Nested tensors or arrays, as the train step has them.
            failing: Whether that step failed.
        """
        if not (failing or self.keeps_latest or self.wants_batches):
            return
        began = time.perf_counter()
        batch = batch_of(data)
        self.keep_batch(batch, failing)
        if self.keeps_latest and batch is not None and not failing:
            self.latest.append(batch)
        elif self.keeps_latest and batch is None:
            self._can_tap = self.keeps_latest = False
        self.tapping_seconds += time.perf_counter() - began if self._steps > 1 else 0.0


def batch_of(data: Any) -> Batch | None:
    """Return nested tensors or arrays as a batch of NumPy arrays; None: it is too large."""
    size = 0
    for leaf in keras.tree.flatten(data):
        shape = getattr(leaf, "shape", None)
        size += 0 if shape is None else int(np.prod(shape)) * _bytes_of(leaf)
    if size > MAX_BATCH_BYTES:
        return None
    arrays = keras.tree.map_structure(
        lambda leaf: None if leaf is None else np.array(keras.ops.convert_to_numpy(leaf)), data
    )
    return Batch(*keras.utils.unpack_x_y_sample_weight(arrays))


def _bytes_of(leaf: Any) -> int:
    dtype = getattr(leaf, "dtype", None)
    return int(getattr(leaf, "itemsize", 0) or getattr(dtype, "itemsize", 0) or 4)


def running_state(model: Any) -> list[Any]:
    """Return what the forward pass itself changes: the moving statistics of layers in training."""
    return [
        variable
        for layer in all_layers(model)
        if layer.trainable
        for variable in own_non_trainable_variables(layer)
        if "float" in str(variable.dtype)
    ]


def optimizers_of(model: Any) -> list[Any]:
    """Return the Keras optimizers that the model holds: one, or several as in a GAN.

    Raises:
        CannotRecordError: The model has no Keras optimizer.
    """
    found = [model.optimizer] if isinstance(model.optimizer, keras.optimizers.Optimizer) else []
    for value in vars(model).values():
        if isinstance(value, keras.optimizers.Optimizer) and not any(value is o for o in found):
            found.append(value)
    if not found:
        raise CannotRecordError("the optimizer is not a Keras optimizer")
    return found


def recorder_of(model: Any, **options: Any) -> FitRecorder:
    """Return the recorder of a fit on the backend that Keras runs on.

    Args:
        model: A compiled model.
        options: See FitRecorder.

    Raises:
        CannotRecordError: This fit cannot be instrumented.
    """
    name = keras.backend.backend()
    if name not in ("tensorflow", "torch", "jax"):
        _refuse(f"Keras's {name} backend does not train")
    module = importlib.import_module(f"robusttune._guard.{name}_fit")
    recorder: FitRecorder = module.ModelRecorder(model, **options)
    return recorder


def _refuse(why: str) -> NoReturn:
    raise CannotRecordError(why)
