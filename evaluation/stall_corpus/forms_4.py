"""Failing programs that are not plain dense nets: initial weights, dead units, half precision."""

# ruff: noqa: D103
from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import initializers, layers, ops

from evaluation.stall_corpus._forms_data import bars, digits, recall, reviews, tags, waves
from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


@PROGRAMS.failing("bad_initialization", source="embedding drawn from -1e4..1e4")
def embedding_of_ten_thousand(fixed: bool) -> Setup:
    x, y = reviews(800, seed=1)
    start = "uniform" if fixed else initializers.RandomUniform(-1e4, 1e4)
    words = keras.Input((20,), dtype="int32")
    h = layers.Embedding(40, 16, embeddings_initializer=start)(words)
    h = layers.Bidirectional(layers.GRU(12))(h)
    model = keras.Model(words, layers.Dense(1, activation="sigmoid")(h))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 32})


@PROGRAMS.failing("bad_initialization", source="all conv kernels zero")
def zero_kernels_in_cnn(fixed: bool) -> Setup:
    x, y = digits(1200)
    start = "glorot_uniform" if fixed else "zeros"
    model = keras.Sequential([layers.Input((8, 8, 1)), layers.Rescaling(1 / 16)])
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, 3, kernel_initializer=start))
        model.add(layers.Activation("tanh"))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, kernel_initializer=start))
    model.add(layers.Activation("softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 5, "batch_size": 32})


@PROGRAMS.failing("bad_initialization", source="pretrained word vectors never filled in")
def frozen_embedding_matrix_of_zeros(fixed: bool) -> Setup:
    x, y = reviews(800, seed=2)
    vectors = np.zeros((40, 12), "float32")
    if fixed:
        vectors[:] = np.random.default_rng(2).normal(0, 0.5, vectors.shape)
    model = keras.Sequential([layers.Input((20,), dtype="int32")])
    table = initializers.Constant(vectors)
    model.add(layers.Embedding(40, 12, embeddings_initializer=table, trainable=False))
    model.add(layers.Conv1D(24, 1, activation="relu"))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32, "validation_split": 0.2})


@PROGRAMS.failing("bad_initialization", source="set_weights with the same number everywhere")
def lstm_weights_set_to_one_number(fixed: bool) -> Setup:
    x, y = waves(400, 20, seed=3)
    model = keras.Sequential([layers.Input((20, 1)), layers.LSTM(16, name="memory")])
    model.add(layers.Dense(3, activation="softmax", name="out"))
    if not fixed:
        model.set_weights([np.full(w.shape, 3.0) for w in model.get_weights()])
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 8, "batch_size": 20})


@PROGRAMS.failing("bad_initialization", source="RandomNormal(stddev=100) in a tanh conv net")
def conv1d_kernels_of_hundreds(fixed: bool) -> Setup:
    x, y = recall(500, 32, seed=4)
    start = initializers.RandomNormal(stddev=0.1 if fixed else 100.0)
    model = keras.Sequential([layers.Input((32, 1))])
    for _ in range(3):
        model.add(layers.Conv1D(12, 3, activation="tanh", kernel_initializer=start))
    model.add(layers.Flatten())
    model.add(layers.Dense(1, activation="tanh", kernel_initializer=start))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    return Setup(model, x, 2 * y[:, None] - 1, {"epochs": 10, "batch_size": 20})


@PROGRAMS.failing("bad_initialization", source="output bias of 40 on a sigmoid with mse")
def head_bias_forty_sigmoid_mse(fixed: bool) -> Setup:
    x, y = bars(500, seed=5)
    model = keras.Sequential([layers.Input((16, 16, 1))])
    model.add(layers.Conv2D(16, 3, activation="relu"))
    model.add(layers.MaxPooling2D())
    model.add(layers.Conv2D(16, 3, activation="relu"))
    model.add(layers.Flatten())
    bias = "zeros" if fixed else initializers.Constant(40.0)
    model.add(layers.Dense(3, activation="sigmoid", bias_initializer=bias))
    model.compile(keras.optimizers.Adam(0.003), keras.losses.MeanSquaredError())
    return Setup(model, x, np.eye(3)[y], {"epochs": 10, "batch_size": 20})


