"""Is there something to learn at all? Reference models on the same rows, without Keras."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._diagnosis.arrays import Array, is_float, leaves, scale_of
from robusttune._diagnosis.trace import Batch

# The reference must beat the constant prediction by this much on rows that it did not see.
_CLEAR = 0.7
_HIDDEN = (32, 32)
# From so many rows on a part of them is held out; fewer are left out one by one; and of the fewest
# nobody can say what is noise.
MANY_ROWS = 64
FEW_ROWS = 8
_CLASSES = 20
_HELD_OUT = 0.25


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs and targets row by row.

    Args:
        x: Shape (rows, numbers), float64.
        y: Shape (rows,), float64: quantities, or the numbers of classes.
        classes: Whether these are classes.
    """

    x: Array
    y: Array
    classes: bool


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors on rows that were not learned from: shares of wrong classes, or mean squares.

    Args:
        constant: Of the best constant prediction.
        linear: Of a linear model (least squares, or logistic regression).
        reference: Of an ordinary non-linear one.
    """

    constant: float
    linear: float
    reference: float


def learnable(train: Sequence[Batch], test: Sequence[Batch]) -> bool:
    """Whether an ordinary net learns from `train` what clearly helps on `test`.

    Args:
        train: Batches with one real input and one target; with others the answer is False.
        test: Likewise; where empty, a quarter of the rows of `train` is held out.
    """
    found = held_out_errors(train, test)
    return found is not None and found.reference < _CLEAR * found.constant


def nothing_to_learn(batches: Sequence[Batch]) -> bool:
    """Whether an ordinary net was tried, and learns nothing that helps on rows held out."""
    found = held_out_errors(batches)
    return found is not None and not found.reference < _CLEAR * found.constant


def held_out_errors(train: Sequence[Batch], test: Sequence[Batch] = ()) -> Errors | None:
    """Return how well simple models do on rows that they did not learn from.

    Two layers of 32 relu units on a quarter of the rows; on few rows, a Gaussian process that
    leaves out one at a time. Source of the latter: Rasmussen and Williams 2006, Gaussian Processes
    for Machine Learning, section 5.4.2.

    Args:
        train: Batches with one real input and one target.
        test: Likewise; where empty, a quarter of the rows of `train` is held out.

    Returns:
        None where there are no such rows, or fewer than 8.
    """
    rows = rows_of(train)
    if rows is None or len(rows.x) < FEW_ROWS:
        return None
    if len(rows.x) < MANY_ROWS:
        return _leaving_one_out(rows)
    held_out = rows_of(test) if test else None
    if held_out is None:
        cut = int(len(rows.x) * (1 - _HELD_OUT))
        rows, held_out = (
            Rows(rows.x[:cut], rows.y[:cut], rows.classes),
            Rows(rows.x[cut:], rows.y[cut:], rows.classes),
        )
    scale = scale_of(rows.x)
    x, x_test = scale.standardize(rows.x), scale.standardize(held_out.x)
    find = _wrong_classes if rows.classes else _squares
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return find(x, rows.y, x_test, held_out.y)


def rows_of(batches: Sequence[Batch]) -> Rows | None:
    """Return the distinct rows of batches with one real input and one target; None for others."""
    inputs, targets = [_one(batch.x) for batch in batches], [_one(batch.y) for batch in batches]
    x_parts = [a.reshape(len(a), -1) for a in inputs if a is not None and a.ndim]
    y_parts = [a for a in targets if a is not None and a.ndim]
    if not x_parts or len(x_parts) != len(inputs) or len(y_parts) != len(targets):
        return None
    x, y = np.concatenate(x_parts), np.concatenate(y_parts)
    if y.ndim > 1 and y.shape[-1] > 1:
        y = y.argmax(axis=-1) if set(np.unique(y)) <= {0, 1} else y
    if y.size != len(x) or not is_float(x) or y.dtype.kind not in "biuf":
        return None
    x, y = x.astype(np.float64), y.reshape(-1).astype(np.float64)
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        return None
    _, first = np.unique(np.column_stack([x, y]), axis=0, return_index=True)
    kept = np.sort(first)  # the same rows come again in each epoch
    values = np.unique(y[kept])
    whole = bool(np.all(values == np.round(values))) and len(values) <= _CLASSES
    return Rows(x[kept], y[kept], whole)


def _wrong_classes(x: Array, y: Array, x_test: Array, y_test: Array) -> Errors | None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        return None
    net = MLPClassifier(
        hidden_layer_sizes=_HIDDEN, max_iter=300, learning_rate_init=0.01, random_state=1
    )
    linear = LogisticRegression(max_iter=200)

    def error(model: Any) -> float:
        return float(np.mean(model.fit(x, y).predict(x_test) != y_test))

    return Errors(float(np.mean(y_test != classes[counts.argmax()])), error(linear), error(net))


def _squares(x: Array, y: Array, x_test: Array, y_test: Array) -> Errors | None:
    from sklearn.linear_model import LinearRegression
    from sklearn.neural_network import MLPRegressor

    spread = float(y.std()) or 1.0
    y, y_test = (y - y.mean()) / spread, (y_test - y.mean()) / spread
    net = MLPRegressor(
        hidden_layer_sizes=_HIDDEN, max_iter=300, learning_rate_init=0.01, random_state=1
    )

    def error(model: Any) -> float:
        return float(np.mean(np.square(model.fit(x, y).predict(x_test) - y_test)))

    return Errors(float(np.mean(np.square(y_test))), error(LinearRegression()), error(net))


def _leaving_one_out(rows: Rows) -> Errors | None:
    """Return errors over few rows, each predicted from all others; classes as numbers."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    spread = float(rows.y.std())
    if not spread or (rows.classes and len(np.unique(rows.y)) > 2):
        return None
    x, y = scale_of(rows.x).standardize(rows.x), (rows.y - rows.y.mean()) / spread
    count = len(y)
    affine = np.column_stack([np.ones(count), x])
    hat = affine @ np.linalg.pinv(affine)
    process = GaussianProcessRegressor(ConstantKernel() * RBF() + WhiteKernel(), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.fit(x, y)
    inverse = np.linalg.inv(process.kernel_(x))
    residuals: dict[str, Callable[[], Array]] = {
        "constant": lambda: y * count / (count - 1),
        "linear": lambda: (y - hat @ y) / np.maximum(1 - np.diag(hat), 1e-6),
        "reference": lambda: (inverse @ y) / np.diag(inverse),
    }
    return Errors(**{name: float(np.mean(np.square(of()))) for name, of in residuals.items()})


def _one(structure: Any) -> Array | None:
    found = [array for _, array in leaves(structure)]
    return np.asarray(found[0]) if len(found) == 1 else None
