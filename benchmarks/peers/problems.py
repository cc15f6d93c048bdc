"""Four tables of scikit-learn, each with a search space of which a good part does not train.

The spaces are what people write before the first search: learning rates over many decades, inputs
as they were measured, and a loss of one's own that is undefined somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

Array = np.ndarray[Any, Any]


class Space(Protocol):
    """What a build function asks for its hyperparameters, of either host."""

    def number(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a real number."""

    def whole(self, name: str, low: int, high: int, step: int = 1) -> int:
        """Return a whole number."""

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        """Return one of the options."""


@dataclass(frozen=True)
class Data:
    """One split of a table, float32."""

    x: Array
    y: Array
    x_val: Array
    y_val: Array


@dataclass(frozen=True)
class Problem:
    """A table, its model and the space to search.

    Args:
        name: What the tables call it.
        load: Returns inputs and targets.
        build: Returns a compiled model for the space's values.
        objective: Name of the validation metric, which is minimized. It is the same whatever loss
            is trained on.
        batch: Rows a batch.
        constant: Returns that metric of the best constant prediction, from the targets.
        stratify: Whether the split keeps the shares of the classes.
    """

    name: str
    load: Callable[[], tuple[Array, Array]]
    build: Callable[[Space, Data], keras.Model]
    objective: str
    batch: int
    constant: Callable[[Array], float]
    stratify: bool = True

    def data(self, seed: int) -> Data:
        """Return the split of a seed: a quarter of the rows is for validation."""
        x, y = self.load()
        x, x_val, y, y_val = train_test_split(
            x.astype("float32"),
            y.astype("float32").reshape(-1, 1),
            test_size=0.25,
            random_state=seed,
            stratify=y if self.stratify else None,
        )
        return Data(x, y, x_val, y_val)


def focal(y_true: Any, y_pred: Any) -> Any:
    """Focal loss as it is written first: log(0) where the softmax saturates."""
    classes = keras.ops.cast(keras.ops.squeeze(y_true, -1), "int32")
    hit = keras.ops.sum(keras.ops.one_hot(classes, y_pred.shape[-1]) * y_pred, axis=-1)
    return -keras.ops.square(1 - hit) * keras.ops.log(hit)


def likelihood(y_true: Any, y_pred: Any) -> Any:
    """Binary cross-entropy as it is written first: 0 * log(0) where the sigmoid saturates."""
    terms = y_true * keras.ops.log(y_pred) + (1 - y_true) * keras.ops.log(1 - y_pred)
    return -keras.ops.mean(terms, axis=-1)


def squared_log_error(y_true: Any, y_pred: Any) -> Any:
    """Squared logarithmic error as it is written first: undefined for predictions below -1."""
    gap = keras.ops.log1p(y_pred) - keras.ops.log1p(y_true)
    return keras.ops.mean(keras.ops.square(gap), axis=-1)


def _hidden(space: Space, data: Data) -> list[Any]:
    layers: list[Any] = [keras.Input(data.x.shape[1:])]
    if space.choice("normalize", [False, True]):
        normalization = keras.layers.Normalization()
        normalization.adapt(data.x)
        layers.append(normalization)
    units = space.whole("units", 16, 64, 16)
    return [*layers, *(keras.layers.Dense(units, activation="relu") for _ in range(2))]


def _digits(space: Space, data: Data) -> keras.Model:
    model = keras.Sequential([*_hidden(space, data), keras.layers.Dense(10, activation="softmax")])
    name = space.choice("loss", ["sparse_categorical_crossentropy", "focal"])
    model.compile(
        keras.optimizers.Adam(space.number("learning_rate", 1e-4, 100.0, log=True)),
        focal if name == "focal" else name,
        metrics=[keras.metrics.SparseCategoricalCrossentropy(name="crossentropy")],
    )
    return model


def _wine(space: Space, data: Data) -> keras.Model:
    model = keras.Sequential([*_hidden(space, data), keras.layers.Dense(3, activation="softmax")])
    name = space.choice("loss", ["sparse_categorical_crossentropy", "focal"])
    model.compile(
        keras.optimizers.SGD(space.number("learning_rate", 1e-5, 10.0, log=True), momentum=0.9),
        focal if name == "focal" else name,
        metrics=[keras.metrics.SparseCategoricalCrossentropy(name="crossentropy")],
    )
    return model


def _cancer(space: Space, data: Data) -> keras.Model:
    model = keras.Sequential([*_hidden(space, data), keras.layers.Dense(1, activation="sigmoid")])
    name = space.choice("loss", ["binary_crossentropy", "likelihood"])
    model.compile(
        keras.optimizers.RMSprop(space.number("learning_rate", 1e-5, 10.0, log=True)),
        likelihood if name == "likelihood" else name,
        metrics=[keras.metrics.BinaryCrossentropy(name="crossentropy")],
    )
    return model


def _diabetes(space: Space, data: Data) -> keras.Model:
    model = keras.Sequential([*_hidden(space, data), keras.layers.Dense(1)])
    name = space.choice("loss", ["mse", "squared_log_error"])
    model.compile(
        keras.optimizers.SGD(space.number("learning_rate", 1e-5, 10.0, log=True)),
        squared_log_error if name == "squared_log_error" else name,
        metrics=["mae"],
    )
    return model


def _entropy(y: Array) -> float:
    _, counts = np.unique(y, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _median_error(y: Array) -> float:
    return float(np.abs(y - np.median(y)).mean())


PROBLEMS = [
    Problem(
        name="digits",
        load=lambda: datasets.load_digits(return_X_y=True),
        build=_digits,
        objective="val_crossentropy",
        batch=64,
        constant=_entropy,
    ),
    Problem(
        name="diabetes",
        load=lambda: datasets.load_diabetes(return_X_y=True, scaled=False),
        build=_diabetes,
        objective="val_mae",
        batch=32,
        constant=_median_error,
        stratify=False,
    ),
    Problem(
        name="wine",
        load=lambda: datasets.load_wine(return_X_y=True),
        build=_wine,
        objective="val_crossentropy",
        batch=16,
        constant=_entropy,
    ),
    Problem(
        name="breast cancer",
        load=lambda: datasets.load_breast_cancer(return_X_y=True),
        build=_cancer,
        objective="val_crossentropy",
        batch=32,
        constant=_entropy,
    ),
]
