"""Healthy runs: half precision, scaling inside the model, soft targets, own training steps."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import Model, Sequential, layers, ops
from keras.optimizers import SGD, Adam
from sklearn import datasets

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


# half precision that works; scaling inside the model; targets of tens


def _register_half(name: str, policy: str, seed: int) -> None:
    def make() -> Setup:
        x, y = _rings(800, seed)
        before = keras.mixed_precision.dtype_policy()
        keras.mixed_precision.set_dtype_policy(policy)
        try:
            model = _stack(5, layers.Dense(48, activation="relu"), layers.Dense(3))
            model.add(layers.Activation("softmax", dtype="float32"))
            model.compile(Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
        finally:
            keras.mixed_precision.set_dtype_policy(before)
        return Setup(model, x, y, {"epochs": 10, "batch_size": 32})

    make.__name__ = name
    PROGRAMS.healthy(make)


_register_half("ok_mixed_bfloat16", "mixed_bfloat16", 31)
_register_half("ok_mixed_float16", "mixed_float16", 33)


@PROGRAMS.healthy
def ok_raw_table_behind_normalization_layer() -> Setup:
    x, y = datasets.load_wine(return_X_y=True)
    scale = layers.Normalization()
    scale.adapt(x)
    model = _stack(13, scale, layers.Dense(16, activation="relu"), layers.Dense(3))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(Adam(0.01), loss, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 16})


@PROGRAMS.healthy
def ok_raw_pixels_behind_rescaling() -> Setup:
    x, y = datasets.load_digits(return_X_y=True)
    model = _stack(64, layers.Rescaling(1 / 16), layers.Dense(32, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 32})


@PROGRAMS.healthy
def ok_targets_of_tens_degrees() -> Setup:
    rng = np.random.default_rng(34)
    x = rng.normal(size=(900, 4))
    y = 18 + 6 * np.tanh(x[:, 0]) + 3 * x[:, 1] + rng.normal(size=900)
    model = _stack(4, layers.Dense(48, activation="relu"), layers.Dense(1))
    model.compile(Adam(0.01), "mse", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


# own training step, added losses


class _Own(keras.Model):
    """Averages the loss of clean and of jittered inputs, in its own train_step."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
            jittered = self(x + tf.random.normal(tf.shape(x), 0.0, 0.05), training=True)
            loss = 0.5 * (loss + self.compute_loss(x, y, jittered))
        grads = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        return {metric.name: metric.result() for metric in self.metrics}


@PROGRAMS.healthy
def ok_own_train_step_jitter() -> Setup:
    x, y = _bumps(700, 35)
    inputs = keras.Input((3,))
    h = layers.Dense(32, activation="relu")(layers.Dense(32, activation="relu")(inputs))
    model = _Own(inputs, layers.Dense(1)(h), name="own")
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, y[:, None], {"epochs": 15, "batch_size": 32})


class _Decay(keras.Model):
    """A net for u' = -2 u, u(0) = 1: all of the loss comes from add_loss."""

    def __init__(self) -> None:
        super().__init__(name="decay")
        self.net = Sequential([layers.Dense(24, activation="tanh"), layers.Dense(1)])

    def call(self, t):
        h = 0.01
        u = self.net(t)
        slope = (self.net(t + h) - self.net(t - h)) / (2 * h)
        self.add_loss(ops.mean((slope + 2 * u) ** 2) + ops.mean((self.net(t * 0) - 1) ** 2))
        return u


@PROGRAMS.healthy
def ok_differential_equation_add_loss() -> Setup:
    t = np.random.default_rng(36).uniform(0, 1, (320, 1)).astype("float32")
    model = _Decay()
    model.compile(Adam(0.01))
    return Setup(model, t, None, {"epochs": 20, "batch_size": 16})


