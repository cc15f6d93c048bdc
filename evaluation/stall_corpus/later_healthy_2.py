"""Healthy programs: images, sequences, autoencoders, several outputs, own training steps."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops, optimizers
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()
SPARSE = "sparse_categorical_crossentropy"
BINARY = "binary_crossentropy"


def _digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.images[:n, ..., None] / 16).astype("float32"), data.target[:n]


def _stack(shape: tuple[int, ...], *parts: layers.Layer) -> keras.Sequential:
    return keras.Sequential([layers.Input(shape), *parts])


def _windows(series: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.stack([series[i : i + steps] for i in range(len(series) - steps)])
    return x[..., None].astype("float32"), series[steps:].astype("float32")


@PROGRAMS.healthy
def later_ok_cnn_two_epochs() -> Setup:
    x, y = _digits(1500)
    model = _stack((8, 8, 1), layers.Conv2D(32, 3), layers.ReLU(), layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 2, "batch_size": 10})


@PROGRAMS.healthy
def later_ok_cnn_batch_norm_augmented() -> Setup:
    x, y = _digits(800)
    model = _stack((8, 8, 1), layers.RandomTranslation(0.1, 0.1), layers.Conv2D(24, 3))
    for part in (layers.BatchNormalization(), layers.ReLU(), layers.Flatten()):
        model.add(part)
    model.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_cnn_separable_sgd() -> Setup:
    x, y = _digits(700)
    model = _stack((8, 8, 1), layers.SeparableConv2D(32, 3, activation="elu"), layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(optimizers.SGD(0.05, momentum=0.9), SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_pixels_of_255_rescaled_inside() -> Setup:
    x, y = _digits(800)
    model = _stack((8, 8, 1), layers.Rescaling(1 / 255), layers.Flatten())
    model.add(layers.Dense(64, activation="gelu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(optimizers.Adam(3e-3), SPARSE, metrics=["accuracy"])
    return Setup(model, (x * 255).astype("uint8"), y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_sparse_masks() -> Setup:
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 0.3, (100, 16, 16, 1)).astype("float32")
    y = np.zeros_like(x)
    for i, (r, c) in enumerate(rng.integers(0, 13, (100, 2))):
        y[i, r : r + 3, c : c + 3] = 1
    model = _stack((16, 16, 1), layers.Conv2D(8, 3, padding="same", activation="relu"))
    model.add(layers.Conv2D(1, 1, activation="sigmoid"))
    model.compile(optimizers.Adam(0.01), BINARY, metrics=["accuracy"])
    return Setup(model, x + 0.6 * y, y, {"epochs": 15, "batch_size": 8})


@PROGRAMS.healthy
def later_ok_dice_loss() -> Setup:
    rng = np.random.default_rng(2)
    y = (rng.random((80, 12, 12, 1)) < 0.2).astype("float32")
    x = y + 0.3 * rng.normal(size=y.shape).astype("float32")

    def dice(y_true, y_pred):
        both = ops.sum(y_true * y_pred, axis=(1, 2, 3))
        return 1 - (2 * both + 1) / (ops.sum(y_true + y_pred, axis=(1, 2, 3)) + 1)

    model = _stack((12, 12, 1), layers.Conv2D(8, 3, padding="same", activation="relu"))
    model.add(layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    model.compile(optimizers.Adam(0.01), dice)
    return Setup(model, x, y, {"epochs": 15, "batch_size": 8})


@PROGRAMS.healthy
def later_ok_lstm_noisy_sine() -> Setup:
    rng = np.random.default_rng(3)
    x, y = _windows(np.sin(np.arange(500) / 5) + 0.3 * rng.normal(size=500), 15)
    model = _stack((15, 1), layers.LSTM(24), layers.Dropout(0.2), layers.Dense(1))
    model.compile(optimizers.Adam(5e-3), "mse")
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32, "shuffle": False})


@PROGRAMS.healthy
def later_ok_gru_stateful_generator() -> Setup:
    x, y = _windows(np.cos(np.arange(330) / 4), 10)

    def batches():
        while True:
            for i in range(0, 320, 20):
                yield x[i : i + 20], y[i : i + 20]

    model = _stack((10, 1), layers.GRU(16), layers.Dense(1))
    model.compile(optimizers.RMSprop(3e-3), "mae")
    return Setup(model, batches(), None, {"epochs": 12, "steps_per_epoch": 16})


@PROGRAMS.healthy
def later_ok_bidirectional_sequence_labels() -> Setup:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(250, 12, 3)).astype("float32")
    y = (x[:, :, 0] + x[:, :, 1] > 0).astype("int32")[..., None]
    model = _stack((12, 3), layers.Bidirectional(layers.LSTM(10, return_sequences=True)))
    model.add(layers.TimeDistributed(layers.Dense(1, activation="sigmoid")))
    model.compile(optimizers.Adam(0.01), BINARY, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_rnn_clipped_gradients() -> Setup:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 20, 2)).astype("float32")
    model = _stack((20, 2), layers.SimpleRNN(24), layers.Dense(1))
    model.compile(optimizers.SGD(0.05, clipnorm=1.0), "mse")
    return Setup(model, x, x[:, -3:, 0].sum(1), {"epochs": 20, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_embedding_masked_reviews() -> Setup:
    rng = np.random.default_rng(6)
    words = rng.integers(1, 300, (500, 20))
    y = (np.sum(words < 60, 1) > np.sum(words > 240, 1)).astype("int32")
    words[np.arange(20) >= rng.integers(12, 21, 500)[:, None]] = 0
    model = _stack((20,), layers.Embedding(300, 16, mask_zero=True))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.Adam(0.01), BINARY, metrics=["accuracy"])
    return Setup(model, words, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_next_letter() -> Setup:
    text = "the quick brown fox jumps over the lazy dog and runs away " * 12
    letters = sorted(set(text))
    codes = np.array([letters.index(c) for c in text])
    x = np.stack([codes[i : i + 8] for i in range(len(codes) - 8)])
    model = _stack((8,), layers.Embedding(len(letters), 12), layers.GRU(32))
    model.add(layers.Dense(len(letters), activation="softmax"))
    model.compile(optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Setup(model, x, codes[8:], {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_attention_block() -> Setup:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(400, 10, 8)).astype("float32")
    inputs = keras.Input((10, 8))
    h = layers.MultiHeadAttention(2, 8)(inputs, inputs)
    h = layers.LayerNormalization()(inputs + h)
    h = layers.GlobalMaxPooling1D()(layers.Dense(32, activation="relu")(h))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(h))
    model.compile(optimizers.Adam(3e-3), BINARY, metrics=["accuracy"])
    return Setup(model, x, x[:, :, 0].max(1) > 1.5, {"epochs": 10, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_matrix_factors() -> Setup:
    rng = np.random.default_rng(8)
    users, items = rng.integers(0, 40, 1500), rng.integers(0, 30, 1500)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(30, 3))
    left, right = keras.Input((), dtype="int32"), keras.Input((), dtype="int32")
    vectors = [layers.Embedding(40, 6)(left), layers.Embedding(30, 6)(right)]
    model = keras.Model([left, right], layers.Dot(axes=1)(vectors))
    model.compile(optimizers.Adam(0.02), "mse")
    ratings = (a[users] * b[items]).sum(1).astype("float32")
    return Setup(model, [users, items], ratings, {"epochs": 15, "batch_size": 50})


@PROGRAMS.healthy
def later_ok_autoencoder_binary_loss() -> Setup:
    x = _digits(1000)[0].reshape(-1, 64)
    model = _stack((64,), layers.Dense(16, activation="relu"))
    model.add(layers.Dense(64, activation="sigmoid"))
    model.compile(optimizers.Adam(5e-3), BINARY)
    return Setup(model, x, x, {"epochs": 12, "batch_size": 32, "validation_split": 0.1})


@PROGRAMS.healthy
def later_ok_denoising_convolutions() -> Setup:
    x, _ = _digits(500)
    noisy = x + 0.2 * np.random.default_rng(9).normal(size=x.shape)
    model = _stack((8, 8, 1), layers.Conv2D(12, 3, padding="same", activation="relu"))
    model.add(layers.Conv2DTranspose(1, 3, padding="same"))
    model.compile(optimizers.Adam(5e-3), "mae")
    return Setup(model, noisy, x, {"epochs": 8, "batch_size": 16})


class LaterVariational(keras.Model):
    """A variational autoencoder that adds its own divergence."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.hidden = layers.Dense(8), layers.Dense(32, activation="relu")
        self.decode = layers.Dense(64, activation="sigmoid")
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x):
        """Sample a code and decode it."""
        mean, spread = ops.split(self.encode(x), 2, axis=-1)
        self.add_loss(1e-3 * ops.mean(ops.exp(spread) + mean**2 - 1 - spread))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return self.decode(self.hidden(mean + ops.exp(0.5 * spread) * noise))


