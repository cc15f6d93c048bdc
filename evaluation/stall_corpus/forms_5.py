"""Failing programs that are not plain dense nets: capacity, regularization, half precision."""

# ruff: noqa: D103
from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops, regularizers

from evaluation.stall_corpus._forms_data import bars, digits, discs, recall, reviews, tags, waves
from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


@PROGRAMS.failing("insufficient_capacity", source="CNN with a single filter")
def digits_cnn_one_filter(fixed: bool) -> Setup:
    x, y = digits(1500)
    filters = 24 if fixed else 1
    model = keras.Sequential([layers.Input((8, 8, 1)), layers.Rescaling(1 / 16)])
    model.add(layers.Conv2D(filters, 3, activation="elu", padding="same"))
    model.add(layers.MaxPooling2D())
    model.add(layers.Conv2D(filters, 3, activation="elu"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.failing("insufficient_capacity", source="LSTM(1) for six classes of series")
def one_lstm_unit_six_classes(fixed: bool) -> Setup:
    x, y = waves(500, 20, classes=6, seed=1)
    model = keras.Sequential([layers.Input((20, 1)), layers.LSTM(32 if fixed else 1)])
    model.add(layers.Dense(6, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 25})


@PROGRAMS.failing("insufficient_capacity", source="autoencoder with a bottleneck of one unit")
def autoencoder_one_code_unit(fixed: bool) -> Setup:
    x, _ = digits(1200)
    x = x / 16
    image = keras.Input((8, 8, 1))
    h = layers.Flatten()(layers.Conv2D(8, 3, activation="relu")(image))
    code = layers.Dense(32 if fixed else 1, name="code")(h)
    h = layers.Dense(64, activation="relu")(code)
    out = layers.Reshape((8, 8, 1))(layers.Dense(64)(h))
    model = keras.Model(image, out)
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Setup(model, x, x, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("insufficient_capacity", source="tagger: embedding and GRU of size one")
def tagger_of_size_one(fixed: bool) -> Setup:
    x, y = tags(600, seed=2)
    size = 16 if fixed else 1
    model = keras.Sequential([layers.Input((12,), dtype="int32")])
    model.add(layers.Embedding(30, size))
    model.add(layers.GRU(size, return_sequences=True))
    model.add(layers.Dense(4, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.failing("insufficient_capacity", source="multi-output net with a one-unit trunk")
def shared_trunk_of_one_unit(fixed: bool) -> Setup:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, (2, 800, 5)).astype("float32")
    left, right = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    h = layers.Concatenate()([left, right])
    h = layers.Dense(64 if fixed else 1, activation="relu", name="trunk")(h)
    names = ("first", "second", "third")
    model = keras.Model([left, right], [layers.Dense(1, name=n)(h) for n in names])
    y = [np.sin(a[:, :1]), b[:, :1] * 0.7 - a[:, 2:3], np.abs(b[:, 1:2])]
    model.compile(keras.optimizers.Adam(0.01), ["mse", "mse", "mse"])
    return Setup(model, {"a": a, "b": b}, y, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("insufficient_capacity", source="one GRU unit forecasts a mix of sines")
def one_gru_unit_forecast(fixed: bool) -> Setup:
    t = np.arange(700)
    series = (np.sin(t / 5) + np.sin(t / 1.7) + np.sin(t / 11)).astype("float32") / 2
    x = np.stack([series[i : i + 24] for i in range(600)])[..., None]
    y = np.stack([series[i + 24 : i + 32] for i in range(600)])
    model = keras.Sequential([layers.Input((24, 1)), layers.GRU(40 if fixed else 1)])
    model.add(layers.Dense(8))
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32, "validation_split": 0.1})


@PROGRAMS.failing("over_regularized", source="SpatialDropout2D(0.95) after every layer")
def spatial_dropout_nearly_everything(fixed: bool) -> Setup:
    x, y = bars(600, seed=4)
    rate = 0.0 if fixed else 0.95
    model = keras.Sequential([layers.Input((16, 16, 1))])
    for _ in range(2):
        model.add(layers.Conv2D(12, 3, activation="relu"))
        model.add(layers.SpatialDropout2D(rate))
    model.add(layers.MaxPooling2D(3))
    model.add(layers.Flatten())
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("over_regularized", source="LSTM(dropout=0.9, recurrent_dropout=0.9)")
def lstm_recurrent_dropout_high(fixed: bool) -> Setup:
    x, y = recall(500, 15, seed=5)
    rate = 0.1 if fixed else 0.95
    model = keras.Sequential([layers.Input((15, 1))])
    model.add(layers.LSTM(16, dropout=rate, recurrent_dropout=rate))
    model.add(layers.Dropout(rate))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 25})


@PROGRAMS.failing("over_regularized", source="L1 of 0.5 on conv kernels, loss only the penalty")
def conv_kernels_under_l1(fixed: bool) -> Setup:
    x, y = digits(1200)
    penalty = None if fixed else regularizers.L1(0.5)
    model = keras.Sequential([layers.Input((8, 8, 1))])
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, 3, kernel_regularizer=penalty))
        model.add(layers.PReLU(shared_axes=[1, 2]))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax", kernel_regularizer=penalty))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x / 16, y, {"epochs": 6, "batch_size": 32})


