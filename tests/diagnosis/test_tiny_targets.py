"""Targets far below 1, as currents in amperes: the loss looks tiny, and predicts nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from robusttune import Guard
from tests.zoo import stack

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (400, 3)).astype("float32")
SIGNAL = (X[:, 0] - 2 * X[:, 1] * X[:, 2]).astype("float32")
NOISE = RNG.normal(size=400).astype("float32")


@pytest.mark.parametrize(
    ("targets", "activation", "optimizer", "rate", "cause"),
    [
        (1e-9 * SIGNAL, "relu", "Adam", 1e-3, "unscaled_data"),
        (1e-5 * SIGNAL, "tanh", "Adam", 1e-3, "unscaled_data"),
        (1e-4 * SIGNAL, "relu", "SGD", 0.05, "unscaled_data"),
        (0.3 * SIGNAL, "relu", "Adam", 1e-3, None),
        (1e-4 * NOISE, "relu", "Adam", 1e-3, None),  # nothing is to be learned
    ],
)
def test_tiny_targets_are_unscaled(targets, activation, optimizer, rate, cause):
    """Where the same trial learns them once they are standardized, and only there."""
    keras.utils.set_random_seed(1)
    hidden = [layers.Dense(32, activation=activation) for _ in range(2)]
    by = getattr(keras.optimizers, optimizer)(rate)
    guard = Guard()
    model = stack(*hidden, layers.Dense(1), inputs=3, optimizer=by)
    model.fit(X, targets, epochs=30, batch_size=16, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause == cause


@pytest.mark.parametrize("epochs", [1, 2, 8])
def test_a_short_fit_of_tiny_targets_is_left_alone(epochs):
    """Its loss, still large, falls by more than a tenth an epoch."""
    keras.utils.set_random_seed(1)
    model = stack(layers.Dense(16, activation="relu"), layers.Dense(1), inputs=3)
    guard = Guard()
    model.fit(X, 1e-4 * SIGNAL, epochs=epochs, batch_size=32, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause is None
