"""Healthy runs: linear on purpose, frozen and tied parts, data feeding, starts, penalties."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import Sequential, layers, ops, regularizers
from keras.optimizers import SGD, Adam
from sklearn import datasets
from sklearn.preprocessing import PolynomialFeatures

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


def _z(a: np.ndarray) -> np.ndarray:
    return ((a - a.mean(0)) / (a.std(0) + 1e-9)).astype("float32")


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def _bumps(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).uniform(-2, 2, (rows, 3)).astype("float32")
    return x, _z(np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2])


def _rings(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(rows, 5)).astype("float32")
    r = (x[:, :3] ** 2).sum(1)
    return x, np.digitize(r, np.quantile(r, [1 / 3, 2 / 3]))


def _stack(features: int, *parts: keras.layers.Layer) -> Sequential:
    return Sequential([keras.Input((features,)), *parts])


# linear on purpose


@PROGRAMS.healthy
def ok_linear_regression_three_slopes() -> Setup:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    model = _stack(3, layers.Dense(1))
    model.compile(SGD(0.02), "mse")
    y = x @ [3.0, -2.0, 0.5] + 4 + 0.5 * rng.normal(size=400)
    return Setup(model, x, y, {"epochs": 15, "batch_size": 16})


@PROGRAMS.healthy
def ok_logistic_regression_cancer() -> Setup:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    model = _stack(30, layers.Dense(1, activation="sigmoid"))
    model.compile(SGD(0.05), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, _z(x), y, {"epochs": 8})


@PROGRAMS.healthy
def ok_softmax_regression_digits() -> Setup:
    x, y = _digits()
    model = _stack(64, layers.Dense(10, activation="softmax"))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 32})


@PROGRAMS.healthy
def ok_linear_hidden_layers_linear_relation() -> Setup:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(700, 8))
    model = _stack(8, layers.Dense(16), layers.Dense(8), layers.Dense(1))
    model.compile(Adam(0.003), "mse")
    y = x @ rng.normal(size=8) + 0.3 * rng.normal(size=700)
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def ok_linear_bottleneck_reduced_rank() -> Setup:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 12)).astype("float32")
    y = x @ rng.normal(size=(12, 2)) @ rng.normal(size=(2, 9)) / 4 + 0.2 * rng.normal(size=(600, 9))
    model = _stack(12, layers.Dense(2, use_bias=False), layers.Dense(9))
    model.compile(Adam(0.02), "mse")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_polynomial_features_single_dense() -> Setup:
    x = np.random.default_rng(3).uniform(-1, 1, (500, 2))
    features = _z(PolynomialFeatures(3, include_bias=False).fit_transform(x))
    y = _z(x[:, 0] ** 3 - x[:, 0] * x[:, 1] + x[:, 1] ** 2)
    model = _stack(9, layers.Dense(1))
    model.compile(Adam(0.02), "mse")
    return Setup(model, features, y, {"epochs": 20, "batch_size": 16})


# frozen, pretrained and tied parts


@PROGRAMS.healthy
def ok_frozen_base_new_head() -> Setup:
    x, y = _digits()
    base = _stack(64, layers.Dense(48, activation="relu"), layers.Dense(24, activation="relu"))
    old = Sequential([base, layers.Dense(5, activation="softmax")])
    old.compile("adam", "sparse_categorical_crossentropy")
    old.fit(x[y < 5], y[y < 5], epochs=8, verbose=0)
    base.trainable = False
    model = Sequential([base, layers.Dense(5, activation="softmax")])
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x[y >= 5], y[y >= 5] - 5, {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def ok_frozen_random_features() -> Setup:
    x, y = _rings(900, 4)
    wide = layers.Dense(200, activation="relu", bias_initializer="random_normal", trainable=False)
    model = _stack(5, wide, layers.Dense(3, activation="softmax"))
    model.compile(Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_first_layers_frozen_rest_tuned() -> Setup:
    x, y = _digits()
    model = _stack(64, *[layers.Dense(40, activation="relu") for _ in range(3)], layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(x, y, epochs=6, verbose=0)
    for layer in model.layers[:2]:
        layer.trainable = False
    model.compile(Adam(5e-4), loss, metrics=["accuracy"])
    return Setup(model, np.flip(x.reshape(-1, 8, 8), 2).reshape(-1, 64), y, {"epochs": 15})


class _Tied(layers.Layer):
    """Decoder that uses the encoder's kernel, transposed."""

    def __init__(self, encoder: layers.Dense) -> None:
        super().__init__(name="tied")
        self.encoder = encoder

    def call(self, code):
        return ops.matmul(code, ops.transpose(self.encoder.kernel))


