"""Dense nets that do not learn: head, labels and loss disagree, relu units never fire."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
from keras import initializers, layers, losses, optimizers
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_blobs,
    make_moons,
)
from sklearn.preprocessing import MinMaxScaler, scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


@PROGRAMS.failing("label_mismatch", source="forum: binary_crossentropy on Dense(1) without sigmoid")
def tumour_linear_head_bce(fixed: bool) -> Setup:
    x, y = load_breast_cancer(return_X_y=True)
    model = keras.Sequential([layers.Input((30,)), layers.Dense(16, activation="relu")])
    model.add(layers.Dense(1))
    loss = losses.BinaryCrossentropy(from_logits=fixed)
    model.compile(optimizer=optimizers.SGD(0.4), loss=loss, metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.failing(
    "label_mismatch", source="forum: forgot the softmax before categorical_crossentropy"
)
def digits_no_softmax(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    x, y = x / 16.0, keras.utils.to_categorical(y, 10)
    model = keras.Sequential()
    model.add(layers.Input((64,)))
    model.add(layers.Dense(64))
    model.add(layers.Activation("relu"))
    model.add(layers.Dense(10))
    if fixed:
        model.add(layers.Activation("softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 16})


@PROGRAMS.failing("label_mismatch", source="forum: from_logits left at False, sparse labels")
def iris_logits_taken_for_probabilities(fixed: bool) -> Setup:
    x, y = load_iris(return_X_y=True)
    inputs = keras.Input((4,))
    h = layers.Dense(10, activation="tanh")(inputs)
    logits = layers.Dense(3, name="logits")(h)
    model = keras.Model(inputs, logits)
    model.compile(
        optimizers.SGD(0.2),
        losses.SparseCategoricalCrossentropy(from_logits=fixed),
        metrics=["accuracy"],
    )
    return Setup(model, scale(x), y, {"epochs": 15, "batch_size": 4})


@PROGRAMS.failing("label_mismatch", source="UMLAUT: relu on the last layer of a regression")
def relu_head_on_negative_returns(fixed: bool) -> Setup:
    rng = np.random.default_rng(21)
    x = rng.normal(size=(400, 3))
    y = -1.5 - np.abs(x[:, 0]) - 0.5 * np.tanh(x[:, 1])
    model = keras.Sequential([layers.Input((3,)), layers.Dense(32, activation="relu")])
    model.add(layers.Dense(1, activation="linear" if fixed else "relu"))
    model.compile(optimizer=optimizers.Adam(0.01), loss="mse")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32, "validation_split": 0.25})


@PROGRAMS.failing(
    "label_mismatch", "dead_relu", source="forum: more or less than a threshold, relu"
)
def threshold_relu_as_probability(fixed: bool) -> Setup:
    rng = np.random.default_rng(22)
    x = rng.uniform(-1, 1, (600, 1))
    y = (x[:, 0] > 0.1).astype("float32")
    model = keras.Sequential([layers.Input((1,))])
    model.add(layers.Dense(8, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid" if fixed else "relu"))
    model.compile(loss="binary_crossentropy", optimizer=optimizers.SGD(0.2), metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 10})


@PROGRAMS.failing("label_mismatch", source="NeuraLint: tanh head with binary_crossentropy")
def moons_tanh_head_bce(fixed: bool) -> Setup:
    x, y = make_moons((400, 100), noise=0.1, random_state=7)
    model = keras.Sequential([layers.Input((2,))])
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dense(1))
    model.add(layers.Activation("sigmoid" if fixed else "tanh"))
    model.compile(
        optimizers.SGD(0.1, momentum=0.9), loss="binary_crossentropy", metrics=["accuracy"]
    )
    return Setup(model, x, y, {"epochs": 12, "batch_size": 10})


@PROGRAMS.failing("label_mismatch", source="forum: three classes and one sigmoid unit")
def wine_one_sigmoid_three_classes(fixed: bool) -> Setup:
    x, y = load_wine(return_X_y=True)
    model = keras.Sequential([layers.Input((13,)), layers.Dense(20, activation="relu")])
    if fixed:
        model.add(layers.Dense(3, activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        model.add(layers.Dense(1, activation="sigmoid"))
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 25, "batch_size": 8})


@PROGRAMS.failing("label_mismatch", source="Stack Overflow 47241622: Dense(1, softmax)")
def tumour_softmax_over_one_unit(fixed: bool) -> Setup:
    x, y = load_breast_cancer(return_X_y=True)
    model = keras.Sequential()
    model.add(layers.Input((30,)))
    model.add(layers.Dense(20, activation="relu"))
    model.add(layers.Dropout(0.1))
    model.add(layers.Dense(1, activation="sigmoid" if fixed else "softmax"))
    model.compile(optimizer="adam", loss="mse", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 15, "batch_size": 16, "validation_split": 0.2})


@PROGRAMS.failing("label_mismatch", source="forum: tags per row, softmax and mse")
def tags_softmax_mse(fixed: bool) -> Setup:
    rng = np.random.default_rng(25)
    x = rng.normal(size=(700, 6))
    tags = (x[:, :5] + 0.3 * x[:, 1:6] > -0.4).astype("float32")
    inp = layers.Input((6,))
    h = layers.Dense(32, activation="relu")(inp)
    out = layers.Dense(5, activation="sigmoid" if fixed else "softmax")(h)
    model = keras.Model(inp, out)
    model.compile(optimizer=optimizers.Adam(0.01), loss="mean_squared_error")
    return Setup(model, x, tags, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("label_mismatch", source="keras issue: how to train a multi-label classifier")
def genres_multi_hot_under_softmax(fixed: bool) -> Setup:
    rng = np.random.default_rng(26)
    x = rng.normal(size=(600, 8))
    genres = (x @ rng.normal(size=(8, 6)) > 0).astype("float32")
    model = keras.Sequential([layers.Input((8,)), layers.Dense(48, activation="relu")])
    model.add(layers.Dense(6, activation="sigmoid" if fixed else "softmax"))
    loss = "binary_crossentropy" if fixed else "categorical_crossentropy"
    model.compile(loss=loss, optimizer=optimizers.Adam(0.005), metrics=["accuracy"])
    return Setup(model, x, genres, {"epochs": 20, "batch_size": 20})


@PROGRAMS.failing("label_mismatch", source="forum: classes numbered 1 and 2, sigmoid")
def groups_one_and_two(fixed: bool) -> Setup:
    x, y = make_blobs(400, centers=2, n_features=3, cluster_std=1.5, random_state=3)
    y = y if fixed else y + 1
    model = keras.Sequential([layers.Input((3,)), layers.Dense(12, activation="relu")])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("label_mismatch", source="forum: perceptron labels -1 and 1 kept for a sigmoid")
def xor_labels_minus_one(fixed: bool) -> Setup:
    rng = np.random.default_rng(28)
    x = rng.uniform(-1, 1, (500, 2))
    y = np.sign(x[:, 0] * x[:, 1])
    if fixed:
        y = (y + 1) / 2
    model = keras.Sequential([layers.Input((2,)), layers.Dense(24, activation="tanh")])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.03))
    return Setup(model, x, y, {"epochs": 25, "batch_size": 20})


@PROGRAMS.failing("label_mismatch", source="forum: softmax in the model and from_logits=True")
def digits_softmax_twice(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    model = keras.Sequential([layers.Input((64,)), layers.Dense(64, activation="relu")])
    model.add(layers.Dense(10, activation=None if fixed else "softmax"))
    model.add(layers.Softmax())
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizers.SGD(0.05), loss=loss, metrics=["accuracy"])
    return Setup(model, x / 16.0, y, {"epochs": 10, "batch_size": 64})


@PROGRAMS.failing("label_mismatch", source="forum: sigmoid head, ages as target")
def ages_under_sigmoid(fixed: bool) -> Setup:
    rng = np.random.default_rng(30)
    x = rng.uniform(-1, 1, (500, 4))
    age = 8 + 5 * x[:, 0] - 2 * x[:, 1] * x[:, 2]
    model = keras.Sequential([layers.Input((4,)), layers.Dense(32, activation="relu")])
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(1, activation="linear" if fixed else "sigmoid"))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.01), metrics=["mae"])
    return Setup(model, x, age, {"epochs": 20, "batch_size": 25})


@PROGRAMS.failing("label_mismatch", source="forum: tanh on the output of a regression")
def polynomial_beyond_tanh(fixed: bool) -> Setup:
    x = np.linspace(-1, 1, 300)[:, None]
    y = 6 + 4 * x**2 - 3 * x
    inp = layers.Input((1,))
    h = layers.Dense(32, activation="relu")(inp)
    h = layers.Dense(32, activation="relu")(h)
    model = keras.Model(inp, layers.Dense(1, activation=None if fixed else "tanh")(h))
    model.compile(optimizer=optimizers.RMSprop(0.005), loss="mae")
    return Setup(model, x, y, {"epochs": 30, "batch_size": 15})


@PROGRAMS.failing("label_mismatch", source="forum: loss 1e-7 from the start, accuracy still")
def spam_categorical_loss_single_unit(fixed: bool) -> Setup:
    rng = np.random.default_rng(32)
    x = rng.poisson(2.0, (500, 12)).astype("float32") / 2 - 1
    y = (x[:, 0] + x[:, 3] - x[:, 5] > 0).astype(int).reshape(-1, 1)
    model = keras.Sequential([layers.Input((12,)), layers.Dense(16, activation="relu")])
    model.add(layers.Dense(1, activation="sigmoid"))
    loss = "binary_crossentropy" if fixed else "categorical_crossentropy"
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 10})


@PROGRAMS.failing("label_mismatch", source="forum: binary_crossentropy for a regression")
def standardized_target_under_bce(fixed: bool) -> Setup:
    rng = np.random.default_rng(33)
    x = rng.normal(size=(500, 5))
    y = scale(2 * x[:, 0] - x[:, 1] + np.maximum(x[:, 2], 0))
    model = keras.Sequential([layers.Input((5,)), layers.Dense(24, activation="relu")])
    model.add(layers.Dense(1, activation=None if fixed else "sigmoid"))
    model.compile(optimizer="adam", loss="mse" if fixed else "binary_crossentropy")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 10})


@PROGRAMS.failing("label_mismatch", source="forum: softmax on three regression outputs")
def linnerud_softmax_regression(fixed: bool) -> Setup:
    d = load_linnerud()
    x, y = scale(d.data), scale(d.target)
    model = keras.Sequential([layers.Input((3,)), layers.Dense(64, activation="tanh")])
    model.add(layers.Dense(64, activation="tanh"))
    model.add(layers.Dense(3))
    if not fixed:
        model.add(layers.Softmax())
    model.compile(optimizer=optimizers.Adam(0.01), loss="mse")
    return Setup(model, x, y, {"epochs": 60, "batch_size": 4})


@PROGRAMS.failing("dead_relu", source="Lu et al. 2019: narrow deep relu nets are born dead")
def absolute_value_born_dead(fixed: bool) -> Setup:
    x = np.linspace(-1.7, 1.7, 300)[:, None]
    rng = np.random.default_rng(8)
    model = keras.Sequential([layers.Input((1,))])
    for fan_in in (1,) + 9 * (3,):
        dense = layers.Dense(3)
        model.add(dense)
        he_uniform = rng.uniform(-1, 1, (fan_in, 3)) * np.sqrt(6 / fan_in)
        dense.set_weights([he_uniform, np.zeros(3)])
        model.add(layers.LeakyReLU(0.3) if fixed else layers.ReLU())
    model.add(layers.Dense(1))
    model.compile(optimizer=optimizers.Adam(0.01), loss="mse")
    return Setup(model, x, np.abs(x), {"epochs": 20, "batch_size": 15})


@PROGRAMS.failing(
    "dead_relu", "bad_initialization", source="forum: monotone net of log-probabilities"
)
def log_probabilities_monotone_net(fixed: bool) -> Setup:
    rng = np.random.default_rng(35)
    logp = np.log(rng.uniform(0.05, 1.0, (500, 4)))
    y = scale(np.exp(logp[:, 0]) + np.exp(logp[:, 1]) * 0.5)
    model = keras.Sequential([layers.Input((4,))])
    for _ in range(2):
        kernel = initializers.RandomUniform(0.0, 0.3)
        layer = layers.Dense(20, kernel_initializer=kernel, kernel_constraint="non_neg")
        model.add(layer)
        model.add(layers.Activation("elu" if fixed else "relu"))
    model.add(layers.Dense(1))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.01))
    return Setup(model, logp, y, {"epochs": 25, "batch_size": 20})


@PROGRAMS.failing("dead_relu", source="forum: ReLU(threshold=...) copied from a spike detector")
def wine_relu_threshold_above_data(fixed: bool) -> Setup:
    x, y = load_wine(return_X_y=True)
    x = MinMaxScaler().fit_transform(x)
    model = keras.Sequential([layers.Input((13,)), layers.Dense(32)])
    model.add(layers.ReLU(threshold=0.0 if fixed else 10.0))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 8})


@PROGRAMS.failing(
    "dead_relu", "bad_initialization", source="forum: beta of BatchNormalization at -8"
)
def moons_batchnorm_shifts_below_zero(fixed: bool) -> Setup:
    x, y = make_moons(600, noise=0.1, random_state=2)
    beta = initializers.Constant(0.0 if fixed else -8.0)
    inp = layers.Input((2,))
    h = layers.Dense(32, use_bias=False)(inp)
    h = layers.BatchNormalization(beta_initializer=beta)(h)
    h = layers.Activation("relu")(h)
    h = layers.Dense(16, activation="tanh")(h)
    model = keras.Model(inp, layers.Dense(1, activation="sigmoid")(h))
    model.compile(optimizers.SGD(0.1), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 20})


@PROGRAMS.failing("dead_relu", source="forum: relu after log_softmax, everything is zero")
def iris_relu_after_log_softmax(fixed: bool) -> Setup:
    x, y = load_iris(return_X_y=True)
    model = keras.Sequential([layers.Input((4,)), layers.Dense(12)])
    model.add(layers.Activation("log_softmax"))
    model.add(layers.Dense(12) if fixed else layers.Activation("relu"))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(optimizers.Nadam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 20, "batch_size": 10})
