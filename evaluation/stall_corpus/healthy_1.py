"""Healthy runs on tables: short fits, few rows, noisy or random targets, rare classes."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from keras.models import Sequential
from sklearn import datasets
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


def _z(a: np.ndarray) -> np.ndarray:
    return ((a - a.mean(0)) / (a.std(0) + 1e-9)).astype("float32")


def _mlp(features: int, *units: int, out: int = 1, head: str = "linear", act: str = "relu"):
    model = Sequential([layers.Input((features,))])
    for u in units:
        model.add(layers.Dense(u, activation=act))
    model.add(layers.Dense(out, activation=head))
    return model


# short fits that have only begun to learn


@PROGRAMS.healthy
def ok_iris_two_epochs() -> Setup:
    x, y = datasets.load_iris(return_X_y=True)
    model = _mlp(4, 16, out=3, head="softmax")
    model.compile(
        keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, _z(x), y, {"epochs": 2, "batch_size": 8})


@PROGRAMS.healthy
def ok_wine_single_epoch() -> Setup:
    x, y = datasets.load_wine(return_X_y=True)
    model = Sequential()
    model.add(layers.Input((13,)))
    model.add(layers.Dense(32))
    model.add(layers.Activation("relu"))
    model.add(layers.Dense(3))
    model.add(layers.Activation("softmax"))
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.RMSprop(0.003))
    return Setup(model, _z(x), keras.utils.to_categorical(y), {"epochs": 1, "batch_size": 4})


@PROGRAMS.healthy
def ok_cancer_three_epochs() -> Setup:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    model = _mlp(30, 16, 8, head="sigmoid")
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 3, "batch_size": 16, "validation_split": 0.2}
    return Setup(model, StandardScaler().fit_transform(x), y, fit)


@PROGRAMS.healthy
def ok_digits_five_epochs_sgd() -> Setup:
    x, y = datasets.load_digits(return_X_y=True)
    model = _mlp(64, 64, out=10, head="softmax")
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    return Setup(model, x / 16.0, y, {"epochs": 5, "batch_size": 64})


@PROGRAMS.healthy
def ok_diabetes_four_epochs() -> Setup:
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    model = _mlp(10, 32)
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss="mse", metrics=["mae"])
    return Setup(model, _z(x), _z(y), {"epochs": 4, "batch_size": 16})


@PROGRAMS.healthy
def ok_friedman_one_epoch_many_rows() -> Setup:
    x, y = datasets.make_friedman1(6000, n_features=6, random_state=3)
    model = _mlp(6, 24, 24)
    model.compile("adam", "mse")
    return Setup(model, 2 * x - 1, _z(y), {"epochs": 1, "batch_size": 32})


@PROGRAMS.healthy
def ok_moons_started() -> Setup:
    x, y = datasets.make_moons(800, noise=0.15, random_state=2)
    model = _mlp(2, 16, 16, head="sigmoid", act="tanh")
    model.compile("nadam", "binary_crossentropy")
    return Setup(model, x, y, {"epochs": 4, "batch_size": 32})


# few rows


@PROGRAMS.healthy
def ok_xor_four_rows() -> Setup:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    model = _mlp(2, 16, head="sigmoid", act="tanh")
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, np.array([0, 1, 1, 0]), {"epochs": 60, "batch_size": 1})


@PROGRAMS.healthy
def ok_four_points_on_a_line() -> Setup:
    x = np.array([[-1.0], [0.0], [1.0], [2.0]])
    model = Sequential([layers.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return Setup(model, x, 2 * x[:, 0] - 1, {"epochs": 60})


@PROGRAMS.healthy
def ok_ten_rows_parabola() -> Setup:
    x = np.linspace(-1, 1, 10).reshape(-1, 1)
    model = _mlp(1, 32, act="relu")
    model.compile(keras.optimizers.Adam(0.02), "mean_squared_error")
    return Setup(model, x, x**2, {"epochs": 50, "batch_size": 2})


@PROGRAMS.healthy
def ok_forty_rows_three_classes() -> Setup:
    x, y = datasets.make_blobs(40, 5, centers=3, cluster_std=2.0, random_state=8)
    model = _mlp(5, 12, out=3, head="softmax")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return Setup(model, _z(x), y, {"epochs": 20, "batch_size": 8})


@PROGRAMS.healthy
def ok_eight_rows_memorised() -> Setup:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(8, 20))
    y = np.array([0, 1, 1, 0, 1, 0, 0, 1])
    model = _mlp(20, 32, head="sigmoid")
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    return Setup(model, x, y, {"epochs": 40, "batch_size": 8})


@PROGRAMS.healthy
def ok_twelve_sentences_bag_of_words() -> Setup:
    good = ["nice good fun", "good film", "fun and nice", "nice film", "very good", "so fun"]
    bad = ["bad dull slow", "dull film", "slow and bad", "bad film", "very dull", "so slow"]
    words = sorted({w for s in good + bad for w in s.split()})
    x = np.array([[float(w in s.split()) for w in words] for s in good + bad])
    y = np.array([1] * 6 + [0] * 6)
    model = _mlp(len(words), 8, head="sigmoid")
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 30, "batch_size": 4})


@PROGRAMS.healthy
def ok_linnerud_twenty_rows() -> Setup:
    x, y = datasets.load_linnerud(return_X_y=True)
    model = _mlp(3, 16, out=3, act="tanh")
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return Setup(model, _z(x), _z(y), {"epochs": 60, "batch_size": 5})


@PROGRAMS.healthy
def ok_six_rows_validation_apart() -> Setup:
    x = np.array([[0.1, 1], [0.2, 0.9], [0.3, 0.8], [0.9, 0.1], [0.8, 0.2], [0.7, 0.1]])
    y = keras.utils.to_categorical([0, 0, 0, 1, 1, 1])
    model = _mlp(2, 8, out=2, head="softmax")
    model.compile(keras.optimizers.SGD(0.2, momentum=0.9), "categorical_crossentropy")
    held = (np.array([[0.2, 0.8], [0.9, 0.3]]), keras.utils.to_categorical([0, 1]))
    return Setup(model, x, y, {"epochs": 30, "batch_size": 3, "validation_data": held})


# little to learn, or nothing


def _noisy_line(skill: float, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    signal = _z(x[:, 0] - 0.7 * x[:, 1] + 0.4 * x[:, 2])
    return x, np.sqrt(skill) * signal + np.sqrt(1 - skill) * rng.normal(size=rows)


@PROGRAMS.healthy
def ok_noisy_target_skill_20() -> Setup:
    x, y = _noisy_line(0.2, 1500, 1)
    model = _mlp(6, 16)
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_noisy_target_skill_10_ridge() -> Setup:
    x, y = _noisy_line(0.1, 2000, 2)
    model = Sequential()
    model.add(layers.Input((6,)))
    model.add(layers.Dense(1, kernel_regularizer=keras.regularizers.L2(1e-3)))
    model.compile(keras.optimizers.SGD(0.02), "mse")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 50, "validation_split": 0.25})


@PROGRAMS.healthy
def ok_noisy_target_skill_5_returns() -> Setup:
    rng = np.random.default_rng(12)
    r = rng.normal(size=3000)
    for t in range(1, 3000):
        r[t] += 0.24 * r[t - 1]
    x = np.stack([r[i : i + 2990] for i in range(10)], 1)
    model = _mlp(10, 16, act="tanh")
    model.compile(keras.optimizers.Adam(0.002), "mae")
    return Setup(model, x, r[10:], {"epochs": 8, "batch_size": 64, "shuffle": False})


@PROGRAMS.healthy
def ok_noisy_binary_weak_signal() -> Setup:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(2500, 8))
    y = rng.random(2500) < 1 / (1 + np.exp(-0.6 * x[:, 0] + 0.5 * x[:, 3]))
    model = _mlp(8, 12, head="sigmoid")
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y.astype("float32"), {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_noisy_five_classes_flipped_labels() -> Setup:
    x, y = datasets.make_blobs(1500, 6, centers=5, cluster_std=2.0, random_state=4)
    rng = np.random.default_rng(0)
    flip = rng.random(1500) < 0.6
    y[flip] = rng.integers(0, 5, flip.sum())
    model = _mlp(6, 16, out=5, head="softmax")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, _z(x), y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def ok_random_target_regression() -> Setup:
    rng = np.random.default_rng(21)
    model = _mlp(10, 16)
    model.compile("adam", "mse")
    data = rng.normal(size=(2000, 10)), rng.normal(size=2000)
    return Setup(model, *data, {"epochs": 6, "batch_size": 32})


@PROGRAMS.healthy
def ok_random_coin_flips() -> Setup:
    rng = np.random.default_rng(22)
    model = _mlp(5, 8, head="sigmoid")
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Setup(
        model, rng.random((3000, 5)), rng.integers(0, 2, 3000), {"epochs": 5, "batch_size": 64}
    )


@PROGRAMS.healthy
def ok_random_ten_classes() -> Setup:
    rng = np.random.default_rng(23)
    model = _mlp(12, 16, out=10, head="softmax")
    model.compile(keras.optimizers.RMSprop(0.001), "categorical_crossentropy")
    y = keras.utils.to_categorical(rng.integers(0, 10, 4000), 10)
    return Setup(model, rng.normal(size=(4000, 12)), y, {"epochs": 4, "batch_size": 64})


@PROGRAMS.healthy
def ok_random_walk_steps_lstm() -> Setup:
    rng = np.random.default_rng(24)
    steps = rng.normal(size=1220).astype("float32")
    x = np.stack([steps[i : i + 1200] for i in range(20)], 1)[..., None]
    model = Sequential([layers.Input((20, 1)), layers.LSTM(8), layers.Dense(1)])
    model.compile("adam", "mse")
    return Setup(model, x, steps[20:], {"epochs": 4, "batch_size": 64})


@PROGRAMS.healthy
def ok_random_counts_poisson() -> Setup:
    rng = np.random.default_rng(25)
    model = _mlp(4, 8, head="softplus", act="tanh")
    model.compile(keras.optimizers.Adam(0.005), "poisson")
    x, y = rng.normal(size=(2000, 4)), rng.poisson(1.5, 2000).astype("float32")
    return Setup(model, x, y, {"epochs": 6, "batch_size": 50})


@PROGRAMS.healthy
def ok_random_target_linear_model() -> Setup:
    rng = np.random.default_rng(26)
    model = Sequential([layers.Input((3,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return Setup(model, rng.normal(size=(1500, 3)), 0.5 * rng.normal(size=1500), {"epochs": 8})


# rare classes: the loss is low from the start


def _rare(rows: int, share: float, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < share).astype("float32")
    return (rng.normal(size=(rows, 6)) + shift * y[:, None]).astype("float32"), y


@PROGRAMS.healthy
def ok_rare_fraud_clear() -> Setup:
    x, y = _rare(4000, 0.02, 1.5, 31)
    model = _mlp(6, 16, head="sigmoid")
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_rare_fraud_overlapping() -> Setup:
    x, y = _rare(4000, 0.02, 0.6, 32)
    model = _mlp(6, 16, head="sigmoid")
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["AUC"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_rare_fraud_class_weight() -> Setup:
    x, y = _rare(3000, 0.02, 1.0, 33)
    model = _mlp(6, 12, head="sigmoid")
    model.compile("adam", "binary_crossentropy")
    fit = {"epochs": 8, "batch_size": 64, "class_weight": {0: 0.51, 1: 25.0}}
    return Setup(model, x, y, fit)


@PROGRAMS.healthy
def ok_rare_fraud_bias_at_log_odds() -> Setup:
    x, y = _rare(3000, 0.02, 1.2, 34)
    start = keras.initializers.Constant(float(np.log(y.mean() / (1 - y.mean()))))
    model = Sequential([layers.Input((6,)), layers.Dense(16, activation="relu")])
    model.add(layers.Dense(1, activation="sigmoid", bias_initializer=start))
    model.compile(keras.optimizers.Adam(0.003), keras.losses.BinaryCrossentropy())
    return Setup(model, x, y, {"epochs": 6, "batch_size": 128})


@PROGRAMS.healthy
def ok_rare_class_softmax_two_units() -> Setup:
    x, y = _rare(2500, 0.02, 1.8, 35)
    model = _mlp(6, 10, out=2, head="softmax")
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, keras.utils.to_categorical(y, 2), {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_long_tail_six_classes() -> Setup:
    rng = np.random.default_rng(36)
    y = rng.choice(6, 3000, p=[0.7, 0.15, 0.08, 0.04, 0.02, 0.01])
    x = rng.normal(size=(6, 8))[y] * 1.5 + rng.normal(size=(3000, 8))
    model = _mlp(8, 24, out=6, head="softmax")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 6, "batch_size": 64})


# other tables


@PROGRAMS.healthy
def ok_circles_adam() -> Setup:
    x, y = datasets.make_circles(600, noise=0.08, factor=0.5, random_state=1)
    model = _mlp(2, 16, 8, head="sigmoid")
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_two_spirals_tanh() -> Setup:
    rng = np.random.default_rng(6)
    t = np.sqrt(rng.random(500)) * 6 + 0.5
    arm = np.arange(500) % 2
    angle = t + np.pi * arm
    x = np.stack([t * np.cos(angle), t * np.sin(angle)], 1) / 4 + rng.normal(0, 0.03, (500, 2))
    model = _mlp(2, 48, 48, head="sigmoid", act="tanh")
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, arm, {"epochs": 60, "batch_size": 25})


@PROGRAMS.healthy
def ok_house_prices_minmax() -> Setup:
    rng = np.random.default_rng(7)
    area, rooms, age = rng.uniform(30, 250, 900), rng.integers(1, 8, 900), rng.uniform(0, 90, 900)
    price = 0.012 * area + 0.1 * rooms - 0.006 * age + 0.2 * rng.normal(size=900) + 0.5
    x = MinMaxScaler().fit_transform(np.stack([area, rooms, age], 1))
    model = _mlp(3, 32)
    model.compile(keras.optimizers.Adam(0.005), "mse", metrics=["mae"])
    return Setup(model, x, price, {"epochs": 20, "batch_size": 32, "validation_split": 0.1})
