"""Failing trials: spoilt data, labels that do not fit, and exceptions."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    blobs,
    cancer,
    compiled,
    curved,
    dense,
    diabetes,
    digits,
    linear,
    scaled,
    waves,
    words,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE = "sparse_categorical_crossentropy"

DATA_AND_LABELS = Family()


# Non-finite data.


def _spoilt(where: str) -> Setup:
    x, y = linear()
    x, y = x.copy(), y.copy()
    fit: dict[str, Any] = {}
    if where == "x_cell":
        x[100, 3] = np.nan
    elif where == "x_column":
        x[:, 4] = np.nan
    elif where == "x_inf":
        x[50, 0] = np.inf
    elif where == "x_tenth":
        x[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    elif where == "y":
        y[33] = np.nan
    elif where == "y_inf":
        y[20] = -np.inf
    elif where == "weight":
        fit["sample_weight"] = np.where(np.arange(len(y)) == 70, np.nan, 1).astype(F32)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y, fit=fit)


for _where in ("x_cell", "x_column", "x_inf", "x_tenth", "y", "y_inf", "weight"):
    DATA_AND_LABELS.add(f"data_{_where}", lambda w=_where: _spoilt(w), C.NON_FINITE_DATA)


@DATA_AND_LABELS.case(C.NON_FINITE_DATA)
def data_image() -> Setup:
    x, y = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)
    x[77, 2, 2] = np.nan
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), CE), x, y)


@DATA_AND_LABELS.case(C.NON_FINITE_DATA)
def data_sequence() -> Setup:
    x, y = waves()
    x[40, 10] = np.nan
    net = keras.Sequential([keras.Input(x.shape[1:]), layers.LSTM(8), layers.Dense(1)])
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@DATA_AND_LABELS.case(C.NON_FINITE_DATA)
def data_divided_by_zero_spread() -> Setup:
    x, y = linear()
    x = x.copy()
    x[:, 2] = 1.0
    with np.errstate(all="ignore"):
        x = (x - x.mean(0)) / x.std(0)
        x[:, 2] = np.float32(0) / np.float32(0)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x.astype(F32), y)


# Labels, head and loss.


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_from_one() -> Setup:
    x, y = blobs()
    return Setup(compiled(dense(x, out=4, head="softmax"), ADAM(1e-3), CE), x, y + 1)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_from_one_jit() -> Setup:
    x, y = blobs()
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), CE, jit_compile=True), x, y + 1)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_too_few_units() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, out=8, head="softmax"), ADAM(1e-3), CE), x / 16, y)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_one_hot_with_sparse() -> Setup:
    x, y = blobs()
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), CE), x, np.eye(4, dtype=F32)[y])


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_sparse_with_categorical() -> Setup:
    x, y = blobs()
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), "categorical_crossentropy"), x, y)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_minus_one() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), "binary_crossentropy"), scaled(x), 2 * y - 1, epochs=10)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_ten_classes_binary() -> Setup:
    x, y = digits()
    net = dense(x, head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), "binary_crossentropy"), x / 16, y, epochs=10)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_softmax_one_unit() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="softmax")
    return Setup(compiled(net, ADAM(1e-3), "binary_crossentropy"), scaled(x), y)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_sigmoid_regression() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True, head="sigmoid"), ADAM(1e-3), "mse"), x, y)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_tanh_regression() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, head="tanh"), ADAM(1e-3), "mse"), x, 40 + 10 * y)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_relu_negative_targets() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, head="relu"), ADAM(1e-3), "mse"), x, -3 - np.abs(y))


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_softmax_regression() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, head="softmax"), ADAM(1e-3), "mae"), x, 5 + y)


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_categorical_one_unit() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="sigmoid")
    return Setup(
        compiled(net, ADAM(1e-3), "categorical_crossentropy"), scaled(x), y[:, None].astype(F32)
    )


@DATA_AND_LABELS.case(C.LABEL_MISMATCH)
def labels_hinge_classes() -> Setup:
    x, y = blobs()
    return Setup(compiled(dense(x, head="tanh"), SGD(0.01), "squared_hinge"), x, 10 * y)


# Exceptions.


@DATA_AND_LABELS.case(C.OUT_OF_MEMORY)
def memory_dense() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=(100, 10**11)), "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.OUT_OF_MEMORY)
def memory_array() -> Setup:
    x, y = linear()
    x = np.zeros((10**9, 10**5), F32)
    return Setup(compiled(dense(x), "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_kernel_too_large() -> Setup:
    x, y = digits()
    net = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(8, 11), layers.Flatten(), layers.Dense(10)]
    )
    return Setup(compiled(net, "adam", "mse"), x.reshape(-1, 8, 8, 1), y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_negative_units() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=(-4,)), "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_pooled_away() -> Setup:
    x, y = digits()
    net = keras.Sequential([keras.Input((8, 8, 1))])
    for _ in range(5):
        net.add(layers.Conv2D(8, 3))
        net.add(layers.MaxPooling2D())
    return Setup(compiled(net, "adam", "mse"), x.reshape(-1, 8, 8, 1), y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_wrong_features() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x[:, :7]), "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_flat_into_lstm() -> Setup:
    x, y = linear()
    net = keras.Sequential([keras.Input((10,)), layers.LSTM(8), layers.Dense(1)])
    return Setup(compiled(net, "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_concatenate() -> Setup:
    x, y = linear()
    a, b = keras.Input((5, 2)), keras.Input((4, 2))
    net = keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))
    return Setup(compiled(net, "adam", "mse"), [x, x], y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_reshape() -> Setup:
    x, y = linear()
    net = keras.Sequential([keras.Input((10,)), layers.Reshape((3, 4)), layers.Flatten()])
    return Setup(compiled(net, "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.INVALID_MODEL)
def shape_small_vocabulary() -> Setup:
    x, y = words()
    net = keras.Sequential(
        [keras.Input((12,)), layers.Embedding(20, 8), layers.Flatten(), layers.Dense(1)]
    )
    return Setup(compiled(net, "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.CODE_ERROR)
def code_name() -> Setup:
    x, _ = linear()
    return Setup(compiled(dense(x), "adam", "mse"), x, undefined_name)  # noqa: F821


@DATA_AND_LABELS.case(C.CODE_ERROR)
def code_key() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=({"small": 8}["large"],)), "adam", "mse"), x, y)


@DATA_AND_LABELS.case(C.CODE_ERROR)
def code_callback() -> Setup:
    x, y = linear()

    class Broken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            print(1 / epoch)

    return Setup(compiled(dense(x), "adam", "mse"), x, y, fit={"callbacks": [Broken()]})


@DATA_AND_LABELS.case(C.CODE_ERROR)
def code_in_loss() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), "adam", lambda y, p: ops.mean(y - p).nothing), x, y)
