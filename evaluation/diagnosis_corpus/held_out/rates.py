"""Failing trials, written before the rules were known: rates and scales."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from evaluation.diagnosis_corpus.held_out.parts import Gan, OwnStep, stack
from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    cancer,
    circles,
    compiled,
    curved,
    dense,
    diabetes,
    digits,
    housing,
    linear,
    scaled,
    waves,
    wine,
    words,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

RATES = Family()


@RATES.case(C.UNSCALED_DATA, C.DIVERGENT_LEARNING_RATE)
def held_line_0_199() -> Setup:
    x = np.arange(200, dtype=F32)[:, None]
    return Setup(
        compiled(keras.Sequential([keras.Input((1,)), layers.Dense(1)]), SGD(0.01), "mse"),
        x,
        2 * x[:, 0],
    )


@RATES.case(C.UNSCALED_DATA)
def held_housing_sgd() -> Setup:
    x, y = housing()
    return Setup(compiled(dense(x, (30,)), SGD(1e-2), "mse"), x, y)


@RATES.case(C.UNSCALED_DATA)
def held_housing_prices_momentum() -> Setup:
    x, y = housing()
    return Setup(
        compiled(dense(scaled(x), (32, 32)), SGD(0.01, momentum=0.9), "mse"), scaled(x), y * 1e5
    )


@RATES.case(C.UNSCALED_DATA, C.DEAD_RELU)
def held_wine_raw_sgd() -> Setup:
    x, y = wine()
    return Setup(compiled(dense(x, (32, 16), 3, head="softmax"), SGD(0.1), SCE), x, y, epochs=30)


@RATES.case(C.UNSCALED_DATA)
def held_cancer_raw_logistic_sgd() -> Setup:
    x, y = cancer()
    return Setup(
        compiled(dense(x, (16,), 1, head="tanh"), SGD(0.05), "mse"), x * 100, y * 2.0 - 1, epochs=10
    )


@RATES.case(C.UNSCALED_DATA)
def held_timestamps() -> Setup:
    r = np.random.default_rng(1)
    t = 1.6e9 + r.uniform(0, 3e7, 600)
    z = r.normal(size=600)
    x = np.stack([t, z], 1).astype(F32)
    y = (z + 0.1 * r.normal(size=600)).astype(F32)
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse"), x, y, epochs=5)


@RATES.case(C.UNSCALED_DATA, C.NON_FINITE_DATA)
def held_sentinel_1e30() -> Setup:
    x, y = linear()
    x = x.copy()
    x[::50, 3] = 1e30
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y)


_OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adamax_20": lambda: keras.optimizers.Adamax(20.0),
    "ftrl_1e3": lambda: keras.optimizers.Ftrl(1000.0),
    "adadelta_1e4": lambda: keras.optimizers.Adadelta(1e4),
    "sgd_nesterov_1": lambda: SGD(1.5, momentum=0.95, nesterov=True),
    "rms_mom": lambda: keras.optimizers.RMSprop(1.0, momentum=0.9, centered=True),
}


def _wild(optimizer: Callable[[], Any]) -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, (32, 32)), optimizer(), "mse"), x, y)


for _name, _optimizer in _OPTIMIZERS.items():
    RATES.add("held_lr_" + _name, partial(_wild, _optimizer), C.DIVERGENT_LEARNING_RATE)


@RATES.case(C.DIVERGENT_LEARNING_RATE, C.DEAD_RELU)
def held_lr_cnn_adam_half() -> Setup:
    x, y = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)
    m = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return Setup(compiled(m, ADAM(0.5), SCE), x, y, epochs=6)


@RATES.case(C.DIVERGENT_LEARNING_RATE)
def held_lr_schedule_peak() -> Setup:
    x, y = linear()
    s = keras.optimizers.schedules.CosineDecay(0.001, 100, warmup_target=30.0, warmup_steps=20)
    return Setup(compiled(dense(x), SGD(s), "mse"), x, y, epochs=6)


@RATES.case(C.DIVERGENT_LEARNING_RATE)
def held_l2_strong_decay() -> Setup:
    x, y = linear()
    m = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "relu", kernel_regularizer=keras.regularizers.L2(5.0)),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(m, SGD(0.3), "mse"), x, y)


@RATES.case(C.DIVERGENT_LEARNING_RATE)
def held_custom_train_step_lr() -> Setup:
    x, y = linear()
    model = OwnStep(lambda y, p: (p - y) ** 2)
    model.compile(SGD(20.0))
    return Setup(model, x, y)


@RATES.case(C.DIVERGENT_LEARNING_RATE)
def held_subclass_compiled_lr() -> Setup:
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = layers.Dense(32, "tanh")
            self.b = layers.Dense(1)

        def call(self, x, training=False):
            return self.b(self.a(x))

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as t:
                p = self(x, training=True)
                loss = self.compute_loss(x=x, y=y, y_pred=p)
            self.optimizer.apply(
                t.gradient(loss, self.trainable_variables), self.trainable_variables
            )
            return {"loss": loss}

    x, y = linear()
    m = Own()
    m.compile(optimizer=SGD(10.0), loss="mse")
    return Setup(m, x, y)


@RATES.case(C.UNSCALED_DATA, C.DIVERGENT_LEARNING_RATE)
def held_multi_output_scales() -> Setup:
    x, y = linear()
    i = keras.Input((10,))
    h = layers.Dense(32, "relu")(i)
    m = keras.Model(i, {"a": layers.Dense(1, name="a")(h), "b": layers.Dense(1, name="b")(h)})
    m.compile(SGD(0.01), {"a": "mse", "b": "mse"})
    return Setup(m, x, {"a": y, "b": 1e4 * y + 3e4})


@RATES.case(C.UNSCALED_DATA)
def held_multi_input_one_raw() -> Setup:
    x, y = linear()
    i, j = keras.Input((10,), name="num"), keras.Input((3,), name="raw")
    h = layers.Concatenate()([layers.Dense(16, "relu")(i), j])
    m = keras.Model([i, j], layers.Dense(1)(layers.Dense(16, "relu")(h)))
    raw = np.random.default_rng(3).uniform(0, 50000, (len(x), 3)).astype(F32)
    return Setup(compiled(m, SGD(0.01), "mse"), {"num": x, "raw": raw}, y)


_MODES: dict[str, dict[str, Any]] = {
    "jit": {"jit_compile": True},
    "spe4": {"steps_per_execution": 4},
    "eager": {"run_eagerly": True},
}


def _rate_in(mode: dict[str, Any]) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16,)), SGD(50.0), "mse", **mode), x, y, epochs=3)


def _nan_in(mode: dict[str, Any]) -> Setup:
    x, y = linear()
    x = x.copy()
    x[70, 2] = np.nan
    net = compiled(dense(x, (16,), activation="tanh"), ADAM(1e-3), "mse", **mode)
    return Setup(net, x, y, epochs=2)


def _root_in(mode: dict[str, Any]) -> Setup:
    x, y = linear()
    net = compiled(dense(x, (16,)), ADAM(1e-3), lambda a, p: ops.mean(ops.sqrt(p) * a), **mode)
    return Setup(net, x, y, epochs=2)


for _name, _mode in _MODES.items():
    RATES.add("held_lr_" + _name, partial(_rate_in, _mode), C.DIVERGENT_LEARNING_RATE)
    RATES.add("held_nan_" + _name, partial(_nan_in, _mode), C.NON_FINITE_DATA)
    RATES.add("held_loss_" + _name, partial(_root_in, _mode), C.UNSAFE_LOSS)


@RATES.case(C.DIVERGENT_LEARNING_RATE)
def held_gan_lr() -> Setup:
    x, _ = circles()
    m = Gan()
    m.compile(SGD(1e4), SGD(1e4))
    return Setup(m, x, None)


@RATES.case(C.UNSCALED_DATA, C.DIVERGENT_LEARNING_RATE)
def held_own_step_raw() -> Setup:
    x, y = housing()
    model = OwnStep(lambda y, p: (p - y) ** 2)
    model.compile(SGD(1e-2, momentum=0.9))
    return Setup(model, x, y)


@RATES.case(C.DIVERGENT_LEARNING_RATE)
def held_lstm_adam5() -> Setup:
    x, y = waves()
    return Setup(
        compiled(stack(x, layers.LSTM(16), layers.Dense(1)), ADAM(5.0), "mse"), x, y, epochs=4
    )


@RATES.case(C.DIVERGENT_LEARNING_RATE)
def held_embedding_sgd1000() -> Setup:
    x, y = words()
    m = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(50, 8),
            layers.Flatten(),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return Setup(compiled(m, SGD(1000.0), "mse"), x, y, epochs=8)


@RATES.case(C.UNSCALED_DATA, C.DIVERGENT_LEARNING_RATE)
def held_conv_255() -> Setup:
    x, y = digits()
    x = (x * 16).reshape(-1, 8, 8, 1)
    return Setup(
        compiled(
            stack(
                x,
                layers.Conv2D(8, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(10, "softmax"),
            ),
            SGD(0.1),
            SCE,
        ),
        x,
        y,
        epochs=5,
    )


@RATES.case(C.UNSCALED_DATA)
def held_lstm_prices() -> Setup:
    r = np.random.default_rng(3)
    p = 30000 + np.cumsum(r.normal(0, 300, 700))
    x = np.stack([p[k : k + 20] for k in range(660)])[..., None].astype(F32)
    y = p[20:680].astype(F32)
    return Setup(
        compiled(stack(x, layers.LSTM(16), layers.Dense(1)), ADAM(1e-3), "mse"), x, y, epochs=6
    )


@RATES.case(C.DIVERGENT_LEARNING_RATE, C.DEAD_RELU)
def held_adam_1_dead() -> Setup:
    x, y = digits()
    return Setup(
        compiled(dense(x / 16, (64, 64), 10, head="softmax"), ADAM(1.0), SCE), x / 16, y, epochs=6
    )


@RATES.case(C.UNSCALED_DATA)
def held_normalization_wrong_adapt() -> Setup:
    x, y = housing()
    n = layers.Normalization()
    n.adapt(x * 1e-5)
    return Setup(
        compiled(stack(x, n, layers.Dense(16, "relu"), layers.Dense(1)), SGD(1e-2), "mse"), x, y
    )


@RATES.case(C.UNSCALED_DATA)
def held_cubed_features_adam() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, (64, 64)), SGD(1e-3), "mse"), x**3 / 1e3, y, epochs=6)


@RATES.case(C.UNSCALED_DATA, C.DIVERGENT_LEARNING_RATE)
def held_dict_inputs_raw() -> Setup:
    x, y = housing()
    ins = {k: keras.Input((1,), name=k) for k in ("inc", "pop")}
    t = layers.Concatenate()(list(ins.values()))
    return Setup(
        compiled(keras.Model(ins, layers.Dense(1)(layers.Dense(16, "relu")(t))), SGD(1e-3), "mse"),
        {"inc": x[:, :1], "pop": x[:, 3:4]},
        y,
    )