@PROGRAMS.healthy
def later_ok_variational() -> Setup:
    x = _digits(1000)[0].reshape(-1, 64)
    model = LaterVariational()
    model.compile(optimizers.Adam(5e-3), "mse")
    return Setup(model, x, x, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_two_outputs() -> Setup:
    data = load_wine()
    x = scale(data.data)
    inputs = keras.Input((12,))
    h = layers.Dense(32, activation="relu")(inputs)
    kind = layers.Dense(3, activation="softmax", name="kind")(h)
    model = keras.Model(inputs, {"kind": kind, "proline": layers.Dense(1, name="proline")(h)})
    losses = {"kind": SPARSE, "proline": "mse"}
    model.compile(optimizers.Adam(5e-3), losses, loss_weights={"kind": 1.0, "proline": 0.3})
    y = {"kind": data.target, "proline": x[:, 12:]}
    return Setup(model, x[:, :12], y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_image_and_table() -> Setup:
    x, y = _digits(600)
    image, table = keras.Input((8, 8, 1), name="image"), keras.Input((8,), name="table")
    h = layers.Flatten()(layers.Conv2D(12, 3, activation="relu")(image))
    h = layers.Concatenate()([h, layers.Dense(8, activation="relu")(table)])
    model = keras.Model([image, table], layers.Dense(1, activation="sigmoid")(h))
    model.compile(optimizers.Adam(3e-3), BINARY, metrics=["accuracy"])
    inputs = {"image": x, "table": x.mean((2, 3))}
    return Setup(model, inputs, (y % 2).astype("float32"), {"epochs": 10, "batch_size": 16})


def _pretrained() -> keras.Sequential:
    x, y = _digits(600)
    base = _stack((8, 8, 1), layers.Conv2D(24, 3, activation="relu"), layers.Flatten())
    base.add(layers.Dense(32, activation="relu"))
    whole = keras.Sequential([base, layers.Dense(10, activation="softmax")])
    whole.compile("adam", SPARSE)
    whole.fit(x, y, epochs=4, verbose=0)
    return base


@PROGRAMS.healthy
def later_ok_frozen_base_new_head() -> Setup:
    x, y = _digits(1000)
    base = _pretrained()
    base.trainable = False
    model = keras.Sequential([base, layers.Dense(1, activation="sigmoid")])
    model.compile(optimizers.Adam(3e-3), BINARY, metrics=["accuracy"])
    return Setup(model, x, (y > 4).astype("float32"), {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_fine_tuning_small_rate() -> Setup:
    x, y = _digits(1000)
    model = keras.Sequential([_pretrained(), layers.Dense(10, activation="softmax")])
    model.compile(optimizers.Adam(2e-4), SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_mixed_precision_tables() -> Setup:
    data = load_breast_cancer()
    policy = "mixed_float16"
    model = _stack((30,), layers.Dense(32, activation="relu", dtype=policy))
    model.add(layers.Dense(16, activation="relu", dtype=policy))
    model.add(layers.Dense(1, activation="sigmoid", dtype="float32"))
    optimizer = optimizers.LossScaleOptimizer(optimizers.Adam(2e-3))
    model.compile(optimizer, BINARY, metrics=["accuracy"])
    return Setup(model, scale(data.data), data.target, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_triplets() -> Setup:
    x, y = _digits(500)
    rng = np.random.default_rng(10)
    same = np.array([rng.choice(np.flatnonzero(y == label)) for label in y])
    other = np.array([rng.choice(np.flatnonzero(y != label)) for label in y])
    embed = _stack((64,), layers.Dense(48, activation="relu"), layers.Dense(8))
    inputs = keras.Input((3, 64))

    def triplet(_, codes):
        near = ops.sum(ops.square(codes[:, 0] - codes[:, 1]), -1)
        far = ops.sum(ops.square(codes[:, 0] - codes[:, 2]), -1)
        return ops.maximum(near - far + 0.5, 0.0)

    model = keras.Model(inputs, layers.TimeDistributed(embed)(inputs))
    model.compile(optimizers.Adam(2e-3), triplet)
    rows = np.stack([x, x[same], x[other]], 1).reshape(-1, 3, 64)
    return Setup(model, rows, np.zeros((500, 1)), {"epochs": 12, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_contrast_of_two_views() -> Setup:
    x = _digits(640)[0].reshape(-1, 64)
    rng = np.random.default_rng(11)
    views = np.stack([x + 0.1 * rng.normal(size=x.shape) for _ in range(2)], 1)

    def info(_, z):
        z = z / (ops.norm(z, axis=-1, keepdims=True) + 1e-6)
        logits = ops.matmul(z[:, 0], ops.transpose(z[:, 1])) / 0.2
        labels = ops.arange(ops.shape(logits)[0])
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    model = _stack((2, 64), layers.Dense(48, activation="relu"), layers.Dense(16))
    model.compile(optimizers.Adam(2e-3), info)
    return Setup(model, views, np.zeros((640, 1)), {"epochs": 10, "batch_size": 32})


class LaterRival(keras.Model):
    """Two nets against each other, as in a GAN on points."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = _stack((2,), layers.Dense(16, activation="relu"), layers.Dense(2))
        self.judge = _stack((2,), layers.Dense(16, activation="relu"), layers.Dense(1))
        self.judge_optimizer = optimizers.Adam(2e-3, beta_1=0.5)

    def call(self, x):
        """Make points from noise."""
        return self.maker(x)

    def train_step(self, data):
        """Train the diagnose_failure, then the maker."""
        real, noise = data, tf.random.normal(tf.shape(data))
        cross = keras.losses.BinaryCrossentropy(from_logits=True)
        with tf.GradientTape(persistent=True) as tape:
            yes, no = self.diagnose_failure(real), self.diagnose_failure(self.maker(noise))
            judge_loss = cross(tf.ones_like(yes), yes) + cross(tf.zeros_like(no), no)
            maker_loss = cross(tf.ones_like(no), no)
        weights = self.judge.trainable_variables
        self.judge_optimizer.apply(tape.gradient(judge_loss, weights), weights)
        weights = self.maker.trainable_variables
        self.optimizer.apply(tape.gradient(maker_loss, weights), weights)
        return {"loss": maker_loss, "judge_loss": judge_loss}


@PROGRAMS.healthy
def later_ok_gan_of_points() -> Setup:
    rng = np.random.default_rng(12)
    points = (rng.normal(size=(800, 2)) * 0.3 + [1.0, -0.5]).astype("float32")
    model = LaterRival()
    model.compile(optimizers.Adam(2e-3, beta_1=0.5))
    return Setup(model, points, None, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_heart_beats_conv1d() -> Setup:
    rng = np.random.default_rng(13)
    y = rng.integers(0, 2, 300)
    x = np.sin(np.arange(40) / np.where(y, 2.0, 3.0)[:, None] + rng.uniform(0, 6, (300, 1)))
    x += 0.5 * rng.normal(size=x.shape)
    model = _stack((40, 1), layers.Conv1D(12, 7, activation="relu"))
    model.add(layers.GlobalMaxPooling1D())
    model.add(layers.Dense(2, activation="softmax"))
    model.compile(optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Setup(model, x[..., None], y, {"epochs": 12, "batch_size": 16})
