"""Failing trials, written before the rules were known: code that raises."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers

from evaluation.diagnosis_corpus.held_out.parts import stack
from evaluation.diagnosis_corpus.scenario import (
    Family,
    Setup,
    compiled,
    dense,
    digits,
    linear,
    words,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

RAISED = Family()


@RAISED.case(C.INVALID_MODEL, C.LABEL_MISMATCH)
def held_no_flatten() -> Setup:
    x, y = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)
    return Setup(
        compiled(
            keras.Sequential(
                [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Dense(10, "softmax")]
            ),
            ADAM(),
            SCE,
        ),
        x,
        y,
    )


@RAISED.case(C.INVALID_MODEL)
def held_pool_too_often() -> Setup:
    x, y = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)
    m = keras.Sequential(
        [keras.Input((8, 8, 1))]
        + [
            q
            for _ in range(4)
            for q in (layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D())
        ]
        + [layers.Flatten(), layers.Dense(10, "softmax")]
    )
    return Setup(compiled(m, ADAM(), SCE), x, y)


@RAISED.case(C.INVALID_MODEL)
def held_wrong_input_width() -> Setup:
    x, y = linear()
    return Setup(
        compiled(keras.Sequential([keras.Input((12,)), layers.Dense(1)]), ADAM(), "mse"), x, y
    )


@RAISED.case(C.INVALID_MODEL, C.CODE_ERROR)
def held_wrong_loss_name() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(), "binarycrossentropy"), x, y)


@RAISED.case(C.CODE_ERROR)
def held_bug_in_loss() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), ADAM(), lambda a, b: a["target"] - b), x, y)


@RAISED.case(C.CODE_ERROR)
def held_bug_in_generator() -> Setup:
    x, _y = linear()

    def gen():
        for i in range(10):
            yield x[i * 32 : i * 32 + 32], {}["missing"]

    return Setup(compiled(dense(x), ADAM(), "mse"), gen(), None, fit={"batch_size": None})


@RAISED.case(C.INVALID_MODEL, C.CODE_ERROR, C.LABEL_MISMATCH)
def held_embedding_out_of_range() -> Setup:
    x, y = words()
    m = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(40, 8),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return Setup(compiled(m, ADAM(), "binary_crossentropy"), x, y)


@RAISED.case(C.INVALID_MODEL)
def held_concat_mismatch() -> Setup:
    x, y = digits()
    i = keras.Input((8, 8, 1))
    a = layers.Conv2D(4, 3)(i)
    return Setup(
        compiled(
            keras.Model(i, layers.Dense(1)(layers.Flatten()(layers.Concatenate()([i, a])))),
            ADAM(),
            "mse",
        ),
        x,
        y,
    )


@RAISED.case(C.NUMERIC_OVERFLOW, C.UNSCALED_DATA)
def held_float16_targets() -> Setup:
    x, y = linear()
    P = "float16"
    m = keras.Sequential(
        [keras.Input((10,), dtype=P), layers.Dense(32, "relu", dtype=P), layers.Dense(1, dtype=P)]
    )
    return Setup(compiled(m, SGD(1e-6), "mse"), x, 1000 * y)


def _no_heads(x: np.ndarray) -> keras.Model:
    entry = keras.Input((10,))
    pairs = layers.Reshape((5, 2))(entry)
    return keras.Model(entry, layers.MultiHeadAttention(0, 4)(pairs, pairs))


_BUILDS: dict[str, tuple[Callable[[Any], Any], tuple[C, ...]]] = {
    "lstm_ndim": (lambda x: stack(x, layers.LSTM(4), layers.Dense(1)), (C.INVALID_MODEL,)),
    "neg_units": (lambda x: stack(x, layers.Dense(-3), layers.Dense(1)), (C.INVALID_MODEL,)),
    "dropout_15": (lambda x: stack(x, layers.Dropout(1.5), layers.Dense(1)), (C.INVALID_MODEL,)),
    "reshape": (lambda x: stack(x, layers.Reshape((3, 4)), layers.Dense(1)), (C.INVALID_MODEL,)),
    "activation": (lambda x: stack(x, layers.Dense(1, "rellu")), (C.INVALID_MODEL, C.CODE_ERROR)),
    "heads": (_no_heads, (C.INVALID_MODEL, C.CODE_ERROR)),
    "bug": (lambda x: stack(x, layers.Dense({}["units"])), (C.CODE_ERROR,)),
    "none": (lambda x: stack(x, layers.Dense(8) + None), (C.CODE_ERROR,)),
}


def _built(build: Callable[[Any], Any]) -> Setup:
    x, y = linear()
    return Setup(compiled(build(x), ADAM(), "mse"), x, y)


for _name, (_build, _truth) in _BUILDS.items():
    RAISED.add("held_shape_" + _name, partial(_built, _build), *_truth)


@RAISED.case(C.INVALID_MODEL, C.LABEL_MISMATCH)
def held_shape_y_width() -> Setup:
    x, y = linear()
    return Setup(compiled(stack(x, layers.Dense(2)), ADAM(), "mse"), x, np.stack([y] * 3, 1))
