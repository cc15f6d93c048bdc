"""Failing programs that are not plain dense nets: rates, scales of the data."""

# ruff: noqa: D103
from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from evaluation.stall_corpus._forms_data import (
    bars,
    digits,
    discs,
    prices,
    recall,
    reviews,
    tags,
    waves,
)
from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up to `peak`."""

    def __init__(self, peak: float, steps: int) -> None:
        self.peak, self.steps = peak, steps

    def __call__(self, step):  # noqa: D102
        return self.peak * tf.minimum(1.0, (tf.cast(step, tf.float32) + 1) / self.steps)

    def get_config(self) -> dict:  # noqa: D102
        return {"peak": self.peak, "steps": self.steps}


@PROGRAMS.failing("learning_rate_too_low", source="transformer warm-up of 40000 steps, run of 200")
def attention_tagger_never_warm(fixed: bool) -> Setup:
    x, y = tags(640, seed=1)
    words = keras.Input((12,), dtype="int32")
    place = layers.Lambda(lambda w: ops.zeros_like(w) + ops.arange(12), output_shape=(12,))(words)
    h = layers.Add()([layers.Embedding(30, 24)(words), layers.Embedding(12, 24)(place)])
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 12)(h, h))
    h = layers.Dense(32, activation="gelu")(h)
    model = keras.Model(words, layers.Dense(4, activation="softmax")(h))
    rate = WarmUp(0.005, 20 if fixed else 40000)
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("learning_rate_too_low", source="ExponentialDecay with decay_steps=1")
def cnn_decay_every_step(fixed: bool) -> Setup:
    x, y = digits(1500)
    rate = keras.optimizers.schedules.ExponentialDecay(
        0.002, decay_steps=1000 if fixed else 1, decay_rate=0.5, staircase=True
    )
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Rescaling(1 / 16),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 6, "batch_size": 50, "validation_split": 0.1})


@PROGRAMS.failing("learning_rate_too_low", source="fine-tuning rate of 1e-7 used from scratch")
def segmentation_with_tiny_adam(fixed: bool) -> Setup:
    x, mask = discs(400, seed=2)
    inputs = keras.Input((16, 16, 1))
    down = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    h = layers.MaxPooling2D()(down)
    h = layers.Conv2D(16, 3, padding="same", activation="relu")(h)
    h = layers.Concatenate()([layers.UpSampling2D()(h), down])
    out = layers.Conv2D(1, 1, activation="sigmoid")(h)
    model = keras.Model(inputs, out)
    model.compile(
        keras.optimizers.Adam(0.002 if fixed else 1e-7), "binary_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, mask, {"epochs": 8, "batch_size": 16})


@PROGRAMS.failing("learning_rate_too_low", source="Adadelta default rate in Keras is 0.001")
def adadelta_default_text_cnn(fixed: bool) -> Setup:
    x, y = reviews(900, steps=24, seed=3)
    model = keras.Sequential()
    model.add(layers.Input((24,), dtype="int32"))
    model.add(layers.Embedding(40, 16))
    model.add(layers.Conv1D(24, 3, activation="relu"))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(1, activation="sigmoid"))
    optimizer = keras.optimizers.Adadelta(1.0) if fixed else keras.optimizers.Adadelta()
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("learning_rate_too_low", source="LearningRateScheduler multiplies the last rate")
def scheduler_compounds_each_epoch(fixed: bool) -> Setup:
    x, y = waves(500, 40, seed=4)

    def plan(epoch: int, rate: float) -> float:
        return 0.003 * 0.97**epoch if fixed else rate * 0.01

    model = keras.Sequential(
        [
            layers.Input((40, 1)),
            layers.Conv1D(16, 5, strides=2),
            layers.LeakyReLU(0.1),
            layers.LSTM(16),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    calls = [keras.callbacks.LearningRateScheduler(plan)]
    return Setup(model, x, y, {"epochs": 15, "batch_size": 25, "callbacks": calls})


@PROGRAMS.failing("learning_rate_too_low", source="one epoch, batch 512, SGD(1e-4)")
def lstm_four_tiny_steps(fixed: bool) -> Setup:
    t = np.arange(2100)
    series = np.sin(t / 8).astype("float32")
    x = np.stack([series[i : i + 16] for i in range(2048)])[..., None]
    y = series[16 : 2048 + 16, None]
    model = keras.Sequential([layers.Input((16, 1)), layers.LSTM(24), layers.Dense(1)])
    model.compile(
        keras.optimizers.SGD(0.25 if fixed else 1e-4, momentum=0.5), "mse", metrics=["mae"]
    )
    return Setup(model, x, y, {"epochs": 8, "batch_size": 512, "shuffle": True})


@PROGRAMS.failing("divergent_learning_rate", "dead_relu", source="SGD 0.3 momentum 0.9 on a CNN")
def digits_cnn_sgd_point_three(fixed: bool) -> Setup:
    x, y = digits()
    model = keras.Sequential([layers.Input((8, 8, 1))])
    for filters in (32, 32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_uniform"))
        model.add(layers.Activation("relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        keras.optimizers.SGD(0.005 if fixed else 0.3, momentum=0.9),
        "categorical_crossentropy",
        metrics=["accuracy"],
    )
    onehot = keras.utils.to_categorical(y, 10)
    return Setup(model, x / 16, onehot, {"epochs": 4, "batch_size": 32})


@PROGRAMS.failing("divergent_learning_rate", source="Adam(0.5) on an LSTM text classifier")
def lstm_text_adam_half(fixed: bool) -> Setup:
    x, y = reviews(800, seed=5)
    words = keras.Input((20,), dtype="int32")
    h = layers.LSTM(24)(layers.Embedding(40, 16)(words))
    h = layers.Dense(16, activation="relu")(h)
    model = keras.Model(words, layers.Dense(1, activation="sigmoid")(h))
    model.compile(
        keras.optimizers.Adam(0.01 if fixed else 0.5), "binary_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 10, "batch_size": 64})


@PROGRAMS.failing("divergent_learning_rate", source="autoencoder with RMSprop(0.3)")
def conv_autoencoder_rmsprop_hot(fixed: bool) -> Setup:
    x, _ = digits(1000)
    x = x / 16
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, strides=2, padding="same"),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Conv2DTranspose(16, 3, strides=2, padding="same"),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Conv2DTranspose(1, 3, strides=2, padding="same"),
        ]
    )
    model.compile(keras.optimizers.RMSprop(0.003 if fixed else 0.3), "mae")
    return Setup(model, x, x, {"epochs": 10, "batch_size": 40})


@PROGRAMS.failing("divergent_learning_rate", source="batch size 1 with the rate of batch 512")
def gru_batch_one_big_rate(fixed: bool) -> Setup:
    x, y = recall(300, 12, seed=6)
    model = keras.Sequential(
        [layers.Input((12, 1)), layers.GRU(12), layers.Dense(1, activation="tanh")]
    )
    model.compile(keras.optimizers.SGD(0.03 if fixed else 5.0), "mse")
    return Setup(model, x, y * 2 - 1, {"epochs": 3, "batch_size": 1})


@PROGRAMS.failing("divergent_learning_rate", source="cyclical rate with a maximum of 1")
def bars_cnn_cyclical_rate(fixed: bool) -> Setup:
    x, y = bars(600, seed=7)
    top = 0.004 if fixed else 1.0

    class Cycle(keras.callbacks.Callback):
        """Sets a triangular rate for every batch."""

        def on_train_batch_begin(self, batch, logs=None):
            place = abs((batch % 10) / 5 - 1)
            self.model.optimizer.learning_rate = top * (1 - 0.8 * place)

    model = keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 20, "callbacks": [Cycle()]})


@PROGRAMS.failing("divergent_learning_rate", source="segmentation, Adagrad(10)")
def segmentation_adagrad_ten(fixed: bool) -> Setup:
    x, mask = discs(300, seed=8)
    model = keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            layers.Conv2D(12, 3, padding="same", activation="relu"),
            layers.Conv2D(12, 3, padding="same", activation="relu", dilation_rate=2),
            layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.Adagrad(0.05 if fixed else 10.0),
        "binary_crossentropy",
        metrics=["accuracy"],
    )
    data = tf.data.Dataset.from_tensor_slices((x, mask)).batch(20).prefetch(2)
    return Setup(model, data, None, {"epochs": 10})


@PROGRAMS.failing("unscaled_data", "dead_relu", source="CNN fed raw 0..255 pixels")
def raw_pixels_cnn_sgd(fixed: bool) -> Setup:
    x, y = bars(600, seed=9)
    x = np.round(x * 255)
    if fixed:
        x = x / 255
    model = keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32, "validation_split": 0.2})


@PROGRAMS.failing("unscaled_data", source="LSTM predicts the price: flat line far below")
def lstm_on_raw_prices(fixed: bool) -> Setup:
    x, y = prices(500, 20, seed=10)
    if fixed:
        mean, std = x.mean(), x.std()
        x, y = (x - mean) / std, (y - mean) / std
    model = keras.Sequential()
    model.add(layers.Input((20, 1)))
    model.add(layers.LSTM(32, return_sequences=True))
    model.add(layers.LSTM(16))
    model.add(layers.Dense(1))
    model.compile("adam", "mean_squared_error", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32, "validation_split": 0.1})


@PROGRAMS.failing("unscaled_data", source="image plus a salary column, loss of thousands")
def image_and_salary_two_inputs(fixed: bool) -> Setup:
    x, y = bars(700, seed=11)
    rng = np.random.default_rng(11)
    person = np.stack([rng.uniform(20000, 150000, 700), rng.integers(18, 80, 700)], axis=1)
    if fixed:
        person = (person - person.mean(axis=0)) / person.std(axis=0)
    image, facts = keras.Input((16, 16, 1), name="image"), keras.Input((2,), name="facts")
    h = layers.Conv2D(12, 3, activation="relu")(image)
    h = layers.Conv2D(12, 3, activation="relu")(layers.MaxPooling2D()(h))
    h = layers.Concatenate()([layers.GlobalMaxPooling2D()(h), facts])
    h = layers.Dense(24, activation="relu")(h)
    model = keras.Model([image, facts], layers.Dense(3, activation="softmax")(h))
    model.compile(
        keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, {"image": x, "facts": person}, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.failing("unscaled_data", source="GRU on unix time and sensor counts")
def gru_with_unix_seconds(fixed: bool) -> Setup:
    wave, y = waves(500, 25, seed=12)
    clock = 1.6e9 + 60.0 * np.arange(25)[None, :, None] + np.zeros((500, 1, 1))
    x = np.concatenate([wave, clock], axis=2).astype("float32")
    if fixed:
        x[..., 1] = (np.arange(25) - 12) / 7.2
    model = keras.Sequential(
        [layers.Input((25, 2)), layers.GRU(24), layers.Dense(3, activation="softmax")]
    )
    model.compile(
        keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.failing("unscaled_data", source="two heads, one target in millions")
def two_heads_one_in_millions(fixed: bool) -> Setup:
    x, y = bars(600, seed=13)
    bright = x.mean(axis=(1, 2, 3))
    z = (bright - bright.mean()) / bright.std()
    worth = z if fixed else 1e6 * (z + 5)
    image = keras.Input((16, 16, 1))
    h = layers.Conv2D(16, 3, activation="relu")(image)
    h = layers.Conv2D(16, 3, activation="relu", strides=2)(h)
    h = layers.Concatenate()([layers.GlobalMaxPooling2D()(h), layers.GlobalAveragePooling2D()(h)])
    kind = layers.Dense(3, activation="softmax", name="kind")(h)
    model = keras.Model(image, {"kind": kind, "worth": layers.Dense(1, name="worth")(h)})
    model.compile(
        keras.optimizers.Adam(0.004),
        {"kind": "sparse_categorical_crossentropy", "worth": "mse"},
        metrics={"kind": "accuracy"},
    )
    target = {"kind": y, "worth": worth[:, None].astype("float32")}
    return Setup(model, x, target, {"epochs": 15, "batch_size": 32})


@PROGRAMS.failing("unscaled_data", source="16-bit camera counts straight into a tanh CNN")
def sixteen_bit_images_from_generator(fixed: bool) -> Setup:
    x, y = bars(640, seed=14)
    x = 30000 + 2000 * x

    def batches():
        rng = np.random.default_rng(0)
        while True:
            pick = rng.integers(0, len(x), 32)
            yield ((x[pick] - 30000) / 2000 if fixed else x[pick]), y[pick]

    model = keras.Sequential([layers.Input((16, 16, 1))])
    model.add(layers.Conv2D(16, 3, activation="tanh"))
    model.add(layers.AveragePooling2D(2))
    model.add(layers.Conv2D(16, 3, activation="tanh"))
    model.add(layers.GlobalMaxPooling2D())
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, batches(), None, {"epochs": 12, "steps_per_epoch": 20})
