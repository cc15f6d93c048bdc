"""Healthy trials, written before the rules were known: architectures and targets."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    blobs,
    cancer,
    compiled,
    dense,
    digits,
    linear,
    scaled,
    wine,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

OK_MODELS = Family()


@OK_MODELS.healthy
def _held_cancer_raw_adam() -> Setup:
    x, y = cancer()
    return Setup(
        compiled(dense(x, (32,), 1, head="sigmoid"), ADAM(1e-3), "binary_crossentropy"),
        x,
        y.astype(F32),
        epochs=15,
    )


@OK_MODELS.healthy
def _held_digits_raw_pixels() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, (64,), 10, head="softmax"), ADAM(1e-3), SCE), x, y)


@OK_MODELS.healthy
def _held_digits_255() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, (64,), 10, head="softmax"), ADAM(1e-3), SCE), x * 16, y)


@OK_MODELS.healthy
def _held_batchnorm_raw() -> Setup:
    x, y = wine()
    m = keras.Sequential(
        [
            keras.Input((13,)),
            layers.BatchNormalization(),
            layers.Dense(16, "relu"),
            layers.BatchNormalization(),
            layers.Dense(3, "softmax"),
        ]
    )
    return Setup(compiled(m, ADAM(1e-2), SCE), x, y, epochs=10)


@OK_MODELS.healthy
def _held_dropout_heavy() -> Setup:
    x, y = digits()
    m = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dropout(0.5),
            layers.Dense(64, "relu"),
            layers.Dropout(0.7),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(m, ADAM(1e-3), SCE), x / 16, y)


@OK_MODELS.healthy
def _held_deep_selu() -> Setup:
    x, y = digits()
    return Setup(
        compiled(
            dense(x, (32,) * 8, 10, head="softmax", activation="selu", init="lecun_normal"),
            SGD(0.02),
            SCE,
        ),
        x / 16,
        y,
        epochs=5,
    )


@OK_MODELS.healthy
def _held_four_sigmoid_layers() -> Setup:
    x, y = cancer()
    x = scaled(x)
    return Setup(
        compiled(
            dense(x, (16,) * 3, 1, head="sigmoid", activation="sigmoid"),
            ADAM(1e-2),
            "binary_crossentropy",
        ),
        x,
        y.astype(F32),
        epochs=10,
    )


@OK_MODELS.healthy
def _held_l1_kills_weights() -> Setup:
    x, y = linear()
    m = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "relu", kernel_regularizer="l1"),
            layers.Dense(1, kernel_regularizer="l2", activity_regularizer="l2"),
        ]
    )
    return Setup(compiled(m, ADAM(1e-3), "mse"), x, y, epochs=8)


@OK_MODELS.healthy
def _held_multi_io() -> Setup:
    x, y = linear()
    i, j = keras.Input((10,)), keras.Input((4,))
    t = layers.Concatenate()([layers.Dense(8, "relu")(i), layers.Dense(8, "relu")(j)])
    m = keras.Model([i, j], [layers.Dense(1)(t), layers.Dense(1, "sigmoid")(t)])
    m.compile(ADAM(1e-3), ["mse", "binary_crossentropy"], loss_weights=[1.0, 0.1])
    return Setup(m, [x, x[:, :4]], [y, (y > 0).astype(F32)], epochs=6)


@OK_MODELS.healthy
def _held_generator_infinite() -> Setup:
    x, y = linear()

    def g():
        r = np.random.default_rng(1)
        while True:
            k = r.integers(0, len(x), 32)
            yield x[k], y[k]

    return Setup(
        compiled(dense(x), ADAM(1e-3), "mse"),
        g(),
        None,
        fit={"batch_size": None, "steps_per_epoch": 10},
    )


@OK_MODELS.healthy
def _held_dataset_weights_zero_padding() -> Setup:
    x, y = linear()
    w = (np.arange(len(x)) % 4 != 0).astype(F32)
    ds = tf.data.Dataset.from_tensor_slices((x, y, w)).shuffle(512).batch(32).repeat()
    return Setup(
        compiled(dense(x), ADAM(1e-3), "mse"),
        ds,
        None,
        fit={"batch_size": None, "steps_per_epoch": 12},
    )


@OK_MODELS.healthy
def _held_multilabel_sparse() -> Setup:
    r = np.random.default_rng(14)
    x = r.normal(size=(600, 10)).astype(F32)
    y = ((x @ r.normal(size=(10, 20))) > 6).astype(F32)
    return Setup(
        compiled(dense(x, (32,), 20, head="sigmoid"), ADAM(3e-3), "binary_crossentropy"),
        x,
        y,
        epochs=8,
    )


@OK_MODELS.healthy
def _held_label_smoothing_onehot() -> Setup:
    x, y = blobs()
    return Setup(
        compiled(
            dense(x, (16,), 4, head="softmax"),
            ADAM(1e-2),
            keras.losses.CategoricalCrossentropy(label_smoothing=0.2),
        ),
        x,
        np.eye(4)[y],
        epochs=6,
    )


@OK_MODELS.healthy
def _held_soft_targets() -> Setup:
    x, _y = blobs()
    s = np.random.default_rng(1).dirichlet(np.ones(4), len(x))
    return Setup(
        compiled(dense(x, (16,), 4, head="softmax"), ADAM(1e-2), "kl_divergence"),
        x,
        s.astype(F32),
        epochs=8,
    )


@OK_MODELS.healthy
def _held_fewer_labels_than_units() -> Setup:
    x, y = blobs()
    return Setup(compiled(dense(x, (16,), 50, head="softmax"), ADAM(1e-2), SCE), x, y, epochs=6)


@OK_MODELS.healthy
def _held_huber_quantile() -> Setup:
    x, y = linear()

    def q(a, p):
        return ops.mean(ops.maximum(0.9 * (a - p), -0.1 * (a - p)))

    return Setup(compiled(dense(x), ADAM(1e-3), q), x, y[:, None], epochs=8)


@OK_MODELS.healthy
def _held_mixed_float16() -> Setup:
    x, y = linear()
    P = "mixed_float16"
    m = keras.Sequential(
        [keras.Input((10,)), layers.Dense(64, "relu", dtype=P), layers.Dense(1, dtype="float32")]
    )
    return Setup(compiled(m, ADAM(3e-3), "mse"), x, y, epochs=6)


@OK_MODELS.healthy
def _held_next_token() -> Setup:
    r = np.random.default_rng(15)
    s = np.cumsum(r.integers(1, 3, (400, 13)), 1) % 20
    m = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(20, 16),
            layers.GRU(16, return_sequences=True),
            layers.Dense(20),
        ]
    )
    return Setup(
        compiled(m, ADAM(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        s[:, :12],
        s[:, 1:],
        epochs=4,
    )


@OK_MODELS.healthy
def _held_segmentation() -> Setup:
    x, _ = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)[:500]
    m = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    return Setup(compiled(m, ADAM(3e-3), "binary_crossentropy"), x, (x > 0.5).astype(F32), epochs=4)


@OK_MODELS.healthy
def _held_vae() -> Setup:
    class VAE(keras.Model):
        def __init__(self):
            super().__init__()
            self.e = layers.Dense(32, "relu")
            self.m = layers.Dense(2)
            self.v = layers.Dense(2)
            self.o = keras.Sequential([layers.Dense(32, "relu"), layers.Dense(64, "sigmoid")])

        def call(self, x):
            q = self.e(x)
            m, v = self.m(q), self.v(q)
            self.add_loss(-0.01 * ops.mean(1 + v - m**2 - ops.exp(v)))
            return self.o(m + ops.exp(v / 2) * keras.random.normal(ops.shape(m)))

    x, _ = digits()
    x = x / 16
    return Setup(compiled(VAE(), ADAM(2e-3), "binary_crossentropy"), x, x, epochs=6)


@OK_MODELS.healthy
def _held_sgd_1_softmax_fine() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, (32,), 10, head="softmax"), SGD(1.0), SCE), x / 16, y, epochs=6)


@OK_MODELS.healthy
def _held_edge_of_stability() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (64,), activation="tanh"), SGD(0.15), "mse"), x, y, epochs=10)


@OK_MODELS.healthy
def _held_adam_lr_01() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16,)), ADAM(0.1), "mse"), x, y, epochs=10)


@OK_MODELS.healthy
def _held_contrast_simclr() -> Setup:
    x, y = blobs()

    def nt(a, p):
        z = p / ops.sqrt(ops.sum(p**2, -1, keepdims=True) + 1e-8)
        s = ops.matmul(z, ops.transpose(z)) / 0.2 - 1e9 * ops.eye(ops.shape(p)[0])
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                (ops.arange(ops.shape(p)[0]) + 1) % ops.shape(p)[0], s, from_logits=True
            )
        )

    return Setup(
        compiled(dense(x, (16,), 4), ADAM(1e-3), nt),
        x[np.argsort(y)],
        np.zeros((len(x), 4), F32),
        epochs=4,
        fit={"batch_size": 32, "shuffle": False},
    )


@OK_MODELS.healthy
def _held_dqn_bootstrap_targets() -> Setup:
    r = np.random.default_rng(16)
    x = r.normal(size=(512, 6)).astype(F32)
    y = (r.random((512, 3)) * 100).astype(F32)
    return Setup(compiled(dense(x, (32, 32), 3), ADAM(1e-3), "huber"), x, y, epochs=8)
