"""Healthy runs: recurrent, convolutional, attention nets; several inputs and outputs."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
from keras import Input, Model, Sequential, layers, ops
from keras.optimizers import SGD, Adam, RMSprop
from sklearn import datasets

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


def _z(a: np.ndarray) -> np.ndarray:
    return ((a - a.mean(0)) / (a.std(0) + 1e-9)).astype("float32")


def _images() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1), y


def _series(rows: int, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of a noisy two-tone series, and the value after each."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows + length)
    s = np.sin(t / 5) + 0.5 * np.sin(t / 11) + 0.1 * rng.normal(size=len(t))
    x = np.lib.stride_tricks.sliding_window_view(s, length)[:rows]
    return x[..., None].astype("float32"), s[length:].astype("float32")


def _tokens(rows: int, length: int, words: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Token sequences; the label says whether low or high words prevail."""
    x = np.random.default_rng(seed).integers(1, words, (rows, length))
    return x, (x.mean(1) > words / 2).astype("float32")


# recurrent


@PROGRAMS.healthy
def ok_simple_rnn_sign_of_last_steps() -> Setup:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 6, 1))
    y = x[:, -3:, 0].sum(1) > 0
    model = Sequential([Input((6, 1)), layers.SimpleRNN(12), layers.Dense(1, activation="sigmoid")])
    model.compile(Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y.astype("float32"), {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def ok_lstm_forecast() -> Setup:
    x, y = _series(700, 20, 1)
    model = Sequential([Input((20, 1)), layers.LSTM(16), layers.Dense(1)])
    model.compile("adam", "mse")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32, "shuffle": False})


@PROGRAMS.healthy
def ok_gru_stacked_forecast() -> Setup:
    x, y = _series(600, 16, 2)
    model = Sequential([Input((16, 1)), layers.GRU(12, return_sequences=True), layers.GRU(8)])
    model.add(layers.Dense(1))
    model.compile(RMSprop(0.003), "mae")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32, "validation_split": 0.2})


@PROGRAMS.healthy
def ok_bidirectional_tokens() -> Setup:
    x, y = _tokens(700, 12, 40, 3)
    model = Sequential([Input((12,), dtype="int32"), layers.Embedding(40, 8)])
    model.add(layers.Bidirectional(layers.LSTM(8)))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_masked_sequences_of_many_lengths() -> Setup:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(700, 10, 2)).astype("float32")
    lengths = rng.integers(3, 11, 700)
    y = np.array([row[:n, 0].mean() for row, n in zip(x, lengths, strict=True)])
    for row, n in zip(x, lengths, strict=True):
        row[n:] = -10.0
    model = Sequential([Input((10, 2)), layers.Masking(-10.0), layers.GRU(16), layers.Dense(1)])
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, _z(y), {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_reverse_sequence_encoder_decoder() -> Setup:
    x = np.random.default_rng(5).integers(0, 6, (900, 4))
    hot = keras.utils.to_categorical(x, 6)
    model = Sequential([Input((4, 6)), layers.GRU(48), layers.RepeatVector(4)])
    model.add(layers.GRU(48, return_sequences=True))
    model.add(layers.TimeDistributed(layers.Dense(6, activation="softmax")))
    model.compile(Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, hot, hot[:, ::-1], {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_next_character() -> Setup:
    text = "the quick brown fox jumps over the lazy dog and runs home again " * 12
    chars = sorted(set(text))
    ids = np.array([chars.index(c) for c in text])
    x = np.lib.stride_tricks.sliding_window_view(ids, 8)[:-1]
    model = Sequential([Input((8,), dtype="int32"), layers.Embedding(len(chars), 12)])
    model.add(layers.LSTM(32))
    model.add(layers.Dense(len(chars), activation="softmax"))
    model.compile(Adam(0.005), "sparse_categorical_crossentropy")
    return Setup(model, x, ids[8:], {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_tag_each_token() -> Setup:
    x = np.random.default_rng(6).integers(1, 20, (600, 10))
    tags = (x % 3) * 2 + (np.roll(x, 1, 1) > 10)
    model = Sequential([Input((10,), dtype="int32"), layers.Embedding(20, 12)])
    model.add(layers.Bidirectional(layers.GRU(12, return_sequences=True)))
    model.add(layers.Dense(6, activation="softmax"))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, tags, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_ctc_short_words() -> Setup:
    rng = np.random.default_rng(7)
    words = rng.integers(1, 5, (500, 3))
    frames = np.repeat(words, 3, axis=1)
    x = np.eye(5)[frames] + 0.1 * rng.normal(size=(500, 9, 5))
    x[:, ::3] = 0.1 * rng.normal(size=(500, 3, 5))
    model = Sequential(
        [Input((9, 5)), layers.Bidirectional(layers.LSTM(16, return_sequences=True))]
    )
    model.add(layers.Dense(5))
    model.compile(Adam(0.01), keras.losses.CTC())
    return Setup(model, x, words, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_lstm_with_dropout_forecast() -> Setup:
    x, y = _series(600, 15, 8)
    model = Sequential([Input((15, 1)), layers.LSTM(24, dropout=0.2, recurrent_dropout=0.1)])
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(1))
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 64})


# convolutions


@PROGRAMS.healthy
def ok_cnn_digits() -> Setup:
    x, y = _images()
    model = Sequential([Input((8, 8, 1)), layers.Conv2D(12, 3, activation="relu")])
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 5, "batch_size": 32})


@PROGRAMS.healthy
def ok_cnn_batchnorm_before_relu() -> Setup:
    x, y = _images()
    model = Sequential([Input((8, 8, 1))])
    for filters in (8, 16):
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
        model.add(layers.MaxPooling2D())
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 32})


