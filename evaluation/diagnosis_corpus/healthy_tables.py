"""Healthy trials: tables as a search draws them, raw data that trains, noise, losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    blobs,
    cancer,
    compiled,
    dense,
    diabetes,
    digits,
    iris,
    linear,
    scaled,
    wine,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE, BCE = "sparse_categorical_crossentropy", "binary_crossentropy"

HEALTHY_TABLES = Family()


# Tables x optimizers x rates, as a search draws them.

_OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd_1e1": lambda: SGD(0.1),
    "sgd_1e2": lambda: SGD(0.01),
    "momentum": lambda: SGD(0.01, momentum=0.9),
    "adam_1e2": lambda: ADAM(0.01),
    "adam_1e3": lambda: ADAM(1e-3),
    "adam_1e4": lambda: ADAM(1e-4),
    "rmsprop": lambda: keras.optimizers.RMSprop(1e-3),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "adamw": lambda: keras.optimizers.AdamW(1e-3),
    "nadam": lambda: keras.optimizers.Nadam(1e-3),
}


def _regression(x: np.ndarray, y: np.ndarray, optimizer: Any) -> Setup:
    return Setup(compiled(dense(x), optimizer, "mse"), x, y, epochs=6)


def _classes(x: np.ndarray, y: np.ndarray, optimizer: Any) -> Setup:
    net = dense(x, out=int(y.max()) + 1, head="softmax")
    return Setup(compiled(net, optimizer, CE, metrics=["accuracy"]), x, y, epochs=6)


def _binary(x: np.ndarray, y: np.ndarray, optimizer: Any) -> Setup:
    return Setup(compiled(dense(x, head="sigmoid"), optimizer, BCE), x, y, epochs=6)


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    x, y = diabetes()
    return scaled(x), scaled(y[:, None])[:, 0]


_TABLES: dict[str, tuple[Callable[..., Setup], Callable[[], Any]]] = {
    "linear": (_regression, linear),
    "diabetes": (_regression, _diabetes),
    "wine": (_classes, lambda: (scaled(wine()[0]), wine()[1])),
    "iris": (_classes, lambda: (scaled(iris()[0]), iris()[1])),
    "cancer": (_binary, lambda: (scaled(cancer()[0]), cancer()[1])),
    "digits": (_classes, lambda: (digits()[0] / 16, digits()[1])),
}
for _table, (_kind, _load) in _TABLES.items():
    for _name, _optimizer in _OPTIMIZERS.items():
        HEALTHY_TABLES.add(
            f"ok_{_table}_{_name}",
            lambda k=_kind, d=_load, o=_optimizer: k(*d(), o()),
        )


# Raw data that trains all the same.


@HEALTHY_TABLES.healthy
def _raw_diabetes_adam() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y, epochs=20)


@HEALTHY_TABLES.healthy
def _raw_diabetes_normalized() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), ADAM(0.01), "mse"), x, y, epochs=10)


@HEALTHY_TABLES.healthy
def _raw_wine_adam() -> Setup:
    x, y = wine()
    return Setup(compiled(dense(x, out=3, head="softmax"), ADAM(1e-3), CE), x, y, epochs=40)


@HEALTHY_TABLES.healthy
def _raw_digits() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, out=10, head="softmax"), ADAM(1e-3), CE), x, y)


@HEALTHY_TABLES.healthy
def _raw_iris() -> Setup:
    x, y = iris()
    return Setup(compiled(dense(x, out=3, head="softmax"), SGD(0.01), CE), x, y, epochs=20)


@HEALTHY_TABLES.healthy
def _pixels_255() -> Setup:
    x, y = digits()
    net = keras.Sequential(
        [keras.Input((64,)), layers.Rescaling(1 / 255), layers.Dense(64, "relu"), layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Setup(compiled(net, ADAM(0.01), loss), x * 16, y)


@HEALTHY_TABLES.healthy
def _short_slow_raw_targets() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), ADAM(1e-3), "mse"), x, y, epochs=3)


# One-epoch and short trials, as Hyperband makes them.

for _rate in (1e-4, 3e-4, 1e-3, 1e-2):
    HEALTHY_TABLES.add(f"ok_one_epoch_adam_{_rate:g}", lambda r=_rate: _short(r, 1))
    HEALTHY_TABLES.add(f"ok_two_epochs_adam_{_rate:g}", lambda r=_rate: _short(r, 2))


def _short(rate: float, epochs: int) -> Setup:
    x, y = digits()
    net = dense(x, out=10, head="softmax")
    return Setup(compiled(net, ADAM(rate), CE), x / 16, y, epochs=epochs)


# Nothing to learn: not the trial's fault.


@HEALTHY_TABLES.healthy
def _noise_targets() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(0).normal(size=len(x)).astype(F32)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y)


@HEALTHY_TABLES.healthy
def _noise_labels() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(0).integers(0, 2, len(x))
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(1e-3), BCE), x, y)


@HEALTHY_TABLES.healthy
def _noise_labels_slow() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(0).integers(0, 5, len(x))
    net = dense(x, out=5, head="softmax")
    return Setup(compiled(net, SGD(1e-3), CE), x, y, epochs=6)


@HEALTHY_TABLES.healthy
def _noise_sigmoid() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(1).normal(size=len(x)).astype(F32)
    return Setup(compiled(dense(x, activation="sigmoid"), SGD(0.01), "mse"), x, y, epochs=6)


@HEALTHY_TABLES.healthy
def _noise_l2() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(2).normal(size=len(x)).astype(F32)
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(64, "relu", kernel_regularizer=keras.regularizers.L2(1.0)),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@HEALTHY_TABLES.healthy
def _rare_class() -> Setup:
    x, _ = linear()
    y = (np.random.default_rng(3).random(len(x)) < 0.02).astype(F32)
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(1e-3), BCE), x, y, epochs=5)


@HEALTHY_TABLES.healthy
def _constant_target() -> Setup:
    x, _ = linear()
    return Setup(compiled(dense(x), ADAM(0.01), "mse"), x, np.full(len(x), 3, F32), epochs=6)


# Losses.


def _mean(value: Any) -> Any:
    return ops.mean(value)


_LOSSES: dict[str, Any] = {
    "mae": "mae",
    "huber": "huber",
    "log_cosh": "log_cosh",
    "own_mse": lambda y, p: _mean(ops.square(y - p)),
    "own_rmse": lambda y, p: ops.sqrt(_mean(ops.square(y - p)) + 1e-6),
    "quantile": lambda y, p: _mean(ops.maximum(0.9 * (y - p), -0.1 * (y - p))),
    "percentage_safe": lambda y, p: _mean(ops.abs(y - p) / (ops.abs(y) + 0.5)),
    "negative": lambda y, p: _mean(ops.square(y - p)) - 5.0,
    "correlation": lambda y, p: (
        -_mean((y - _mean(y)) * (p - _mean(p))) / (ops.std(y) * ops.std(p) + 1e-3)
    ),
}
for _name, _loss in _LOSSES.items():
    HEALTHY_TABLES.add(f"ok_loss_{_name}", lambda f=_loss: _with_loss(f))


def _with_loss(loss: Any) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(3e-3), loss), x, y, epochs=8)


@HEALTHY_TABLES.healthy
def _gaussian_likelihood() -> Setup:
    x, y = linear()

    def likelihood(y: Any, p: Any) -> Any:
        return _mean(0.5 * p[:, 1] + 0.5 * ops.square(y - p[:, 0]) * ops.exp(-p[:, 1]))

    return Setup(compiled(dense(x, out=2), ADAM(3e-3), likelihood), x, y, epochs=10)


@HEALTHY_TABLES.healthy
def _poisson_counts() -> Setup:
    x, y = linear()
    counts = np.random.default_rng(0).poisson(np.exp(y)).astype(F32)
    return Setup(compiled(dense(x, head="exponential"), ADAM(3e-3), "poisson"), x, counts, 8)


@HEALTHY_TABLES.healthy
def _hinge() -> Setup:
    x, y = cancer()
    return Setup(compiled(dense(x, head="tanh"), ADAM(3e-3), "hinge"), scaled(x), 2.0 * y - 1)


@HEALTHY_TABLES.healthy
def _logits() -> Setup:
    x, y = cancer()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return Setup(compiled(dense(x), ADAM(3e-3), loss), scaled(x), y)


@HEALTHY_TABLES.healthy
def _one_hot_smoothed() -> Setup:
    x, y = blobs()
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(3e-3), loss), x, np.eye(4, dtype=F32)[y])


@HEALTHY_TABLES.healthy
def _multi_label() -> Setup:
    x, _ = linear()
    labels = (x[:, :5] > 0).astype(F32)
    net = dense(x, out=5, head="sigmoid")
    return Setup(compiled(net, ADAM(3e-3), BCE), x, labels, epochs=8)


@HEALTHY_TABLES.healthy
def _sigmoid_bounded_regression() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(3e-3), "mse"), x, 1 / (1 + np.exp(-y)), 8)
