"""The plain loss for a head, and the best constant prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from robusttune._diagnosis.arrays import Array, leaves
from robusttune._diagnosis.model.forward import compute_loss, penalties, to_tensors
from robusttune._diagnosis.model.info import OutputHead, by_output
from robusttune._diagnosis.trace import Batch

# Losses that are defined, with their gradients, wherever the predictions are finite.
PLAIN = frozenset(
    {
        "mean_squared_error",
        "mean_absolute_error",
        "huber",
        "log_cosh",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "binary_focal_crossentropy",
        "categorical_focal_crossentropy",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
        "cosine_similarity",
        "kl_divergence",
    }
)
_QUANTILES = (0.5, 0.05, 0.25, 0.75, 0.95)
_LINEAR = (None, "linear")


def plain_loss(
    y: Any, predictions: Any, heads: Sequence[OutputHead]
) -> Callable[[Any, Any], Any] | None:
    """Return a loss (y, predictions) -> scalar that suits labels and heads; None if none does."""
    names = [head.name for head in heads]
    targets = [array for _, array in leaves(by_output(y, names))]
    outputs = [array for _, array in leaves(predictions)]
    if not targets or len(targets) != len(outputs) or len(heads) != len(outputs):
        return None
    losses = [_plain(*each) for each in zip(targets, outputs, heads, strict=True)]

    def total(y: Any, predictions: Any) -> Any:
        y = keras.tree.flatten(by_output(y, names))
        pairs = zip(losses, y, keras.tree.flatten(predictions), strict=True)
        return sum(keras.ops.mean(loss(target, out)) for loss, target, out in pairs)

    return total


def _plain(target: Array, output: Array, head: OutputHead) -> Callable[[Any, Any], Any]:
    units = output.shape[-1] if output.ndim > 1 else 1
    logits = head.activation in _LINEAR
    values = np.unique(target[np.isfinite(target)])
    whole = bool(values.size) and bool(np.all(values == np.round(values)))
    if target.shape == output.shape and units > 1 and set(values) <= {0, 1}:
        return lambda y, p: keras.losses.categorical_crossentropy(y, _float(p), from_logits=logits)
    if units > 1 and whole and target.size == output.size // units and np.max(values) < units:
        return lambda y, p: keras.losses.sparse_categorical_crossentropy(
            y, _float(p), from_logits=logits
        )
    if units == 1 and set(values) <= {0, 1} and head.activation in ("sigmoid", *_LINEAR):
        return lambda y, p: keras.losses.binary_crossentropy(
            keras.ops.reshape(y, keras.ops.shape(p)), _float(p), from_logits=logits
        )
    return lambda y, p: keras.losses.mean_squared_error(_like(y, p), _float(p))


def _float(predictions: Any) -> Any:
    return keras.ops.cast(predictions, "float32")


def _like(y: Any, predictions: Any) -> Any:
    y = keras.ops.cast(y, "float32")
    if len(y.shape) == len(predictions.shape):
        return y
    return keras.ops.reshape(y, keras.ops.shape(predictions))


def constant_baseline(
    model: Any,
    batch: Batch,
    predictions: Any,
    heads: Sequence[OutputHead],
    loss: Callable[[Any, Any], Any] | None = None,
) -> float | None:
    """Return the loss of the best constant prediction, without penalties; None where unknown.

    Args:
        model: The compiled model, for its compute_loss.
        batch: All rows to judge by.
        predictions: What the model gives, for its shapes.
        heads: The end of the model for each output.
        loss: Takes (y, predictions) and returns the loss; None: the model's own.
    """
    targets = [array for _, array in leaves(by_output(batch.y, [head.name for head in heads]))]
    outputs = [array for _, array in leaves(predictions)]
    if not targets or len(targets) != len(outputs) or (loss is None and model.loss is None):
        return None
    rows = targets[0].shape[0]
    kinds = [
        list(_constants(target, output.shape[1:], head))
        for target, output, head in zip(targets, outputs, heads, strict=True)
    ]

    def total(choice: list[int]) -> float:
        flat = [
            keras.ops.convert_to_tensor(
                np.broadcast_to(options[i], (rows, *output.shape[1:])).astype(np.float32)
            )
            for options, i, output in zip(kinds, choice, outputs, strict=True)
        ]
        constant = keras.tree.pack_sequence_as(predictions, flat)
        if loss is not None:
            return float(loss(to_tensors(batch.y), constant))
        # A regularizer in a scope sees only what the scope maps; zeros, so that the penalty of
        # weights that have diverged does not drown the loss.
        values = [(v, keras.ops.zeros(v.shape, v.dtype)) for v in model.variables]
        with keras.StatelessScope(values, collect_losses=True):
            loss_ = compute_loss(model, to_tensors(batch.x), batch, constant)
            return float(loss_ - penalties(model))

    choice = [0] * len(kinds)
    best = total(choice)
    for output, options in enumerate(kinds):
        for i in range(1, len(options)):
            trial = [*choice[:output], i, *choice[output + 1 :]]
            value = total(trial)
            if np.isfinite(value) and not value >= best:
                choice, best = trial, value
    return best if np.isfinite(best) else None


def _constants(target: Array, shape: tuple[int, ...], head: OutputHead) -> Iterator[Array]:
    """Yield constant predictions that may be the best: class shares, means, quantiles."""
    values = target.astype(np.float64)
    units = shape[-1] if shape else 1
    if units > 1 and (values.ndim == 1 or values.shape[-1] != units):
        whole = values[np.isfinite(values)].astype(int)
        inside = whole[(whole >= 0) & (whole < units)]
        yield from _shares(np.bincount(inside, minlength=units) / max(inside.size, 1), head)
        return
    columns = values.reshape(-1, units) if units > 1 else values.reshape(-1, 1)
    columns = columns[np.isfinite(columns).all(axis=1)]
    if not columns.size:
        yield np.zeros(units)
        return
    mean = columns.mean(axis=0)
    if columns.min() >= 0 and columns.max() <= 1:
        yield from _shares(mean, head)
    yield mean
    for quantile in _QUANTILES:
        yield np.quantile(columns, quantile, axis=0)
    yield np.zeros(units)


def _shares(shares: Array, head: OutputHead) -> Iterator[Array]:
    """Yield class shares as the head would give them: probabilities, or logits."""
    bounded = np.clip(shares, 1e-6, 1 - 1e-6)
    if head.activation in _LINEAR:
        yield np.log(bounded) if len(shares) > 1 else np.log(bounded / (1 - bounded))
    yield bounded