@PROGRAMS.healthy
def ok_separable_groupnorm() -> Setup:
    x, y = _images()
    model = Sequential([Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu")])
    model.add(layers.SeparableConv2D(16, 3, activation="swish"))
    model.add(layers.GroupNormalization(4))
    model.add(layers.Flatten())
    model.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(SGD(0.05, momentum=0.9), loss)
    return Setup(model, x, y, {"epochs": 5, "batch_size": 32})


@PROGRAMS.healthy
def ok_conv1d_burst_detection() -> Setup:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(800, 30, 1))
    y = np.arange(800) % 2
    for i in np.flatnonzero(y):
        at = rng.integers(0, 24)
        x[i, at : at + 6, 0] += 2.0
    model = Sequential([Input((30, 1)), layers.Conv1D(8, 6, activation="relu")])
    model.add(layers.GlobalMaxPooling1D())
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_causal_dilated_stack() -> Setup:
    x, y = _series(600, 24, 10)
    model = Sequential([Input((24, 1))])
    for rate in (1, 2, 4):
        model.add(layers.Conv1D(8, 3, dilation_rate=rate, padding="causal", activation="elu"))
    model.add(layers.Lambda(lambda h: h[:, -1], output_shape=(8,)))
    model.add(layers.Dense(1))
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


def _discs(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1)
    centre = rng.uniform(4, 12, (rows, 1, 1, 2))
    mask = (np.linalg.norm(grid - centre, axis=-1) < rng.uniform(2, 4, (rows, 1, 1)))[..., None]
    return (mask + 0.5 * rng.normal(size=mask.shape)).astype("float32"), mask.astype("float32")


@PROGRAMS.healthy
def ok_segmentation_small_unet() -> Setup:
    x, y = _discs(200, 11)
    inputs = Input((16, 16, 1))
    top = layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    low = layers.Conv2D(12, 3, padding="same", activation="relu")(layers.MaxPooling2D()(top))
    both = layers.Concatenate()([top, layers.UpSampling2D()(low)])
    model = Model(inputs, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(both))
    model.compile(Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 16})


@PROGRAMS.healthy
def ok_segmentation_dice_loss() -> Setup:
    x, y = _discs(200, 12)

    def dice(t, p):
        both = 2 * ops.sum(t * p, axis=(1, 2, 3)) + 1
        return 1 - both / (ops.sum(t, axis=(1, 2, 3)) + ops.sum(p, axis=(1, 2, 3)) + 1)

    model = Sequential([Input((16, 16, 1)), layers.Conv2D(8, 5, padding="same", activation="relu")])
    model.add(layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    model.compile(Adam(0.01), dice)
    return Setup(model, x, y, {"epochs": 8, "batch_size": 16})


@PROGRAMS.healthy
def ok_keypoint_of_disc() -> Setup:
    x, mask = _discs(400, 13)
    at = np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1)
    y = (mask * at).sum((1, 2)) / mask.sum((1, 2)) / 16
    model = Sequential([Input((16, 16, 1)), layers.Conv2D(8, 3, strides=2, activation="relu")])
    model.add(layers.Conv2D(8, 3, strides=2, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(2, activation="sigmoid"))
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 16})


# attention, embeddings


@PROGRAMS.healthy
def ok_transformer_block_pooling() -> Setup:
    x, y = _tokens(700, 10, 30, 14)
    inputs = Input((10,), dtype="int32")
    h = layers.Embedding(30, 16)(inputs)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 8)(h, h))
    h = layers.LayerNormalization()(h + layers.Dense(16)(layers.Dense(32, activation="relu")(h)))
    out = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(h))
    model = Model(inputs, out)
    model.compile(Adam(0.002), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 32})


