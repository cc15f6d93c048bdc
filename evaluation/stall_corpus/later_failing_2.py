"""Programs of losses, labels and data that do not learn."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops, optimizers
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_circles,
    make_regression,
)
from sklearn.preprocessing import scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


def _mlp(features: int, *sizes: int, out: int = 1, head: str | None = None) -> keras.Model:
    model = keras.Sequential([layers.Input((features,))])
    for units in sizes:
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(out, activation=head))
    return model


@PROGRAMS.failing("unsafe_loss", source="issue: custom rmse loss return nan")
def later_rmse_root_of_zero(fixed: bool) -> Setup:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 5)).astype("float32")
    y = np.maximum(x[:, :1] + x[:, 1:2] - 1, 0)  # many rows without rain
    epsilon = 1e-6 if fixed else 0.0

    def rmse(y_true, y_pred):
        return ops.sqrt(ops.mean(ops.square(y_pred - y_true), axis=-1) + epsilon)

    model = _mlp(5, 32, 16, head="relu")
    model.layers[-1].bias.assign([0.3])
    model.compile(optimizers.Adam(0.005), rmse)
    return Setup(model, x, y, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing("unsafe_loss", source="stack overflow: percentage error as a loss is inf")
def later_percentage_of_zero_sales(fixed: bool) -> Setup:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 4)).astype("float32")
    sales = rng.poisson(np.exp(0.8 * x[:, 0] + 0.5)).astype("float32")

    def mape(y_true, y_pred):
        base = ops.maximum(ops.abs(y_true), 1.0) if fixed else ops.abs(y_true)
        return 100 * ops.mean(ops.abs(y_true - y_pred) / base)

    model = _mlp(4, 32, 16)
    model.compile(loss=mape, optimizer=optimizers.Adam(5e-3), metrics=["mae"])
    return Setup(model, x, sales, {"epochs": 15, "batch_size": 20})


@PROGRAMS.failing("unsafe_loss", source="forum: own Kullback-Leibler loss on one-hot labels")
def later_own_divergence(fixed: bool) -> Setup:
    data = load_iris()
    y = keras.utils.to_categorical(data.target, 3)

    def divergence(y_true, y_pred):
        if fixed:
            y_true = ops.clip(y_true, 1e-7, 1)
            y_pred = ops.clip(y_pred, 1e-7, 1)
        return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)

    model = _mlp(4, 16, out=3, head="softmax")
    model.compile(loss=divergence, optimizer=optimizers.Adam(0.01), metrics=["accuracy"])
    return Setup(model, scale(data.data), y, {"epochs": 20, "batch_size": 15})


@PROGRAMS.failing("unsafe_loss", source="stack overflow: custom loss predicts the mean (n, n)")
def later_loss_broadcasts(fixed: bool) -> Setup:
    x, y = make_regression(400, 8, noise=2.0, random_state=0)
    y = (y / y.std()).astype("float32")[:, None]

    def weighted_square(y_true, y_pred):
        value = y_pred[:, 0]
        target = y_true[:, 0] if fixed else y_true
        return ops.mean(ops.square(target - value) * (1 + ops.abs(target)))

    model = _mlp(8, 32)
    model.compile(optimizers.Adam(0.005), weighted_square)
    return Setup(model, x, y, {"epochs": 25, "batch_size": 32})


@PROGRAMS.failing("unsafe_loss", source="forum: Gaussian likelihood, sigma from a linear unit")
def later_likelihood_log_of_negative(fixed: bool) -> Setup:
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, (500, 1)).astype("float32")
    y = x**2 + 0.1 * rng.normal(size=(500, 1)).astype("float32")

    def likelihood(y_true, y_pred):
        mean, sigma = y_pred[:, :1], y_pred[:, 1:]
        if fixed:
            sigma = ops.softplus(sigma) + 1e-2
        return ops.mean(ops.log(sigma) + ops.square(y_true - mean) / (2 * ops.square(sigma)))

    model = keras.Sequential([layers.Input((1,)), layers.Dense(32, activation="tanh")])
    model.add(layers.Dense(32, activation="tanh"))
    model.add(layers.Dense(2))
    model.compile(optimizer=optimizers.Adam(5e-3), loss=likelihood)
    return Setup(model, x, y, {"epochs": 25, "batch_size": 25})


@PROGRAMS.failing("unsafe_loss", source="github: siamese net, contrastive loss turns nan")
def later_contrastive_distance(fixed: bool) -> Setup:
    data = load_digits()
    rng = np.random.default_rng(4)
    a = rng.integers(0, 800, 1000)
    b = np.where(rng.random(1000) < 0.1, a, rng.integers(0, 800, 1000))  # some with themselves
    same = (data.target[a] == data.target[b]).astype("float32")
    left, right = keras.Input((64,)), keras.Input((64,))
    embed = _mlp(64, 48, out=8)
    square = layers.Subtract()([embed(left), embed(right)])
    floor = 1e-6 if fixed else 0.0
    distance = layers.Lambda(
        lambda d: ops.sqrt(ops.sum(d * d, axis=1, keepdims=True) + floor), output_shape=(1,)
    )(square)

    def contrastive(y_true, d):
        far = ops.square(ops.maximum(1.0 - d, 0))
        return ops.mean(y_true * d + (1 - y_true) * far)

    model = keras.Model([left, right], distance)
    model.compile(optimizer=optimizers.Adam(2e-3), loss=contrastive)
    x = data.data / 16
    return Setup(model, [x[a], x[b]], same, {"epochs": 15, "batch_size": 32})


@PROGRAMS.failing("unsafe_metric", source="forum: stops early, my R2 metric is nan")
def later_r2_per_batch_of_one(fixed: bool) -> Setup:
    data = load_diabetes()
    y = ((data.target - 152) / 77).astype("float32")[:, None]

    def r2(y_true, y_pred):
        rest = ops.sum(ops.square(y_true - y_pred))
        total = ops.sum(ops.square(y_true - ops.mean(y_true)))
        return 1 - rest / (ops.maximum(total, 1.0) if fixed else total)

    model = _mlp(10, 16)
    model.compile(optimizer=optimizers.SGD(2e-4), loss="mse", metrics=[r2])
    stop = keras.callbacks.EarlyStopping(monitor="r2", mode="max", patience=2)
    fit = {"epochs": 50, "batch_size": 1, "callbacks": [stop]}
    return Setup(model, data.data[:100] * 20, y[:100], fit)


@PROGRAMS.failing("non_finite_data", source="kaggle: a column of the table has missing values")
def later_missing_values(fixed: bool) -> Setup:
    data = load_breast_cancer()
    x = scale(data.data)
    x[np.random.default_rng(5).random(x.shape) < 0.01] = np.nan
    if fixed:
        x = np.nan_to_num(x)
    model = keras.Sequential([layers.Input((30,)), layers.Dense(24), layers.ReLU()])
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return Setup(model, x, data.target, {"epochs": 12, "validation_split": 0.2})


@PROGRAMS.failing("non_finite_data", source="forum: log of a price of 0 as a feature")
def later_log_of_zero(fixed: bool) -> Setup:
    rng = np.random.default_rng(6)
    price = np.where(rng.random(600) < 0.02, 0, rng.lognormal(1, 1, 600))
    with np.errstate(divide="ignore"):
        feature = np.log1p(price) if fixed else np.log(price)
    x = np.column_stack([feature, rng.normal(size=600)]).astype("float32")
    y = (price * np.exp(0.5 * x[:, 1]) > 3).astype("int32")
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(30)
    model = _mlp(2, 16, 16, out=2, head="softmax")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, dataset, None, {"epochs": 25})


@PROGRAMS.failing("non_finite_data", source="stack overflow: nan in the targets of two outputs")
def later_missing_second_target(fixed: bool) -> Setup:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(300, 6)).astype("float32")
    first, second = x[:, :1] * x[:, 1:2], np.tanh(x[:, 2:3] + x[:, 3:4])
    second[::37] = np.nan
    if fixed:
        keep = ~np.isnan(second[:, 0])
        x, first, second = x[keep], first[keep], second[keep]
    inputs = keras.Input((6,))
    h = layers.Dense(48, activation="relu")(inputs)
    outputs = [layers.Dense(1, name="first")(h), layers.Dense(1, name="second")(h)]
    model = keras.Model(inputs, outputs)
    model.compile(optimizers.Adam(0.01), loss=["mse", "mse"], loss_weights=[1.0, 0.5])
    return Setup(model, x, [first, second], {"epochs": 25, "batch_size": 20})


@PROGRAMS.failing("non_finite_data", source="issue: sample weights of one over the count")
def later_weights_of_empty_bins(fixed: bool) -> Setup:
    data = load_diabetes()
    y = (data.target - 152) / 77
    bins = np.digitize(data.target, np.arange(0, 360, 10))
    counts = np.bincount(bins, minlength=40) - 1.0  # without the row itself
    counts = np.maximum(counts, 1) if fixed else counts
    with np.errstate(divide="ignore"):
        weights = 10 / counts[bins]
    model = _mlp(10, 32)
    model.compile(loss="mse", optimizer=optimizers.Adam(0.005))
    fit = {"epochs": 25, "batch_size": 17, "sample_weight": weights}
    return Setup(model, data.data * 20, y, fit)


@PROGRAMS.failing("non_finite_data", source="forum: each sequence divided by its own deviation")
def later_constant_sequences(fixed: bool) -> Setup:
    rng = np.random.default_rng(8)
    x = np.cumsum(rng.normal(size=(320, 15, 1)), axis=1)
    y = (x[:, -1, 0] > x.mean((1, 2))).astype("float32")
    x[::40] = 5.0  # sensor stuck
    with np.errstate(invalid="ignore"):
        x = (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + (1e-6 if fixed else 0))

    def batches():
        while True:
            for i in range(0, 320, 32):
                yield x[i : i + 32], y[i : i + 32]

    model = keras.Sequential([layers.Input((15, 1)), layers.GRU(12)])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, batches(), None, {"epochs": 12, "steps_per_epoch": 10})


@PROGRAMS.failing("label_mismatch", source="stack overflow: softmax on one unit, accuracy 0.5")
def later_softmax_of_one(fixed: bool) -> Setup:
    x, y = make_circles(400, noise=0.05, factor=0.4, random_state=1)
    model = _mlp(2, 32, 32, head="sigmoid" if fixed else "softmax")
    model.compile(optimizers.Adam(0.005), "mean_squared_error", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("label_mismatch", source="forum: digits with mse on integer labels")
def later_digits_mse_of_class_numbers(fixed: bool) -> Setup:
    data = load_digits()
    model = _mlp(64, 64, out=10, head="softmax")
    loss = "sparse_categorical_crossentropy" if fixed else "mean_squared_error"
    model.compile("adam", loss, metrics=["accuracy"])
    y = data.target[:900, None]
    return Setup(model, data.data[:900] / 16, y, {"epochs": 12, "batch_size": 32})


@PROGRAMS.failing("label_mismatch", source="stack overflow: classes 1 and 2, loss is negative")
def later_classes_one_and_two(fixed: bool) -> Setup:
    data = load_breast_cancer()
    y = data.target + (0 if fixed else 1)
    model = keras.Sequential([layers.Input((30,))])
    model.add(layers.Dense(16, kernel_initializer="uniform", activation="relu"))
    model.add(layers.Dense(8, kernel_initializer="uniform", activation="relu"))
    model.add(layers.Dense(1, kernel_initializer="uniform", activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return Setup(model, scale(data.data), y, {"epochs": 20, "batch_size": 10})


@PROGRAMS.failing(
    "label_mismatch", "unscaled_data", source="forum: regression head with a sigmoid stays at 29000"
)
def later_sigmoid_regression(fixed: bool) -> Setup:
    data = load_diabetes()
    model = keras.Sequential([layers.Input((10,)), layers.Dense(64, activation="relu")])
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(1, activation=None if fixed else "sigmoid"))
    model.compile(optimizer=optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return Setup(model, data.data * 20, data.target, {"epochs": 40, "batch_size": 16})


@PROGRAMS.failing("label_mismatch", source="stack overflow: no softmax, loss is stuck at 8")
def later_forgotten_softmax(fixed: bool) -> Setup:
    data = load_wine()
    y = keras.utils.to_categorical(data.target)
    model = _mlp(13, 32, 16, out=3, head="softmax" if fixed else None)
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return Setup(model, scale(data.data), y, {"epochs": 30, "batch_size": 20})


@PROGRAMS.failing("label_mismatch", source="stack overflow: ten digits, one sigmoid unit")
def later_ten_digits_one_unit(fixed: bool) -> Setup:
    data = load_digits()
    model = keras.Sequential()
    model.add(layers.Input((8, 8, 1)))
    model.add(layers.Conv2D(16, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Flatten())
    if fixed:
        model.add(layers.Dense(10, activation="softmax"))
    else:
        model.add(layers.Dense(1, activation="sigmoid"))
    loss = "sparse_categorical_crossentropy" if fixed else "binary_crossentropy"
    model.compile(optimizer=optimizers.Adam(0.005), loss=loss, metrics=["accuracy"])
    x = data.images[:800, :, :, None] / 16
    return Setup(model, x, data.target[:800], {"epochs": 8, "batch_size": 32})


@PROGRAMS.failing("label_mismatch", source="issue: loss 0.0000e+00 and accuracy does not move")
def later_categorical_of_one_unit(fixed: bool) -> Setup:
    rng = np.random.default_rng(9)
    words = rng.integers(0, 200, (400, 12))
    y = (np.sum(words < 40, axis=1) > 2).astype("float32")[:, None]
    model = keras.Sequential([layers.Input((12,)), layers.Embedding(200, 8)])
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(1, activation="sigmoid"))
    loss = "binary_crossentropy" if fixed else "categorical_crossentropy"
    model.compile(optimizers.Adam(0.02), loss, metrics=["binary_accuracy"])
    return Setup(model, words, y, {"epochs": 15, "batch_size": 32})


@PROGRAMS.failing(
    "label_mismatch", "unscaled_data", source="github: U-Net, masks of 0 and 255, all white"
)
def later_masks_of_255(fixed: bool) -> Setup:
    rng = np.random.default_rng(10)
    x = rng.uniform(0, 0.4, (120, 16, 16, 1)).astype("float32")
    masks = np.zeros_like(x)
    for i, (r, c) in enumerate(rng.integers(0, 10, (120, 2))):
        masks[i, r : r + 6, c : c + 6] = 1
    x += 0.5 * masks
    model = keras.Sequential([layers.Input((16, 16, 1))])
    model.add(layers.Conv2D(8, 3, padding="same", activation="relu"))
    model.add(layers.Conv2D(8, 3, padding="same", activation="relu"))
    model.add(layers.Conv2D(1, 1, activation="sigmoid"))
    model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    y = masks if fixed else masks * 255
    return Setup(model, x, y, {"epochs": 12, "batch_size": 8})