@PROGRAMS.healthy
def ok_tied_weights_autoencoder() -> Setup:
    x = _z(datasets.load_breast_cancer().data)
    encoder = layers.Dense(8, activation="linear")
    model = _stack(30, encoder, _Tied(encoder))
    model.compile(Adam(0.003), "mse")
    return Setup(model, x, x, {"epochs": 10})


# weights, ways to feed data


@PROGRAMS.healthy
def ok_sample_weight_recent_rows() -> Setup:
    x, y = _bumps(700, 5)
    model = _stack(3, layers.Dense(48, activation="relu"), layers.Dense(1))
    model.compile(Adam(0.01), "mse")
    weight = np.linspace(0.2, 1.0, 700)
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32, "sample_weight": weight})


@PROGRAMS.healthy
def ok_class_weight_three_classes() -> Setup:
    x, y = datasets.make_blobs([400, 100, 30], 4, cluster_std=2.5, random_state=6)
    model = _stack(4, layers.Dense(12, activation="relu"), layers.Dense(3, activation="softmax"))
    model.compile(Adam(0.005), "sparse_categorical_crossentropy")
    return Setup(model, _z(x), y, {"epochs": 10, "class_weight": {0: 0.44, 1: 1.77, 2: 5.9}})


@PROGRAMS.healthy
def ok_python_generator() -> Setup:
    x, y = _rings(800, 7)

    def batches():
        rng = np.random.default_rng(0)
        while True:
            rows = rng.integers(0, 800, 32)
            yield x[rows], y[rows]

    model = _stack(5, layers.Dense(32, activation="relu"), layers.Dense(3, activation="softmax"))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, batches(), None, {"epochs": 12, "steps_per_epoch": 25})