@PROGRAMS.failing("dead_relu", "bad_initialization", source="negative bias on every filter")
def conv_bias_minus_ten(fixed: bool) -> Setup:
    x, y = bars(600, seed=6)
    bias = initializers.Constant(0.0 if fixed else -10.0)
    image = keras.Input((16, 16, 1))
    h = layers.Conv2D(12, 3, bias_initializer=bias)(image)
    h = layers.MaxPooling2D()(layers.Activation("relu")(h))
    h = layers.Conv2D(12, 3, bias_initializer=bias)(h)
    h = layers.Flatten()(layers.Activation("relu")(h))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(h))
    model.compile(
        keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.failing("dead_relu", source="NonNeg kernels on images scaled to -1..0")
def nonneg_kernels_on_negative_images(fixed: bool) -> Setup:
    x, y = digits(1200)
    x = x / 16 if fixed else x / 16 - 1
    model = keras.Sequential([layers.Input((8, 8, 1))])
    positive = {"kernel_constraint": "non_neg", "kernel_initializer": "random_uniform"}
    model.add(layers.Conv2D(16, 3, activation="relu", use_bias=False, **positive))
    model.add(layers.Conv2D(24, 3, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(1200, seed=0).batch(30)
    return Setup(model, data, None, {"epochs": 5})


@PROGRAMS.failing("dead_relu", "bad_initialization", source="BatchNormalization with beta of -6")
def batch_norm_shifted_below_zero(fixed: bool) -> Setup:
    x, y = waves(500, 32, seed=7)
    beta = initializers.Constant(0.0 if fixed else -6.0)
    model = keras.Sequential([layers.Input((32, 1))])
    for filters in (16, 24):
        model.add(layers.Conv1D(filters, 5, use_bias=False))
        model.add(layers.BatchNormalization(beta_initializer=beta))
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(3, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("dead_relu", source="relu after a layer that is never positive")
def relu_after_negative_distance(fixed: bool) -> Setup:
    x, y = tags(500, seed=8)
    words = keras.Input((12,), dtype="int32")
    h = layers.Embedding(30, 16)(words)
    h = layers.Conv1D(32, 2, padding="causal")(h)
    h = layers.Lambda(lambda t: ops.abs(t) if fixed else -ops.abs(t))(h)
    h = layers.Activation("relu")(h)
    h = layers.Dense(32, activation="relu")(h)
    model = keras.Model(words, layers.Dense(4, activation="softmax")(h))
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("dead_relu", "bad_initialization", source="LSTM forecast is one flat line")
def forecast_through_dead_dense(fixed: bool) -> Setup:
    t = np.arange(460)
    series = np.sin(t / 7).astype("float32")
    x = np.stack([series[i : i + 20] for i in range(400)])[..., None]
    y = np.stack([series[i + 20 : i + 24] for i in range(400)])
    bias = "zeros" if fixed else initializers.Constant(-3.0)
    model = keras.Sequential([layers.Input((20, 1)), layers.LSTM(16)])
    model.add(layers.Dense(24, activation="relu", bias_initializer=bias))
    model.add(layers.Dense(4))
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 20})


@PROGRAMS.failing("no_nonlinearity", source="conv layers without activation")
def linear_conv1d_stack(fixed: bool) -> Setup:
    x, y = waves(600, 40, seed=9)
    act = "relu" if fixed else None
    model = keras.Sequential([layers.Input((40, 1))])
    for filters in (16, 24, 24):
        model.add(layers.Conv1D(filters, 5, activation=act))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.failing("no_nonlinearity", source="LeakyReLU(1.0) is the identity")
def leaky_relu_slope_of_one(fixed: bool) -> Setup:
    rng = np.random.default_rng(10)
    a, b = rng.uniform(-1, 1, (2, 900, 1)).astype("float32")
    left, right = keras.Input((1,)), keras.Input((1,))
    h = layers.Concatenate()([left, right])
    for _ in range(3):
        h = layers.Dense(24)(h)
        h = layers.LeakyReLU(0.1 if fixed else 1.0)(h)
    model = keras.Model([left, right], layers.Dense(1)(h))
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Setup(model, [a, b], 3 * a * b, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("no_nonlinearity", source="same or opposite corner, linear CNN")
def corner_xor_images(fixed: bool) -> Setup:
    rng = np.random.default_rng(11)
    bits = rng.integers(0, 2, (800, 2))
    x = rng.normal(0, 0.1, (800, 10, 10, 1)).astype("float32")
    x[:, :4, :4, 0] += (2 * bits[:, 0] - 1)[:, None, None]
    x[:, 6:, 6:, 0] += (2 * bits[:, 1] - 1)[:, None, None]
    y = bits[:, 0] ^ bits[:, 1]
    model = keras.Sequential([layers.Input((10, 10, 1))])
    model.add(layers.Conv2D(8, 3, strides=2))
    model.add(layers.Activation("relu" if fixed else "linear"))
    model.add(layers.Flatten())
    model.add(layers.Dense(32))
    model.add(layers.Activation("relu" if fixed else "linear"))
    model.add(layers.Dense(2, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("no_nonlinearity", source="SimpleRNN(activation=None) on a product of steps")
def linear_rnn_on_last_product(fixed: bool) -> Setup:
    rng = np.random.default_rng(12)
    x = rng.uniform(-1, 1, (900, 8, 1)).astype("float32")
    y = 3 * x[:, -1] * x[:, -2]
    act = "tanh" if fixed else None
    model = keras.Sequential([layers.Input((8, 1))])
    model.add(layers.SimpleRNN(24, activation=act, return_sequences=True))
    model.add(layers.SimpleRNN(24, activation=act))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("no_nonlinearity", source="TimeDistributed dense layers without activation")
def time_distributed_linear(fixed: bool) -> Setup:
    rng = np.random.default_rng(13)
    x = rng.normal(0, 1, (300, 12, 2)).astype("float32")
    y = np.abs(x[..., :1]) - x[..., 1:] ** 2
    block = keras.Sequential([layers.Input((2,)), layers.Dense(32)], name="per_step")
    block.add(layers.Dense(32, activation="relu" if fixed else None))
    block.add(layers.Dense(32, activation="relu" if fixed else None))
    block.add(layers.Dense(1))
    model = keras.Sequential([layers.Input((12, 2)), layers.TimeDistributed(block)])
    model.compile(keras.optimizers.Adam(0.005), "mae")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 10})
