"""Failing trials: a learning rate far out of the ordinary, and data that was not scaled."""

# ruff: noqa: D101, D102, D103 - the names say what each scenario is

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    cancer,
    compiled,
    curved,
    dense,
    diabetes,
    digits,
    linear,
    scaled,
    waves,
    wine,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE = "sparse_categorical_crossentropy"

RATES_AND_SCALES = Family()


# Divergent learning rate: standardized data, a plain loss, a rate far beyond the ordinary.

_RATES: dict[str, Callable[[], Any]] = {
    "sgd_1e2": lambda: SGD(100.0),
    "sgd_5": lambda: SGD(5.0),
    "momentum_2": lambda: SGD(2.0, momentum=0.9),
    "nesterov_3": lambda: SGD(3.0, momentum=0.9, nesterov=True),
    "adam_10": lambda: ADAM(10.0),
    "adam_1": lambda: ADAM(1.0),
    "rmsprop_3": lambda: keras.optimizers.RMSprop(3.0),
    "nadam_10": lambda: keras.optimizers.Nadam(10.0),
    "adagrad_100": lambda: keras.optimizers.Adagrad(100.0),
    "adamw_5": lambda: keras.optimizers.AdamW(5.0),
    "lion_1": lambda: keras.optimizers.Lion(1.0),
}


def _rate_on_line(optimizer: Any) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), optimizer, "mse"), x, y)


def _rate_on_classes(optimizer: Any) -> Setup:
    x, y = digits()
    x = scaled(x + 1e-3 * np.random.default_rng(0).normal(size=x.shape))
    return Setup(compiled(dense(x, out=10, head="softmax"), optimizer, CE), x, y)


for _name, _optimizer in _RATES.items():
    RATES_AND_SCALES.add(
        f"rate_{_name}_regression",
        lambda o=_optimizer: _rate_on_line(o()),
        C.DIVERGENT_LEARNING_RATE,
    )
for _name in ("sgd_1e2", "adam_10", "rmsprop_3", "momentum_2"):
    RATES_AND_SCALES.add(
        f"rate_{_name}_digits",
        lambda o=_RATES[_name]: _rate_on_classes(o()),
        C.DIVERGENT_LEARNING_RATE,
    )


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE)
def rate_cnn_images() -> Setup:
    x, y = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(net, SGD(20.0), CE), x, y)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE)
def rate_schedule() -> Setup:
    x, y = linear()
    schedule = keras.optimizers.schedules.ExponentialDecay(8.0, 100, 0.99)
    return Setup(compiled(dense(x), SGD(schedule), "mse"), x, y)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE, C.EXPLODING_GRADIENTS)
def rate_lstm() -> Setup:
    x, y = waves()
    net = keras.Sequential([keras.Input(x.shape[1:]), layers.LSTM(16), layers.Dense(1)])
    return Setup(compiled(net, SGD(50.0), "mse"), x, y)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE)
def rate_diabetes_normalized() -> Setup:
    x, y = diabetes()
    net = dense(x, normalize=True)
    return Setup(compiled(net, SGD(5.0), "mse"), x, (y - 150) / 77)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE)
def rate_adam_diabetes_normalized() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), ADAM(10.0), "mse"), x, y)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE, C.UNSCALED_DATA)
def rate_and_raw_data() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), SGD(10.0), "mse"), x, y)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE, C.UNSCALED_DATA)
def rate_adam_raw_data() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), ADAM(5.0), "mse"), x, y)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE)
def rate_functional_two_inputs() -> Setup:
    x, y = linear()
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    h = layers.Dense(32, "relu")(layers.Concatenate()([a, b]))
    net = keras.Model([a, b], layers.Dense(1)(h))
    return Setup(compiled(net, SGD(5.0), "mse"), {"a": x[:, :5], "b": x[:, 5:]}, y)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(32, "relu")
        self.out = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x))


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE)
def rate_subclassed() -> Setup:
    x, y = linear()
    return Setup(compiled(Subclassed(), SGD(8.0), "mse"), x, y)


@RATES_AND_SCALES.case(C.DIVERGENT_LEARNING_RATE)
def rate_linear_model() -> Setup:
    x, y = linear(d=40)
    return Setup(compiled(dense(x, units=()), SGD(3.0), "mse"), x, y, epochs=6)


# Unscaled data: an ordinary rate.


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_diabetes_sgd() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_diabetes_sgd_slow() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), SGD(0.003), "mse"), x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_targets_only() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, 1e4 * y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_prices() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x), SGD(0.01, momentum=0.9), "mse"), x, 2e5 + 5e4 * y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_inputs_thousand() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), SGD(0.01), "mse"), 1000 * x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_two_columns() -> Setup:
    x, y = linear()
    x = x.copy()
    x[:, :2] *= 1000
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA, C.DIVERGENT_LEARNING_RATE)
def raw_counting() -> Setup:
    x = np.arange(200, dtype=F32)[:, None]
    return Setup(compiled(dense(x, units=()), SGD(1e-3), "mse"), x, 2 * x[:, 0])


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_wine_sgd() -> Setup:
    x, y = wine()
    return Setup(compiled(dense(x, out=3, head="softmax"), SGD(0.01), CE), x, y, epochs=8)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_cancer_sgd() -> Setup:
    x, y = cancer()
    return Setup(
        compiled(dense(x, head="sigmoid"), SGD(0.05), "binary_crossentropy"), x, y, epochs=4
    )


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_timestamps() -> Setup:
    x, y = linear()
    x = np.concatenate([x, 1.6e9 + 1e6 * x[:, :1]], axis=1).astype(F32)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_incomes() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x), SGD(0.01), "mae"), 3e4 + 1e4 * x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_sequence() -> Setup:
    x, y = waves()
    net = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv1D(16, 5, activation="relu"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, SGD(0.01), "mse"), 500 + 100 * x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_tanh_saturated() -> Setup:
    x, y = curved()
    net = dense(x, units=(32, 32), activation="tanh")
    return Setup(compiled(net, SGD(0.01), "mse"), x, 3e4 * y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_linear_regression() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, units=()), SGD(0.01), "mse"), x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_images_sgd() -> Setup:
    x, y = digits()
    x = (x / 16 * 255).reshape(-1, 8, 8, 1)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(net, SGD(0.05), CE), x, y)


@RATES_AND_SCALES.case(C.UNSCALED_DATA)
def raw_diabetes_normalized_inputs() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), SGD(0.01), "mse"), x, 100 * y)
