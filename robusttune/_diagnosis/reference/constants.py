"""Constant predictions that may be the best of a loss: closed forms, or a search on a grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from robusttune._compat.keras import loss_options
from robusttune._diagnosis.arrays import Array

_TINY = 1e-7  # Keras's epsilon, to which its losses clip probabilities
# Losses that are a mean over units, each with one best number: those are found on a grid.
_BY_UNIT = frozenset(
    {
        "huber",
        "log_cosh",
        "mean_absolute_percentage_error",
        "hinge",
        "squared_hinge",
        "binary_focal_crossentropy",
    }
)
_POINTS = 33  # of the grid; each round is 16 times finer than the one before
_ROUNDS = 5
_GRID_NUMBERS = 4096  # targets that the grid is searched with


# Losses of class labels.
SPARSE = frozenset({"sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"})
# So many classes, or as many as half of the rows, have shares that the rows do not tell.
_FEW_CLASSES = 20


def candidates(
    name: str, loss: Any, y: Array, weights: Array, units: int, count: int
) -> Iterator[Array]:
    """Yield constants, shape (units,), of which the best is the best of all; none where unknown.

    Args:
        name: Keras's name of the loss.
        loss: As it was compiled, for its options.
        y: Targets, shape (rows, units), or each class label once, shape (labels,).
        weights: Sample weights, or their sums by label, likewise.
        units: Numbers a prediction has.
        count: How many rows they stand for.
    """
    if weights.sum() <= 0:
        return
    options = loss_options(loss)
    if name in SPARSE:
        if len(y) <= max(_FEW_CLASSES, count / 2):
            shares = np.bincount(y.astype(int), weights=weights, minlength=units) / weights.sum()
            yield from _on_classes(name, shares, options)
        return
    mean = np.average(y, axis=0, weights=weights)
    if name in ("mean_squared_error", "poisson"):
        yield mean
    elif name == "mean_absolute_error":
        yield _median(y, weights)
    elif name == "mean_squared_logarithmic_error":
        yield np.exp(np.average(np.log1p(np.maximum(y, _TINY)), axis=0, weights=weights)) - 1
    elif name == "binary_crossentropy":
        smoothing = float(options.get("label_smoothing", 0.0))
        shares = np.clip(mean * (1 - smoothing) + smoothing / 2, _TINY, 1 - _TINY)
        yield np.log(shares / (1 - shares)) if options.get("from_logits") else shares
    elif name in _ON_CLASSES:
        if mean.min() < 0 or np.count_nonzero(mean) > max(_FEW_CLASSES, count / 2):
            return
        if mean.sum() <= 0:
            return
        shares = mean / mean.sum()
        smoothing = float(options.get("label_smoothing", 0.0))
        yield from _on_classes(name, shares * (1 - smoothing) + smoothing / units, options)
    elif name == "cosine_similarity":
        sizes = np.maximum(np.sqrt(np.square(y).sum(axis=-1, keepdims=True)), _TINY)
        yield np.average(y / sizes, axis=0, weights=weights)
    elif name == "categorical_hinge":
        yield np.zeros(units)
        yield np.eye(units)[int(mean.argmax())]
    elif name in ("dice", "tversky"):  # linear fractions: the best is at a corner of the cube
        order = np.argsort(-mean)
        for count in range(min(units, 64) + 1):
            yield np.isin(np.arange(units), order[:count]).astype(np.float64)
    elif name in _BY_UNIT:
        yield _searched(name, loss, y, weights)


_ON_CLASSES = frozenset(
    {
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "kl_divergence",
    }
)


def _on_classes(name: str, shares: Array, options: Any) -> Iterator[Array]:
    """Yield the best probabilities for class shares that sum to 1."""
    if name == "categorical_generalized_cross_entropy":
        power = float(options.get("q", 0.5))
        if power < 1:
            raised = shares ** (1 / (1 - power))
            yield raised / raised.sum()
        yield np.eye(len(shares))[int(shares.argmax())]
    elif name == "categorical_focal_crossentropy":
        alpha = np.broadcast_to(np.asarray(options.get("alpha", 1.0), np.float64), shares.shape)
        yield _as_given(_focal(shares * alpha, float(options.get("gamma", 2.0))), options)
    else:
        yield _as_given(shares, options)


def _as_given(shares: Array, options: Any) -> Array:
    """Return probabilities as the loss takes them: themselves, or their logits."""
    bounded = np.clip(shares, _TINY, 1.0)
    return np.asarray(np.log(bounded) if options.get("from_logits") else bounded)


def _focal(shares: Array, gamma: float) -> Array:
    """Return the p on the simplex with the least sum of shares x (1 - p)^gamma x -log p.

    At the minimum the derivatives in all p are the same number: both are found by halving.
    """
    grid = np.concatenate([np.logspace(-7, -1.5, 400), np.linspace(0.032, 1 - 1e-6, 1600)])
    slopes = (1 - grid) ** gamma / grid - gamma * (1 - grid) ** (gamma - 1) * np.log(grid)
    falling = np.minimum.accumulate(slopes)

    def at(level: float) -> Array:
        wanted = level / np.maximum(shares, 1e-300)
        return np.asarray(np.interp(-wanted, -falling, grid))

    low, high = 1e-12, float(falling[0])
    for _ in range(80):
        level = np.sqrt(low * high)
        low, high = (level, high) if at(level).sum() > 1 else (low, level)
    p = at(high)
    return np.asarray(p / p.sum())


def _median(y: Array, weights: Array) -> Array:
    """Return the weighted median of each column."""
    order = np.argsort(y, axis=0)
    below = np.cumsum(weights[order], axis=0)
    first = (below >= below[-1] / 2).argmax(axis=0)
    return np.asarray(np.take_along_axis(y, np.take_along_axis(order, first[None], 0), 0)[0])


def _searched(name: str, loss: Any, y: Array, weights: Array) -> Array:
    """Return the best number of each unit, from a grid that is refined around its best point."""
    import keras

    rows = max(_GRID_NUMBERS // y.shape[1], 32)
    if len(y) > rows:
        kept = np.linspace(0, len(y) - 1, rows).astype(int)
        y, weights = y[kept], weights[kept]
    options, function = loss_options(loss), getattr(loss, "fn", loss)
    low, high = _bounds(name, y)
    logits = name == "binary_focal_crossentropy" and options.get("from_logits")
    shape = (_POINTS, *y.shape)
    targets = keras.ops.convert_to_tensor(np.broadcast_to(y, shape).reshape(-1, 1), "float32")
    best = (low + high) / 2
    for _ in range(_ROUNDS):
        points = np.linspace(low, high, _POINTS)  # (points, units)
        tried = np.log(points / (1 - points)) if logits else points
        predictions = np.broadcast_to(tried[:, None], shape).reshape(-1, 1)
        values = keras.ops.convert_to_numpy(
            function(targets, keras.ops.convert_to_tensor(predictions, "float32"), **options)
        )
        means = np.einsum("pru,r->pu", values.reshape(shape).astype(np.float64), weights)
        at = means.argmin(axis=0)
        units = np.arange(y.shape[1])
        best = points[at, units]
        low = points[np.maximum(at - 1, 0), units]
        high = points[np.minimum(at + 1, _POINTS - 1), units]
    return np.asarray(np.log(best / (1 - best)) if logits else best)


def _bounds(name: str, y: Array) -> tuple[Array, Array]:
    """Return between which numbers the best constant of each unit lies."""
    if name == "binary_focal_crossentropy":
        return np.full(y.shape[1], 1e-6), np.full(y.shape[1], 1 - 1e-6)
    if name in ("hinge", "squared_hinge"):
        return np.full(y.shape[1], -1.0), np.full(y.shape[1], 1.0)
    return np.minimum(y.min(axis=0), 0.0), np.maximum(y.max(axis=0), 0.0)
