"""Healthy trials of every kind people run: the diagnosis must have nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from diagnosis_corpus.scenario import (
    F32,
    Scenario,
    Setup,
    blobs,
    cancer,
    circles,
    compiled,
    curved,
    dense,
    diabetes,
    digits,
    iris,
    linear,
    scaled,
    waves,
    wine,
    words,
    xor,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE, BCE = "sparse_categorical_crossentropy", "binary_crossentropy"
_SCENARIOS: list[Scenario] = []


def healthy() -> Iterator[Scenario]:
    """All healthy scenarios."""
    yield from _SCENARIOS


def add(name: str, make: Callable[[], Setup]) -> None:
    """Register one row of a family."""
    _SCENARIOS.append(Scenario(name, frozenset(), make))


def case(make: Callable[[], Setup]) -> Callable[[], Setup]:
    """Register a scenario of its own."""
    add(f"ok_{make.__name__.lstrip('_')}", make)
    return make


# Tables x optimizers x rates, as a search draws them.

_OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd_1e1": lambda: SGD(0.1),
    "sgd_1e2": lambda: SGD(0.01),
    "momentum": lambda: SGD(0.01, momentum=0.9),
    "adam_1e2": lambda: ADAM(0.01),
    "adam_1e3": lambda: ADAM(1e-3),
    "adam_1e4": lambda: ADAM(1e-4),
    "rmsprop": lambda: keras.optimizers.RMSprop(1e-3),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "adamw": lambda: keras.optimizers.AdamW(1e-3),
    "nadam": lambda: keras.optimizers.Nadam(1e-3),
}


def _regression(x: np.ndarray, y: np.ndarray, optimizer: Any) -> Setup:
    return Setup(compiled(dense(x), optimizer, "mse"), x, y, epochs=6)


def _classes(x: np.ndarray, y: np.ndarray, optimizer: Any) -> Setup:
    net = dense(x, out=int(y.max()) + 1, head="softmax")
    return Setup(compiled(net, optimizer, CE, metrics=["accuracy"]), x, y, epochs=6)


def _binary(x: np.ndarray, y: np.ndarray, optimizer: Any) -> Setup:
    return Setup(compiled(dense(x, head="sigmoid"), optimizer, BCE), x, y, epochs=6)


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    x, y = diabetes()
    return scaled(x), scaled(y[:, None])[:, 0]


_TABLES: dict[str, tuple[Callable[..., Setup], Callable[[], Any]]] = {
    "linear": (_regression, linear),
    "diabetes": (_regression, _diabetes),
    "wine": (_classes, lambda: (scaled(wine()[0]), wine()[1])),
    "iris": (_classes, lambda: (scaled(iris()[0]), iris()[1])),
    "cancer": (_binary, lambda: (scaled(cancer()[0]), cancer()[1])),
    "digits": (_classes, lambda: (digits()[0] / 16, digits()[1])),
}
for _table, (_kind, _load) in _TABLES.items():
    for _name, _optimizer in _OPTIMIZERS.items():
        add(
            f"ok_{_table}_{_name}",
            lambda k=_kind, d=_load, o=_optimizer: k(*d(), o()),
        )


# Raw data that trains all the same.


@case
def _raw_diabetes_adam() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y, epochs=20)


@case
def _raw_diabetes_normalized() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), ADAM(0.01), "mse"), x, y, epochs=10)


@case
def _raw_wine_adam() -> Setup:
    x, y = wine()
    return Setup(compiled(dense(x, out=3, head="softmax"), ADAM(1e-3), CE), x, y, epochs=40)


@case
def _raw_digits() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, out=10, head="softmax"), ADAM(1e-3), CE), x, y)


@case
def _raw_iris() -> Setup:
    x, y = iris()
    return Setup(compiled(dense(x, out=3, head="softmax"), SGD(0.01), CE), x, y, epochs=20)


@case
def _pixels_255() -> Setup:
    x, y = digits()
    net = keras.Sequential(
        [keras.Input((64,)), layers.Rescaling(1 / 255), layers.Dense(64, "relu"), layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Setup(compiled(net, ADAM(0.01), loss), x * 16, y)


@case
def _short_slow_raw_targets() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), ADAM(1e-3), "mse"), x, y, epochs=3)


# One-epoch and short trials, as Hyperband makes them.

for _rate in (1e-4, 3e-4, 1e-3, 1e-2):
    add(f"ok_one_epoch_adam_{_rate:g}", lambda r=_rate: _short(r, 1))
    add(f"ok_two_epochs_adam_{_rate:g}", lambda r=_rate: _short(r, 2))


def _short(rate: float, epochs: int) -> Setup:
    x, y = digits()
    net = dense(x, out=10, head="softmax")
    return Setup(compiled(net, ADAM(rate), CE), x / 16, y, epochs=epochs)


# Regularization and layers.


@case
def _dropout_heavy() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(64, "relu"),
            layers.Dropout(0.7),
            layers.Dense(64, "relu"),
            layers.Dropout(0.7),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y, epochs=10)


@case
def _l2_heavy() -> Setup:
    x, y = blobs()
    l2 = keras.regularizers.L2(0.1)
    net = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(64, "relu", kernel_regularizer=l2),
            layers.Dense(64, "relu", kernel_regularizer=l2),
            layers.Dense(4, "softmax"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), CE), x, y)


@case
def _activity_regularizer() -> Setup:
    x, y = blobs()
    net = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(64, "relu", activity_regularizer="l1"),
            layers.Dense(4, "softmax"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-2), CE), x, y, epochs=8)


@case
def _batch_normalization() -> Setup:
    x, y = diabetes()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.BatchNormalization(),
            layers.Dense(64, "relu"),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, ADAM(0.1), "mse"), x, y, epochs=12)


@case
def _layer_normalization() -> Setup:
    x, y = curved()
    net = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(64, "gelu"),
            layers.LayerNormalization(),
            layers.Dense(64, "gelu"),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y, epochs=10)


for _activation in ("tanh", "sigmoid", "elu", "selu", "swish", "softplus", "leaky_relu", "mish"):
    add(f"ok_activation_{_activation}", lambda a=_activation: _activated(a))


def _activated(activation: str) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, activation=activation), ADAM(1e-3), "mse"), x, y, epochs=8)


@case
def _linear_stack_on_line() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, activation="linear"), ADAM(1e-3), "mse"), x, y, epochs=8)


@case
def _linear_regression() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=()), SGD(0.05), "mse"), x, y, epochs=8)


@case
def _logistic_regression() -> Setup:
    x, y = cancer()
    return Setup(compiled(dense(x, units=(), head="sigmoid"), SGD(0.1), BCE), scaled(x), y)


@case
def _deep_xor() -> Setup:
    x, y = xor()
    net = dense(x, units=(32,) * 5, head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), BCE), x, y, epochs=20)


@case
def _deep_tanh() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, units=(32,) * 8, activation="tanh"), ADAM(1e-3), "mse"), x, y, epochs=8
    )


@case
def _circles() -> Setup:
    x, y = circles()
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(0.01), BCE), x, y, epochs=10)


@case
def _narrow() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=(2,)), ADAM(0.03), "mse"), x, y, epochs=20)


@case
def _wide() -> Setup:
    x, y = blobs()
    net = dense(x, units=(1024,), out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), CE), x, y)


# Nothing to learn: not the trial's fault.


@case
def _noise_targets() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(0).normal(size=len(x)).astype(F32)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y)


@case
def _noise_labels() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(0).integers(0, 2, len(x))
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(1e-3), BCE), x, y)


@case
def _noise_labels_slow() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(0).integers(0, 5, len(x))
    net = dense(x, out=5, head="softmax")
    return Setup(compiled(net, SGD(1e-3), CE), x, y, epochs=6)


@case
def _noise_sigmoid() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(1).normal(size=len(x)).astype(F32)
    return Setup(compiled(dense(x, activation="sigmoid"), SGD(0.01), "mse"), x, y, epochs=6)


@case
def _noise_l2() -> Setup:
    x, _ = linear()
    y = np.random.default_rng(2).normal(size=len(x)).astype(F32)
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(64, "relu", kernel_regularizer=keras.regularizers.L2(1.0)),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@case
def _rare_class() -> Setup:
    x, _ = linear()
    y = (np.random.default_rng(3).random(len(x)) < 0.02).astype(F32)
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(1e-3), BCE), x, y, epochs=5)


@case
def _constant_target() -> Setup:
    x, _ = linear()
    return Setup(compiled(dense(x), ADAM(0.01), "mse"), x, np.full(len(x), 3, F32), epochs=6)


# Losses.


def _mean(value: Any) -> Any:
    return ops.mean(value)


_LOSSES: dict[str, Any] = {
    "mae": "mae",
    "huber": "huber",
    "log_cosh": "log_cosh",
    "own_mse": lambda y, p: _mean(ops.square(y - p[:, 0])),
    "own_rmse": lambda y, p: ops.sqrt(_mean(ops.square(y - p[:, 0])) + 1e-6),
    "quantile": lambda y, p: _mean(ops.maximum(0.9 * (y - p[:, 0]), -0.1 * (y - p[:, 0]))),
    "percentage_safe": lambda y, p: _mean(ops.abs(y - p[:, 0]) / (ops.abs(y) + 0.5)),
    "negative": lambda y, p: _mean(ops.square(y - p[:, 0])) - 5.0,
    "correlation": lambda y, p: (
        -_mean((y - _mean(y)) * (p[:, 0] - _mean(p))) / (ops.std(y) * ops.std(p) + 1e-3)
    ),
}
for _name, _loss in _LOSSES.items():
    add(f"ok_loss_{_name}", lambda f=_loss: _with_loss(f))


def _with_loss(loss: Any) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(3e-3), loss), x, y, epochs=8)


@case
def _gaussian_likelihood() -> Setup:
    x, y = linear()

    def likelihood(y: Any, p: Any) -> Any:
        return _mean(0.5 * p[:, 1] + 0.5 * ops.square(y - p[:, 0]) * ops.exp(-p[:, 1]))

    return Setup(compiled(dense(x, out=2), ADAM(3e-3), likelihood), x, y, epochs=10)


@case
def _poisson_counts() -> Setup:
    x, y = linear()
    counts = np.random.default_rng(0).poisson(np.exp(y)).astype(F32)
    return Setup(compiled(dense(x, head="exponential"), ADAM(3e-3), "poisson"), x, counts, 8)


@case
def _hinge() -> Setup:
    x, y = cancer()
    return Setup(compiled(dense(x, head="tanh"), ADAM(3e-3), "hinge"), scaled(x), 2.0 * y - 1)


@case
def _logits() -> Setup:
    x, y = cancer()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return Setup(compiled(dense(x), ADAM(3e-3), loss), scaled(x), y)


@case
def _one_hot_smoothed() -> Setup:
    x, y = blobs()
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(3e-3), loss), x, np.eye(4, dtype=F32)[y])


@case
def _multi_label() -> Setup:
    x, y = linear()
    labels = (x[:, :5] > 0).astype(F32)
    net = dense(x, out=5, head="sigmoid")
    return Setup(compiled(net, ADAM(3e-3), BCE), x, labels, epochs=8)


@case
def _sigmoid_bounded_regression() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(3e-3), "mse"), x, 1 / (1 + np.exp(-y)), 8)


# How the data arrives.


@case
def _masked_nan() -> Setup:
    x, y = waves()
    x[:40, 20:] = -1.0
    net = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.Masking(-1.0), layers.LSTM(16), layers.Dense(1)]
    )
    return Setup(compiled(net, ADAM(0.01), "mse"), x, y, epochs=10)


@case
def _nan_imputed_in_model() -> Setup:
    x, y = linear()
    x = x.copy()
    x[::13, 2] = np.nan
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Lambda(lambda v: ops.where(ops.isnan(v), ops.zeros_like(v), v)),
            layers.Dense(64, "relu"),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, ADAM(3e-3), "mse"), x, y, epochs=8)


@case
def _dataset() -> Setup:
    x, y = linear()
    data = tf.data.Dataset.from_tensor_slices((x, y[:, None])).shuffle(512, seed=1).batch(32)
    return Setup(compiled(dense(x), ADAM(3e-3), "mse"), data, None, fit={"batch_size": None})


@case
def _generator() -> Setup:
    x, y = linear()

    def batches() -> Iterator[Any]:
        while True:
            for i in range(0, 512, 32):
                yield x[i : i + 32], y[i : i + 32, None]

    return Setup(
        compiled(dense(x), ADAM(3e-3), "mse"),
        batches(),
        None,
        fit={"steps_per_epoch": 16, "batch_size": None},
    )


@case
def _sample_weights() -> Setup:
    x, y = linear()
    weight = np.random.default_rng(0).uniform(0, 10, len(x)).astype(F32)
    return Setup(compiled(dense(x), ADAM(3e-3), "mse"), x, y, 6, {"sample_weight": weight})


@case
def _class_weights() -> Setup:
    x, y = cancer()
    net = dense(x, head="sigmoid")
    return Setup(
        compiled(net, ADAM(3e-3), BCE), scaled(x), y, fit={"class_weight": {0: 20.0, 1: 1.0}}
    )


@case
def _last_batch_of_one() -> Setup:
    x, y = linear(n=481)
    return Setup(compiled(dense(x), ADAM(3e-3), "mse"), x, y, epochs=6)


@case
def _full_batch() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(0.01), "mse"), x, y, 40, {"batch_size": 512})


@case
def _batch_of_two() -> Setup:
    x, y = linear(n=128)
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y, 4, {"batch_size": 2})


@case
def _four_rows_xor() -> Setup:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], F32)
    net = dense(x, units=(16, 16), head="sigmoid", activation="tanh")
    return Setup(compiled(net, ADAM(0.05), BCE), x, np.array([0, 1, 1, 0], F32), epochs=60)


# Architectures.


@case
def _cnn() -> Setup:
    x, y = digits()
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(net, ADAM(3e-3), CE), (x / 16).reshape(-1, 8, 8, 1), y)


@case
def _augmented_cnn() -> Setup:
    x, y = digits()
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.RandomTranslation(0.1, 0.1),
            layers.GaussianNoise(0.1),
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(net, ADAM(0.01), CE), (x / 16).reshape(-1, 8, 8, 1), y, epochs=6)


for _name, _layer in {
    "lstm": lambda: layers.LSTM(16),
    "gru": lambda: layers.GRU(16),
    "simple_rnn": lambda: layers.SimpleRNN(16),
    "bidirectional": lambda: layers.Bidirectional(layers.LSTM(8)),
}.items():
    add(f"ok_{_name}", lambda layer=_layer: _recurrent(layer()))


def _recurrent(layer: Any) -> Setup:
    x, y = waves()
    net = keras.Sequential([keras.Input(x.shape[1:]), layer, layers.Dense(1)])
    return Setup(compiled(net, ADAM(0.01), "mse"), x, y, epochs=12)


@case
def _embedding() -> Setup:
    x, y = words()
    net = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Embedding(50, 16),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return Setup(compiled(net, ADAM(0.02), BCE), x, y, epochs=12)


@case
def _attention() -> Setup:
    x, y = words()
    tokens = keras.Input((12,), dtype="int32")
    h = layers.Embedding(50, 16)(tokens)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 8)(h, h))
    net = keras.Model(tokens, layers.Dense(1, "sigmoid")(layers.GlobalMaxPooling1D()(h)))
    return Setup(compiled(net, ADAM(0.01), BCE), x, y, epochs=12)


@case
def _two_inputs_two_outputs() -> Setup:
    x, y = linear()
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    h = layers.Dense(32, "relu")(layers.Concatenate()([a, b]))
    net = keras.Model([a, b], {"size": layers.Dense(1)(h), "sign": layers.Dense(1, "sigmoid")(h)})
    net.compile(
        optimizer=ADAM(3e-3), loss={"size": "mse", "sign": BCE}, loss_weights={"size": 2, "sign": 1}
    )
    targets = {"size": y[:, None], "sign": (y[:, None] > 0).astype(F32)}
    return Setup(net, {"a": x[:, :5], "b": x[:, 5:]}, targets, epochs=6)


@case
def _autoencoder() -> Setup:
    x, _ = digits()
    net = dense(x, units=(32, 8, 32), out=64, head="sigmoid")
    return Setup(compiled(net, ADAM(3e-3), "mse"), x / 16, x / 16, epochs=6)


@case
def _residual() -> Setup:
    x, y = linear()
    inputs = keras.Input((10,))
    h = layers.Dense(32)(inputs)
    for _ in range(4):
        h = layers.LayerNormalization()(layers.Add()([h, layers.Dense(32, "relu")(h)]))
    net = keras.Model(inputs, layers.Dense(1)(h))
    return Setup(compiled(net, ADAM(3e-3), "mse"), x, y, epochs=6)


@case
def _frozen_layer() -> Setup:
    x, y = linear()
    net = dense(x)
    net.layers[0].trainable = False
    return Setup(compiled(net, ADAM(3e-3), "mse"), x, y, epochs=6)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(32, "relu")
        self.drop = layers.Dropout(0.1)
        self.out = layers.Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.out(self.drop(self.hidden(x), training=training))


@case
def _subclassed() -> Setup:
    x, y = linear()
    return Setup(compiled(Subclassed(), ADAM(3e-3), "mse"), x, y, epochs=6)


class OwnStep(Subclassed):
    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(self(x, training=True)[:, 0] - ops.reshape(y, (-1,))))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


@case
def _own_train_step() -> Setup:
    x, y = linear()
    net = OwnStep()
    net.compile(optimizer=ADAM(3e-3))
    return Setup(net, x, y, epochs=6)


class Variational(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = layers.Dense(8)
        self.decoder = layers.Dense(10)
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x: Any) -> Any:
        code = self.encoder(x)
        mean, log_var = code[:, :4], code[:, 4:]
        self.add_loss(-0.05 * ops.mean(1 + log_var - ops.square(mean) - ops.exp(log_var)))
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return self.decoder(mean + ops.exp(0.5 * log_var) * noise)


@case
def _variational_autoencoder() -> Setup:
    x, _ = linear()
    x = (
        x
        @ np.random.default_rng(0).normal(size=(10, 3))
        @ np.random.default_rng(1).normal(size=(3, 10))
    ).astype(F32)
    x = scaled(x)
    return Setup(compiled(Variational(), ADAM(0.01), "mse"), x, x, epochs=20)


# Modes.


for _name, _options in {
    "jit": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "steps_per_execution": {"steps_per_execution": 8},
}.items():
    add(f"ok_mode_{_name}", lambda o=_options: _mode(o))


def _mode(options: dict[str, Any]) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(3e-3), "mse", **options), x, y)


@case
def _mixed_float16() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "relu", dtype="mixed_float16"),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(3e-3), "mse"), x, y, epochs=6)


@case
def _accumulated() -> Setup:
    x, y = linear()
    optimizer = ADAM(0.01, gradient_accumulation_steps=4)
    return Setup(compiled(dense(x), optimizer, "mse"), x, y, epochs=12)


@case
def _averaged() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(3e-3, use_ema=True), "mse"), x, y, epochs=6)


@case
def _clipped() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), SGD(0.05, global_clipnorm=1.0), "mse"), x, y, epochs=10)


@case
def _scheduled() -> Setup:
    x, y = linear()
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 90, warmup_target=0.05, warmup_steps=20)
    return Setup(compiled(dense(x), SGD(schedule), "mse"), x, y, epochs=6)


@case
def _plateau() -> Setup:
    x, y = linear()
    callback = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1)
    return Setup(compiled(dense(x), ADAM(0.01), "mse"), x, y, 10, {"callbacks": [callback]})


@case
def _validation() -> Setup:
    x, y = linear()
    net = compiled(dense(x), ADAM(3e-3), "mse", metrics=["mae"])
    return Setup(net, x, y, 6, {"validation_split": 0.2})


@case
def _frequent_spikes() -> Setup:
    x, y = linear()
    y = y.copy()
    y[::97] *= 30
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y, epochs=10)


@case
def _heavy_tails() -> Setup:
    x, _ = linear()
    rng = np.random.default_rng(4)
    y = (x[:, 0] + 0.3 * rng.standard_t(2, len(x))).astype(F32)
    return Setup(compiled(dense(x), ADAM(3e-3), "huber"), x, y, epochs=8)
