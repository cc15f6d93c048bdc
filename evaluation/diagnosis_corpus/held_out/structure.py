"""Failing trials, written before the rules were known: weights, depth and capacity."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers

from evaluation.diagnosis_corpus.held_out.parts import stack
from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    cancer,
    circles,
    compiled,
    curved,
    dense,
    digits,
    linear,
    scaled,
    waves,
    xor,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

STRUCTURE = Family()


@STRUCTURE.case(C.BAD_INITIALIZATION)
def held_init_std100() -> Setup:
    x, y = linear()
    return Setup(
        compiled(
            dense(x, (64,) * 4, init=keras.initializers.RandomNormal(stddev=100.0)),
            ADAM(1e-3),
            "mse",
        ),
        x,
        y,
    )


@STRUCTURE.case(C.BAD_INITIALIZATION)
def held_init_const10() -> Setup:
    x, y = digits()
    x = x / 16
    return Setup(
        compiled(
            dense(x, (64, 64, 64), 10, head="softmax", init=keras.initializers.Constant(10.0)),
            SGD(1e-2),
            SCE,
        ),
        x,
        y,
        epochs=4,
    )


@STRUCTURE.case(C.NUMERIC_OVERFLOW)
def held_float16_layers() -> Setup:
    x, y = linear()
    P = "float16"
    m = keras.Sequential(
        [
            keras.Input((10,), dtype=P),
            layers.Dense(64, "relu", dtype=P),
            layers.Lambda(lambda t: t * 3e4, dtype=P),
            layers.Dense(64, "relu", dtype=P),
            layers.Lambda(lambda t: t / 3e4, dtype=P),
            layers.Dense(1, dtype=P),
        ]
    )
    return Setup(compiled(m, SGD(1e-4), "mse"), x, y)


@STRUCTURE.case(C.NUMERIC_OVERFLOW, C.UNSCALED_DATA)
def held_mixed16_raw() -> Setup:
    x, y = linear()
    P = "mixed_float16"
    m = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(64, "relu", dtype=P),
            layers.Dense(64, "relu", dtype=P),
            layers.Dense(1, dtype=P),
        ]
    )
    return Setup(compiled(m, ADAM(1e-3), "mse"), x * 1e5, y)


def _spread(kind: Any, spread: float) -> Any:
    draw = keras.initializers.RandomNormal(stddev=spread)
    return kind(32, activation="relu", recurrent_initializer=draw)


def _growing() -> Any:
    grow = keras.initializers.Identity(1.3)
    return layers.SimpleRNN(32, activation="relu", recurrent_initializer=grow)


_RECURRENT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "lstm_relu": (lambda: _spread(layers.LSTM, 0.6), lambda: ADAM(1e-2)),
    "gru_relu": (lambda: _spread(layers.GRU, 0.8), lambda: SGD(1e-2)),
    "simple_relu": (_growing, lambda: SGD(1e-2)),
}


def _recurrent(layer: Callable[[], Any], optimizer: Callable[[], Any]) -> Setup:
    x, y = waves(192, 60)
    return Setup(compiled(stack(x, layer(), layers.Dense(1)), optimizer(), "mse"), x, y, epochs=3)


for _name, _parts in _RECURRENT.items():
    STRUCTURE.add(
        "held_rnn_" + _name,
        partial(_recurrent, *_parts),
        C.EXPLODING_GRADIENTS,
        C.BAD_INITIALIZATION,
    )


@STRUCTURE.case(C.EXPLODING_GRADIENTS, C.BAD_INITIALIZATION)
def held_deep_plain() -> Setup:
    x, y = linear()
    return Setup(
        compiled(
            dense(x, (32,) * 30, init=keras.initializers.VarianceScaling(5.0, mode="fan_in")),
            SGD(1e-2),
            "mse",
        ),
        x,
        y,
    )


@STRUCTURE.case(C.DEAD_RELU, C.BAD_INITIALIZATION)
def held_dead_bias() -> Setup:
    x, y = curved()
    return Setup(
        compiled(dense(x, (32, 32), bias=keras.initializers.Constant(-20.0)), ADAM(1e-3), "mse"),
        x,
        y,
        epochs=20,
    )


@STRUCTURE.case(C.VANISHING_GRADIENTS)
def held_sigmoid_stack() -> Setup:
    x, y = digits()
    x = x / 16
    return Setup(
        compiled(dense(x, (32,) * 12, 10, head="softmax", activation="sigmoid"), SGD(0.1), SCE),
        x,
        y,
        epochs=6,
    )


@STRUCTURE.case(C.VANISHING_GRADIENTS, C.BAD_INITIALIZATION)
def held_tanh_small_init_deep() -> Setup:
    x, y = curved()
    return Setup(
        compiled(
            dense(
                x, (32,) * 10, activation="tanh", init=keras.initializers.RandomNormal(stddev=0.01)
            ),
            SGD(0.05),
            "mse",
        ),
        x,
        y,
        epochs=12,
    )


@STRUCTURE.case(C.NO_NONLINEARITY)
def held_linear_stack_circles() -> Setup:
    x, y = circles()
    return Setup(
        compiled(
            dense(x, (32, 32), 1, head="sigmoid", activation=None),
            ADAM(1e-2),
            "binary_crossentropy",
        ),
        x,
        y,
        epochs=20,
    )


@STRUCTURE.case(C.NO_NONLINEARITY, C.INSUFFICIENT_CAPACITY)
def held_logistic_xor() -> Setup:
    x, y = xor()
    return Setup(
        compiled(dense(x, (), 1, head="sigmoid"), ADAM(5e-2), "binary_crossentropy"),
        x,
        y,
        epochs=20,
    )


@STRUCTURE.case(C.LEARNING_RATE_TOO_LOW)
def held_lr_1e7_adam() -> Setup:
    x, y = digits()
    x = x / 16
    return Setup(compiled(dense(x, (64,), 10, head="softmax"), ADAM(1e-7), SCE), x, y, epochs=4)


@STRUCTURE.case(C.LEARNING_RATE_TOO_LOW)
def held_lr_1e6_sgd_regression() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, (64,)), SGD(1e-6), "mse"), x, y, epochs=10)


@STRUCTURE.case(C.LEARNING_RATE_TOO_LOW)
def held_lr_decayed_to_nothing() -> Setup:
    x, y = digits()
    x = x / 16
    s = keras.optimizers.schedules.ExponentialDecay(1e-4, 1, 0.5)
    return Setup(compiled(dense(x, (64,), 10, head="softmax"), ADAM(s), SCE), x, y, epochs=5)


@STRUCTURE.case(C.INSUFFICIENT_CAPACITY)
def held_two_units_circles_many() -> Setup:
    r = np.random.default_rng(6)
    x = r.uniform(-1, 1, (800, 2)).astype(F32)
    y = (np.floor(3 * x[:, 0]) + np.floor(3 * x[:, 1])) % 2
    return Setup(
        compiled(dense(x, (2,), 1, head="sigmoid"), ADAM(1e-2), "binary_crossentropy"),
        x,
        y.astype(F32),
        epochs=20,
    )


@STRUCTURE.case(C.BAD_INITIALIZATION)
def held_init_zeros() -> Setup:
    x, y = digits()
    return Setup(
        compiled(
            dense(x / 16, (32, 32), 10, head="softmax", init="zeros", out_init="zeros"),
            ADAM(1e-2),
            SCE,
        ),
        x / 16,
        y,
        epochs=6,
    )


@STRUCTURE.case(C.VANISHING_GRADIENTS)
def held_sigmoid15_adam() -> Setup:
    x, y = digits()
    return Setup(
        compiled(
            dense(x / 16, (32,) * 15, 10, head="softmax", activation="sigmoid"), ADAM(1e-3), SCE
        ),
        x / 16,
        y,
        epochs=6,
    )


@STRUCTURE.case(C.NO_NONLINEARITY)
def held_linear_stack_square() -> Setup:
    r = np.random.default_rng(8)
    x = r.normal(size=(600, 3)).astype(F32)
    y = (x[:, 0] ** 2 + x[:, 1] ** 2).astype(F32)
    return Setup(compiled(dense(x, (32, 32), activation=None), ADAM(1e-2), "mse"), x, y, epochs=12)


@STRUCTURE.case(C.LEARNING_RATE_TOO_LOW)
def held_lr_zero() -> Setup:
    x, y = digits()
    return Setup(
        compiled(dense(x / 16, (32,), 10, head="softmax"), ADAM(0.0), SCE), x / 16, y, epochs=4
    )


@STRUCTURE.case(C.LEARNING_RATE_TOO_LOW)
def held_lr_1e8_rms() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), keras.optimizers.RMSprop(1e-8), "mse"), x, y, epochs=6)


@STRUCTURE.case(C.LEARNING_RATE_TOO_LOW)
def held_lr_1e6_sgd_classes() -> Setup:
    x, y = cancer()
    return Setup(
        compiled(dense(scaled(x), (32,), 1, head="sigmoid"), SGD(1e-6), "binary_crossentropy"),
        scaled(x),
        y.astype(F32),
        epochs=8,
    )


@STRUCTURE.case(C.EXPLODING_GRADIENTS, C.BAD_INITIALIZATION)
def held_rnn_recurrent_big() -> Setup:
    x, y = waves(192, 80)
    return Setup(
        compiled(
            stack(x, layers.SimpleRNN(32, activation="linear"), layers.Dense(1)), SGD(0.05), "mse"
        ),
        3 * x,
        y,
        epochs=4,
    )


@STRUCTURE.case(C.EXPLODING_GRADIENTS, C.BAD_INITIALIZATION, C.DIVERGENT_LEARNING_RATE)
def held_lstm_linear5() -> Setup:
    x, y = waves(192, 80)
    return Setup(
        compiled(
            stack(
                x,
                layers.LSTM(24, activation="linear", return_sequences=True),
                layers.LSTM(24, activation="linear"),
                layers.Dense(1),
            ),
            SGD(0.3),
            "mse",
        ),
        x,
        y,
        epochs=6,
    )
