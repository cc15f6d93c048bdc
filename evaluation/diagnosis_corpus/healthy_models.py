"""Healthy trials: layers and architectures that people use."""

# ruff: noqa: D101, D102 - the names say what each scenario is

from __future__ import annotations

from typing import Any

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
    circles,
    compiled,
    curved,
    dense,
    diabetes,
    digits,
    linear,
    scaled,
    waves,
    words,
    xor,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE, BCE = "sparse_categorical_crossentropy", "binary_crossentropy"

HEALTHY_MODELS = Family()


# Regularization and layers.


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
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
    HEALTHY_MODELS.add(f"ok_activation_{_activation}", lambda a=_activation: _activated(a))


def _activated(activation: str) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, activation=activation), ADAM(1e-3), "mse"), x, y, epochs=8)


@HEALTHY_MODELS.healthy
def _linear_stack_on_line() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, activation="linear"), ADAM(1e-3), "mse"), x, y, epochs=8)


@HEALTHY_MODELS.healthy
def _linear_regression() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=()), SGD(0.05), "mse"), x, y, epochs=8)


@HEALTHY_MODELS.healthy
def _logistic_regression() -> Setup:
    x, y = cancer()
    return Setup(compiled(dense(x, units=(), head="sigmoid"), SGD(0.1), BCE), scaled(x), y)


@HEALTHY_MODELS.healthy
def _deep_xor() -> Setup:
    x, y = xor()
    net = dense(x, units=(32,) * 5, head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), BCE), x, y, epochs=20)


@HEALTHY_MODELS.healthy
def _deep_tanh() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, units=(32,) * 8, activation="tanh"), ADAM(1e-3), "mse"), x, y, epochs=8
    )


@HEALTHY_MODELS.healthy
def _circles() -> Setup:
    x, y = circles()
    return Setup(compiled(dense(x, head="sigmoid"), ADAM(0.01), BCE), x, y, epochs=10)


@HEALTHY_MODELS.healthy
def _narrow() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=(2,)), ADAM(0.03), "mse"), x, y, epochs=20)


@HEALTHY_MODELS.healthy
def _wide() -> Setup:
    x, y = blobs()
    net = dense(x, units=(1024,), out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), CE), x, y)


# Architectures.


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
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
    HEALTHY_MODELS.add(f"ok_{_name}", lambda layer=_layer: _recurrent(layer()))


def _recurrent(layer: Any) -> Setup:
    x, y = waves()
    net = keras.Sequential([keras.Input(x.shape[1:]), layer, layers.Dense(1)])
    return Setup(compiled(net, ADAM(0.01), "mse"), x, y, epochs=12)


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
def _attention() -> Setup:
    x, y = words()
    tokens = keras.Input((12,), dtype="int32")
    h = layers.Embedding(50, 16)(tokens)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 8)(h, h))
    net = keras.Model(tokens, layers.Dense(1, "sigmoid")(layers.GlobalMaxPooling1D()(h)))
    return Setup(compiled(net, ADAM(0.01), BCE), x, y, epochs=12)


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
def _autoencoder() -> Setup:
    x, _ = digits()
    net = dense(x, units=(32, 8, 32), out=64, head="sigmoid")
    return Setup(compiled(net, ADAM(3e-3), "mse"), x / 16, x / 16, epochs=6)


@HEALTHY_MODELS.healthy
def _residual() -> Setup:
    x, y = linear()
    inputs = keras.Input((10,))
    h = layers.Dense(32)(inputs)
    for _ in range(4):
        h = layers.LayerNormalization()(layers.Add()([h, layers.Dense(32, "relu")(h)]))
    net = keras.Model(inputs, layers.Dense(1)(h))
    return Setup(compiled(net, ADAM(3e-3), "mse"), x, y, epochs=6)


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
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


@HEALTHY_MODELS.healthy
def _variational_autoencoder() -> Setup:
    x, _ = linear()
    x = (
        x
        @ np.random.default_rng(0).normal(size=(10, 3))
        @ np.random.default_rng(1).normal(size=(3, 10))
    ).astype(F32)
    x = scaled(x)
    return Setup(compiled(Variational(), ADAM(0.01), "mse"), x, x, epochs=20)
