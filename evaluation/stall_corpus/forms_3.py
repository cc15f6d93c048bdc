"""Failing programs that are not plain dense nets: losses, labels, data and precision."""

# ruff: noqa: D103
from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from evaluation.stall_corpus._forms_data import bars, digits, discs, recall, reviews, waves
from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


@PROGRAMS.failing("unsafe_loss", source="hand-written cross entropy, log of 0 gives nan")
def homemade_log_loss_on_masks(fixed: bool) -> Setup:
    x, mask = discs(300, seed=1)
    tiny = 1e-6 if fixed else 0.0

    def log_loss(truth, p):
        p = ops.clip(p, tiny, 1 - tiny)
        return -ops.mean(truth * ops.log(p) + (1 - truth) * ops.log(1 - p))

    model = keras.Sequential([layers.Input((16, 16, 1))])
    model.add(layers.Conv2D(12, 5, padding="same", activation="relu"))
    model.add(layers.Conv2D(12, 5, padding="same", activation="relu"))
    model.add(layers.Conv2D(1, 3, padding="same"))
    model.add(layers.Lambda(lambda t: ops.clip(0.2 * t + 0.5, 0, 1)))
    model.compile(keras.optimizers.Adam(0.003), log_loss, metrics=["mae"])
    return Setup(model, x, mask, {"epochs": 8, "batch_size": 20})


@PROGRAMS.failing("unsafe_loss", source="MAPE with zeros in the target: predicts nothing but 0")
def percentage_error_of_idle_sensor(fixed: bool) -> Setup:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, (600, 24, 1)).astype("float32")
    y = np.maximum(2 + 2 * x[:, -4:, 0].sum(axis=1), 0)[:, None]

    def relative_error(truth, p):
        floor = 1.0 if fixed else 1e-7
        return ops.mean(ops.abs(truth - p) / ops.maximum(ops.abs(truth), floor), axis=-1)

    model = keras.Sequential([layers.Input((24, 1)), layers.Conv1D(24, 4, activation="relu")])
    model.add(layers.Flatten())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(0.003), relative_error, metrics=["mse"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.failing("unsafe_loss", source="RMSE loss: sqrt has no gradient at 0")
def root_error_per_pixel(fixed: bool) -> Setup:
    x, _ = digits(800)
    x = np.pad(x / 16, ((0, 0), (2, 2), (2, 2), (0, 0)))

    def distance(truth, p):
        return ops.mean(ops.sqrt(ops.square(truth - p) + (1e-6 if fixed else 0.0)), axis=-1)

    inputs = keras.Input((12, 12, 1))
    h = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(inputs)
    h = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(h)
    h = layers.Conv2DTranspose(12, 3, strides=2, padding="same", activation="relu")(h)
    out = layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="relu")(h)
    model = keras.Model(inputs, out)
    model.compile("adam", distance, metrics=["mse"])
    return Setup(model, x, x, {"epochs": 6, "batch_size": 32})


@PROGRAMS.failing("unsafe_loss", source="dice loss divides by zero on empty masks")
def dice_without_smoothing(fixed: bool) -> Setup:
    x, mask = discs(300, seed=3)
    empty = np.random.default_rng(3).random(300) < 0.3
    x[empty] = np.random.default_rng(4).uniform(0, 0.4, x[empty].shape)
    mask[empty] = 0

    class Dice(keras.losses.Loss):
        """One minus the overlap of every image."""

        def call(self, y_true, y_pred):
            smooth = 1.0 if fixed else 0.0
            y_pred = ops.where(y_pred > 0.02, y_pred, 0.0)
            both = ops.sum(y_true * y_pred, axis=(1, 2, 3))
            total = ops.sum(y_true + y_pred, axis=(1, 2, 3))
            return 1 - (2 * both + smooth) / (total + smooth)

    model = keras.Sequential([layers.Input((16, 16, 1))])
    model.add(layers.Conv2D(12, 3, padding="same", activation="relu"))
    model.add(layers.Conv2D(12, 3, padding="same", activation="relu"))
    model.add(layers.Conv2D(1, 1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.005), Dice(), metrics=["mae"])
    return Setup(model, x, mask, {"epochs": 10, "batch_size": 20})


