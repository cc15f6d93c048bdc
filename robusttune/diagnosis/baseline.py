"""The loss of the best constant prediction, from the targets alone: no model is run."""

from __future__ import annotations

import numpy as np

from robusttune.diagnosis.arrays import Array, leaves
from robusttune.diagnosis.facts import ModelFacts
from robusttune.diagnosis.trace import FitTrace


def quick_baseline(facts: ModelFacts, trace: FitTrace, *, start: bool = False) -> float | None:
    """Return the loss of the best constant prediction for one plain output; None otherwise.

    Args:
        facts: For the loss.
        trace: For the targets.
        start: Whether quantities are compared with 0 instead, near which a sound fit starts.
    """
    if any(batch.sample_weight is not None for batch in trace.first_batches):
        return None
    targets = plain_targets(trace)
    if len(facts.losses) != 1 or targets is None:
        return None
    y = targets.astype(np.float64)
    y = y.reshape(-1, y.shape[-1]) if y.ndim > 1 else y.reshape(-1, 1)
    return _constant_loss(facts.losses[0].name, y, center=not start)


def plain_targets(trace: FitTrace) -> Array | None:
    """Return the targets of the first batches of a model with one output; None otherwise."""
    found = [[array for _, array in leaves(batch.y)] for batch in trace.first_batches]
    if not found or any(len(each) != 1 for each in found):
        return None
    arrays = [each[0] for each in found if each[0].dtype.kind in "biuf"]
    if not arrays or any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
        return None
    return np.concatenate(arrays)


def _constant_loss(name: str, y: Array, *, center: bool) -> float | None:
    if not np.isfinite(y).all():
        return None
    if name == "mean_squared_error":
        return float(np.square(y - center * y.mean(axis=0)).mean())
    if name == "mean_absolute_error":
        return float(np.abs(y - center * np.median(y, axis=0)).mean())
    if name == "binary_crossentropy" and y.min() >= 0 and y.max() <= 1:
        shares = np.clip(y.mean(axis=0), 1e-7, 1 - 1e-7)
        return float(-(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).mean())
    if name == "categorical_crossentropy" and y.shape[1] > 1 and y.min() >= 0:
        return _entropy(y.sum(axis=0))
    if name == "sparse_categorical_crossentropy" and y.min() >= 0:
        return _entropy(np.bincount(y.astype(int).ravel()))
    return None


def _entropy(counts: Array) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
