"""Healthy trials: ways in which data arrives, and modes of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    cancer,
    compiled,
    dense,
    linear,
    scaled,
    waves,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE, BCE = "sparse_categorical_crossentropy", "binary_crossentropy"

HEALTHY_MODES = Family()


# How the data arrives.


@HEALTHY_MODES.healthy
def _masked_nan() -> Setup:
    x, y = waves()
    x[:40, 20:] = -1.0
    net = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.Masking(-1.0), layers.LSTM(16), layers.Dense(1)]
    )
    return Setup(compiled(net, ADAM(0.01), "mse"), x, y, epochs=10)


@HEALTHY_MODES.healthy
def _nan_imputed_in_model() -> Setup:
    x, y = linear()
    x = x.copy()
    x[::13, 2] = np.nan
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Lambda(lambda v: ops.where(ops.isnan(v), ops.zeros_like(v), v)),
            layers.Dense(64, "relu"),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, ADAM(3e-3), "mse"), x, y, epochs=8)


@HEALTHY_MODES.healthy
def _dataset() -> Setup:
    x, y = linear()
    data = tf.data.Dataset.from_tensor_slices((x, y[:, None])).shuffle(512, seed=1).batch(32)
    return Setup(compiled(dense(x), ADAM(3e-3), "mse"), data, None, fit={"batch_size": None})


@HEALTHY_MODES.healthy
def _generator() -> Setup:
    x, y = linear()

    def batches() -> Iterator[Any]:
        while True:
            for i in range(0, 512, 32):
                yield x[i : i + 32], y[i : i + 32, None]

    return Setup(
        compiled(dense(x), ADAM(3e-3), "mse"),
        batches(),
        None,
        fit={"steps_per_epoch": 16, "batch_size": None},
    )


@HEALTHY_MODES.healthy
def _sample_weights() -> Setup:
    x, y = linear()
    weight = np.random.default_rng(0).uniform(0, 10, len(x)).astype(F32)
    return Setup(compiled(dense(x), ADAM(3e-3), "mse"), x, y, 6, {"sample_weight": weight})


@HEALTHY_MODES.healthy
def _class_weights() -> Setup:
    x, y = cancer()
    net = dense(x, head="sigmoid")
    return Setup(
        compiled(net, ADAM(3e-3), BCE), scaled(x), y, fit={"class_weight": {0: 20.0, 1: 1.0}}
    )


@HEALTHY_MODES.healthy
def _last_batch_of_one() -> Setup:
    x, y = linear(n=481)
    return Setup(compiled(dense(x), ADAM(3e-3), "mse"), x, y, epochs=6)


@HEALTHY_MODES.healthy
def _full_batch() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(0.01), "mse"), x, y, 40, {"batch_size": 512})


@HEALTHY_MODES.healthy
def _batch_of_two() -> Setup:
    x, y = linear(n=128)
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y, 4, {"batch_size": 2})


@HEALTHY_MODES.healthy
def _four_rows_xor() -> Setup:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], F32)
    net = dense(x, units=(16, 16), head="sigmoid", activation="tanh")
    return Setup(compiled(net, ADAM(0.05), BCE), x, np.array([0, 1, 1, 0], F32), epochs=60)


# Modes.


for _name, _options in {
    "jit": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "steps_per_execution": {"steps_per_execution": 8},
}.items():
    HEALTHY_MODES.add(f"ok_mode_{_name}", lambda o=_options: _mode(o))


def _mode(options: dict[str, Any]) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(3e-3), "mse", **options), x, y)


@HEALTHY_MODES.healthy
def _mixed_float16() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "relu", dtype="mixed_float16"),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(3e-3), "mse"), x, y, epochs=6)


@HEALTHY_MODES.healthy
def _accumulated() -> Setup:
    x, y = linear()
    optimizer = ADAM(0.01, gradient_accumulation_steps=4)
    return Setup(compiled(dense(x), optimizer, "mse"), x, y, epochs=12)


@HEALTHY_MODES.healthy
def _averaged() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(3e-3, use_ema=True), "mse"), x, y, epochs=6)


@HEALTHY_MODES.healthy
def _clipped() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), SGD(0.05, global_clipnorm=1.0), "mse"), x, y, epochs=10)


@HEALTHY_MODES.healthy
def _scheduled() -> Setup:
    x, y = linear()
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 90, warmup_target=0.05, warmup_steps=20)
    return Setup(compiled(dense(x), SGD(schedule), "mse"), x, y, epochs=6)


@HEALTHY_MODES.healthy
def _plateau() -> Setup:
    x, y = linear()
    callback = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1)
    return Setup(compiled(dense(x), ADAM(0.01), "mse"), x, y, 10, {"callbacks": [callback]})


@HEALTHY_MODES.healthy
def _validation() -> Setup:
    x, y = linear()
    net = compiled(dense(x), ADAM(3e-3), "mse", metrics=["mae"])
    return Setup(net, x, y, 6, {"validation_split": 0.2})


@HEALTHY_MODES.healthy
def _frequent_spikes() -> Setup:
    x, y = linear()
    y = y.copy()
    y[::97] *= 30
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y, epochs=10)


@HEALTHY_MODES.healthy
def _heavy_tails() -> Setup:
    x, _ = linear()
    rng = np.random.default_rng(4)
    y = (x[:, 0] + 0.3 * rng.standard_t(2, len(x))).astype(F32)
    return Setup(compiled(dense(x), ADAM(3e-3), "huber"), x, y, epochs=8)
