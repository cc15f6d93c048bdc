"""Healthy runs: autoencoders, embeddings, ranking, and losses of many shapes and signs."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from sklearn import datasets

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


def _z(a: np.ndarray) -> np.ndarray:
    return ((a - a.mean(0)) / (a.std(0) + 1e-9)).astype("float32")


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def _dense(x: np.ndarray, *units: int, out: int = 1, head: str | None = None, act: str = "relu"):
    inputs = h = keras.Input(x.shape[1:])
    for u in units:
        h = layers.Dense(u, activation=act)(h)
    return keras.Model(inputs, layers.Dense(out, activation=head)(h))


def _plane(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)).astype("float32")
    return x, _z(np.tanh(x[:, 0]) + 0.5 * x[:, 1] ** 2 - x[:, 2] + 0.1 * rng.normal(size=rows))


# autoencoders


@PROGRAMS.healthy
def ok_autoencoder_digits_bce() -> Setup:
    x, _ = _digits()
    model = _dense(x, 32, 8, 32, out=64, head="sigmoid")
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy")
    return Setup(model, x, x, {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def ok_autoencoder_convolutional() -> Setup:
    x = _digits()[0][:800].reshape(-1, 8, 8, 1)
    model = keras.Sequential([keras.Input((8, 8, 1))])
    model.add(layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"))
    model.add(layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"))
    model.add(layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu"))
    model.add(layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Setup(model, x, x, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_autoencoder_denoising() -> Setup:
    x, _ = _digits()
    noisy = x + np.random.default_rng(1).normal(0, 0.3, x.shape)
    model = _dense(x, 48, out=64, head="sigmoid")
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return Setup(model, noisy, x, {"epochs": 12, "batch_size": 64})


@PROGRAMS.healthy
def ok_autoencoder_sparse_code() -> Setup:
    x, _ = _digits()
    inputs = keras.Input((64,))
    l1 = keras.regularizers.L1(1e-5)
    code = layers.Dense(64, activation="relu", activity_regularizer=l1)(inputs)
    model = keras.Model(inputs, layers.Dense(64, activation="sigmoid")(code))
    model.compile("adam", "mse")
    return Setup(model, x, x, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_autoencoder_linear_is_pca() -> Setup:
    x = datasets.load_wine().data
    model = keras.Sequential([keras.Input((13,)), layers.Dense(3), layers.Dense(13)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return Setup(model, _z(x), _z(x), {"epochs": 30, "batch_size": 16})


@PROGRAMS.healthy
def ok_autoencoder_anomaly_series() -> Setup:
    t = np.arange(900)
    s = np.sin(t / 8) + 0.1 * np.random.default_rng(2).normal(size=900)
    x = np.lib.stride_tricks.sliding_window_view(s, 24).astype("float32")[..., None]
    model = keras.Sequential([keras.Input((24, 1)), layers.LSTM(16), layers.RepeatVector(24)])
    model.add(layers.LSTM(16, return_sequences=True))
    model.add(layers.TimeDistributed(layers.Dense(1)))
    model.compile(keras.optimizers.Adam(0.005), "mae")
    return Setup(model, x, x, {"epochs": 12, "batch_size": 64})


class _Sample(layers.Layer):
    """Reparametrisation; adds the divergence from the standard normal."""

    def __init__(self, weight: float) -> None:
        super().__init__(name="sample")
        self.weight = weight
        self.noise = keras.random.SeedGenerator(0)

    def call(self, inputs):
        mean, log_var = inputs
        kl = -0.5 * ops.sum(1 + log_var - ops.square(mean) - ops.exp(log_var), axis=-1)
        self.add_loss(self.weight * ops.mean(kl))
        noise = keras.random.normal(ops.shape(mean), seed=self.noise)
        return mean + ops.exp(0.5 * log_var) * noise


@PROGRAMS.healthy
def ok_vae_add_loss() -> Setup:
    x, _ = _digits()
    inputs = keras.Input((64,))
    h = layers.Dense(48, activation="relu")(inputs)
    code = _Sample(0.01)([layers.Dense(6)(h), layers.Dense(6)(h)])
    h = layers.Dense(48, activation="relu")(code)
    model = keras.Model(inputs, layers.Dense(64, activation="sigmoid")(h))
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy")
    return Setup(model, x, x, {"epochs": 10, "batch_size": 32})


class _Vae(keras.Model):
    """Variational autoencoder with its own train_step; loss is the sum over pixels."""

    def __init__(self) -> None:
        super().__init__(name="vae")
        self.enc = layers.Dense(32, activation="relu")
        self.stats = layers.Dense(8)
        self.dec = keras.Sequential([layers.Dense(32, activation="relu"), layers.Dense(64)])
        self.tracker = keras.metrics.Mean(name="loss")

    def call(self, x):
        mean, log_var = ops.split(self.stats(self.enc(x)), 2, axis=-1)
        return self.dec(mean + ops.exp(0.5 * log_var) * tf.random.normal(tf.shape(mean)))

    def train_step(self, x):
        with tf.GradientTape() as tape:
            mean, log_var = tf.split(self.stats(self.enc(x)), 2, axis=-1)
            code = mean + tf.exp(0.5 * log_var) * tf.random.normal(tf.shape(mean))
            pixel = tf.nn.sigmoid_cross_entropy_with_logits(x, self.dec(code))
            kl = -0.5 * tf.reduce_sum(1 + log_var - mean**2 - tf.exp(log_var), -1)
            loss = tf.reduce_mean(tf.reduce_sum(pixel, -1) + kl)
        grads = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}


@PROGRAMS.healthy
def ok_vae_own_train_step() -> Setup:
    x, _ = _digits()
    model = _Vae()
    model(x[:2])
    model.compile(keras.optimizers.Adam(0.003))
    return Setup(model, x, None, {"epochs": 8, "batch_size": 32})


# embeddings: contrastive, triplet, InfoNCE


@PROGRAMS.healthy
def ok_siamese_contrastive() -> Setup:
    x, y = _digits()
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 1797, 3000), rng.integers(0, 1797, 3000)
    b[::2] = [rng.choice(np.flatnonzero(y == c)) for c in y[a[::2]]]
    base = keras.Sequential([keras.Input((64,)), layers.Dense(32, activation="relu")])
    base.add(layers.Dense(8))
    left, right = keras.Input((64,)), keras.Input((64,))
    gap = layers.Subtract()([base(left), base(right)])
    square = layers.Lambda(lambda d: ops.sum(d * d, -1, keepdims=True), output_shape=(1,))(gap)
    model = keras.Model([left, right], square)

    def contrastive(same, d2):
        d = ops.sqrt(d2 + 1e-6)
        return ops.mean(same * d2 + (1 - same) * ops.square(ops.maximum(1.0 - d, 0.0)))

    model.compile("adam", contrastive)
    same = (y[a] == y[b]).astype("float32")[:, None]
    return Setup(model, [x[a], x[b]], same, {"epochs": 6, "batch_size": 64})


@PROGRAMS.healthy
def ok_triplet_margin() -> Setup:
    x, y = datasets.load_wine(return_X_y=True)
    x = _z(x)
    rng = np.random.default_rng(4)
    a = rng.integers(0, len(x), 800)
    p = np.array([rng.choice(np.flatnonzero(y == y[i])) for i in a])
    n = np.array([rng.choice(np.flatnonzero(y != y[i])) for i in a])
    base = keras.Sequential([keras.Input((13,)), layers.Dense(16, activation="relu")])
    base.add(layers.Dense(4))
    base.add(layers.UnitNormalization())
    ins = [keras.Input((13,), name=s) for s in ("anchor", "positive", "negative")]
    model = keras.Model(ins, layers.Concatenate()([base(i) for i in ins]))

    def triplet(_, packed):
        u, v, w = ops.split(packed, 3, axis=-1)
        near, far = ops.sum((u - v) ** 2, -1), ops.sum((u - w) ** 2, -1)
        return ops.maximum(near - far + 0.4, 0.0)

    model.compile(keras.optimizers.Adam(0.003), triplet)
    return Setup(model, [x[a], x[p], x[n]], np.zeros(800), {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_info_nce_two_views() -> Setup:
    x, _ = _digits()
    rng = np.random.default_rng(5)
    views = np.stack([x + rng.normal(0, 0.2, x.shape), x + rng.normal(0, 0.2, x.shape)], 1)
    model = keras.Sequential([keras.Input((2, 64)), layers.Dense(64, activation="relu")])
    model.add(layers.Dense(16))
    model.add(layers.UnitNormalization())

    def info_nce(_, z):
        logits = ops.matmul(z[:, 0], ops.transpose(z[:, 1])) / 0.2
        return ops.mean(ops.logsumexp(logits, axis=1) - ops.diagonal(logits))

    model.compile("adam", info_nce)
    return Setup(model, views.astype("float32"), np.zeros(1797), {"epochs": 6, "batch_size": 64})


# densities: the loss goes below zero


@PROGRAMS.healthy
def ok_gaussian_log_density_negative() -> Setup:
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, (1200, 2)).astype("float32")
    y = x[:, :1] * x[:, 1:] + (0.02 + 0.05 * np.abs(x[:, :1])) * rng.normal(size=(1200, 1))

    def nll(t, out):
        return ops.mean(out[:, 1:] + 0.5 * ops.square((t - out[:, :1]) * ops.exp(-out[:, 1:])))

    model = _dense(x, 32, 32, out=2, act="tanh")
    model.compile(keras.optimizers.Adam(0.005), nll)
    return Setup(model, x, y, {"epochs": 20, "batch_size": 40})


@PROGRAMS.healthy
def ok_mixture_density_two_branches() -> Setup:
    rng = np.random.default_rng(7)
    x = rng.uniform(-1, 1, (1000, 1)).astype("float32")
    y = rng.choice([-1, 1], (1000, 1)) * (0.5 + 0.5 * x) + 0.05 * rng.normal(size=(1000, 1))

    def mixture(t, out):
        logit, mean, log_s = ops.split(out, 3, axis=-1)
        part = ops.log_softmax(logit) - log_s - 0.5 * ops.square((t - mean) / ops.exp(log_s))
        return -ops.mean(ops.logsumexp(part, axis=-1))

    inputs = keras.Input((1,))
    apart = keras.initializers.RandomUniform(-1, 1)
    h = layers.Dense(24, activation="tanh")(inputs)
    model = keras.Model(inputs, layers.Dense(12, bias_initializer=apart)(h))
    model.compile(keras.optimizers.Adam(0.01), mixture)
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32})


@PROGRAMS.healthy
def ok_loss_with_large_constant() -> Setup:
    x, y = _plane(800, 5, 8)
    model = _dense(x, 32)

    def shifted(t, p):
        return 100.0 + ops.mean(ops.square(t - p), axis=-1)

    model.compile(keras.optimizers.Adam(0.005), shifted, metrics=["mse"])
    return Setup(model, x, y[:, None], {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_expected_profit_negative_loss() -> Setup:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(1500, 6)).astype("float32")
    gain = (x[:, :1] * x[:, 1:2] + 0.3 * x[:, 2:3] + 0.2 * rng.normal(size=(1500, 1))) * 5
    model = _dense(x, 32, head="tanh")
    model.compile(keras.optimizers.Adam(0.005), lambda g, bet: -ops.mean(g * bet))
    return Setup(model, x, gain.astype("float32"), {"epochs": 15, "batch_size": 50})


# ranking


@PROGRAMS.healthy
def ok_rank_pairs_logistic() -> Setup:
    x, y = _plane(1600, 6, 10)
    scorer = keras.Sequential([keras.Input((6,)), layers.Dense(24, activation="relu")])
    scorer.add(layers.Dense(1, use_bias=False))
    a, b = keras.Input((6,)), keras.Input((6,))
    won = layers.Activation("sigmoid")(layers.Subtract()([scorer(a), scorer(b)]))
    model = keras.Model([a, b], won)
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 12, "batch_size": 32}
    return Setup(model, [x[:800], x[800:]], (y[:800] > y[800:]).astype("float32"), fit)


@PROGRAMS.healthy
def ok_rank_lists_softmax() -> Setup:
    rng = np.random.default_rng(11)
    docs = rng.normal(size=(600, 8, 5)).astype("float32")
    best = np.argmax(docs[..., 0] - np.abs(docs[..., 1]), 1)
    inputs = keras.Input((8, 5))
    score = layers.Dense(1)(layers.Dense(16, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Softmax()(layers.Reshape((8,))(score)))
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    return Setup(model, docs, best, {"epochs": 12, "batch_size": 32})


# losses by name, on the targets they are for


def _register_regression(name: str, loss, target, epochs: int = 15, head: str | None = None):
    def make() -> Setup:
        x, y = _plane(700, 5, len(name))
        model = _dense(x, 32, 16, head=head, act="elu" if len(name) % 2 else "relu")
        model.compile(keras.optimizers.Adam(0.005), loss)
        return Setup(model, x, target(y)[:, None], {"epochs": epochs, "batch_size": 32})

    make.__name__ = name
    PROGRAMS.healthy(make)


def _pinball(q: float):
    return lambda t, p: ops.mean(ops.maximum(q * (t - p), (q - 1) * (t - p)), axis=-1)


def _outliers(y: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(y)) % 40 == 0, y + 15, y)


def _counts(y: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).poisson(np.exp(0.8 + 0.6 * np.clip(y, -2, 2))).astype("float32")


_register_regression("ok_huber_outliers", keras.losses.Huber(1.0), _outliers)
_register_regression("ok_mae_outliers_kept", "mae", _outliers)
_register_regression("ok_log_cosh", "log_cosh", lambda y: y)
_register_regression("ok_quantile_90", _pinball(0.9), lambda y: y)
_register_regression("ok_poisson_counts_exp_head", "poisson", _counts, 15, "exponential")
_register_regression("ok_mape_positive_targets", "mape", lambda y: 10 + 2 * y, 20)
_register_regression("ok_msle_skewed_targets", "msle", np.exp, 15, "softplus")


@PROGRAMS.healthy
def ok_three_quantiles_at_once() -> Setup:
    x, y = _plane(900, 4, 12)
    model = _dense(x, 32, out=3)

    def pinball(t, p):
        q = ops.convert_to_tensor([0.1, 0.5, 0.9], dtype=p.dtype)
        return ops.mean(ops.maximum(q * (t - p), (q - 1) * (t - p)), axis=-1)

    model.compile(keras.optimizers.Adam(0.004), pinball)
    return Setup(model, x, y[:, None], {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_cosine_similarity_directions() -> Setup:
    rng = np.random.default_rng(13)
    x = rng.normal(size=(900, 6)).astype("float32")
    y = np.tanh(x @ rng.normal(size=(6, 4)))
    model = _dense(x, 24, out=4)
    model.compile("adam", keras.losses.CosineSimilarity())
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.healthy
def ok_hinge_minus_one_one() -> Setup:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    model = _dense(_z(x), 16, head="tanh")
    model.compile(keras.optimizers.Adam(0.002), "hinge")
    return Setup(model, _z(x), 2.0 * y - 1, {"epochs": 8})


@PROGRAMS.healthy
def ok_squared_hinge_linear_machine() -> Setup:
    x, y = datasets.make_blobs(500, 3, centers=2, cluster_std=3.0, random_state=1)
    model = keras.Sequential([keras.Input((3,))])
    model.add(layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.001)))
    model.compile(keras.optimizers.SGD(0.02), "squared_hinge")
    return Setup(model, _z(x), 2.0 * y - 1, {"epochs": 10, "batch_size": 16})


@PROGRAMS.healthy
def ok_kl_divergence_on_distributions() -> Setup:
    rng = np.random.default_rng(14)
    x = rng.normal(size=(800, 5))
    logits = x @ rng.normal(size=(5, 4))
    y = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    model = _dense(x, 24, out=4, head="softmax")
    model.compile(keras.optimizers.Adam(0.003), "kl_divergence")
    return Setup(model, x, y, {"epochs": 12})