@PROGRAMS.healthy
def ok_label_smoothing() -> Setup:
    x, y = _digits()
    model = _stack(64, layers.Dense(32, activation="relu"), layers.Dense(10))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    model.compile(Adam(0.003), loss, metrics=["accuracy"])
    return Setup(model, x, keras.utils.to_categorical(y), {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_distilled_soft_targets() -> Setup:
    x, y = _digits()
    soft = np.full((len(x), 10), 0.03)
    soft[np.arange(len(x)), y] = 0.6
    soft[np.arange(len(x)), (y + 1) % 10] = 0.16
    model = _stack(64, layers.Dense(32, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("nadam", "categorical_crossentropy")
    return Setup(model, x, soft, {"epochs": 10})


@PROGRAMS.healthy
def ok_wide_and_deep() -> Setup:
    x, y = datasets.make_classification(900, 14, n_informative=8, random_state=20)
    inputs = keras.Input((14,))
    deep = layers.Dense(16, activation="relu")(layers.Dense(32, activation="relu")(inputs))
    out = layers.Dense(1, activation="sigmoid")(layers.Concatenate()([inputs, deep]))
    model = Model(inputs, out)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10})


class _Set(Model):
    """A subclassed net over sets: the same layers for each element, then a sum."""

    def __init__(self) -> None:
        super().__init__(name="set")
        self.each = Sequential([layers.Dense(24, activation="relu"), layers.Dense(16)])
        self.after = Sequential([layers.Dense(16, activation="relu"), layers.Dense(1)])

    def call(self, x):
        return self.after(ops.mean(self.each(x), axis=1))


@PROGRAMS.healthy
def ok_subclassed_deep_set() -> Setup:
    x = np.random.default_rng(21).normal(size=(800, 7, 2)).astype("float32")
    model = _Set()
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, _z(np.abs(x).sum((1, 2))), {"epochs": 12, "batch_size": 32})


class _Ranked(keras.Model):
    """Overrides compute_loss: squared error, plus a penalty on falling predictions."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        fall = ops.relu(y_pred - self(x + ops.convert_to_tensor([0.1, 0.0, 0.0, 0.0])))
        return ops.mean(ops.square(y - y_pred)) + 2.0 * ops.mean(fall)


@PROGRAMS.healthy
def ok_monotone_penalty_compute_loss() -> Setup:
    rng = np.random.default_rng(37)
    x = rng.normal(size=(700, 4)).astype("float32")
    y = _z(np.exp(0.7 * x[:, 0]) + x[:, 1] * x[:, 2])[:, None]
    inputs = keras.Input((4,))
    h = layers.Dense(32, activation="relu")(inputs)
    model = _Ranked(inputs, layers.Dense(1)(h), name="ranked")
    model.compile(Adam(0.01), "mse")
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_cox_partial_likelihood() -> Setup:
    rng = np.random.default_rng(38)
    x = rng.normal(size=(960, 5)).astype("float32")
    time = rng.exponential(np.exp(-(1.2 * x[:, 0] - 0.8 * np.abs(x[:, 1]))))
    end = rng.exponential(3.0, 960)
    y = np.stack([np.minimum(time, end), time <= end], 1).astype("float32")

    def partial(t, risk):
        at_risk = ops.cast(t[None, :, 0] >= t[:, None, 0], risk.dtype)
        total = ops.log(ops.sum(at_risk * ops.exp(risk[None, :, 0]), axis=1))
        return -ops.sum(t[:, 1] * (risk[:, 0] - total)) / ops.sum(t[:, 1])

    model = _stack(5, layers.Dense(16, activation="relu"), layers.Dense(1, use_bias=False))
    model.compile(Adam(0.005), partial)
    return Setup(model, x, y, {"epochs": 10, "batch_size": 64})


@PROGRAMS.healthy
def ok_kernel_features_support_vectors() -> Setup:
    x, y = datasets.make_circles(500, noise=0.1, factor=0.4, random_state=39)
    rng = np.random.default_rng(39)
    waves = np.sqrt(2 / 100) * np.cos(2 * x @ rng.normal(size=(2, 100)) + rng.uniform(0, 6.28, 100))
    model = _stack(100, layers.Dense(1, kernel_regularizer=keras.regularizers.L2(1e-4)))
    model.compile(SGD(0.5), "hinge")
    return Setup(model, waves, 2.0 * y - 1, {"epochs": 12, "batch_size": 16})


@PROGRAMS.healthy
def ok_wgan_critic_alone() -> Setup:
    rng = np.random.default_rng(40)
    real, fake = rng.normal(1, 0.5, (800, 4)), rng.normal(0, 1, (800, 4))
    clip = keras.constraints.MaxNorm(1.0)
    model = _stack(4, layers.Dense(24, activation="relu", kernel_constraint=clip))
    model.add(layers.Dense(1, kernel_constraint=clip))
    model.compile(Adam(0.002), lambda sign, score: ops.mean(sign * score))
    sign = np.repeat([-1.0, 1.0], 800)[:, None]
    return Setup(model, np.concatenate([real, fake]), sign, {"epochs": 8, "batch_size": 64})


@PROGRAMS.healthy
def ok_policy_gradient_bandit() -> Setup:
    rng = np.random.default_rng(41)
    x = rng.normal(size=(2000, 3)).astype("float32")
    arm = rng.integers(0, 3, 2000)
    reward = x[np.arange(2000), arm] + 0.3 * rng.normal(size=2000)
    y = np.stack([arm, reward], 1).astype("float32")

    def surrogate(t, p):
        chosen = ops.sum(p * ops.one_hot(ops.cast(t[:, 0], "int32"), 3), axis=-1)
        return -ops.mean(3.0 * chosen * t[:, 1])

    model = _stack(3, layers.Dense(16, activation="tanh"), layers.Dense(3, activation="softmax"))
    model.compile(Adam(0.005), surrogate)
    return Setup(model, x, y, {"epochs": 10, "batch_size": 50})


@PROGRAMS.healthy
def ok_graph_convolution_fixed_adjacency() -> Setup:
    rng = np.random.default_rng(42)
    links = (rng.random((12, 12)) < 0.25) | np.eye(12, dtype=bool)
    mean = (links / links.sum(1, keepdims=True)).astype("float32")
    x = rng.normal(size=(500, 12, 3)).astype("float32")
    y = np.tanh(mean @ x)[..., :1] + np.abs(mean @ x)[..., 1:2]
    inputs = keras.Input((12, 3))
    h = layers.Dense(24, activation="relu")(layers.Dense(16)(inputs))
    h = layers.Lambda(lambda v: ops.matmul(mean, v), output_shape=(12, 24))(h)
    model = Model(inputs, layers.Dense(1)(layers.Dense(16, activation="relu")(h)))
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_augmented_small_images() -> Setup:
    x, y = _digits()
    model = Sequential([keras.Input((8, 8, 1)), layers.RandomTranslation(0.1, 0.1, seed=1)])
    model.add(layers.Conv2D(12, 3, activation="relu"))
    model.add(layers.SpatialDropout2D(0.1))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x.reshape(-1, 8, 8, 1)[:900], y[:900], {"epochs": 6, "batch_size": 32})


@PROGRAMS.healthy
def ok_targets_fifty_warm_start_bias() -> Setup:
    rng = np.random.default_rng(43)
    x = rng.uniform(-1, 1, (800, 3))
    y = 50 + 10 * x[:, 0] * x[:, 1] + 5 * np.sin(3 * x[:, 2]) + rng.normal(size=800)
    start = keras.initializers.Constant(float(y.mean()))
    model = _stack(3, layers.Dense(48, activation="relu"))
    model.add(layers.Dense(1, bias_initializer=start))
    model.compile(Adam(0.01), keras.losses.Huber(5.0))
    return Setup(model, x, y, {"epochs": 25, "batch_size": 20})


@PROGRAMS.healthy
def ok_rainfall_mostly_zero_targets() -> Setup:
    rng = np.random.default_rng(44)
    x = rng.normal(size=(900, 6)).astype("float32")
    y = np.maximum(x[:, 0] + x[:, 1] - 1.0, 0.0)
    model = _stack(6, layers.Dense(24, activation="relu"), layers.Dense(1, activation="softplus"))
    model.compile(Adam(0.005), "mse")
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_focal_loss_rare_class() -> Setup:
    rng = np.random.default_rng(15)
    y = (rng.random(2500) < 0.03).astype("float32")
    x = rng.normal(size=(2500, 5)) + 1.4 * y[:, None]
    model = _stack(5, layers.Dense(16, activation="relu"), layers.Dense(1, activation="sigmoid"))
    model.compile(Adam(0.003), keras.losses.BinaryFocalCrossentropy(gamma=2.0))
    return Setup(model, x, y[:, None], {"epochs": 8, "batch_size": 64})
