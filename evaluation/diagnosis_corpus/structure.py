"""Failing trials: initialization, depth, recurrence, precision, and nets that learn nothing."""

# ruff: noqa: D103 - the names say what each scenario is

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
    circles,
    compiled,
    curved,
    dense,
    digits,
    linear,
    waves,
    xor,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE = "sparse_categorical_crossentropy"

STRUCTURE = Family()


# Initialization.

_NORMAL = keras.initializers.RandomNormal


@STRUCTURE.case(C.BAD_INITIALIZATION)
def init_huge_normal() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, init=_NORMAL(stddev=20.0)), SGD(0.01), "mse"), x, y)


@STRUCTURE.case(C.BAD_INITIALIZATION)
def init_unit_normal_deep() -> Setup:
    x, y = linear()
    net = dense(x, units=(64,) * 5, init=_NORMAL(stddev=1.0), out_init=_NORMAL(stddev=1.0))
    return Setup(compiled(net, SGD(0.01), "mse"), x, y)


@STRUCTURE.case(C.BAD_INITIALIZATION)
def init_constant_big() -> Setup:
    x, y = linear()
    net = dense(x, init=keras.initializers.Constant(5.0))
    return Setup(compiled(net, SGD(0.01), "mse"), x, y)


@STRUCTURE.case(C.BAD_INITIALIZATION)
def init_overflow() -> Setup:
    x, y = linear()
    net = dense(x, units=(64,) * 12, init=_NORMAL(stddev=1e4))
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@STRUCTURE.case(C.BAD_INITIALIZATION)
def init_zeros() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, init="zeros", out_init="zeros"), ADAM(1e-3), "mse"), x, y, 10)


@STRUCTURE.case(C.BAD_INITIALIZATION)
def init_nan() -> Setup:
    x, y = linear()
    net = dense(x)
    weights = net.get_weights()
    weights[0][3, 3] = np.nan
    net.set_weights(weights)
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@STRUCTURE.case(C.BAD_INITIALIZATION)
def init_layer_logarithm() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [keras.Input((10,)), layers.Lambda(ops.log), layers.Dense(16, "relu"), layers.Dense(1)]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


# Exploding gradients: an ordinary rate, ordinary data, a recurrent or very deep stack.


def _recurrent(layer: Any, steps: int, optimizer: Any) -> Setup:
    x, y = waves(steps=steps)
    net = keras.Sequential([keras.Input(x.shape[1:]), layer, layers.Dense(1)])
    return Setup(compiled(net, optimizer, "mse"), x, y)


_GAIN = keras.initializers.Orthogonal(gain=1.6)
_BROAD_GAIN = keras.initializers.Orthogonal(gain=1.9)
STRUCTURE.add(
    "explode_rnn_relu",
    lambda: _recurrent(
        layers.SimpleRNN(32, activation="relu", recurrent_initializer=_GAIN), 60, SGD(0.01)
    ),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)
STRUCTURE.add(
    "explode_rnn_linear",
    lambda: _recurrent(
        layers.SimpleRNN(32, activation="linear", recurrent_initializer=_BROAD_GAIN), 50, SGD(0.01)
    ),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)
STRUCTURE.add(
    "explode_rnn_relu_default",
    lambda: _recurrent(layers.SimpleRNN(64, activation="relu"), 200, SGD(0.05)),
    C.EXPLODING_GRADIENTS,
)


def _deep_blocks(blocks: int, rate: float) -> Setup:
    x, y = linear()
    inputs = keras.Input((10,))
    h = layers.Dense(32)(inputs)
    for _ in range(blocks):
        h = layers.Add()([h, layers.Dense(32, "relu", kernel_initializer="he_normal")(h)])
    return Setup(compiled(keras.Model(inputs, layers.Dense(1)(h)), SGD(rate), "mse"), x, y)


STRUCTURE.add(
    "explode_deep_residual",
    lambda: _deep_blocks(25, 0.01),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)
STRUCTURE.add(
    "explode_very_deep",
    lambda: _deep_blocks(40, 0.001),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)


# Half precision.


def _half(x: np.ndarray, y: np.ndarray, policy: str, width: int = 64) -> Setup:
    net = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Dense(width, "relu", dtype=policy),
            layers.Dense(1, dtype=policy),
        ]
    )
    return Setup(compiled(net, keras.optimizers.SGD(1e-4), "mse"), x, y)


@STRUCTURE.case(C.NUMERIC_OVERFLOW, C.UNSCALED_DATA)
def half_large_inputs() -> Setup:
    x, y = linear()
    return _half(3e5 * x, y, "mixed_float16")


@STRUCTURE.case(C.NUMERIC_OVERFLOW)
def half_square_in_layer() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "relu", dtype="mixed_float16"),
            layers.Lambda(
                lambda h: ops.sum(ops.square(200 * h), -1, keepdims=True) / 2e5,
                output_shape=(1,),
                dtype="mixed_float16",
            ),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, np.abs(y))


