"""Four tables of scikit-learn with the spaces that people write first; in one, nothing fails.

Three are taken as they are measured, with learning rates over six decades and three optimizers. The
fourth is standardized, and its space holds only what trains: there, all that is asked for is that
nothing gets slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from benchmarks.peers.problems import Array, Data, Problem, Space

_DIGITS = 600  # rows of 1,797, for the sake of time
SOUND = "wine, sound"


def _layers(space: Space, data: Data, *, layers: int, dropout: float) -> list[Any]:
    depth = space.whole("layers", 1, layers)
    units = space.whole("units", 16, 128, 16)
    rate = space.number("dropout", 0.0, dropout)
    hidden: list[Any] = [keras.Input(data.x.shape[1:])]
    for _ in range(depth):
        hidden += [keras.layers.Dense(units, activation="relu"), keras.layers.Dropout(rate)]
    return hidden


def _optimizer(space: Space, low: float, high: float, momentum: float) -> Any:
    name = space.choice("optimizer", ["adam", "sgd", "rmsprop"])
    rate = space.number("learning_rate", low, high, log=True)
    momentum = space.number("momentum", 0.0, momentum)
    if name == "sgd":
        return keras.optimizers.SGD(rate, momentum=momentum)
    return keras.optimizers.get({"class_name": name, "config": {"learning_rate": rate}})


def _wide(head: dict[str, Any], loss: str) -> Callable[[Space, Data], keras.Model]:
    """Return a build function with the space that is written before the first search."""

    def build(space: Space, data: Data) -> keras.Model:
        hidden = _layers(space, data, layers=4, dropout=0.6)
        model = keras.Sequential([*hidden, keras.layers.Dense(**head)])
        model.compile(_optimizer(space, 1e-5, 10.0, 0.99), loss)
        return model

    return build


def _sound(space: Space, data: Data) -> keras.Model:
    hidden = _layers(space, data, layers=2, dropout=0.2)
    model = keras.Sequential([*hidden, keras.layers.Dense(3, activation="softmax")])
    model.compile(_optimizer(space, 1e-2, 5e-2, 0.9), "sparse_categorical_crossentropy")
    return model


def _some_digits() -> tuple[Array, Array]:
    x, y = datasets.load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(x))[:_DIGITS]
    return x[rows], y[rows]


def _standardized_wine() -> tuple[Array, Array]:
    x, y = datasets.load_wine(return_X_y=True)
    return StandardScaler().fit_transform(x), y


def _entropy(y: Array) -> float:
    _, counts = np.unique(y, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _variance(y: Array) -> float:
    return float(np.var(y))


SHORT_PROBLEMS = [
    Problem(
        name="digits",
        load=_some_digits,
        build=_wide({"units": 10, "activation": "softmax"}, "sparse_categorical_crossentropy"),
        objective="val_loss",
        batch=32,
        constant=_entropy,
    ),
    Problem(
        name="diabetes",
        load=lambda: datasets.load_diabetes(return_X_y=True),
        build=_wide({"units": 1}, "mse"),
        objective="val_loss",
        batch=32,
        constant=_variance,
        stratify=False,
    ),
    Problem(
        name="breast cancer",
        load=lambda: datasets.load_breast_cancer(return_X_y=True),
        build=_wide({"units": 1, "activation": "sigmoid"}, "binary_crossentropy"),
        objective="val_loss",
        batch=32,
        constant=_entropy,
    ),
    Problem(
        name=SOUND,
        load=_standardized_wine,
        build=_sound,
        objective="val_loss",
        batch=16,
        constant=_entropy,
    ),
]
