"""The loss of the best constant prediction, from the targets alone: no model is run.

Keras's own loss functions are evaluated at the constants that may be the best, so that smoothing,
clipping and scales are theirs. For most losses the best constant is known in closed form; for the
others it is found on a grid that is refined around its best point.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._compat.keras import loss_options, loss_weights
from robusttune._diagnosis.arrays import Array, leaves
from robusttune._diagnosis.model.info import by_output, compiled_losses, model_facts, output_names
from robusttune._diagnosis.reference.constants import SPARSE, candidates
from robusttune._diagnosis.trace import Batch

_log = logging.getLogger("robusttune.diagnosis")

# More rows of targets, and more numbers, say nothing new about their mean, and cost time.
_ROWS = 2048
_NUMBERS = 2**18
# What a sound fit of quantities starts near: predictions of 0.
_QUANTITIES = frozenset({"mean_squared_error", "mean_absolute_error", "huber", "log_cosh"})


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of one output, row by row.

    Args:
        y: Shape (rows, units); for class labels each label once, shape (labels,); float64.
        weights: Sample weights, shape (rows,); of class labels their sums, shape (labels,).
        units: Numbers a prediction has.
        count: How many rows they stand for.
    """

    y: Array
    weights: Array
    units: int
    count: int


def constant_loss(model: Any, batches: Sequence[Batch], *, start: bool = False) -> float | None:
    """Return the loss of the best constant prediction, without penalties; None where unknown.

    One constant for each unit of each output, of any of Keras's own losses but CTC and Circle;
    sample weights, loss weights and class weights (which Keras hands over as sample weights) count
    as in training.

    Args:
        model: The compiled model, for its losses and the shapes of its outputs.
        batches: For the targets.
        start: Whether quantities are compared with 0 instead, near which a sound fit starts.
    """
    try:
        return _constant_loss(model, batches, start)
    except Exception:  # targets that the loss itself refuses: the fit raises it in its own words
        _log.debug("the best constant prediction is not known", exc_info=True)
        return None


def _constant_loss(model: Any, batches: Sequence[Batch], start: bool) -> float | None:
    losses, facts = compiled_losses(model), model_facts(model).losses
    targets = targets_by_output(model, batches)
    if not targets or not losses or not all(loss.built_in for loss in facts):
        return None
    several = isinstance(getattr(model, "loss", None), (list, tuple, Mapping))
    if len(losses) == 1 and not several:
        losses, facts = losses * len(targets), facts * len(targets)
    factors = _factors(model, len(targets))
    if len(losses) != len(targets) or factors is None or _steps_are_masked(model):
        return None
    total = 0.0
    rows = sum(len(next(leaves(batch.y))[1]) for batch in batches) / len(batches)
    for arrays, loss, fact, factor in zip(targets, losses, facts, factors, strict=True):
        found = _rows(arrays, sparse=fact.name in SPARSE, ignored=fact.ignore_class)
        if found is None:
            return None
        constants = (
            [np.zeros(found.units)]
            if start and fact.name in _QUANTITIES
            else list(candidates(fact.name, loss, found.y, found.weights, found.units, found.count))
        )
        values = [_value(loss, found, constant, rows) for constant in constants]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        if not finite:
            return None
        total += factor * min(finite)
    return total


@dataclass(frozen=True, slots=True)
class _Arrays:
    """Targets and sample weights of one output as the batches have them, and its shape."""

    y: list[Array]
    weights: list[Array]
    shape: tuple[int | None, ...] | None


def targets_by_output(model: Any, batches: Sequence[Batch]) -> list[_Arrays]:
    """Return the targets in the order of the outputs; nothing where they are not plain numbers."""
    names = output_names(model)
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "outputs", None) or ()]
    flat = [[array for _, array in leaves(by_output(batch.y, names))] for batch in batches]
    weights = [
        [array for _, array in leaves(by_output(batch.sample_weight, names))] for batch in batches
    ]
    if not flat or not flat[0] or any(len(each) != len(flat[0]) for each in flat):
        return []
    count = len(flat[0])
    found = []
    for index in range(count):
        y = [each[index] for each in flat]
        alike = all(array.ndim and array.shape[1:] == y[0].shape[1:] for array in y)
        if not alike or any(array.dtype.kind not in "biuf" for array in y):
            return []
        w = [each[index if len(each) == count else 0] for each in weights if each]
        if w and len(w) != len(y):
            return []
        found.append(_Arrays(y, w, shapes[index] if len(shapes) == count else None))
    return found


