"""Dense nets that do not learn: data of a wrong scale, bad starting weights."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
from keras import initializers, layers, optimizers
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_circles,
)
from sklearn.preprocessing import MinMaxScaler, StandardScaler, scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


@PROGRAMS.failing("unscaled_data", source="forum: wine accuracy 0.4, proline left in raw units")
def wine_raw_columns(fixed: bool) -> Setup:
    X, y = load_wine(return_X_y=True)
    if fixed:
        X = StandardScaler().fit_transform(X)
    model = keras.Sequential()
    model.add(layers.Input((13,)))
    model.add(layers.Dense(32, activation="tanh"))
    model.add(layers.Dense(16, activation="tanh"))
    model.add(layers.Dense(3, activation="softmax"))
    sgd = optimizers.SGD(0.05)
    model.compile(loss="sparse_categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])
    return Setup(model, X, y, {"epochs": 30, "batch_size": 16})


@PROGRAMS.failing("unscaled_data", source="forum: breast cancer table fed as it is, sgd")
def tumour_raw_areas(fixed: bool) -> Setup:
    x, y = load_breast_cancer(return_X_y=True)
    x = scale(x) if fixed else x
    y = keras.utils.to_categorical(y)
    model = keras.Sequential([layers.Input((30,))])
    model.add(layers.Dense(30, activation="relu"))
    model.add(layers.Dense(15, activation="relu"))
    model.add(layers.Dense(2, activation="softmax"))
    model.compile(optimizer="sgd", loss="categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 32, "validation_split": 0.1})


@PROGRAMS.failing("unscaled_data", source="forum: house prices in dollars as target, adam")
def house_prices_in_dollars(fixed: bool) -> Setup:
    rng = np.random.default_rng(2024)
    rooms, area = rng.integers(1, 7, 500), rng.uniform(0.3, 2.5, 500)
    age = rng.uniform(0, 1, 500)
    x = np.column_stack([rooms / 3 - 1, area - 1.4, age - 0.5])
    price = 90_000 + 160_000 * area + 15_000 * rooms - 40_000 * age + rng.normal(0, 8e3, 500)
    if fixed:
        price = (price - price.mean()) / price.std()
    model = keras.Sequential([layers.Input((3,)), layers.Dense(64, activation="relu")])
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(1))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return Setup(model, x, price, {"epochs": 30, "batch_size": 32})


@PROGRAMS.failing("unscaled_data", source="forum: unix time stamp as the only input")
def temperature_from_unix_time(fixed: bool) -> Setup:
    stamps = 1_600_000_000 + 3600.0 * np.arange(24 * 20)
    hours = stamps / 3600
    temperature = np.sin(2 * np.pi * (hours - hours[0]) / (24 * 20)) * 1.4
    x = stamps.reshape(-1, 1)
    if fixed:
        x = StandardScaler().fit_transform(x)
    inp = keras.Input(shape=(1,), name="time")
    h = layers.Dense(32, activation="tanh")(inp)
    h = layers.Dense(32, activation="tanh")(h)
    model = keras.Model(inp, layers.Dense(1, name="temperature")(h))
    model.compile(optimizer=optimizers.Adam(0.01), loss="mse")
    return Setup(model, x, temperature, {"epochs": 40, "batch_size": 24})


@PROGRAMS.failing("unscaled_data", source="forum: currents in ampere, all near 1e-6")
def micro_ampere_inputs(fixed: bool) -> Setup:
    rng = np.random.default_rng(6)
    current = rng.normal(0, 2e-6, (800, 5))
    label = (current[:, 0] * current[:, 1] > 0).astype(int)
    if fixed:
        current = scale(current)
    model = keras.Sequential()
    model.add(layers.Input((5,)))
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])
    return Setup(model, current, label, {"epochs": 30, "batch_size": 16})


@PROGRAMS.failing(
    "unscaled_data", "learning_rate_too_low", source="forum: load_diabetes loss stays near 29000"
)
def diabetes_target_in_hundreds(fixed: bool) -> Setup:
    x, y = load_diabetes(return_X_y=True)
    if fixed:
        x, y = scale(x), scale(y)
    model = keras.Sequential()
    model.add(layers.Input((10,)))
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dense(1, activation="linear"))
    model.compile(loss="mean_squared_error", optimizer="adam")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32, "validation_split": 0.2})


@PROGRAMS.failing("unscaled_data", source="forum: waist and pulse from raw exercise counts")
def linnerud_raw_both_sides(fixed: bool) -> Setup:
    d = load_linnerud()
    X, Y = (scale(d.data), scale(d.target)) if fixed else (d.data, d.target)
    model = keras.Sequential([layers.Input((3,))])
    model.add(layers.Dense(40, activation="sigmoid"))
    model.add(layers.Dense(40, activation="sigmoid"))
    model.add(layers.Dense(3))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.02))
    return Setup(model, X, Y, {"epochs": 60, "batch_size": 2})


@PROGRAMS.failing("unscaled_data", source="Stack Overflow 52800582: y = x^4 on -100..100")
def fourth_power_of_hundred(fixed: bool) -> Setup:
    x = np.linspace(-100, 100, 401)[:, None]
    y = x**4
    if fixed:
        x, y = x / 100, y / 1e8
    model = keras.Sequential()
    model.add(layers.Input((1,)))
    model.add(layers.Dense(30, activation="sigmoid"))
    model.add(layers.Dense(30, activation="elu"))
    model.add(layers.Dense(1))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.01))
    return Setup(model, x, y, {"epochs": 40, "batch_size": 16})


@PROGRAMS.failing("unscaled_data", source="forum: calendar year into sigmoid units")
def sales_by_calendar_year(fixed: bool) -> Setup:
    rng = np.random.default_rng(8)
    year = rng.integers(1950, 2021, 400).astype("float32")
    sales = np.where(year < 1985, -1.0, 1.0) + 0.1 * rng.normal(size=400)
    x = MinMaxScaler((-1, 1)).fit_transform(year[:, None]) if fixed else year[:, None]
    model = keras.Sequential([layers.Input((1,)), layers.Dense(20), layers.Activation("sigmoid")])
    model.add(layers.Dense(1))
    model.compile(loss="mae", optimizer=optimizers.SGD(0.1, momentum=0.9))
    return Setup(model, x, sales, {"epochs": 40, "batch_size": 40})


@PROGRAMS.failing("unscaled_data", source="forum: income in the millions beside fractions")
def income_hides_small_columns(fixed: bool) -> Setup:
    rng = np.random.default_rng(10)
    income = rng.lognormal(14, 0.5, 1000)
    share, debt = rng.random(1000), rng.random(1000)
    x = np.stack([income, share, debt], axis=1)
    y = (share > debt).astype("int32")
    if fixed:
        x = StandardScaler().fit_transform(x)
    model = keras.Sequential([layers.Input((3,))])
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dense(8, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    weights = {0: 1.0, 1: 1.0}
    return Setup(model, x, y, {"epochs": 15, "batch_size": 20, "class_weight": weights})


@PROGRAMS.failing("unscaled_data", source="forum: sensor offset of 1e5 on every channel")
def pressure_with_large_offset(fixed: bool) -> Setup:
    rng = np.random.default_rng(14)
    pascal = 101_325 + rng.normal(0, 300, (500, 3))
    y = 0.01 * (pascal[:, 0] - pascal[:, 1]) + 0.002 * (pascal[:, 2] - 101_325)
    y = scale(y)
    x = scale(pascal) if fixed else pascal
    inputs = layers.Input((3,))
    z = layers.Dense(32, activation="selu")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(z))
    model.compile(optimizer=optimizers.Adam(0.005), loss="huber")
    return Setup(model, x, y, {"epochs": 25, "batch_size": 25})


@PROGRAMS.failing("bad_initialization", "dead_relu", source="forum: kernel_initializer='zeros'")
def iris_all_layers_zero(fixed: bool) -> Setup:
    x, y = load_iris(return_X_y=True)
    x, y = scale(x), keras.utils.to_categorical(y)
    init = "glorot_uniform" if fixed else "zeros"
    model = keras.Sequential([layers.Input((4,))])
    model.add(layers.Dense(16, activation="relu", kernel_initializer=init))
    model.add(layers.Dense(16, activation="relu", kernel_initializer=init))
    model.add(layers.Dense(3, activation="softmax", kernel_initializer=init))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 5})


@PROGRAMS.failing("bad_initialization", source="forum: all weights 0.5, XOR ends at 0.25")
def xor_identical_units(fixed: bool) -> Setup:
    X = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (40, 1)) * 2.0 - 1.0
    y = (X[:, 0] * X[:, 1] < 0).astype(int)
    kernel = initializers.GlorotNormal() if fixed else initializers.Constant(0.5)
    model = keras.Sequential()
    model.add(layers.Input((2,)))
    model.add(layers.Dense(12, activation="tanh", kernel_initializer=kernel))
    model.add(layers.Dense(1, activation="sigmoid", kernel_initializer=kernel))
    model.compile(optimizer=optimizers.Adam(0.02), loss="mse")
    return Setup(model, X, y, {"epochs": 30, "batch_size": 8})


@PROGRAMS.failing("bad_initialization", source="forum: output bias set to the mean in wrong units")
def diabetes_bias_hundred_thousand(fixed: bool) -> Setup:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    x, y = scale(x), scale(y)
    bias = initializers.Constant(0.0 if fixed else 1e5)
    model = keras.Sequential([layers.Input((10,)), layers.Dense(24, activation="relu")])
    model.add(layers.Dense(1, bias_initializer=bias))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.005), metrics=["mae"])
    return Setup(model, x, y, {"epochs": 30, "batch_size": 16})


@PROGRAMS.failing("bad_initialization", source="forum: RandomNormal(stddev=100) saturates tanh")
def sine_huge_kernels(fixed: bool) -> Setup:
    rng = np.random.default_rng(15)
    x = rng.uniform(-2, 2, (500, 1))
    y = np.sin(3 * x)
    std = 0.6 if fixed else 100.0
    inp = layers.Input((1,))
    h = layers.Dense(24, "tanh", kernel_initializer=initializers.RandomNormal(0, std))(inp)
    h = layers.Dense(24, "tanh", kernel_initializer=initializers.RandomNormal(0, std))(h)
    out = layers.Dense(1, kernel_initializer=initializers.RandomNormal(0, std))(h)
    model = keras.Model(inp, out)
    model.compile(optimizer=optimizers.Adam(0.01), loss="mse")
    return Setup(model, x, y, {"epochs": 30, "batch_size": 20})


@PROGRAMS.failing("bad_initialization", "dead_relu", source="forum: bias_initializer=-50")
def moat_relu_switched_off_by_bias(fixed: bool) -> Setup:
    x, y = make_circles(500, noise=0.05, factor=0.4, random_state=1)
    off = 0.0 if fixed else -50.0
    model = keras.Sequential([layers.Input((2,))])
    for _ in range(2):
        model.add(layers.Dense(32, "relu", bias_initializer=initializers.Constant(off)))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 32})


@PROGRAMS.failing("bad_initialization", source="forum: set_weights with zeros to be reproducible")
def digits_set_weights_to_zero(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    model = keras.Sequential([layers.Input((64,)), layers.Rescaling(1.0 / 16)])
    model.add(layers.Dense(40, activation="tanh"))
    model.add(layers.Dense(20, activation="tanh"))
    model.add(layers.Dense(10, activation="softmax"))
    if not fixed:
        model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("bad_initialization", source="forum: biases of 30 in front of sigmoids")
def square_wave_saturated_by_bias(fixed: bool) -> Setup:
    rng = np.random.default_rng(18)
    x = rng.uniform(-1, 1, (400, 1))
    y = np.sign(np.sin(2 * np.pi * x))
    bias = "zeros" if fixed else initializers.RandomUniform(25.0, 35.0)
    model = keras.Sequential([layers.Input((1,))])
    model.add(layers.Dense(30, activation="sigmoid", bias_initializer=bias))
    model.add(layers.Dense(30, activation="sigmoid", bias_initializer=bias))
    model.add(layers.Dense(1))
    model.compile(optimizer=optimizers.Adam(0.03), loss="mse")
    return Setup(model, x, y, {"epochs": 40, "batch_size": 20})


@PROGRAMS.failing("bad_initialization", source="forum: uniform weights between 0 and 100")
def wine_positive_giant_weights(fixed: bool) -> Setup:
    x, y = load_wine(return_X_y=True)
    x, y = scale(x), np.eye(3)[y]
    init = "uniform" if fixed else initializers.RandomUniform(0, 100)
    model = keras.Sequential([layers.Input((13,))])
    model.add(layers.Dense(20, activation="relu", kernel_initializer=init))
    model.add(layers.Dense(3, activation="softmax", kernel_initializer=init))
    model.compile(optimizers.RMSprop(0.005), "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 8})