class _Batches(keras.utils.PyDataset):
    """Digits with a random shift, made batch by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = _digits()

    def __len__(self) -> int:
        return len(self.x) // 32

    def __getitem__(self, i: int):
        shift = np.random.default_rng(i).integers(-1, 2)
        x = np.roll(self.x[i * 32 : i * 32 + 32].reshape(-1, 8, 8), shift, 2)
        return x.reshape(-1, 64), self.y[i * 32 : i * 32 + 32]


@PROGRAMS.healthy
def ok_py_dataset_shifted_digits() -> Setup:
    model = _stack(64, layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax"))
    model.compile(Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, _Batches(), None, {"epochs": 6})


@PROGRAMS.healthy
def ok_tf_data_repeat_steps() -> Setup:
    x, y = _bumps(640, 8)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(640, seed=1).repeat().batch(32)
    model = _stack(3, layers.Dense(32, activation="tanh"), layers.Dense(1))
    model.compile(Adam(0.01), "mse")
    return Setup(model, data.prefetch(2), None, {"epochs": 15, "steps_per_epoch": 20})


@PROGRAMS.healthy
def ok_tf_data_with_weights_and_validation() -> Setup:
    x, y = datasets.make_moons(600, noise=0.2, random_state=9)
    data = tf.data.Dataset.from_tensor_slices((x, y, np.where(y == 1, 2.0, 1.0)))
    model = _stack(2, layers.Dense(24, activation="relu"), layers.Dense(1, activation="sigmoid"))
    model.compile(Adam(0.01), "binary_crossentropy")
    fit = {"epochs": 12, "validation_data": data.skip(480).batch(40)}
    return Setup(model, data.take(480).batch(32), None, fit)


@PROGRAMS.healthy
def ok_batch_of_one() -> Setup:
    x, y = datasets.load_iris(return_X_y=True)
    model = _stack(4, layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax"))
    model.compile(SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, _z(x), y, {"epochs": 5, "batch_size": 1})


@PROGRAMS.healthy
def ok_full_batch() -> Setup:
    x, y = datasets.load_wine(return_X_y=True)
    model = _stack(13, layers.Dense(16, activation="tanh"), layers.Dense(3, activation="softmax"))
    model.compile(SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    return Setup(model, _z(x), y, {"epochs": 40, "batch_size": 178})


@PROGRAMS.healthy
def ok_rows_in_order_get_harder() -> Setup:
    rng = np.random.default_rng(10)
    gap = np.linspace(4.0, 0.6, 1200)
    y = rng.integers(0, 2, 1200)
    x = rng.normal(size=(1200, 4)) + np.where(y[:, None] == 1, 0.5, -0.5) * gap[:, None]
    model = _stack(4, layers.Dense(12, activation="relu"), layers.Dense(1, activation="sigmoid"))
    model.compile(Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 5, "batch_size": 24, "shuffle": False})


# starts and activations


@PROGRAMS.healthy
def ok_zero_output_layer() -> Setup:
    x, y = _bumps(600, 11)
    zero = layers.Dense(1, kernel_initializer="zeros")
    model = _stack(3, layers.Dense(48, activation="relu"), zero)
    model.compile(Adam(0.01), "mse")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_constant_biases() -> Setup:
    x, y = _rings(700, 12)
    bias = keras.initializers.Constant(0.1)
    model = _stack(5, layers.Dense(32, activation="relu", bias_initializer=bias))
    model.add(layers.Dense(3, activation="softmax", bias_initializer="ones"))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_zero_weights_logistic_regression() -> Setup:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    model = _stack(30, layers.Dense(1, activation="sigmoid", kernel_initializer="zeros"))
    model.compile("adam", "binary_crossentropy")
    return Setup(model, _z(x), y, {"epochs": 6, "batch_size": 8})


def _register_activation(name: str, parts, rate: float, epochs: int, seed: int) -> None:
    def make() -> Setup:
        x, y = _rings(700, seed) if seed % 2 else _bumps(700, seed)
        head = layers.Dense(3, activation="softmax") if seed % 2 else layers.Dense(1)
        model = _stack(x.shape[1], *parts(), head)
        model.compile(Adam(rate), "sparse_categorical_crossentropy" if seed % 2 else "mse")
        return Setup(model, x, y, {"epochs": epochs, "batch_size": 32})

    make.__name__ = name
    PROGRAMS.healthy(make)


def _repeat(times: int, units: int, act: str, init: str = "glorot_uniform"):
    return lambda: [
        layers.Dense(units, activation=act, kernel_initializer=init) for _ in range(times)
    ]


_register_activation("ok_tanh_four_layers", _repeat(4, 24, "tanh"), 0.005, 12, 14)
_register_activation("ok_selu_lecun_five", _repeat(5, 24, "selu", "lecun_normal"), 0.002, 12, 15)
_register_activation("ok_sigmoid_one_wide_layer", _repeat(1, 64, "sigmoid"), 0.05, 30, 16)
_register_activation("ok_sigmoid_two_layers", _repeat(2, 32, "sigmoid"), 0.02, 30, 17)
_register_activation("ok_relu_deep_he", _repeat(6, 32, "relu", "he_normal"), 0.002, 12, 19)
_register_activation("ok_swish_two_layers", _repeat(2, 32, "swish"), 0.01, 15, 20)
_register_activation(
    "ok_leaky_relu_layers",
    lambda: [
        layers.Dense(32),
        layers.LeakyReLU(negative_slope=0.1),
        layers.Dense(16),
        layers.PReLU(),
    ],
    0.01,
    12,
    21,
)
_register_activation(
    "ok_batchnorm_dense",
    lambda: [layers.Dense(32, use_bias=False), layers.BatchNormalization(), layers.ReLU()],
    0.01,
    12,
    22,
)
_register_activation(
    "ok_layernorm_dense",
    lambda: [layers.Dense(32), layers.LayerNormalization(), layers.Activation("gelu")],
    0.01,
    12,
    23,
)

# penalties of a sane size

_register_activation(
    "ok_dropout_20", lambda: [*_repeat(1, 64, "relu")(), layers.Dropout(0.2)], 0.01, 15, 25
)
_register_activation(
    "ok_dropout_60_wide", lambda: [*_repeat(1, 256, "relu")(), layers.Dropout(0.6)], 0.005, 15, 27
)
_register_activation(
    "ok_l2_strong_but_fine",
    lambda: [layers.Dense(48, activation="relu", kernel_regularizer=regularizers.L2(0.01))],
    0.01,
    15,
    29,
)
_register_activation(
    "ok_gaussian_noise_inputs",
    lambda: [layers.GaussianNoise(0.2), *_repeat(1, 48, "relu")()],
    0.01,
    15,
    28,
)
_register_activation(
    "ok_max_norm_and_l1",
    lambda: [
        layers.Dense(48, activation="relu", kernel_constraint=keras.constraints.MaxNorm(2.0)),
        layers.Dense(24, activation="relu", kernel_regularizer=regularizers.L1(1e-4)),
    ],
    0.01,
    15,
    30,
)