@PROGRAMS.failing("over_regularized", source="AdamW weight_decay=50 copied as a percentage")
def adamw_decay_in_percent(fixed: bool) -> Setup:
    x, y = reviews(800, seed=6)
    words = keras.Input((20,), dtype="int32")
    h = layers.Embedding(40, 16)(words)
    h = layers.Conv1D(16, 3, activation="gelu")(h)
    h = layers.GlobalAveragePooling1D()(h)
    model = keras.Model(words, layers.Dense(1, activation="sigmoid")(h))
    optimizer = keras.optimizers.AdamW(0.005, weight_decay=0.004 if fixed else 50.0)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("over_regularized", source="GaussianDropout(0.99) all through an autoencoder")
def denoiser_drowned_in_noise(fixed: bool) -> Setup:
    x, _ = discs(500, seed=7)
    rate = 0.01 if fixed else 0.99
    model = keras.Sequential([layers.Input((16, 16, 1)), layers.GaussianDropout(rate)])
    model.add(layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"))
    model.add(layers.GaussianDropout(rate))
    model.add(layers.Conv2D(12, 3, padding="same", activation="relu"))
    model.add(layers.GaussianDropout(rate))
    model.add(layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Setup(model, x, x, {"epochs": 10, "batch_size": 25})


@PROGRAMS.failing("over_regularized", source="sparse autoencoder, activity L1 too strong")
def sparse_code_all_zero(fixed: bool) -> Setup:
    x, _ = digits(1000)
    x = x / 16
    image = keras.Input((8, 8, 1))
    h = layers.Conv2D(16, 3, activation="relu")(image)
    code = layers.Dense(
        32, activation="relu", activity_regularizer=regularizers.L1(1e-6 if fixed else 1.0)
    )(layers.Flatten()(h))
    out = layers.Reshape((8, 8, 1))(layers.Dense(64)(code))
    model = keras.Model(image, out)
    model.compile(keras.optimizers.Adam(0.003), "mse", metrics=["mse"])
    return Setup(model, x, x, {"epochs": 8, "batch_size": 32})


@PROGRAMS.failing("over_regularized", source="MaxNorm constraint set to 0.001")
def max_norm_of_a_thousandth(fixed: bool) -> Setup:
    x, y = waves(500, 32, seed=8)
    keep = None if fixed else keras.constraints.MaxNorm(1e-3)
    model = keras.Sequential([layers.Input((32, 1))])
    model.add(layers.Conv1D(16, 5, activation="relu", kernel_constraint=keep))
    model.add(layers.Conv1D(16, 5, activation="relu", kernel_constraint=keep))
    model.add(layers.GlobalMaxPooling1D())
    model.add(layers.Dense(3, activation="softmax", kernel_constraint=keep))
    model.compile(
        keras.optimizers.RMSprop(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 10, "batch_size": 25})


@PROGRAMS.failing("numeric_overflow", source="mixed precision without loss scaling")
def mixed_autoencoder_without_scaling(fixed: bool) -> Setup:
    x, _ = discs(256, size=32, seed=9)
    old = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if fixed else "mixed_float16")
    try:
        model = keras.Sequential([layers.Input((32, 32, 1))])
        model.add(layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"))
        model.add(layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"))
        model.add(layers.Conv2DTranspose(8, 4, strides=2, padding="same", activation="relu"))
        model.add(layers.Conv2DTranspose(1, 4, strides=2, padding="same"))
        loss = keras.losses.MeanSquaredError()
        model.compile(
            keras.optimizers.Adam(0.003, epsilon=1e-12),
            loss,
            loss_weights=[1e-4],
            auto_scale_loss=False,
        )
    finally:
        keras.config.set_dtype_policy(old)
    return Setup(model, x, x, {"epochs": 10, "batch_size": 16})


@PROGRAMS.failing("numeric_overflow", source="weights themselves in float16, updates rounded away")
def everything_in_float16(fixed: bool) -> Setup:
    x, y = bars(500, seed=11)
    kind = "float32" if fixed else "float16"
    model = keras.Sequential([layers.Input((16, 16, 1), dtype=kind)])
    model.add(layers.Conv2D(8, 3, activation="relu", dtype=kind))
    model.add(layers.MaxPooling2D(2, dtype=kind))
    model.add(layers.Conv2D(12, 3, activation="relu", dtype=kind))
    model.add(layers.Flatten(dtype=kind))
    model.add(layers.Dense(3, activation="softmax", dtype=kind))
    model.compile(
        keras.optimizers.Adam(0.003, epsilon=1e-8),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.failing("numeric_overflow", source="LossScaleOptimizer skips every step")
def loss_scale_skips_all_steps(fixed: bool) -> Setup:
    x, y = waves(400, 20, seed=12)
    mixed = keras.DTypePolicy("float32" if fixed else "mixed_float16")
    inputs = keras.Input((20, 1))
    h = layers.Conv1D(16, 3, activation="relu", dtype=mixed)(inputs)
    # the energy of a raw recording: sums of squares pass 65504 in half precision
    h = layers.Lambda(lambda t: ops.sum(ops.square(300.0 * t), axis=1), dtype=mixed)(h)
    h = layers.Lambda(lambda t: ops.log(1.0 + t), dtype=mixed)(h)
    h = layers.Dense(24, activation="relu", dtype=mixed)(h)
    out = layers.Dense(3, activation="softmax", dtype="float32")(h)
    model = keras.Model(inputs, out)
    adam = keras.optimizers.Adam(0.01)
    model.compile(
        adam if fixed else keras.optimizers.LossScaleOptimizer(adam),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 25})
