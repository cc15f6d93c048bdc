"""First weights of a replay: those of the fit drawn anew, or standard ones in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robusttune._diagnosis.arrays import Array, is_float


def redrawn(weights: Sequence[Array], seed: int) -> list[Array]:
    """Return weights of the same distribution: kernels with rows, columns and signs shuffled.

    Shuffling keeps what an initializer promises (spread, orthogonality), whichever it was.
    """
    if not seed:
        return list(weights)
    rng = np.random.default_rng(seed)
    drawn = []
    for weight in weights:
        if weight.ndim >= 2 and is_float(weight):
            rows, columns = weight.shape[-2:]
            shuffled = weight[..., rng.permutation(rows), :][..., rng.permutation(columns)]
            signs = rng.choice([-1, 1], columns).astype(weight.dtype)
            weight = np.asarray(shuffled * signs)
        drawn.append(weight)
    return drawn


def glorot(shape: Sequence[int]) -> float:
    """Return the standard deviation of Glorot's initializer (Glorot and Bengio 2010, eq. 16)."""
    receptive = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
    return float(np.sqrt(2.0 / (receptive * (shape[-2] + shape[-1]))))


def standard(model: Any, weights: Sequence[Array], seed: int) -> list[Array]:
    """Return the weights with kernels drawn again with the standard spread, biases 0."""
    rng = np.random.default_rng(1000 + seed)
    trainable = {id(v) for v in model.trainable_variables}
    drawn = []
    for variable, weight in zip(model.weights, weights, strict=True):
        if id(variable) in trainable and weight.ndim >= 2:
            spread = rng.normal(0, glorot(weight.shape), weight.shape)
            weight = np.asarray(spread, weight.dtype)
        elif id(variable) in trainable and variable.name == "bias":
            weight = np.zeros_like(weight)
        drawn.append(weight)
    return drawn
