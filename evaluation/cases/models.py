"""The tiny models and their data; in some trials something is wrong with the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np

TRIALS = 6

Build = Callable[[keras_tuner.HyperParameters], keras.Model]

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(96, 4)).astype("float32")
Y = (X @ _RNG.normal(size=(4, 1))).astype("float32")
LABELS = (Y[:, 0] > np.quantile(Y, 0.7)).astype("int32")


def network(optimizer: Any, loss: Any = "mse", metrics: Any = None) -> keras.Model:
    """Return a small regression model."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((X.shape[1],)), *layers])
    model.compile(optimizer, loss, metrics=metrics)
    return model


def number(hp: keras_tuner.HyperParameters) -> int:
    """Return which trial it is."""
    n: int = hp.Int("n", 0, TRIALS - 1)
    return n


def rates(*first: float) -> Build:
    """Return a build function whose first trials have these learning rates, the others 0.01."""

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        table = (*first, *[0.01] * TRIALS)
        return network(keras.optimizers.SGD(table[number(hp)]))

    return build


def growing_rate(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A learning rate that grows with each epoch in trial 0: it learns first, then diverges."""
    rate: Any = 0.01
    if number(hp) == 0:
        rate = keras.optimizers.schedules.ExponentialDecay(0.01, 6, 30.0)
    return network(keras.optimizers.SGD(rate))


def classifier(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A classifier; in trials 0 and 1 the weights become NaN, and its accuracy stays a number."""
    keras.utils.set_random_seed(1)
    rate = 1e38 if number(hp) < 2 else 1e-4
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((X.shape[1],)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model


def signal_to_noise(y_true: Any, y_pred: Any) -> Any:
    """A metric to be maximized that divides by the spread of the predictions."""
    return 1 / keras.ops.var(y_pred)


def constant_predictions(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A metric that is infinite in trial 0, whose model predicts a constant."""
    model = network(keras.optimizers.SGD(0.01), metrics=[signal_to_noise])
    if number(hp) == 0:
        model.layers[0].trainable = False
        model.layers[0].set_weights([np.zeros((X.shape[1], 8)), np.zeros(8)])
        model.compile(keras.optimizers.SGD(0.01), "mse", metrics=[signal_to_noise])
    return model


def too_large(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A model over the size limit in the first three trials."""
    keras.utils.set_random_seed(1)
    units = 4000 if number(hp) < 3 else 8
    model = keras.Sequential(
        [keras.Input((X.shape[1],)), keras.layers.Dense(units), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def wrong_shapes(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A model that cannot be built in trials 1 to 3."""
    if 1 <= number(hp) <= 3:
        inputs = keras.Input((X.shape[1],))
        keras.layers.Add()([keras.layers.Dense(3)(inputs), keras.layers.Dense(5)(inputs)])
    return network(keras.optimizers.SGD(0.01))