@PROGRAMS.failing("unsafe_loss", source="Sharpe-ratio loss, variance of a flat batch is 0")
def sharpe_ratio_of_positions(fixed: bool) -> Setup:
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, (640, 15, 1)).astype("float32")
    gain = np.tanh(x[:, -5:].mean(axis=1) * 3) + rng.normal(0, 0.2, (640, 1))
    gain[:40] = 0  # the exchange was closed

    def sharpe(truth, position):
        earned = truth * position
        spread = ops.sqrt(ops.var(earned) + (1e-4 if fixed else 0.0))
        return -ops.mean(earned) / spread

    model = keras.Sequential(
        [layers.Input((15, 1)), layers.GRU(16), layers.Dense(1, activation="tanh")]
    )
    model.compile(keras.optimizers.Adam(0.01), sharpe)
    data = tf.data.Dataset.from_tensor_slices((x, gain.astype("float32"))).batch(32)
    return Setup(model, data, None, {"epochs": 8})


@PROGRAMS.failing("label_mismatch", source="softmax over the wrong axis of candidate scores")
def pick_a_candidate_softmax_axis(fixed: bool) -> Setup:
    rng = np.random.default_rng(6)
    wanted = rng.normal(0, 1, (700, 6)).astype("float32")
    offers = rng.normal(0, 1, (700, 5, 6)).astype("float32")
    y = (offers * wanted[:, None]).sum(axis=2).argmax(axis=1)
    query, offer = keras.Input((6,), name="query"), keras.Input((5, 6), name="offers")
    q = layers.RepeatVector(5)(layers.Dense(16)(query))
    h = layers.Multiply()([q, layers.TimeDistributed(layers.Dense(16))(offer)])
    h = layers.Dense(16, activation="relu")(h)
    h = layers.Softmax(axis=1 if fixed else -1)(layers.Dense(1)(h))
    model = keras.Model([query, offer], layers.Flatten()(h))
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, {"query": wanted, "offers": offers}, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.failing("label_mismatch", source="Dense(1, softmax) for sentiment always says 1")
def sentiment_softmax_of_one(fixed: bool) -> Setup:
    x, y = reviews(800, seed=7)
    model = keras.Sequential()
    model.add(layers.Input((20,), dtype="int32"))
    model.add(layers.Embedding(40, 16, mask_zero=True))
    model.add(layers.GRU(16))
    model.add(layers.Dense(1, activation="sigmoid" if fixed else "softmax"))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 32, "class_weight": {0: 1.0, 1: 1.1}})


@PROGRAMS.failing("label_mismatch", source="U-Net with one softmax channel: mask is all ones")
def unet_one_channel_softmax(fixed: bool) -> Setup:
    x, mask = discs(300, seed=8)

    def dice(truth, p):
        both, total = ops.sum(truth * p, axis=(1, 2, 3)), ops.sum(truth + p, axis=(1, 2, 3))
        return 1 - (2 * both + 1) / (total + 1)

    inputs = keras.Input((16, 16, 1))
    skip = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    h = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(skip)
    h = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(h)
    h = layers.Concatenate()([h, skip])
    out = layers.Conv2D(1, 1, activation="sigmoid" if fixed else "softmax")(h)
    model = keras.Model(inputs, out)
    model.compile(keras.optimizers.Adam(0.003), dice, metrics=["binary_accuracy"])
    return Setup(model, x, mask, {"epochs": 8, "batch_size": 16})


@PROGRAMS.failing("label_mismatch", "unscaled_data", source="PNG masks of 0/255 with sigmoid")
def masks_of_zero_and_255(fixed: bool) -> Setup:
    x, mask = discs(400, seed=9)
    mask = mask if fixed else mask * 255
    model = keras.Sequential([layers.Input((16, 16, 1))])
    for filters in (8, 8):
        model.add(layers.Conv2D(filters, 3, padding="same"))
        model.add(layers.BatchNormalization())
        model.add(layers.LeakyReLU())
    model.add(layers.Conv2D(1, 1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, mask, {"epochs": 8, "batch_size": 25})


@PROGRAMS.failing("label_mismatch", source="one sigmoid unit with categorical_crossentropy")
def one_unit_categorical_loss(fixed: bool) -> Setup:
    x, y = recall(600, 20, seed=10)
    model = keras.Sequential([layers.Input((20, 1))])
    model.add(layers.Conv1D(16, 3, activation="relu"))
    model.add(layers.MaxPooling1D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(1, activation="sigmoid"))
    loss = "binary_crossentropy" if fixed else "categorical_crossentropy"
    model.compile("adam", loss, metrics=["binary_accuracy"])
    return Setup(model, x, y[:, None], {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("label_mismatch", source="loss turns negative: labels are -1 and 1")
def minus_one_labels_with_crossentropy(fixed: bool) -> Setup:
    x, y = bars(500, seed=11)
    y = (y == 2).astype("float32")
    y = y if fixed else 2 * y - 1
    model = keras.Sequential([layers.Input((16, 16, 1))])
    model.add(layers.Conv2D(12, 3, activation="relu"))
    model.add(layers.GlobalMaxPooling2D())
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 20})


@PROGRAMS.failing("label_mismatch", source="log returns and a ReLU at the output")
def negative_targets_under_relu_head(fixed: bool) -> Setup:
    rng = np.random.default_rng(12)
    x = rng.normal(0, 1, (700, 20, 2)).astype("float32")
    y = -1.5 + np.tanh(x[:, -6:, 0].sum(axis=1) * 0.6)
    inputs = keras.Input((20, 2))
    h = layers.GRU(20)(inputs)
    h = layers.Dense(16, activation="relu")(h)
    model = keras.Model(inputs, layers.Dense(1, activation=None if fixed else "relu")(h))
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32, "sample_weight": np.ones(700)})


