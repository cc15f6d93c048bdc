"""Healthy trials, written before the rules were known: noise, small data, small rates."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    cancer,
    compiled,
    dense,
    diabetes,
    digits,
    iris,
    linear,
    scaled,
    wine,
    words,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

OK_TABLES = Family()


def noise_targets(kind, seed=0):
    r = np.random.default_rng(seed)
    x = r.normal(size=(512, 12)).astype(F32)
    return (x, r.normal(size=512).astype(F32)) if kind == "r" else (x, r.integers(0, kind, 512))


@OK_TABLES.healthy
def _held_noise_reg_small() -> Setup:
    x, y = noise_targets("r")
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse"), x, y, epochs=15)


@OK_TABLES.healthy
def _held_noise_reg_linear() -> Setup:
    x, y = noise_targets("r", 1)
    return Setup(compiled(dense(x, ()), SGD(1e-2), "mse"), x, y, epochs=15)


@OK_TABLES.healthy
def _held_noise_binary_linear_stack() -> Setup:
    x, y = noise_targets(2, 2)
    return Setup(
        compiled(
            dense(x, (8, 8), 1, head="sigmoid", activation=None), ADAM(1e-3), "binary_crossentropy"
        ),
        x,
        y.astype(F32),
        epochs=15,
    )


@OK_TABLES.healthy
def _held_noise_classes_sgd() -> Setup:
    x, y = noise_targets(10, 3)
    return Setup(compiled(dense(x, (32,), 10, head="softmax"), SGD(0.05), SCE), x, y, epochs=10)


@OK_TABLES.healthy
def _held_noise_mae_heavy_tail() -> Setup:
    r = np.random.default_rng(5)
    x = r.normal(size=(512, 8)).astype(F32)
    y = r.standard_t(1.5, 512).astype(F32)
    return Setup(compiled(dense(x, (32,)), ADAM(1e-3), "mae"), x, y, epochs=10)


@OK_TABLES.healthy
def _held_weak_signal() -> Setup:
    r = np.random.default_rng(6)
    x = r.normal(size=(1024, 20)).astype(F32)
    y = (0.12 * x[:, 0] + r.normal(size=1024)).astype(F32)
    return Setup(compiled(dense(x, (32,)), ADAM(1e-3), "mse"), x, y, epochs=10)


@OK_TABLES.healthy
def _held_stock_returns() -> Setup:
    r = np.random.default_rng(7)
    p = r.normal(0, 0.01, 700).astype(F32)
    x = np.stack([p[i : i + 20] for i in range(660)])[..., None]
    y = p[20:680]
    m = keras.Sequential([keras.Input((20, 1)), layers.LSTM(8), layers.Dense(1)])
    return Setup(compiled(m, ADAM(1e-3), "mse"), x, y, epochs=5)


@OK_TABLES.healthy
def _held_overfit() -> Setup:
    x, y = diabetes()
    x = scaled(x)[:60]
    y = (y[:60] - 150) / 77
    return Setup(
        compiled(dense(x, (128, 128)), ADAM(3e-3), "mse"),
        x,
        y,
        epochs=60,
        fit={"validation_split": 0.3},
    )


@OK_TABLES.healthy
def _held_tiny_12_rows() -> Setup:
    x, y = iris()
    x = scaled(x)
    return Setup(
        compiled(dense(x, (8,), 3, head="softmax"), ADAM(1e-2), SCE), x[:12], y[:12], epochs=30
    )


@OK_TABLES.healthy
def _held_four_row_xor() -> Setup:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], F32)
    y = np.array([0, 1, 1, 0], F32)
    return Setup(
        compiled(
            dense(x, (8,), 1, head="sigmoid", activation="tanh"), ADAM(1e-2), "binary_crossentropy"
        ),
        x,
        y,
        epochs=60,
    )


@OK_TABLES.healthy
def _held_one_epoch() -> Setup:
    x, y = digits()
    return Setup(
        compiled(dense(x, (32,), 10, head="softmax"), ADAM(1e-3), SCE), x / 16, y, epochs=1
    )


@OK_TABLES.healthy
def _held_one_epoch_sgd_slow() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, (32,), 10, head="softmax"), SGD(1e-2), SCE), x / 16, y, epochs=1)


@OK_TABLES.healthy
def _held_imbalance_99() -> Setup:
    r = np.random.default_rng(8)
    x = r.normal(size=(1500, 6)).astype(F32)
    y = (r.random(1500) < 0.01).astype(F32)
    return Setup(
        compiled(dense(x, (16,), 1, head="sigmoid"), ADAM(1e-3), "binary_crossentropy"),
        x,
        y,
        epochs=6,
    )


@OK_TABLES.healthy
def _held_imbalance_weighted() -> Setup:
    x, y = cancer()
    x = scaled(x)
    keep = (y == 1) | (np.arange(len(y)) % 10 == 0)
    return Setup(
        compiled(dense(x, (16,), 1, head="sigmoid"), ADAM(1e-3), "binary_crossentropy"),
        x[keep],
        y[keep].astype(F32),
        epochs=10,
        fit={"class_weight": {0: 8.0, 1: 0.5}},
    )


@OK_TABLES.healthy
def _held_autoencoder_narrow() -> Setup:
    x, _ = digits()
    x = x / 16
    return Setup(
        compiled(dense(x, (32, 2, 32), 64, head="sigmoid"), ADAM(1e-3), "binary_crossentropy"),
        x,
        x,
        epochs=8,
    )


@OK_TABLES.healthy
def _held_autoencoder_linear_pca() -> Setup:
    x, _ = wine()
    x = scaled(x)
    return Setup(compiled(dense(x, (3,), 13, activation=None), ADAM(1e-2), "mse"), x, x, epochs=25)


@OK_TABLES.healthy
def _held_denoise_conv() -> Setup:
    x, _ = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)[:600]
    n = (x + 0.3 * np.random.default_rng(9).normal(size=x.shape)).astype(F32)
    m = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.Conv2D(1, 3, padding="same"),
        ]
    )
    return Setup(compiled(m, ADAM(1e-3), "mse"), n, x)


@OK_TABLES.healthy
def _held_transformer() -> Setup:
    x, y = words()
    i = keras.Input((12,), dtype="int32")
    e = layers.Embedding(50, 16)(i)
    a = layers.LayerNormalization()(e + layers.MultiHeadAttention(2, 8)(e, e))
    f = layers.LayerNormalization()(a + layers.Dense(16)(layers.Dense(32, "gelu")(a)))
    return Setup(
        compiled(
            keras.Model(i, layers.Dense(1, "sigmoid")(layers.GlobalAveragePooling1D()(f))),
            ADAM(1e-3),
            "binary_crossentropy",
        ),
        x,
        y,
        epochs=4,
    )


@OK_TABLES.healthy
def _held_masked_lstm() -> Setup:
    x, y = words()
    x = x.copy()
    x[:, 8:] = 0
    m = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(50, 8, mask_zero=True),
            layers.LSTM(8),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return Setup(compiled(m, ADAM(5e-3), "binary_crossentropy"), x, y, epochs=3)


@OK_TABLES.healthy
def _held_fine_small_lr() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (64, 64)), ADAM(1e-4), "mse"), x, y, epochs=10)
