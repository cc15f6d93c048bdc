"""Failing trials, written before the rules were known: data and labels that do not fit."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

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
    iris,
    linear,
    scaled,
    waves,
    wine,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

DATA = Family()


_SPOTS: dict[str, tuple[str, Any, float]] = {
    "nan_one_row": ("x", (401, 3), np.nan),
    "inf_one_target": ("y", 77, np.inf),
    "nan_column": ("x", (slice(None), 2), np.nan),
}


def _spoiled(of: str, where: Any, value: float) -> Setup:
    x, y = linear()
    x, y = x.copy(), y.copy()
    (x if of == "x" else y)[where] = value
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y)


for _name, _spot in _SPOTS.items():
    DATA.add("held_data_" + _name, partial(_spoiled, *_spot), C.NON_FINITE_DATA)


@DATA.case(C.NON_FINITE_DATA)
def held_nan_weights() -> Setup:
    x, y = linear()
    w = np.ones(len(x), F32)
    w[100] = np.nan
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y, fit={"sample_weight": w})


@DATA.case(C.NON_FINITE_DATA)
def held_nan_dataset_third_batch() -> Setup:
    x, y = linear()
    x = x.copy()
    x[80] = -np.inf
    ds = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), ds, None, fit={"batch_size": None})


@DATA.case(C.NON_FINITE_DATA)
def held_nan_sequence_generator() -> Setup:
    x, y = waves()
    x = x.copy()
    x[100, -3:] = np.nan

    class Seq(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, i):
            return x[i * 32 : i * 32 + 32], y[i * 32 : i * 32 + 32]

    m = keras.Sequential([keras.Input(x.shape[1:]), layers.LSTM(8), layers.Dense(1)])
    return Setup(compiled(m, ADAM(1e-3), "mse"), Seq(), None, fit={"batch_size": None})


@DATA.case(C.LABEL_MISMATCH)
def held_labels_1_to_3() -> Setup:
    x, y = wine()
    x = scaled(x)
    return Setup(compiled(dense(x, (16,), 3, head="softmax"), ADAM(1e-2), SCE), x, y + 1)


@DATA.case(C.LABEL_MISMATCH)
def held_labels_pm1_bce() -> Setup:
    x, y = cancer()
    x = scaled(x)
    return Setup(
        compiled(dense(x, (16,), 1, head="sigmoid"), ADAM(1e-2), "binary_crossentropy"),
        x,
        y * 2.0 - 1,
    )


@DATA.case(C.LABEL_MISMATCH)
def held_labels_minus1_sparse() -> Setup:
    x, y = blobs()
    return Setup(
        compiled(
            dense(x, (16,), 4),
            ADAM(1e-2),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
        x,
        y - 1,
    )


@DATA.case(C.LABEL_MISMATCH, C.INVALID_MODEL)
def held_onehot_with_sparse() -> Setup:
    x, y = blobs()
    return Setup(compiled(dense(x, (16,), 4, head="softmax"), ADAM(1e-2), SCE), x, np.eye(4)[y])


@DATA.case(C.LABEL_MISMATCH, C.INVALID_MODEL)
def held_int_with_categorical() -> Setup:
    x, y = blobs()
    return Setup(
        compiled(dense(x, (16,), 4, head="softmax"), ADAM(1e-2), "categorical_crossentropy"), x, y
    )


@DATA.case(C.LABEL_MISMATCH)
def held_softmax_one_unit() -> Setup:
    x, y = cancer()
    x = scaled(x)
    return Setup(
        compiled(dense(x, (16,), 1, head="softmax"), ADAM(1e-2), "binary_crossentropy"),
        x,
        y.astype(F32),
        epochs=8,
    )


@DATA.case(C.LABEL_MISMATCH, C.UNSCALED_DATA)
def held_sigmoid_targets_255() -> Setup:
    x, _y = digits()
    x = x / 16
    return Setup(
        compiled(dense(x, (16,), 64, head="sigmoid"), ADAM(1e-2), "binary_crossentropy"), x, x * 255
    )


@DATA.case(C.LABEL_MISMATCH, C.DEAD_RELU)
def held_relu_head_negative() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (32,), 1, head="relu"), ADAM(1e-2), "mse"), x, y - 6, epochs=10)


@DATA.case(C.LABEL_MISMATCH, C.UNSCALED_DATA)
def held_tanh_head_hundreds() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, (32,), 1, head="tanh"), ADAM(1e-2), "mse"), x, 100 * y, epochs=10
    )


@DATA.case(C.LABEL_MISMATCH)
def held_labels_100_ids() -> Setup:
    x, y = blobs()
    return Setup(compiled(dense(x, (16,), 4, head="softmax"), ADAM(1e-2), SCE), x, y * 25)


@DATA.case(C.LABEL_MISMATCH)
def held_bce_classes_0_1_2() -> Setup:
    x, y = iris()
    x = scaled(x)
    return Setup(
        compiled(dense(x, (16,), 1, head="sigmoid"), ADAM(1e-2), "binary_crossentropy"),
        x,
        y.astype(F32),
        epochs=30,
    )


@DATA.case(C.LABEL_MISMATCH)
def held_hinge_0_9() -> Setup:
    x, y = digits()
    return Setup(
        compiled(dense(x / 16, (16,), 1, head="tanh"), ADAM(1e-3), "hinge"), x / 16, y.astype(F32)
    )


@DATA.case(C.LABEL_MISMATCH)
def held_ce_linear_head() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x / 16, (32,), 10), ADAM(1e-2), SCE), x / 16, y, epochs=6)


@DATA.case(C.LABEL_MISMATCH)
def held_softmax_regression() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, (32,), 1, head="softmax"), ADAM(1e-2), "mse"), x, y, epochs=6)


@DATA.case(C.LABEL_MISMATCH)
def held_sigmoid_regression_raw() -> Setup:
    x, y = diabetes()
    return Setup(
        compiled(dense(scaled(x), (32,), 1, head="sigmoid"), ADAM(1e-2), "mse"),
        scaled(x),
        y,
        epochs=8,
    )


@DATA.case(C.NON_FINITE_DATA)
def held_log_of_zero_target() -> Setup:
    x, y = curved()
    y = np.log(np.maximum(np.round(np.abs(y)), 0))
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse"), x, y)


@DATA.case(C.NON_FINITE_DATA)
def held_nan_second_output() -> Setup:
    x, y = linear()
    i = keras.Input((10,))
    t = layers.Dense(16, "relu")(i)
    m = keras.Model(i, {"a": layers.Dense(1)(t), "b": layers.Dense(1)(t)})
    m.compile(ADAM(1e-3), {"a": "mse", "b": "mae"})
    z = y.copy()
    z[300] = np.nan
    return Setup(m, x, {"a": y, "b": z})


@DATA.case(C.NON_FINITE_DATA)
def held_nan_val_tanh() -> Setup:
    x, y = linear()
    v = x[:64].copy()
    v[5, 5] = np.nan
    return Setup(
        compiled(dense(x, (16,), activation="tanh"), ADAM(1e-3), "mse"),
        x,
        y,
        fit={"validation_data": (v, y[:64])},
    )
