"""Programs of learning rates and scales that do not learn."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops, optimizers
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine, make_moons
from sklearn.preprocessing import MinMaxScaler, StandardScaler, scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


def _waves(n: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(n + steps)
    series = np.sin(0.3 * t).astype("float32")
    x = np.stack([series[i : i + steps] for i in range(n)])[..., None]
    return x, series[steps : steps + n, None]


@PROGRAMS.failing("divergent_learning_rate", source="forum: digit classes, SGD(10) gives noise")
def later_digits_sgd_ten(fixed: bool) -> Setup:
    data = load_digits()
    x, y = data.data[:700] / 16, keras.utils.to_categorical(data.target[:700])
    model = keras.Sequential([layers.Input((64,))])
    for units in (64, 32):
        model.add(layers.Dense(units))
        model.add(layers.Activation("tanh"))
    model.add(layers.Dense(10, activation="softmax"))
    sgd = optimizers.SGD(learning_rate=0.01 if fixed else 10.0, momentum=0.9)
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 16})


@PROGRAMS.failing("divergent_learning_rate", source="stack overflow: regression loss inf then nan")
def later_diabetes_momentum(fixed: bool) -> Setup:
    data = load_diabetes()
    x, y = data.data * 20, (data.target - 152) / 77
    inputs = keras.Input((10,))
    h = layers.Dense(64, activation="relu")(inputs)
    h = layers.Dense(64, activation="relu")(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    rate = 0.005 if fixed else 0.7
    model.compile(optimizers.SGD(rate, momentum=0.9, nesterov=True), "mse", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 15, "validation_split": 0.1})


@PROGRAMS.failing("divergent_learning_rate", source="kaggle: digits CNN accuracy stays at 10 %")
def later_digits_cnn_adam_half(fixed: bool) -> Setup:
    data = load_digits()
    x = data.images[:1000, ..., None] / 16.0
    model = keras.Sequential()
    model.add(layers.Input((8, 8, 1)))
    model.add(layers.Conv2D(16, 3, activation="relu", padding="same"))
    model.add(layers.MaxPooling2D())
    model.add(layers.Conv2D(32, 3, activation="relu", padding="same"))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    adam = optimizers.Adam(learning_rate=2e-3 if fixed else 0.5)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, data.target[:1000], {"epochs": 8, "batch_size": 32})


@PROGRAMS.failing("divergent_learning_rate", source="forum: LSTM forecast jumps, RMSprop(1.0)")
def later_waves_rmsprop_one(fixed: bool) -> Setup:
    x, y = _waves(400, 12)
    model = keras.Sequential([layers.Input((12, 1)), layers.LSTM(16), layers.Dense(1)])
    model.compile(optimizers.RMSprop(3e-3 if fixed else 1.0), "mean_squared_error")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 20, "shuffle": False})


@PROGRAMS.failing("divergent_learning_rate", source="issue: autoencoder outputs one grey picture")
def later_autoencoder_adam_one(fixed: bool) -> Setup:
    x = load_digits().data[:1200] / 16.0
    inputs = keras.Input((64,))
    code = layers.Dense(24, activation="relu", name="code")(inputs)
    outputs = layers.Dense(64, activation="sigmoid")(code)
    model = keras.Model(inputs, outputs)
    model.compile(optimizers.Adam(3e-3 if fixed else 2.0), "mse")
    return Setup(model, x, x, {"epochs": 15, "batch_size": 64})


@PROGRAMS.failing("divergent_learning_rate", source="github: rate finder left in the callbacks")
def later_rate_doubles_each_epoch(fixed: bool) -> Setup:
    x, y = make_moons(400, noise=0.1, random_state=3)
    model = keras.Sequential(
        [
            layers.Input((2,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    growth = 1.0 if fixed else 3.0
    finder = keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr * growth)
    model.compile(optimizers.Adam(5e-3), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 14, "batch_size": 16, "callbacks": [finder]})


@PROGRAMS.failing("learning_rate_too_low", source="stack overflow: ExponentialDecay, decay_steps=1")
def later_moons_decay_each_step(fixed: bool) -> Setup:
    x, y = make_moons(500, noise=0.15, random_state=0)
    steps = 2000 if fixed else 1
    schedule = optimizers.schedules.ExponentialDecay(0.003, decay_steps=steps, decay_rate=0.5)
    model = keras.Sequential([layers.Input((2,))])
    model.add(layers.Dense(24, activation="relu"))
    model.add(layers.Dense(24, activation="relu"))
    model.add(layers.Dense(2, activation="softmax"))
    model.compile(
        optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 20, "batch_size": 10})


@PROGRAMS.failing("learning_rate_too_low", source="forum: fine-tuning rate used from scratch")
def later_digits_cnn_fine_tuning_rate(fixed: bool) -> Setup:
    data = load_digits()
    images = (data.images[:900, ..., None] / 16.0).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((images, data.target[:900]))
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(24, 3, padding="same")(inputs)
    h = layers.BatchNormalization()(h)
    h = layers.ReLU()(h)
    h = layers.GlobalMaxPooling2D()(h)
    h = layers.Dense(48, activation="relu")(h)
    model = keras.Model(inputs, layers.Dense(10)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(5e-3 if fixed else 1e-7), loss, metrics=["accuracy"])
    return Setup(model, dataset.shuffle(900, seed=1).batch(32), None, {"epochs": 8})


@PROGRAMS.failing("learning_rate_too_low", source="issue: ReduceLROnPlateau(mode='max') on a loss")
def later_plateau_wrong_way_round(fixed: bool) -> Setup:
    data = load_wine()
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", mode="min" if fixed else "max", factor=0.01, patience=1, min_lr=0
    )
    model = keras.Sequential([layers.Input((13,)), layers.Dense(20, activation="elu")])
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(optimizers.SGD(0.003), "sparse_categorical_crossentropy", metrics=["acc"])
    fit = {"epochs": 60, "batch_size": 16, "callbacks": [plateau]}
    return Setup(model, scale(data.data), data.target, fit)


@PROGRAMS.failing("learning_rate_too_low", source="stack overflow: LSTM of a sine stays at 0.5")
def later_waves_sgd_tiny(fixed: bool) -> Setup:
    x, y = _waves(600, 10)
    model = keras.Sequential()
    model.add(layers.Input((10, 1)))
    model.add(layers.LSTM(20, return_sequences=True))
    model.add(layers.LSTM(10))
    model.add(layers.Dense(1))
    model.compile(loss="mse", optimizer=optimizers.SGD(0.2 if fixed else 1e-4, momentum=0.5))
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("learning_rate_too_low", source="course forum: y = 2x - 1 is not found")
def later_straight_line_slow(fixed: bool) -> Setup:
    x = np.linspace(-1, 1, 100, dtype="float32")[:, None]
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(optimizers.SGD(0.05 if fixed else 1e-5), "mse")
    return Setup(model, x, 2 * x - 1, {"epochs": 50, "batch_size": 10})


@PROGRAMS.failing("learning_rate_too_low", source="issue: Adadelta's default rate is now 0.001")
def later_iris_adadelta_default(fixed: bool) -> Setup:
    data = load_iris()
    x, y = scale(data.data), keras.utils.to_categorical(data.target)
    model = keras.Sequential([layers.Input((4,))])
    model.add(layers.Dense(16))
    model.add(layers.Activation("relu"))
    model.add(layers.Dense(3))
    model.add(layers.Activation("softmax"))
    optimizer = optimizers.Adadelta(learning_rate=1.0) if fixed else "adadelta"
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 30, "batch_size": 10})


@PROGRAMS.failing("unscaled_data", source="kaggle: house prices, the loss is 4e10")
def later_house_prices_in_dollars(fixed: bool) -> Setup:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 6))
    y = 200_000 + 60_000 * x[:, 0] + 30_000 * x[:, 1] * x[:, 2] + rng.normal(0, 5000, 500)
    if fixed:
        y = (y - y.mean()) / y.std()
    model = keras.Sequential([layers.Input((6,))])
    model.add(layers.Dense(64, kernel_initializer="normal", activation="relu"))
    model.add(layers.Dense(32, kernel_initializer="normal", activation="relu"))
    model.add(layers.Dense(1, kernel_initializer="normal"))
    model.compile(loss="mean_squared_error", optimizer="adam", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.failing("unscaled_data", source="stack overflow: why can Keras not learn x ** 4")
def later_fourth_power(fixed: bool) -> Setup:
    x = np.arange(-100, 100, 0.5, dtype="float32")[:, None]
    y = x**4
    if fixed:
        x, y = x / 100, y / 1e8
    model = keras.Sequential([layers.Input((1,))])
    model.add(layers.Dense(50, activation="sigmoid"))
    model.add(layers.Dense(50, activation="elu"))
    model.add(layers.Dense(1))
    model.compile(optimizers.Adam(0.01), "mse")
    return Setup(model, x, y, {"epochs": 60, "batch_size": 20})


@PROGRAMS.failing("unscaled_data", source="forum: used cars, linear regression gives nan")
def later_used_cars_raw(fixed: bool) -> Setup:
    rng = np.random.default_rng(4)
    year, km = rng.integers(1995, 2023, 300), rng.uniform(0, 250_000, 300)
    price = 20 - 0.7 * (2023 - year) * 0.6 - km / 25_000 + rng.normal(0, 0.5, 300)
    x = np.column_stack([year, km]).astype("float32")
    if fixed:
        x = StandardScaler().fit_transform(x)
    model = keras.Sequential([layers.Input((2,)), layers.Dense(1, activation="linear")])
    model.compile(optimizer=optimizers.SGD(0.01), loss="mse", metrics=["mae"])
    return Setup(model, x, price, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("unscaled_data", source="forum: time stamps as a feature of the demand")
def later_time_stamps(fixed: bool) -> Setup:
    rng = np.random.default_rng(5)
    stamp = 1.6e9 + np.arange(400) * 3600.0
    temperature = rng.normal(15, 8, 400)
    y = np.where(temperature + 20 * (np.arange(400) / 400) > 25, 1, 0)
    x = np.column_stack([stamp, temperature])
    x = MinMaxScaler().fit_transform(x) if fixed else x
    inputs = keras.Input((2,))
    h = layers.Dense(32, activation="tanh")(inputs)
    h = layers.Dense(16, activation="tanh")(h)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(h))
    model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.failing("unscaled_data", source="kaggle: LSTM predicts a flat line for the stock")
def later_stock_prices_raw(fixed: bool) -> Setup:
    rng = np.random.default_rng(6)
    t = np.arange(520)
    price = 3000 + 400 * np.sin(t / 15) + rng.normal(0, 20, 520)
    price = (price - 3000) / 400 if fixed else price
    x = np.stack([price[i : i + 20] for i in range(500)])[..., None]
    model = keras.Sequential([layers.Input((20, 1)), layers.LSTM(24), layers.Dense(1)])
    model.compile(optimizer="adam", loss="mae")
    return Setup(model, x, price[20:], {"epochs": 12, "batch_size": 16})


@PROGRAMS.failing("unscaled_data", source="stack overflow: loss is tiny, predictions are useless")
def later_currents_in_amperes(fixed: bool) -> Setup:
    rng = np.random.default_rng(7)
    volts = rng.uniform(-1, 1, (300, 3)).astype("float32")
    amps = 1e-6 * (volts[:, 0] - 2 * volts[:, 1] * volts[:, 2])
    model = keras.Sequential([layers.Input((3,)), layers.Dense(40, activation="relu")])
    model.add(layers.Dense(40, activation="relu"))
    model.add(layers.Dense(1))
    model.compile(optimizer=optimizers.Adam(2e-3), loss="mse")
    return Setup(model, volts, amps * 1e6 if fixed else amps, {"epochs": 30, "batch_size": 16})


@PROGRAMS.failing("numeric_overflow", source="issue: float16 layers and Adam, nan at once")
def later_half_precision_adam(fixed: bool) -> Setup:
    data = load_digits()
    kind = "float32" if fixed else "float16"
    model = keras.Sequential([layers.Input((64,), dtype=kind)])
    model.add(layers.Dense(48, activation="relu", dtype=kind))
    model.add(layers.Dense(10, activation="softmax", dtype=kind))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = (data.data[:800] / 16).astype(kind)
    return Setup(model, x, data.target[:800], {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("numeric_overflow", source="forum: audio energy under mixed precision")
def later_energy_mixed_precision(fixed: bool) -> Setup:
    rng = np.random.default_rng(8)
    loud = rng.integers(0, 2, 400)
    x = (rng.normal(size=(400, 64)) * np.where(loud, 900, 200)[:, None]).astype("float32")
    kind = "float32" if fixed else "mixed_float16"
    inputs = keras.Input((64,))
    energy = layers.Lambda(
        lambda v: ops.log(1 + ops.sum(v * v, -1, keepdims=True)) - 15,
        output_shape=(1,),
        dtype=kind,
    )(inputs)
    h = layers.Dense(8, activation="relu", dtype=kind)(energy)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid", dtype="float32")(h))
    model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, loud, {"epochs": 15, "batch_size": 16})
