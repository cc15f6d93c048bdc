"""Dense nets that do not learn: the learning rate is too low or too high."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
from keras import layers, optimizers
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_moons,
)
from sklearn.preprocessing import StandardScaler, scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


@PROGRAMS.failing("learning_rate_too_low", source="keras issue: MLP cannot learn XOR with sgd")
def xor_rows_sgd(fixed: bool) -> Setup:
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25, dtype="float32")
    y = np.array([0, 1, 1, 0] * 25)
    model = keras.Sequential()
    model.add(layers.Input(shape=(2,)))
    model.add(layers.Dense(8))
    model.add(layers.Activation("tanh"))
    model.add(layers.Dense(1))
    model.add(layers.Activation("sigmoid"))
    sgd = optimizers.SGD(learning_rate=1.0 if fixed else 0.001)
    model.compile(loss="binary_crossentropy", optimizer=sgd, metrics=["accuracy"])
    return Setup(model, X, y, {"epochs": 15, "batch_size": 4})


@PROGRAMS.failing(
    "learning_rate_too_low", source="forum: iris accuracy stays at a third, Adam 1e-6"
)
def iris_adam_one_millionth(fixed: bool) -> Setup:
    data = load_iris()
    x = StandardScaler().fit_transform(data.data)
    y = keras.utils.to_categorical(data.target, 3)
    model = keras.Sequential(
        [
            layers.Input(shape=(4,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(16, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    opt = optimizers.Adam(learning_rate=5e-3 if fixed else 1e-6)
    model.compile(opt, "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 8, "validation_split": 0.2})


@PROGRAMS.failing("learning_rate_too_low", source="forum: decay_steps taken for epochs")
def wine_exponential_decay_in_steps(fixed: bool) -> Setup:
    x, y = load_wine(return_X_y=True)
    x = scale(x)
    schedule = optimizers.schedules.ExponentialDecay(
        initial_learning_rate=0.004, decay_steps=2000 if fixed else 1, decay_rate=0.5
    )
    inputs = keras.Input((13,))
    h = layers.Dense(32, activation="relu")(inputs)
    outputs = layers.Dense(3, activation="softmax")(h)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=optimizers.SGD(schedule, momentum=0.9), loss="sparse_categorical_crossentropy"
    )
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.failing("learning_rate_too_low", source="forum: LearningRateScheduler divides by ten")
def tumour_scheduler_tenth_each_epoch(fixed: bool) -> Setup:
    x, y = load_breast_cancer(return_X_y=True)
    x = scale(x)
    model = keras.Sequential([layers.Input((30,))])
    for units in (24, 12):
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.SGD(0.01), "binary_crossentropy", metrics=["accuracy"])

    def step_down(epoch: int, lr: float) -> float:
        return lr * (0.98 if fixed else 0.1) if epoch else lr

    calls = [keras.callbacks.LearningRateScheduler(step_down)]
    return Setup(model, x, y, {"epochs": 20, "batch_size": 64, "callbacks": calls})


@PROGRAMS.failing("learning_rate_too_low", source="forum: full batch, a handful of epochs")
def diabetes_full_batch_few_steps(fixed: bool) -> Setup:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    x, y = scale(x), scale(y)
    model = keras.Sequential()
    model.add(layers.Input((10,)))
    model.add(layers.Dense(64, activation="elu"))
    model.add(layers.Dense(1))
    model.compile(optimizer=optimizers.RMSprop(0.01 if fixed else 1e-5), loss="mse")
    return Setup(model, x, y, {"epochs": 12, "batch_size": len(x)})


@PROGRAMS.failing("learning_rate_too_low", source="forum: y = 2x - 1 is not found")
def straight_line_tiny_rate(fixed: bool) -> Setup:
    xs = np.arange(-5.0, 6.0)
    ys = 2 * xs - 1
    model = keras.Sequential([layers.Input((1,)), layers.Dense(units=1)])
    model.compile(optimizer=optimizers.SGD(0.01 if fixed else 1e-6), loss="mean_squared_error")
    return Setup(model, xs.reshape(-1, 1), ys.reshape(-1, 1), {"epochs": 20, "batch_size": 2})


@PROGRAMS.failing("learning_rate_too_low", source="keras examples ported with optimizer='adadelta'")
def digits_adadelta_default(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    x = x.astype("float32") / 16.0
    y = keras.utils.to_categorical(y)
    model = keras.Sequential()
    model.add(layers.Input((64,)))
    model.add(layers.Dense(48, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    optimizer = optimizers.Adadelta(1.0) if fixed else "adadelta"
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 10, "batch_size": 64, "shuffle": True})


@PROGRAMS.failing("learning_rate_too_low", source="forum: sine fit crawls with adagrad")
def sine_adagrad(fixed: bool) -> Setup:
    rng = np.random.default_rng(4)
    x = rng.uniform(-3, 3, (600, 1))
    y = np.sin(x)
    model = keras.Sequential(
        [
            layers.Input((1,)),
            layers.Dense(32, activation="tanh"),
            layers.Dense(32, activation="tanh"),
            layers.Dense(1, activation="linear"),
        ]
    )
    model.compile(optimizers.Adagrad(0.1 if fixed else 1e-5), loss="mse", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("learning_rate_too_low", source="forum: loss goes down by 0.0001 per epoch")
def cubic_loss_that_creeps(fixed: bool) -> Setup:
    rng = np.random.default_rng(12)
    x = rng.normal(size=(400, 2))
    y = scale(x[:, 0] ** 3 - 2 * x[:, 0] * x[:, 1] + 0.1 * rng.normal(size=400))
    inp = layers.Input(shape=(2,))
    z = layers.Dense(40, activation="relu")(inp)
    z = layers.Dense(20, activation="relu")(z)
    model = keras.Model(inp, layers.Dense(1)(z))
    model.compile(loss="mse", optimizer=optimizers.SGD(0.05 if fixed else 5e-5))
    return Setup(model, x, y, {"epochs": 25, "batch_size": 25})


@PROGRAMS.failing("learning_rate_too_low", source="forum: three physiological targets, nadam 1e-5")
def linnerud_nadam(fixed: bool) -> Setup:
    data = load_linnerud()
    x, y = scale(data.data), scale(data.target)
    model = keras.Sequential(name="fitness")
    model.add(layers.Input((3,)))
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(3))
    model.compile(optimizer=optimizers.Nadam(0.01 if fixed else 1e-5), loss="mae")
    return Setup(model, x, y, {"epochs": 40, "batch_size": 5})


@PROGRAMS.failing("learning_rate_too_low", source="forum: CosineDecay(decay_steps=epochs)")
def moons_cosine_over_after_ten_steps(fixed: bool) -> Setup:
    x, y = make_moons(1000, noise=0.1, random_state=0)
    epochs = 10
    steps = epochs * 50 if fixed else epochs
    rate = optimizers.schedules.CosineDecay(0.01, decay_steps=steps)
    model = keras.Sequential([layers.Input((2,)), layers.Dense(24), layers.LeakyReLU()])
    model.add(layers.Dense(24, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.SGD(rate, momentum=0.9), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": epochs, "batch_size": 20})


@PROGRAMS.failing("learning_rate_too_low", source="forum: warm-up longer than the training")
def parabola_endless_warmup(fixed: bool) -> Setup:
    rng = np.random.default_rng(31)
    x = rng.uniform(-1, 1, (512, 1))
    y = 3 * x**2 - 1
    rate = optimizers.schedules.CosineDecay(
        0.0, 100_000, warmup_target=0.01, warmup_steps=20 if fixed else 1_000_000
    )
    model = keras.Sequential([layers.Input((1,))])
    model.add(layers.Dense(30, activation="swish"))
    model.add(layers.Dense(30, activation="swish"))
    model.add(layers.Dense(1))
    model.compile(optimizer=optimizers.Adam(rate), loss="mse")
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32, "validation_split": 0.1})


@PROGRAMS.failing("divergent_learning_rate", "dead_relu", source="AUTOTRAINER style: Adam(lr=20)")
def iris_adam_rate_twenty(fixed: bool) -> Setup:
    x, y = load_iris(return_X_y=True)
    x = scale(x)
    model = keras.Sequential([layers.Input((4,))])
    for _ in range(3):
        model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(3, activation="softmax"))
    opt = optimizers.Adam(0.005 if fixed else 20.0)
    model.compile(opt, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 10})


@PROGRAMS.failing("divergent_learning_rate", "dead_relu", source="forum: SGD(0.5, momentum=0.9)")
def digits_half_with_momentum(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    x, y = scale(x), keras.utils.to_categorical(y, 10)
    model = keras.Sequential()
    model.add(layers.Input((64,)))
    for units in (64, 64, 32):
        model.add(layers.Dense(units))
        model.add(layers.Activation("relu"))
    model.add(layers.Dense(10, activation="softmax"))
    sgd = optimizers.SGD(0.01 if fixed else 0.5, momentum=0.9, nesterov=True)
    model.compile(loss="categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.failing("divergent_learning_rate", source="forum: minus sign left from a reward loss")
def wine_negative_rate(fixed: bool) -> Setup:
    x, y = load_wine(return_X_y=True)
    x, y = scale(x), keras.utils.to_categorical(y)
    model = keras.Sequential([layers.Input((13,)), layers.Dense(10, activation="tanh")])
    model.add(layers.Dense(3, activation="sigmoid"))
    model.compile(optimizers.SGD(0.3 if fixed else -0.3), loss="mse", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.failing("divergent_learning_rate", source="forum: sine fit jumps with Adam 0.5")
def sine_adam_half(fixed: bool) -> Setup:
    x = np.linspace(-np.pi, np.pi, 400).reshape(-1, 1)
    y = np.sin(2 * x)
    inputs = layers.Input((1,))
    hidden = layers.Dense(50, activation="tanh")(inputs)
    hidden = layers.Dense(50, activation="tanh")(hidden)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.005 if fixed else 0.5))
    return Setup(model, x, y, {"epochs": 25, "batch_size": 20})


@PROGRAMS.failing("divergent_learning_rate", source="forum: rmsprop loss up and down by thousands")
def diabetes_rmsprop_jumps(fixed: bool) -> Setup:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    x, y = scale(x), scale(y)
    model = keras.Sequential(
        [layers.Input((10,)), layers.Dense(32, activation="softplus"), layers.Dense(1)]
    )
    model.compile(optimizer=optimizers.RMSprop(1e-3 if fixed else 2.0), loss="mean_squared_error")
    return Setup(model, x, y, {"epochs": 30, "batch_size": 32, "validation_split": 0.15})


@PROGRAMS.failing("divergent_learning_rate", source="forum: softmax regression with lr=50")
def digits_sgd_fifty(fixed: bool) -> Setup:
    data = load_digits()
    model = keras.Sequential([layers.Input((8, 8)), layers.Rescaling(1 / 16), layers.Flatten()])
    model.add(layers.Dense(64, activation="sigmoid"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=optimizers.SGD(0.5 if fixed else 50.0),
        loss=keras.losses.SparseCategoricalCrossentropy(),
    )
    return Setup(model, data.images, data.target, {"epochs": 12, "batch_size": 32})


@PROGRAMS.failing("divergent_learning_rate", source="forum: XOR, bigger rate to be quicker")
def noisy_xor_saturated_by_rate(fixed: bool) -> Setup:
    rng = np.random.default_rng(9)
    corners = rng.integers(0, 2, (500, 2))
    x = corners + 0.1 * rng.normal(size=(500, 2))
    y = corners[:, 0] ^ corners[:, 1]
    model = keras.Sequential()
    model.add(layers.Input((2,)))
    model.add(layers.Dense(6, activation="sigmoid"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.Adam(0.05 if fixed else 30.0), "mse", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 10})


@PROGRAMS.failing("divergent_learning_rate", source="forum: MAE hops between two values")
def plane_mae_hops(fixed: bool) -> Setup:
    rng = np.random.default_rng(77)
    x = rng.normal(size=(300, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 3.0]) + 2
    model = keras.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile(optimizer=optimizers.SGD(0.05 if fixed else 40.0), loss="mae")
    return Setup(model, x, y, {"epochs": 25, "batch_size": 25})


@PROGRAMS.failing("divergent_learning_rate", source="forum: rate finder left switched on")
def tumour_rate_doubles_each_epoch(fixed: bool) -> Setup:
    x, y = load_breast_cancer(return_X_y=True)
    x = scale(x)
    model = keras.Sequential([layers.Input((30,)), layers.Dense(40, activation="relu")])
    model.add(layers.Dense(40, activation="relu"))
    model.add(layers.Dense(2, activation="softmax"))
    model.compile(optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    grow = keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr if fixed else lr * 2)
    return Setup(model, x, y, {"epochs": 16, "batch_size": 8, "callbacks": [grow]})


@PROGRAMS.failing("divergent_learning_rate", source="forum: batch_size=1 and Nadam(1)")
def product_single_rows_nadam(fixed: bool) -> Setup:
    rng = np.random.default_rng(5)
    x = rng.uniform(-1.5, 1.5, (150, 2))
    y = x[:, 0] * x[:, 1]
    model = keras.Sequential()
    model.add(layers.Input((2,)))
    model.add(layers.Dense(20, activation="gelu"))
    model.add(layers.Dense(20, activation="gelu"))
    model.add(layers.Dense(1))
    model.compile(optimizer=optimizers.Nadam(0.003 if fixed else 1.0), loss="huber")
    return Setup(model, x, y, {"epochs": 8, "batch_size": 1})
