"""Healthy trials, written before the rules were known: modes of fitting, and noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from evaluation.diagnosis_corpus.held_out.parts import Gan, stack
from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    blobs,
    cancer,
    circles,
    compiled,
    dense,
    digits,
    linear,
    scaled,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

OK_MODES = Family()


def _in(mode: dict[str, Any]) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse", **mode), x, y, epochs=3)


OK_MODES.add("ok_held_jit", partial(_in, {"jit_compile": True}))
OK_MODES.add("ok_held_spe8", partial(_in, {"steps_per_execution": 8}))
OK_MODES.add("ok_held_eager", partial(_in, {"run_eagerly": True}))


@OK_MODES.healthy
def _held_callbacks() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, (16,)), ADAM(1e-3), "mse"),
        x,
        y,
        epochs=10,
        fit={
            "validation_split": 0.2,
            "callbacks": [
                keras.callbacks.EarlyStopping(patience=2),
                keras.callbacks.ReduceLROnPlateau(patience=1),
            ],
        },
    )


@OK_MODES.healthy
def _held_zero_init_head() -> Setup:
    x, y = digits()
    return Setup(
        compiled(dense(x / 16, (32,), 10, head="softmax", out_init="zeros"), ADAM(1e-3), SCE),
        x / 16,
        y,
    )


@OK_MODES.healthy
def _held_lr_zero_first_epoch() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, (16,)), ADAM(1e-3), "mse"),
        x,
        y,
        epochs=6,
        fit={
            "callbacks": [keras.callbacks.LearningRateScheduler(lambda e: 0.0 if e == 0 else 1e-3)]
        },
    )


@OK_MODES.healthy
def _held_hyperband_rung_2_epochs() -> Setup:
    x, y = digits()
    return Setup(
        compiled(dense(x / 16, (32,), 10, head="softmax"), ADAM(1e-4), SCE), x / 16, y, epochs=2
    )


@OK_MODES.healthy
def _held_rung_2_epochs_sgd() -> Setup:
    x, y = cancer()
    return Setup(
        compiled(dense(scaled(x), (16,), 1, head="sigmoid"), SGD(1e-3), "binary_crossentropy"),
        scaled(x),
        y.astype(F32),
        epochs=2,
    )


@OK_MODES.healthy
def _held_adamw_decay() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, (16,)), keras.optimizers.AdamW(1e-3, weight_decay=0.5), "mse"),
        x,
        y,
        epochs=10,
    )


@OK_MODES.healthy
def _held_half_label_noise() -> Setup:
    x, y = blobs()
    r = np.random.default_rng(1)
    y = np.where(r.random(len(y)) < 0.6, r.integers(0, 4, len(y)), y)
    return Setup(compiled(dense(x, (32,), 4, head="softmax"), ADAM(1e-3), SCE), x, y, epochs=10)


@OK_MODES.healthy
def _held_random_labels_cnn() -> Setup:
    r = np.random.default_rng(2)
    x = r.normal(size=(600, 8, 8, 1)).astype(F32)
    return Setup(
        compiled(
            stack(
                x,
                layers.Conv2D(4, 3, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(5, "softmax"),
            ),
            SGD(0.1),
            SCE,
        ),
        x,
        r.integers(0, 5, 600),
        epochs=6,
    )


@OK_MODES.healthy
def _held_matrix_factorization() -> Setup:
    r = np.random.default_rng(3)
    u, v = r.integers(0, 40, 1000), r.integers(0, 30, 1000)
    i, j = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    m = keras.Model(
        [i, j],
        layers.Flatten()(layers.Dot(-1)([layers.Embedding(40, 4)(i), layers.Embedding(30, 4)(j)])),
    )
    return Setup(
        compiled(m, ADAM(1e-2), "mse"),
        [u[:, None], v[:, None]],
        r.integers(1, 6, 1000).astype(F32),
        epochs=6,
    )


@OK_MODES.healthy
def _held_tweedie() -> Setup:
    r = np.random.default_rng(4)
    x = r.normal(size=(600, 4)).astype(F32)
    y = (r.poisson(1, 600) * r.gamma(2, 50, 600)).astype(F32)
    return Setup(
        compiled(
            dense(x, (16,), 1, head="exponential"),
            ADAM(1e-2),
            lambda a, p: 2 * ops.mean(a * ops.power(p, -0.5) + ops.power(p, 0.5)),
        ),
        x,
        y[:, None],
        epochs=8,
    )


@OK_MODES.healthy
def _held_gan_ok() -> Setup:
    x, _ = circles()
    m = Gan()
    m.compile(ADAM(1e-3), ADAM(1e-3))
    return Setup(m, x, None, epochs=5)


@OK_MODES.healthy
def _held_policy_gradient() -> Setup:
    class PG(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = layers.Dense(16, "tanh")
            self.b = layers.Dense(3, "softmax")

        def call(self, x):
            return self.b(self.a(x))

        def train_step(self, data):
            x, rwd = data
            with tf.GradientTape() as t:
                p = self(x)
                a = tf.random.categorical(tf.math.log(p + 1e-8), 1)[:, 0]
                loss = -tf.reduce_mean(
                    tf.gather(rwd, a, batch_dims=1)
                    * tf.math.log(tf.gather(p, a, batch_dims=1) + 1e-8)
                )
            variables = self.trainable_variables
            self.optimizer.apply(t.gradient(loss, variables), variables)
            return {"loss": loss}

    x, y = linear()
    m = PG()
    m.compile(ADAM(1e-3))
    return Setup(m, x, np.stack([y, -y, 0 * y], 1), epochs=5)


@OK_MODES.healthy
def _held_all_frozen_but_bias() -> Setup:
    x, y = linear()
    m = dense(x, (16,))
    m.layers[0].trainable = False
    return Setup(compiled(m, ADAM(1e-3), "mse"), x, y, epochs=6)


@OK_MODES.healthy
def _held_learned_uncertainty() -> Setup:
    x, y = linear()
    return Setup(
        compiled(
            dense(x, (32,), 2),
            ADAM(3e-3),
            lambda a, p: ops.mean(
                0.5 * ops.exp(-p[:, 1]) * ops.square(a[:, 0] - p[:, 0]) + 0.5 * p[:, 1]
            ),
        ),
        x,
        y[:, None] * 0.05,
        epochs=10,
    )


@OK_MODES.healthy
def _held_noise_deep_sigmoid() -> Setup:
    r = np.random.default_rng(5)
    x = r.normal(size=(512, 6)).astype(F32)
    return Setup(
        compiled(
            dense(x, (16,) * 3, 1, head="sigmoid", activation="sigmoid"),
            ADAM(1e-3),
            "binary_crossentropy",
        ),
        x,
        r.integers(0, 2, 512).astype(F32),
        epochs=10,
    )


@OK_MODES.healthy
def _held_noise_raw_scale() -> Setup:
    r = np.random.default_rng(6)
    x = r.normal(50, 20, size=(512, 6)).astype(F32)
    return Setup(
        compiled(dense(x, (32,)), ADAM(1e-3), "mse"), x, r.normal(size=512).astype(F32), epochs=12
    )


@OK_MODES.healthy
def _held_noise_high_lr() -> Setup:
    r = np.random.default_rng(7)
    x = r.normal(size=(512, 6)).astype(F32)
    return Setup(
        compiled(dense(x, (32,)), ADAM(0.05), "mse"), x, r.normal(size=512).astype(F32), epochs=12
    )


@OK_MODES.healthy
def _held_noise_one_unit() -> Setup:
    r = np.random.default_rng(8)
    x = r.normal(size=(512, 6)).astype(F32)
    return Setup(
        compiled(dense(x, (1,)), ADAM(0.01), "mse"), x, r.normal(size=512).astype(F32), epochs=20
    )


@OK_MODES.healthy
def _held_noise_leaky_dead_half() -> Setup:
    r = np.random.default_rng(9)
    x = r.normal(size=(512, 6)).astype(F32)
    return Setup(
        compiled(dense(x, (64, 64), bias=keras.initializers.Constant(-1.0)), ADAM(0.01), "mse"),
        x,
        r.normal(size=512).astype(F32),
        epochs=12,
    )


@OK_MODES.healthy
def _held_mae_median_zero() -> Setup:
    r = np.random.default_rng(10)
    x = r.normal(size=(600, 6)).astype(F32)
    y = np.where(r.random(600) < 0.8, 0, r.gamma(2, 3, 600)).astype(F32)
    return Setup(compiled(dense(x, (32,)), ADAM(1e-3), "mae"), x, y, epochs=8)