def _factors(model: Any, outputs: int) -> list[float] | None:
    given = by_output(loss_weights(model), output_names(model))
    if given is None:
        return [1.0] * outputs
    if isinstance(given, Mapping):
        given = [given[name] for name in sorted(given)]
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(values) != outputs:
        return None
    return [1.0 if value is None else float(value) for value in values]


def _steps_are_masked(model: Any) -> bool:
    """Whether the loss leaves out steps of a sequence that the targets have."""
    if not any(len(tensor.shape) > 2 for tensor in getattr(model, "outputs", None) or ()):
        return False
    layers = getattr(model, "layers", None) or ()
    return any(
        getattr(layer, "mask_zero", False) or type(layer).__name__ == "Masking" for layer in layers
    )


def _rows(arrays: _Arrays, *, sparse: bool, ignored: int | None) -> Targets | None:
    """Return at most _ROWS rows and _NUMBERS numbers of the targets, evenly chosen."""
    most = max(_ROWS // len(arrays.y), 1)
    picks = [_evenly(len(array), most) for array in arrays.y]
    y = np.concatenate([array[pick] for array, pick in zip(arrays.y, picks, strict=True)])
    shape = arrays.shape
    if sparse:
        units = int(shape[-1]) if shape is not None and shape[-1] else 0
        y = y[..., 0] if shape is not None and y.ndim == len(shape) and y.shape[-1] == 1 else y
        columns = y.reshape(-1, 1)
    else:
        if shape is not None and y.ndim == len(shape) - 1 and shape[-1] == 1:
            y = y[..., None]
        columns = y.reshape(-1, y.shape[-1]) if y.ndim > 1 else y.reshape(-1, 1)
        units = columns.shape[1]
    weights = np.ones(len(columns))
    if arrays.weights:
        w = np.concatenate([a[pick] for a, pick in zip(arrays.weights, picks, strict=True)])
        w = w[..., 0] if w.ndim == y.ndim > 1 and w.shape[-1] == 1 else w
        each = len(columns) // w.size if w.size else 0
        if each * w.size != len(columns):
            return None
        weights = np.repeat(w.ravel().astype(np.float64), each)
    kept = _evenly(len(columns), max(_NUMBERS // columns.shape[1], 256))
    values, weights = columns[kept].astype(np.float64), weights[kept]
    if sparse and ignored is not None:
        labelled = values[:, 0] != ignored
        values, weights = values[labelled], weights[labelled]
    if not values.size or not np.isfinite(values).all() or not np.isfinite(weights).all():
        return None
    if not sparse:
        return Targets(values, weights, units, len(values))
    labels, places = np.unique(values[:, 0], return_inverse=True)
    if labels.min() < 0 or (labels != np.round(labels)).any() or labels.max() > _NUMBERS:
        return None
    sums = np.bincount(places.ravel(), weights=weights)
    return Targets(labels, sums, max(units, int(labels.max()) + 1), len(values))


def _evenly(count: int, most: int) -> Any:
    """Return indices of at most `most` of `count` rows, at even distances."""
    if count <= most:
        return slice(None)
    return np.linspace(0, count - 1, most).astype(int)


def _value(loss: Any, targets: Targets, constant: Array, rows: float) -> float | None:
    """Return the loss of one constant as training reduces it; None where that is not a number.

    Args:
        loss: As it was compiled.
        targets: Of one output.
        constant: Shape (units,).
        rows: Mean number of rows a batch, for losses that are summed over it.
    """
    import keras

    predictions = np.broadcast_to(constant, (len(targets.y), targets.units))
    function = getattr(loss, "fn", loss)
    values = keras.ops.convert_to_numpy(
        function(
            keras.ops.convert_to_tensor(targets.y, "float32"),
            keras.ops.convert_to_tensor(predictions, "float32"),
            **loss_options(loss),
        )
    ).astype(np.float64)
    weights = targets.weights if values.ndim else np.ones(1)
    reduction = getattr(loss, "reduction", "sum_over_batch_size")
    mean = float((values * weights).sum()) / (targets.count if values.ndim else 1)
    if reduction in ("sum_over_batch_size", "mean"):
        return mean
    if reduction == "mean_with_sample_weight":
        return mean * targets.count / float(weights.sum()) if values.ndim else mean
    return mean * rows if reduction == "sum" and values.ndim == 1 else None