@PROGRAMS.failing("label_mismatch", source="autoencoder: inputs in -1..0, sigmoid output")
def inverted_images_sigmoid_decoder(fixed: bool) -> Setup:
    x, _ = digits(900)
    x = x / 16 - 1
    encoder = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(24, activation="relu"),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            layers.Input((24,)),
            layers.Dense(64, activation="linear" if fixed else "sigmoid"),
            layers.Reshape((8, 8, 1)),
        ],
        name="decoder",
    )
    model = keras.Sequential([layers.Input((8, 8, 1)), encoder, decoder])
    model.compile("adam", "mse")
    return Setup(model, x, x, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("label_mismatch", source="linear head, loss without from_logits=True")
def logits_into_probability_loss(fixed: bool) -> Setup:
    x, y = waves(500, 32, classes=5, seed=13)
    model = keras.Sequential([layers.Input((32, 1))])
    model.add(layers.Conv1D(24, 7, activation="relu"))
    model.add(layers.GlobalMaxPooling1D())
    model.add(layers.Dense(24, activation="relu"))
    model.add(layers.Dense(5))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=fixed)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 25})


@PROGRAMS.failing("non_finite_data", source="Normalization.adapt on a column with a gap")
def normalization_adapted_on_gaps(fixed: bool) -> Setup:
    x, y = waves(400, 24, seed=14)
    x = np.concatenate([x, x**2], axis=2)
    raw = x.copy()
    if not fixed:
        raw[5, 3, 1] = np.nan
    scale = layers.Normalization(axis=-1)
    scale.adapt(raw)
    model = keras.Sequential([layers.Input((24, 2)), scale, layers.GRU(12)])
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 6, "batch_size": 25})


@PROGRAMS.failing("non_finite_data", source="log of counts with zeros, -inf in the series")
def log_counts_from_tf_data(fixed: bool) -> Setup:
    rng = np.random.default_rng(15)
    level = rng.uniform(1, 8, (500, 1))
    counts = rng.poisson(level, (500, 16)).astype("float32")
    with np.errstate(divide="ignore"):
        x = np.log1p(counts) if fixed else np.log(counts)
    model = keras.Sequential([layers.Input((16, 1))])
    model.add(layers.Conv1D(8, 3, activation="relu"))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    data = tf.data.Dataset.from_tensor_slices((x[..., None], level.astype("float32")))
    return Setup(model, data.shuffle(500, seed=0).batch(20), None, {"epochs": 15})


@PROGRAMS.failing("non_finite_data", source="one missing target in a two-headed net")
def nan_target_in_second_head(fixed: bool) -> Setup:
    x, y = bars(400, seed=16)
    size = x.mean(axis=(1, 2, 3))
    size = ((size - size.mean()) / size.std()).astype("float32")[:, None]
    if not fixed:
        size[[3, 170], 0] = np.nan
    image = keras.Input((16, 16, 1))
    h = layers.MaxPooling2D(2)(layers.Conv2D(8, 3, activation="relu")(image))
    h = layers.Flatten()(layers.Conv2D(8, 3, activation="relu")(h))
    heads = [layers.Dense(3, activation="softmax", name="kind")(h), layers.Dense(1, name="size")(h)]
    model = keras.Model(image, heads)
    model.compile(keras.optimizers.Adam(0.003), ["sparse_categorical_crossentropy", "mse"])
    return Setup(model, x, [y, size], {"epochs": 10, "batch_size": 20})
