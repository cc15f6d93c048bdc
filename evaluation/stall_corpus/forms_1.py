"""Failing programs that are not plain dense nets: gradients that vanish or explode."""

# ruff: noqa: D103
from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from evaluation.stall_corpus._forms_data import bars, digits, discs, recall, reviews, waves
from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


@PROGRAMS.failing("vanishing_gradients", source="CNN with sigmoid activations stays at chance")
def digits_cnn_all_sigmoid(fixed: bool) -> Setup:
    x, y = digits()
    act = "relu" if fixed else "sigmoid"
    model = keras.Sequential([layers.Input((8, 8, 1))])
    for filters in (8, 8, 16, 16, 16):
        model.add(layers.Conv2D(filters, 3, padding="same", activation=act))
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        keras.optimizers.SGD(0.02, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return Setup(model, x / 16, y, {"epochs": 5, "batch_size": 32, "validation_split": 0.2})


@PROGRAMS.failing("vanishing_gradients", source="SimpleRNN cannot remember the first steps")
def rnn_sigmoid_forgets_start(fixed: bool) -> Setup:
    x, y = recall(800, 120)
    model = keras.Sequential(
        [
            layers.Input((120, 1)),
            layers.SimpleRNN(
                24, activation="relu" if fixed else "sigmoid", recurrent_initializer="identity"
            ),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.failing("vanishing_gradients", source="LSTM over hundreds of steps, accuracy 0.5")
def lstm_label_in_first_steps(fixed: bool) -> Setup:
    x, y = recall(600, 200, first=6, seed=3)
    inputs = keras.Input((200, 1))
    if fixed:  # a path of one step from every time to the head
        h = layers.GlobalMaxPooling1D()(layers.LSTM(16, return_sequences=True)(inputs))
    else:
        h = layers.LSTM(16)(inputs)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(h))
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 64})


@PROGRAMS.failing("vanishing_gradients", source="1D conv net on sensor series does not train")
def conv1d_hard_sigmoid_stack(fixed: bool) -> Setup:
    x, y = waves(600, 64, classes=4, seed=1)
    inputs = keras.Input((64, 1))
    h = inputs
    for _ in range(7):
        h = layers.Conv1D(12, 5, padding="same")(h)
        h = layers.Activation("relu" if fixed else "hard_sigmoid")(h)
    h = layers.Flatten()(layers.AveragePooling1D(4)(h))
    model = keras.Model(inputs, layers.Dense(4)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(600, seed=1).batch(32)
    return Setup(model, data, None, {"epochs": 10})


@PROGRAMS.failing("vanishing_gradients", source="nested sub-models, text classifier, loss 0.693")
def nested_sigmoid_blocks_on_text(fixed: bool) -> Setup:
    x, y = reviews(900, seed=2)

    def block(units: int, name: str) -> keras.Model:
        inner = keras.Sequential(name=name)
        inner.add(layers.Input((units,)))
        for _ in range(3):
            inner.add(layers.Dense(units, activation="elu" if fixed else "sigmoid"))
        return inner

    words = keras.Input((20,), dtype="int32")
    h = layers.GlobalAveragePooling1D()(layers.Embedding(40, 24)(words))
    for k in range(3):
        h = block(24, f"block_{k}")(h)
    model = keras.Model(words, layers.Dense(1, activation="sigmoid")(h))
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32, "validation_split": 0.1})


@PROGRAMS.failing("vanishing_gradients", source="deep GRU with sigmoid instead of tanh")
def stacked_gru_sigmoid(fixed: bool) -> Setup:
    x, y = waves(300, 24, seed=4)
    act = "tanh" if fixed else "sigmoid"
    model = keras.Sequential([layers.Input((24, 1))])
    for k in range(4):
        model.add(layers.GRU(16, activation=act, return_sequences=k < 3))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    onehot = keras.utils.to_categorical(y, 3)
    return Setup(model, x, onehot, {"epochs": 12, "batch_size": 20})


@PROGRAMS.failing("vanishing_gradients", source="autoencoder outputs the same grey image")
def deep_conv_autoencoder_sigmoid(fixed: bool) -> Setup:
    x, _ = discs(500, seed=5)
    act = "relu" if fixed else "sigmoid"
    inputs = keras.Input((16, 16, 1))
    h = inputs
    for filters in (8, 16):
        h = layers.Conv2D(filters, 3, padding="same", activation=act)(h)
        h = layers.MaxPooling2D()(h)
    h = layers.Dense(24, activation=act)(layers.Flatten()(h))
    h = layers.Dense(4 * 4 * 16, activation=act)(h)
    h = layers.Reshape((4, 4, 16))(h)
    for filters in (16, 8):
        h = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", activation=act)(h)
    out = layers.Conv2D(1, 3, padding="same")(h)
    model = keras.Model(inputs, out)
    model.compile(keras.optimizers.Adam(0.002), "mse")
    return Setup(model, x, x, {"epochs": 10, "batch_size": 25})


