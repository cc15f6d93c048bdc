"""Healthy runs: optimizers, schedules, callbacks, slow but sound rates, runs that had converged."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
from keras import callbacks, layers, optimizers
from keras.optimizers import schedules
from sklearn import datasets

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


def _z(a: np.ndarray) -> np.ndarray:
    return ((a - a.mean(0)) / (a.std(0) + 1e-9)).astype("float32")


def _net(x: np.ndarray, *units: int, out: int = 1, head: str | None = None, act: str = "relu"):
    model = keras.Sequential([keras.Input(x.shape[1:])])
    for u in units:
        model.add(layers.Dense(u, activation=act))
    model.add(layers.Dense(out, activation=head))
    return model


def _wave(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (rows, 1))
    return x, np.sin(2 * x[:, 0]) + 0.05 * rng.normal(size=rows)


def _saddle(rows: int = 600, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(rows, 4))
    return x, _z(x[:, 0] * x[:, 1] + np.abs(x[:, 2]))


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def _cancer() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return _z(x), y


# one optimizer each


@PROGRAMS.healthy
def ok_sgd_plain_moons() -> Setup:
    x, y = datasets.make_moons(500, noise=0.2, random_state=0)
    model = _net(x, 24, head="sigmoid")
    model.compile(optimizers.SGD(0.3), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 32})


@PROGRAMS.healthy
def ok_sgd_momentum_digits() -> Setup:
    x, y = _digits()
    model = _net(x, 32, out=10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 64})


@PROGRAMS.healthy
def ok_sgd_nesterov_diabetes() -> Setup:
    x, y = datasets.load_diabetes(return_X_y=True)
    x = _z(x)
    model = _net(x, 16, act="tanh")
    model.compile(optimizers.SGD(0.01, momentum=0.9, nesterov=True), "mse")
    return Setup(model, x, _z(y), {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def ok_rmsprop_wave() -> Setup:
    x, y = _wave()
    model = _net(x, 32, 32)
    model.compile(optimizers.RMSprop(0.003), "mse")
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.healthy
def ok_adagrad_cancer() -> Setup:
    x, y = _cancer()
    model = _net(x, 16, head="sigmoid")
    model.compile(optimizers.Adagrad(0.05), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10})


@PROGRAMS.healthy
def ok_adadelta_rate_one() -> Setup:
    x, y = _digits()
    model = _net(x, 48, out=10, head="softmax")
    model.compile(optimizers.Adadelta(1.0), "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, keras.utils.to_categorical(y), {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_nadam_saddle() -> Setup:
    x, y = _saddle()
    model = _net(x, 32, 16)
    model.compile(optimizers.Nadam(0.004), "mse")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32})


@PROGRAMS.healthy
def ok_adamw_decay() -> Setup:
    x, y = datasets.load_wine(return_X_y=True)
    x = _z(x)
    model = _net(x, 24, out=3, head="softmax")
    model.compile(optimizers.AdamW(0.003, weight_decay=0.01), "sparse_categorical_crossentropy")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 16})


@PROGRAMS.healthy
def ok_lion_small_rate() -> Setup:
    x, y = _digits()
    model = _net(x, 32, out=10, head="softmax", act="gelu")
    model.compile(optimizers.Lion(4e-4), "sparse_categorical_crossentropy")
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_ftrl_click_rate() -> Setup:
    rng = np.random.default_rng(3)
    x = (rng.random((2000, 30)) < 0.15).astype("float32")
    w = rng.normal(size=30) * 1.5
    y = (rng.random(2000) < 1 / (1 + np.exp(1 - x @ w))).astype("float32")
    model = _net(x, head="sigmoid")
    model.compile(optimizers.Ftrl(0.5, l2_regularization_strength=0.001), "binary_crossentropy")
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.healthy
def ok_adamax_polynomial() -> Setup:
    x = np.linspace(-1, 1, 300)[:, None]
    y = 2 * x**3 - x
    model = _net(x, 64)
    model.compile(optimizers.Adamax(0.02), "mse")
    return Setup(model, x, y, {"epochs": 40, "batch_size": 16})


@PROGRAMS.healthy
def ok_adam_amsgrad_small_epsilon() -> Setup:
    x, y = datasets.make_classification(600, 12, n_informative=6, random_state=5)
    model = _net(x, 20, head="sigmoid")
    model.compile(optimizers.Adam(0.003, amsgrad=True, epsilon=1e-8), "binary_crossentropy")
    return Setup(model, x, y, {"epochs": 12})


@PROGRAMS.healthy
def ok_adafactor_blobs() -> Setup:
    x, y = datasets.make_blobs(600, 4, centers=5, cluster_std=1.5, random_state=2)
    model = _net(x, 32, out=5, head="softmax")
    model.compile(optimizers.Adafactor(0.02), "sparse_categorical_crossentropy")
    return Setup(model, _z(x), y, {"epochs": 15, "batch_size": 16})


@PROGRAMS.healthy
def ok_adam_clipnorm() -> Setup:
    x, y = _saddle(500, 4)
    model = _net(x, 32, 32)
    model.compile(optimizers.Adam(0.005, clipnorm=1.0), "mse")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 20})


@PROGRAMS.healthy
def ok_sgd_clipvalue() -> Setup:
    x, y = _wave(300, 6)
    model = _net(x, 32, act="tanh")
    model.compile(optimizers.SGD(0.1, momentum=0.8, clipvalue=0.5), "mae")
    return Setup(model, x, y, {"epochs": 40, "batch_size": 16})


@PROGRAMS.healthy
def ok_adam_weight_average() -> Setup:
    x, y = _cancer()
    model = _net(x, 12, head="sigmoid")
    model.compile(optimizers.Adam(0.003, use_ema=True, ema_momentum=0.9), "binary_crossentropy")
    return Setup(model, x, y, {"epochs": 8})


@PROGRAMS.healthy
def ok_adam_gradients_accumulated() -> Setup:
    x, y = _digits()
    model = _net(x, 64, out=10, head="softmax")
    opt = optimizers.Adam(0.005, gradient_accumulation_steps=4)
    model.compile(opt, "sparse_categorical_crossentropy")
    return Setup(model, x, y, {"epochs": 8, "batch_size": 16})


@PROGRAMS.healthy
def ok_adam_brave_rate_still_fine() -> Setup:
    x, y = datasets.make_moons(600, noise=0.1, random_state=7)
    model = _net(x, 16, 16, head="sigmoid")
    model.compile(optimizers.Adam(0.03), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 64})


# schedules


def _register_schedule(name: str, rate, data, epochs: int, batch: int, momentum: float) -> None:
    def make() -> Setup:
        x, y = data()
        many = y.dtype.kind == "i"
        model = _net(x, 32, out=10 if many else 1, head="softmax" if many else None)
        model.compile(
            optimizers.SGD(rate(), momentum=momentum),
            "sparse_categorical_crossentropy" if many else "mse",
        )
        return Setup(model, x, y, {"epochs": epochs, "batch_size": batch})

    make.__name__ = name
    PROGRAMS.healthy(make)


_register_schedule(
    "ok_schedule_cosine", lambda: schedules.CosineDecay(0.1, 300), _digits, 10, 60, 0.9
)
_register_schedule(
    "ok_schedule_cosine_warm_up",
    lambda: schedules.CosineDecay(0.0, 500, warmup_target=0.2, warmup_steps=80),
    lambda: _saddle(800, 8),
    20,
    32,
    0.0,
)
_register_schedule(
    "ok_schedule_exponential",
    lambda: schedules.ExponentialDecay(0.1, 100, 0.9),
    lambda: _wave(500, 9),
    30,
    16,
    0.8,
)
_register_schedule(
    "ok_schedule_staircase",
    lambda: schedules.ExponentialDecay(0.2, 150, 0.5, True),
    _digits,
    8,
    32,
    0.0,
)
_register_schedule(
    "ok_schedule_inverse_time",
    lambda: schedules.InverseTimeDecay(0.1, 100, 0.5),
    lambda: _saddle(500, 10),
    25,
    16,
    0.5,
)
_register_schedule(
    "ok_schedule_piecewise",
    lambda: schedules.PiecewiseConstantDecay([100, 200], [0.1, 0.02, 0.002]),
    _digits,
    6,
    32,
    0.9,
)


@PROGRAMS.healthy
def ok_schedule_polynomial_adam() -> Setup:
    x, y = _cancer()
    model = _net(x, 16, 8, head="sigmoid")
    model.compile(optimizers.Adam(schedules.PolynomialDecay(0.01, 200)), "binary_crossentropy")
    return Setup(model, x, y, {"epochs": 12})


@PROGRAMS.healthy
def ok_schedule_warm_restarts() -> Setup:
    x, y = _wave(400, 11)
    model = _net(x, 32, 16)
    model.compile(optimizers.Adam(schedules.CosineDecayRestarts(0.01, 100)), "mse")
    return Setup(model, x, y, {"epochs": 24, "batch_size": 20})


@PROGRAMS.healthy
def ok_schedule_callback_warm_up() -> Setup:
    x, y = _digits()
    model = _net(x, 32, out=10, head="softmax")
    model.compile(optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    warm = callbacks.LearningRateScheduler(lambda epoch, lr: 0.003 * min(1.0, (epoch + 1) / 4))
    return Setup(model, x, y, {"epochs": 8, "callbacks": [warm]})


@PROGRAMS.healthy
def ok_reduce_on_plateau() -> Setup:
    x, y = datasets.load_diabetes(return_X_y=True)
    x = _z(x)
    model = _net(x, 16)
    model.compile(optimizers.Adam(0.01), "mse")
    slower = callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.3, patience=2)
    return Setup(model, x, _z(y), {"epochs": 20, "validation_split": 0.2, "callbacks": [slower]})


# early stopping


@PROGRAMS.healthy
def ok_early_stopping_overfits() -> Setup:
    x, y = datasets.make_classification(300, 20, n_informative=5, flip_y=0.1, random_state=3)
    model = _net(x, 64, head="sigmoid")
    model.compile(optimizers.Adam(0.004), "binary_crossentropy", metrics=["accuracy"])
    stop = callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    return Setup(model, x, y, {"epochs": 30, "validation_split": 0.3, "callbacks": [stop]})


@PROGRAMS.healthy
def ok_early_stopping_on_train_loss() -> Setup:
    x, y = _wave(300, 13)
    model = _net(x, 64, 32)
    model.compile(optimizers.Adam(0.01), "mse")
    stop = callbacks.EarlyStopping("loss", min_delta=0.001, patience=4)
    return Setup(model, x, y, {"epochs": 60, "batch_size": 16, "callbacks": [stop]})


# slow but sound


@PROGRAMS.healthy
def ok_slow_sgd_steady() -> Setup:
    x, y = _cancer()
    model = _net(x, 16, head="sigmoid")
    model.compile(optimizers.SGD(0.003), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.healthy
def ok_slow_adam_small_batches() -> Setup:
    x, y = datasets.load_wine(return_X_y=True)
    x = _z(x)
    model = _net(x, 64, out=3, head="softmax")
    model.compile(optimizers.Adam(2e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 4})


@PROGRAMS.healthy
def ok_slow_adam_wide_digits() -> Setup:
    x, y = _digits()
    model = _net(x, 256, out=10, head="softmax")
    model.compile(optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32})


# already trained when fit begins


@PROGRAMS.healthy
def ok_converged_regression() -> Setup:
    x, y = _wave(300, 14)
    model = _net(x, 32, 32)
    model.compile(optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=25, batch_size=16, verbose=0)
    model.compile(optimizers.Adam(0.001), "mse")
    return Setup(model, x, y, {"epochs": 10, "batch_size": 16})


@PROGRAMS.healthy
def ok_converged_classifier_loss_near_zero() -> Setup:
    x, y = datasets.load_iris(return_X_y=True)
    x, y = _z(x)[:100], y[:100]
    model = _net(x, 8, head="sigmoid")
    model.compile(optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=20, batch_size=10, verbose=0)
    return Setup(model, x, y, {"epochs": 8, "batch_size": 10})


@PROGRAMS.healthy
def ok_fine_tune_rate_1e_5() -> Setup:
    x, y = _digits()
    model = _net(x, 48, out=10, head="softmax")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:1200], y[:1200], epochs=15, verbose=0)
    model.compile(optimizers.Adam(1e-5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x[1200:], y[1200:], {"epochs": 5, "batch_size": 32})


@PROGRAMS.healthy
def ok_continued_on_new_data_of_same_kind() -> Setup:
    x, y = _saddle(1200, 15)
    model = _net(x, 48, 24)
    model.compile(optimizers.Adam(0.005), "mse")
    model.fit(x[:800], y[:800], epochs=25, batch_size=32, verbose=0)
    return Setup(model, x[800:], y[800:], {"epochs": 10, "batch_size": 32})