@PROGRAMS.healthy
def ok_attention_picks_marked_value() -> Setup:
    rng = np.random.default_rng(15)
    x = np.stack([rng.normal(size=(1200, 6)), np.zeros((1200, 6))], -1).astype("float32")
    at = rng.integers(0, 6, 1200)
    x[np.arange(1200), at, 1] = 1
    inputs = Input((6, 2))
    weights = layers.Softmax(axis=1)(layers.Dense(1)(layers.Dense(8, activation="tanh")(inputs)))
    seen = layers.Dot(axes=1)([weights, layers.Dense(8)(inputs)])
    model = Model(inputs, layers.Dense(1)(layers.Flatten()(seen)))
    model.compile(Adam(0.01), "mse")
    return Setup(model, x, x[np.arange(1200), at, 0], {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_embedding_average_topics() -> Setup:
    rng = np.random.default_rng(16)
    y = rng.integers(0, 4, 800)
    x = np.where(rng.random((800, 15)) < 0.5, rng.integers(0, 80, (800, 15)), 0)
    x = np.where(x == 0, y[:, None] * 20 + rng.integers(0, 20, (800, 15)), x)
    model = Sequential([Input((15,), dtype="int32"), layers.Embedding(80, 16)])
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(4, activation="softmax"))
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def ok_ratings_matrix_factorisation() -> Setup:
    rng = np.random.default_rng(17)
    u, v = rng.integers(0, 40, 3000), rng.integers(0, 30, 3000)
    stars = 3.5 + (rng.normal(size=(40, 3))[u] * rng.normal(size=(30, 3))[v]).sum(1)
    user, item = Input((1,), dtype="int32"), Input((1,), dtype="int32")
    a, b = layers.Embedding(40, 8)(user), layers.Embedding(30, 8)(item)
    dot = layers.Flatten()(layers.Dot(axes=2)([a, b]))
    bias = layers.Flatten()(
        layers.Add()([layers.Embedding(40, 1)(user), layers.Embedding(30, 1)(item)])
    )
    model = Model([user, item], layers.Dense(1)(layers.Concatenate()([dot, bias])))
    model.compile(Adam(0.01), "mse")
    return Setup(model, [u[:, None], v[:, None]], stars, {"epochs": 12, "batch_size": 64})


# several inputs and outputs, shared parts, skips


@PROGRAMS.healthy
def ok_two_inputs_table_and_image() -> Setup:
    x, y = _images()
    extra = (y % 2).astype("float32")[:, None] + 0.1
    image, flag = Input((8, 8, 1), name="image"), Input((1,), name="flag")
    h = layers.Flatten()(layers.Conv2D(6, 3, activation="relu")(image))
    out = layers.Dense(10, activation="softmax")(layers.Concatenate()([h, flag]))
    model = Model({"image": image, "flag": flag}, out)
    model.compile(Adam(0.005), "sparse_categorical_crossentropy")
    return Setup(model, {"image": x, "flag": extra}, y, {"epochs": 5, "batch_size": 32})


@PROGRAMS.healthy
def ok_two_outputs_class_and_value() -> Setup:
    x, y = datasets.load_wine(return_X_y=True)
    x = _z(x)
    inputs = Input((12,))
    h = layers.Dense(24, activation="relu")(inputs)
    kind = layers.Dense(3, activation="softmax", name="kind")(h)
    value = layers.Dense(1, name="proline")(h)
    model = Model(inputs, {"kind": kind, "proline": value})
    losses = {"kind": "sparse_categorical_crossentropy", "proline": "mse"}
    model.compile(Adam(0.005), losses, loss_weights={"kind": 1.0, "proline": 0.5})
    y = {"kind": y, "proline": x[:, 12]}
    return Setup(model, x[:, :12], y, {"epochs": 15, "batch_size": 16})


@PROGRAMS.healthy
def ok_multi_label_sigmoids() -> Setup:
    x, y = datasets.make_multilabel_classification(900, 15, n_classes=6, random_state=18)
    model = Sequential([Input((15,)), layers.Dense(32, activation="relu")])
    model.add(layers.Dense(6, activation="sigmoid"))
    model.compile(Adam(0.003), "binary_crossentropy", metrics=["binary_accuracy"])
    return Setup(model, _z(x), y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_ordinal_cumulative_thresholds() -> Setup:
    x, y = datasets.load_diabetes(return_X_y=True)
    grade = np.digitize(y, np.quantile(y, [0.25, 0.5, 0.75]))
    above = (grade[:, None] > np.arange(3)).astype("float32")
    model = Sequential([Input((10,)), layers.Dense(16, activation="relu")])
    model.add(layers.Dense(3, activation="sigmoid"))
    model.compile(Adam(0.005), "binary_crossentropy")
    return Setup(model, _z(x), above, {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def ok_residual_dense_blocks() -> Setup:
    x, y = datasets.make_friedman2(700, random_state=19)
    inputs = Input((4,))
    h = layers.Dense(24)(inputs)
    for _ in range(3):
        h = h + layers.Dense(24)(layers.Activation("relu")(layers.Dense(24)(h)))
    model = Model(inputs, layers.Dense(1)(h))
    model.compile(Adam(0.002), "mse")
    return Setup(model, _z(x), _z(y), {"epochs": 12, "batch_size": 32})