class Tower(keras.Model):
    """A subclassed net: a convolution and a tall dense tower."""

    def __init__(self, act: str, depth: int = 8) -> None:
        super().__init__()
        self.conv = layers.Conv2D(8, 3, strides=2)
        self.flat = layers.Flatten()
        self.hidden = [layers.Dense(32) for _ in range(depth)]
        self.act = layers.Activation(act)
        self.head = layers.Dense(3, activation="softmax")

    def call(self, x):  # noqa: D102
        x = self.flat(self.act(self.conv(x)))
        for layer in self.hidden:
            x = self.act(layer(x))
        return self.head(x)


@PROGRAMS.failing("vanishing_gradients", source="subclassed model, sigmoid in every layer")
def subclassed_sigmoid_tower(fixed: bool) -> Setup:
    x, y = bars(800, seed=6)
    model = Tower("relu" if fixed else "sigmoid")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.build((None, 16, 16, 1))
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("vanishing_gradients", source="steep custom activation in a Lambda layer")
def steep_tanh_lambda_two_inputs(fixed: bool) -> Setup:
    rng = np.random.default_rng(7)
    a, b = rng.normal(0, 1, (2, 1200, 6)).astype("float32")
    y = np.sin(a[:, :1]) + a[:, 1:2] * b[:, :1]
    steep = 1.0 if fixed else 12.0
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    h = layers.Concatenate()([left, right])
    for _ in range(6):
        h = layers.Dense(32)(h)
        h = layers.Lambda(lambda t: ops.tanh(steep * t))(h)
    model = keras.Model([left, right], layers.Dense(1)(h))
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "mse")
    return Setup(model, {"left": a, "right": b}, y, {"epochs": 25, "batch_size": 32})


@PROGRAMS.failing("exploding_gradients", source="LSTM activation='relu' gives loss of 1e10")
def lstm_relu_forecast(fixed: bool) -> Setup:
    t = np.arange(700)
    series = (np.sin(t / 9) + 0.4 * np.sin(t / 3.1) + 1.5).astype("float32")
    x = np.stack([series[i : i + 100] for i in range(500)])[..., None]
    y = np.stack([series[i + 100 : i + 105] for i in range(500)])
    act = "tanh" if fixed else "relu"
    model = keras.Sequential()
    model.add(layers.Input((100, 1)))
    model.add(layers.LSTM(40, activation=act, return_sequences=True))
    model.add(layers.LSTM(40, activation=act))
    model.add(layers.Dense(5))
    model.compile("adam", "mean_squared_error")
    return Setup(model, x, y, {"epochs": 6, "batch_size": 20})


@PROGRAMS.failing("exploding_gradients", source="residual net without normalisation blows up")
def residual_conv_without_norm(fixed: bool) -> Setup:
    x, y = bars(400, size=12, seed=9)
    inputs = keras.Input((12, 12, 1))
    h = layers.Conv2D(8, 3, padding="same", kernel_initializer="he_normal")(inputs)
    for _ in range(14):
        r = layers.BatchNormalization()(h) if fixed else h
        r = layers.ReLU()(r)
        r = layers.Conv2D(8, 3, padding="same", kernel_initializer="he_normal")(r)
        h = layers.Add()([h, r])
    if fixed:
        h = layers.BatchNormalization()(h)
    h = layers.Flatten()(layers.MaxPooling2D(3)(h))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(h))
    model.compile(
        keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 5, "batch_size": 32})


@PROGRAMS.failing("exploding_gradients", source="hand-made recurrent cell with relu")
def bidirectional_relu_cell(fixed: bool) -> Setup:
    rng = np.random.default_rng(10)
    x = rng.normal(0, 1, (400, 150, 2)).astype("float32")
    y = x[:, -4:, 0].mean(axis=1, keepdims=True) * 2
    inputs = keras.Input((150, 2))
    act = "tanh" if fixed else "relu"
    cell = layers.SimpleRNNCell(48, activation=act, recurrent_initializer="he_normal")
    h = layers.Bidirectional(layers.RNN(cell))(inputs)
    model = keras.Model(inputs, layers.Dense(1)(h))
    model.compile(keras.optimizers.SGD(0.02), "mse", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 16})