@STRUCTURE.case(C.NUMERIC_OVERFLOW)
def half_exponential_layer() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, dtype="mixed_float16"),
            layers.Lambda(
                lambda h: ops.log(ops.sum(ops.exp(8 * h), -1, keepdims=True)),
                output_shape=(1,),
                dtype="mixed_float16",
            ),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@STRUCTURE.case(C.NUMERIC_OVERFLOW)
def half_power_layer() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, dtype="mixed_float16"),
            layers.Lambda(lambda h: ops.power(ops.abs(h), 14.0), dtype="mixed_float16"),
            layers.LayerNormalization(dtype="float32"),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


# Quiet failures.

for _depth in (6, 8, 12):
    STRUCTURE.add(
        f"vanish_sigmoid_{_depth}",
        lambda d=_depth: _vanishing(d, "sigmoid"),
        C.VANISHING_GRADIENTS,
    )


def _vanishing(depth: int, activation: str) -> Setup:
    x, y = circles()
    net = dense(x, units=(32,) * depth, head="sigmoid", activation=activation)
    return Setup(compiled(net, SGD(0.05), "binary_crossentropy"), x, y, epochs=8)


@STRUCTURE.case(C.VANISHING_GRADIENTS)
def vanish_sigmoid_regression() -> Setup:
    x, y = curved()
    net = dense(x, units=(32,) * 9, activation="sigmoid")
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, (y - y.mean()) / y.std(), epochs=8)


@STRUCTURE.case(C.VANISHING_GRADIENTS)
def vanish_hard_sigmoid() -> Setup:
    x, y = xor()
    net = dense(x, units=(24,) * 8, head="sigmoid", activation="hard_sigmoid")
    return Setup(compiled(net, ADAM(1e-3), "binary_crossentropy"), x, y, epochs=8)


for _bias in (-3.0, -10.0, -100.0):
    STRUCTURE.add(
        f"dead_bias_{-_bias:g}", lambda b=_bias: _dead(b), C.DEAD_RELU, C.BAD_INITIALIZATION
    )


def _dead(bias: float) -> Setup:
    x, y = linear()
    net = dense(x, bias=keras.initializers.Constant(bias))
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y, epochs=8)


@STRUCTURE.case(C.DEAD_RELU, C.BAD_INITIALIZATION, C.UNSCALED_DATA)
def dead_negative_kernels() -> Setup:
    x, y = linear()
    x = np.abs(x)
    net = dense(x, init=keras.initializers.RandomUniform(-0.5, 0.0))
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y, epochs=8)


def _no_curve(x: np.ndarray, y: np.ndarray, loss: str, head: str | None) -> Setup:
    net = dense(x, units=(64, 64), activation="linear", head=head)
    return Setup(compiled(net, ADAM(0.01), loss), x, y, epochs=10)


STRUCTURE.add(
    "linear_xor", lambda: _no_curve(*xor(), "binary_crossentropy", "sigmoid"), C.NO_NONLINEARITY
)
STRUCTURE.add(
    "linear_circles",
    lambda: _no_curve(*circles(), "binary_crossentropy", "sigmoid"),
    C.NO_NONLINEARITY,
)


@STRUCTURE.case(C.NO_NONLINEARITY)
def linear_parabola() -> Setup:
    x = np.random.default_rng(2).uniform(-2, 2, size=(512, 1)).astype(F32)
    return _no_curve(x, x[:, 0] ** 2, "mse", None)


@STRUCTURE.case(C.NO_NONLINEARITY)
def linear_product() -> Setup:
    x, _ = linear()
    return _no_curve(x, x[:, 0] * x[:, 1], "mae", None)


_SLOW: dict[str, Callable[[], Any]] = {
    "adam_1e8": lambda: ADAM(1e-8),
    "adam_1e7": lambda: ADAM(1e-7),
    "sgd_1e7": lambda: SGD(1e-7),
    "rmsprop_1e8": lambda: keras.optimizers.RMSprop(1e-8),
}
for _name, _optimizer in _SLOW.items():
    STRUCTURE.add(f"slow_{_name}", lambda o=_optimizer: _slow(o()), C.LEARNING_RATE_TOO_LOW)


def _slow(optimizer: Any) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), optimizer, "mse"), x, y)


@STRUCTURE.case(C.LEARNING_RATE_TOO_LOW)
def slow_digits() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, out=10, head="softmax"), SGD(1e-7), CE), x / 16, y)


def _narrow(depth: int) -> Setup:
    x = np.random.default_rng(2).uniform(-2, 2, size=(512, 1)).astype(F32)
    net = dense(x, units=(1,) * depth, activation="tanh")
    return Setup(compiled(net, SGD(0.02), "mse"), x, np.cos(3 * x[:, 0]), epochs=12)


STRUCTURE.add("narrow_parabola", lambda: _narrow(1), C.INSUFFICIENT_CAPACITY)
STRUCTURE.add("narrow_parabola_deep", lambda: _narrow(3), C.INSUFFICIENT_CAPACITY)


@STRUCTURE.case(C.INSUFFICIENT_CAPACITY, C.NO_NONLINEARITY)
def narrow_no_hidden_layer() -> Setup:
    x, y = circles()
    net = dense(x, units=(), head="sigmoid")
    return Setup(compiled(net, ADAM(0.02), "binary_crossentropy"), x, y, epochs=20)
