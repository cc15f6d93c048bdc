"""Is there something to learn at all? A small reference net on the same batches, without Keras."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from robusttune.diagnosis.arrays import Array, is_float, leaves, scale_of
from robusttune.diagnosis.trace import Batch

# The reference must beat the constant prediction by this much on rows that it did not see.
_CLEAR = 0.7
_HIDDEN = (32, 32)
_LEAST_ROWS = 64


def learnable(train: Sequence[Batch], test: Sequence[Batch]) -> bool:
    """Whether an ordinary net learns from `train` what clearly helps on `test`.

    Args:
        train: Batches with one real input and one target; with others the answer is False.
        test: Likewise; where empty, a quarter of the rows of `train` is held out.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x, y = _rows(train)
    if x is None or y is None or len(x) < _LEAST_ROWS:
        return False
    if test:
        x_test, y_test = _rows(test)
        if x_test is None or y_test is None:
            return False
    else:
        cut = len(x) * 3 // 4
        x, x_test, y, y_test = x[:cut], x[cut:], y[:cut], y[cut:]
    scale = scale_of(x)
    x, x_test = scale.standardize(x), scale.standardize(x_test)
    classes = np.unique(y)
    whole = bool(np.all(y == np.round(y))) and len(classes) <= 20
    kind = MLPClassifier if whole else MLPRegressor
    net = kind(hidden_layer_sizes=_HIDDEN, max_iter=300, learning_rate_init=0.01, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if not whole:
            spread = float(y.std()) or 1.0
            net.fit(x, (y - y.mean()) / spread)
            wrong = np.mean(np.square(net.predict(x_test) - (y_test - y.mean()) / spread))
            return bool(wrong < _CLEAR * np.mean(np.square((y_test - y.mean()) / spread)))
        net.fit(x, y)
    missed = float(np.mean(net.predict(x_test) != y_test))
    majority = classes[np.argmax([np.sum(y == value) for value in classes])]
    return missed < _CLEAR * float(np.mean(y_test != majority))


def _rows(batches: Sequence[Batch]) -> tuple[Array | None, Array | None]:
    inputs = [_one(batch.x) for batch in batches]
    targets = [_one(batch.y) for batch in batches]
    if any(a is None for a in (*inputs, *targets)):
        return None, None
    x = np.concatenate([np.asarray(a).reshape(len(np.asarray(a)), -1) for a in inputs])
    y = np.concatenate([np.asarray(a) for a in targets])
    if y.ndim > 1 and y.shape[-1] > 1:
        y = y.argmax(axis=-1) if set(np.unique(y)) <= {0, 1} else y
    if y.size != len(x) or not is_float(x) or not np.isfinite(x).all():
        return None, None
    return x.astype(np.float64), y.reshape(-1).astype(np.float64)


def _one(structure: Any) -> Array | None:
    found = [array for _, array in leaves(structure)]
    return found[0] if len(found) == 1 else None
