"""Healthy programs: classifiers and regressions on tables, short fits, callbacks, weights."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import callbacks, layers, ops, optimizers, regularizers
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_classification,
    make_friedman1,
    make_moons,
)
from sklearn.preprocessing import scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()
SPARSE = "sparse_categorical_crossentropy"
BINARY = "binary_crossentropy"


def _mlp(features: int, *sizes: int, out: int = 1, head: str | None = None) -> keras.Sequential:
    model = keras.Sequential([layers.Input((features,))])
    for units in sizes:
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(out, activation=head))
    return model


def _digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return data.data[:n] / 16, data.target[:n]


@PROGRAMS.healthy
def later_ok_digits_one_epoch() -> Setup:
    x, y = _digits(1797)
    model = _mlp(64, 128, out=10, head="softmax")
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 1, "batch_size": 8})


@PROGRAMS.healthy
def later_ok_digits_five_epochs_large_batch() -> Setup:
    x, y = _digits(1797)
    model = _mlp(64, 128, 64, out=10, head="softmax")
    model.compile(optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 5, "batch_size": 256})


@PROGRAMS.healthy
def later_ok_iris_batch_of_one() -> Setup:
    data = load_iris()
    model = _mlp(4, 10, 10, out=3, head="softmax")
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Setup(model, data.data, data.target, {"epochs": 12, "batch_size": 1})


@PROGRAMS.healthy
def later_ok_xor_rows_one_by_one() -> Setup:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 10, "float32")
    model = keras.Sequential([layers.Input((2,)), layers.Dense(16), layers.Activation("tanh")])
    model.add(layers.Dense(1))
    model.add(layers.Activation("sigmoid"))
    model.compile(optimizers.SGD(0.3), BINARY, metrics=["accuracy"])
    return Setup(model, x, np.array([0, 1, 1, 0] * 10), {"epochs": 40, "batch_size": 1})


@PROGRAMS.healthy
def later_ok_linnerud_three_targets() -> Setup:
    data = load_linnerud()
    model = _mlp(3, 16, out=3)
    model.compile(optimizers.Adam(0.01), "mse")
    return Setup(model, scale(data.data), scale(data.target), {"epochs": 60, "batch_size": 4})


@PROGRAMS.healthy
def later_ok_noise_around_weak_trend() -> Setup:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 3)).astype("float32")
    y = 0.3 * x[:, 0] + rng.normal(size=600)
    model = _mlp(3, 8)
    model.compile("adam", "mse", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32, "validation_split": 0.2})


@PROGRAMS.healthy
def later_ok_coin_flips_with_bias() -> Setup:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(800, 5)).astype("float32")
    y = (rng.random(800) < 1 / (1 + np.exp(-0.6 * x[:, 1]))).astype("int32")
    model = _mlp(5, 12, head="sigmoid")
    model.compile(optimizers.Adam(2e-3), BINARY, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_returns_of_a_share() -> Setup:
    rng = np.random.default_rng(3)
    returns = np.zeros(700)
    for i in range(1, 700):
        returns[i] = 0.25 * returns[i - 1] + rng.normal(0, 1)
    x = np.stack([returns[i : i + 5] for i in range(690)])
    model = _mlp(5, 16)
    model.compile(optimizers.Adam(1e-3), "mae")
    return Setup(model, x, returns[5:695], {"epochs": 10, "batch_size": 16, "shuffle": False})


@PROGRAMS.healthy
def later_ok_rare_class_weighted() -> Setup:
    x, y = make_classification(1000, 12, n_informative=6, weights=[0.95], random_state=0)
    model = _mlp(12, 24, head="sigmoid")
    model.compile("adam", BINARY, metrics=[keras.metrics.AUC(name="auc"), "accuracy"])
    return Setup(model, x, y, {"epochs": 15, "class_weight": {0: 1.0, 1: 15.0}})


@PROGRAMS.healthy
def later_ok_rare_class_unweighted() -> Setup:
    x, y = make_classification(1200, 10, n_informative=5, weights=[0.93], random_state=5)
    model = _mlp(10, 32, 16, head="sigmoid")
    model.compile(optimizers.Adam(3e-3), BINARY, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_small_sample_weights() -> Setup:
    data = load_diabetes()
    weights = np.where(data.target > 200, 0.05, 0.01)
    model = _mlp(10, 32)
    model.compile(optimizers.Adam(5e-3), "mse")
    fit = {"epochs": 25, "batch_size": 32, "sample_weight": weights}
    return Setup(model, data.data * 20, (data.target - 152) / 77, fit)


@PROGRAMS.healthy
def later_ok_slow_rate_many_epochs() -> Setup:
    data = load_wine()
    model = _mlp(13, 64, out=3, head="softmax")
    model.compile(optimizers.Adam(2e-4), SPARSE, metrics=["accuracy"])
    return Setup(model, scale(data.data), data.target, {"epochs": 50, "batch_size": 8})


@PROGRAMS.healthy
def later_ok_warm_up_then_cosine() -> Setup:
    x, y = _digits(900)
    schedule = optimizers.schedules.CosineDecay(
        1e-6, 300, warmup_target=5e-3, warmup_steps=60, alpha=0.01
    )
    model = _mlp(64, 64, out=10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.AdamW(schedule), loss, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_plateau_and_early_stop() -> Setup:
    data = load_breast_cancer()
    calls = [
        callbacks.ReduceLROnPlateau(patience=2, factor=0.5, min_lr=1e-5),
        callbacks.EarlyStopping(patience=6, restore_best_weights=True),
    ]
    model = _mlp(30, 16, head="sigmoid")
    model.compile(optimizers.Adam(0.01), BINARY, metrics=["accuracy"])
    fit = {"epochs": 30, "batch_size": 32, "validation_split": 0.25, "callbacks": calls}
    return Setup(model, scale(data.data), data.target, fit)


@PROGRAMS.healthy
def later_ok_steps_down_each_five_epochs() -> Setup:
    x, y = make_moons(400, noise=0.2, random_state=2)
    drop = callbacks.LearningRateScheduler(lambda epoch, lr: 0.3 * 0.5 ** (epoch // 5))
    model = keras.Sequential([layers.Input((2,)), layers.Dense(20, activation="tanh")])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.SGD(0.3, momentum=0.9), BINARY, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 16, "callbacks": [drop]})


@PROGRAMS.healthy
def later_ok_raw_breast_cancer_table() -> Setup:
    data = load_breast_cancer()
    model = _mlp(30, 32, head="sigmoid")
    model.compile("adam", BINARY, metrics=["accuracy"])
    return Setup(model, data.data, data.target, {"epochs": 30, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_raw_digits_zero_to_sixteen() -> Setup:
    data = load_digits()
    model = _mlp(64, 64, 32, out=10, head="softmax")
    model.compile("rmsprop", SPARSE, metrics=["accuracy"])
    return Setup(model, data.data, data.target, {"epochs": 6, "batch_size": 64})


@PROGRAMS.healthy
def later_ok_raw_diabetes_targets() -> Setup:
    data = load_diabetes()
    model = _mlp(10, 64, 64)
    model.compile(optimizers.Adam(0.01), "mse", metrics=["mae"])
    return Setup(model, data.data * 20, data.target, {"epochs": 25, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_normalization_layer_in_front() -> Setup:
    rng = np.random.default_rng(4)
    x = np.column_stack([rng.uniform(0, 1e6, 500), rng.uniform(0, 1e-3, 500)])
    y = x[:, 0] / 1e6 - 1e3 * x[:, 1]
    norm = layers.Normalization()
    norm.adapt(x)
    model = keras.Sequential([layers.Input((2,)), norm, layers.Dense(16, activation="relu")])
    model.add(layers.Dense(1))
    model.compile(optimizers.Adam(5e-3), "mse")
    return Setup(model, x, y, {"epochs": 12, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_dropout_half_and_l2() -> Setup:
    x, y = _digits(1000)
    model = keras.Sequential([layers.Input((64,))])
    for _ in range(2):
        model.add(layers.Dense(128, "relu", kernel_regularizer=regularizers.L2(1e-3)))
        model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 32, "validation_split": 0.1})


@PROGRAMS.healthy
def later_ok_poisson_counts() -> Setup:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(600, 4)).astype("float32")
    y = rng.poisson(np.exp(1 + 0.7 * x[:, 0] - 0.4 * x[:, 1]))
    model = _mlp(4, 24, head="exponential")
    model.compile(optimizers.Adam(3e-3), "poisson")
    return Setup(model, x, y.astype("float32"), {"epochs": 20, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_quantile_ninety() -> Setup:
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, (600, 1)).astype("float32")
    y = 2 * x + rng.normal(size=(600, 1)) * (0.2 + np.abs(x))

    def pinball(y_true, y_pred):
        error = y_true - y_pred
        return ops.mean(ops.maximum(0.9 * error, -0.1 * error), axis=-1)

    model = _mlp(1, 32)
    model.compile(optimizers.Adam(5e-3), pinball)
    return Setup(model, x, y.astype("float32"), {"epochs": 25, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_loss_with_large_constant() -> Setup:
    x, y = make_friedman1(400, noise=0.1, random_state=0)
    y = ((y - y.mean()) / y.std()).astype("float32")

    def shifted(y_true, y_pred):
        return 1000.0 + ops.mean(ops.square(y_true - y_pred), axis=-1)

    model = _mlp(10, 48, 24)
    model.compile(optimizers.Adam(5e-3), shifted, metrics=["mse"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_cosine_similarity_negative() -> Setup:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(500, 6)).astype("float32")
    y = np.tanh(x @ rng.normal(size=(6, 4))).astype("float32")
    model = _mlp(6, 48, out=4)
    model.compile(optimizers.Adam(3e-3), keras.losses.CosineSimilarity())
    return Setup(model, x, y, {"epochs": 15, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_gaussian_likelihood_below_zero() -> Setup:
    rng = np.random.default_rng(8)
    x = rng.uniform(-2, 2, (600, 1)).astype("float32")
    y = (np.sin(2 * x) + 0.05 * rng.normal(size=x.shape)).astype("float32")

    def likelihood(y_true, y_pred):
        mean, log_sigma = y_pred[:, :1], ops.clip(y_pred[:, 1:], -5, 3)
        return ops.mean(log_sigma + 0.5 * ops.square((y_true - mean) / ops.exp(log_sigma)))

    model = _mlp(1, 48, 48, out=2)
    model.compile(optimizers.Adam(5e-3), likelihood)
    return Setup(model, x, y, {"epochs": 30, "batch_size": 32})


@PROGRAMS.healthy
def later_ok_hinge_and_signs() -> Setup:
    x, y = make_moons(400, noise=0.15, random_state=4)
    model = _mlp(2, 32, 16, head="tanh")
    model.compile(optimizers.Adam(5e-3), "hinge")
    return Setup(model, x, 2.0 * y - 1, {"epochs": 20, "batch_size": 20})


@PROGRAMS.healthy
def later_ok_multi_label_tags() -> Setup:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(500, 10)).astype("float32")
    y = (x @ rng.normal(size=(10, 6)) > 2).astype("float32")
    model = _mlp(10, 48, out=6, head="sigmoid")
    model.compile("adam", BINARY, metrics=["binary_accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_huber_with_outliers() -> Setup:
    rng = np.random.default_rng(10)
    x = rng.uniform(-1, 1, (400, 2)).astype("float32")
    y = 3 * x[:, 0] - x[:, 1] ** 2
    y[::25] += 40
    dataset = tf.data.Dataset.from_tensor_slices((x, y[:, None])).shuffle(400, seed=1)
    model = _mlp(2, 32)
    model.compile(optimizers.Adam(5e-3), keras.losses.Huber())
    return Setup(model, dataset.batch(16), None, {"epochs": 20})


@PROGRAMS.healthy
def later_ok_label_smoothing() -> Setup:
    data = load_wine()
    y = keras.utils.to_categorical(data.target)
    model = _mlp(13, 32, out=3, head="softmax")
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
    model.compile(optimizers.Nadam(3e-3), loss, metrics=["accuracy"])
    return Setup(model, scale(data.data), y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_wrong_labels_in_a_fifth() -> Setup:
    x, y = _digits(900)
    rng = np.random.default_rng(11)
    y = np.where(rng.random(900) < 0.2, rng.integers(0, 10, 900), y)
    model = _mlp(64, 64, out=10, head="softmax")
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 8, "batch_size": 32, "validation_split": 0.2})


@PROGRAMS.healthy
def later_ok_selu_stack_ten_layers() -> Setup:
    data = load_wine()
    model = keras.Sequential([layers.Input((13,))])
    for _ in range(10):
        model.add(layers.Dense(24, activation="selu", kernel_initializer="lecun_normal"))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(optimizers.Adam(1e-3), SPARSE, metrics=["accuracy"])
    return Setup(model, scale(data.data), data.target, {"epochs": 15, "batch_size": 16})


@PROGRAMS.healthy
def later_ok_linear_model_on_linear_data() -> Setup:
    rng = np.random.default_rng(12)
    x = rng.normal(size=(300, 6)).astype("float32")
    y = x @ np.arange(6) + 50
    model = keras.Sequential([layers.Input((6,)), layers.Dense(8), layers.Dense(1)])
    model.compile(optimizers.Adam(0.05), "mae")
    return Setup(model, x, y, {"epochs": 25, "batch_size": 10})


@PROGRAMS.healthy
def later_ok_full_batch_of_all_rows() -> Setup:
    x, y = _digits(512)
    model = _mlp(64, 96, out=10, head="softmax")
    model.compile(optimizers.Lion(2e-3), SPARSE, metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 40, "batch_size": 512})


@PROGRAMS.healthy
def later_ok_targets_around_ten_million() -> Setup:
    rng = np.random.default_rng(13)
    x = rng.normal(size=(300, 3)).astype("float32")
    y = (1e7 * np.exp(0.5 * x[:, 0] + 0.2 * x[:, 1])).astype("float32")
    model = _mlp(3, 24)
    model.layers[-1].bias.assign([16.0])

    def log_square(y_true, y_pred):
        return ops.mean(ops.square(ops.log(y_true) - y_pred), axis=-1)

    model.compile(optimizers.Adam(5e-3), log_square)
    return Setup(model, x, y, {"epochs": 15, "batch_size": 16})
