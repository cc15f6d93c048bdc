"""Failing trials, written before the rules were known: losses and metrics that are undefined."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from evaluation.diagnosis_corpus.held_out.parts import OwnStep
from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    blobs,
    cancer,
    compiled,
    curved,
    dense,
    digits,
    linear,
    scaled,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam

LOSSES = Family()


def under(
    name: str,
    loss: Any,
    truth: tuple[C, ...] = (C.UNSAFE_LOSS,),
    *,
    data: Callable[[], Any] = linear,
    change: Callable[[Any, Any], Any] = lambda x, y: (x, y),
    units: tuple[int, ...] = (16,),
    rate: float = 1e-2,
    epochs: int = 4,
    **net: Any,
) -> None:
    """Register a small net under one loss."""

    def make() -> Setup:
        x, y = change(*data())
        return Setup(compiled(dense(x, units, 1, **net), ADAM(rate), loss), x, y, epochs=epochs)

    LOSSES.add("held_loss_" + name, make, *truth)


under(
    "poisson_by_hand",
    lambda y, p: ops.mean(p - y * ops.log(p)),
    data=curved,
    change=lambda x, y: (x, np.round(np.abs(y))),
)


under(
    "poisson_builtin_linear",
    "poisson",
    (C.UNSAFE_LOSS, C.LABEL_MISMATCH),
    data=curved,
    change=lambda x, y: (x, np.round(np.abs(y))),
)


under(
    "norm_at_zero",
    lambda y, p: ops.mean(ops.norm(y - p, axis=-1)),
    change=lambda x, y: (x, 0 * y),
    out_init="zeros",
)


under(
    "rmse_rows_zero",
    lambda y, p: ops.mean(ops.sqrt(ops.square(y - p))),
    change=lambda x, y: (
        np.where(np.arange(len(x))[:, None] % 40 == 7, 0, x).astype(F32),
        np.where(np.arange(len(x)) % 40 == 7, 0, y).astype(F32),
    ),
)


under(
    "acos",
    lambda y, p: ops.mean(ops.arccos(p * y)),
    head="tanh",
    change=lambda x, y: (x, np.sign(y)),
    epochs=20,
    rate=0.05,
)


under("pow_half", lambda y, p: ops.mean(ops.power(y - p, 0.5)))


under(
    "mape_by_hand_zero",
    lambda y, p: ops.mean(ops.abs((y - p) / y)),
    change=lambda x, y: (x, np.round(y)),
    truth=(C.UNSAFE_LOSS,),
)


under(
    "log_ratio",
    lambda y, p: ops.mean(ops.square(ops.log(y) - ops.log(p))),
    data=curved,
    change=lambda x, y: (x, np.abs(y) + 0.5),
)


under(
    "bce_by_hand",
    lambda y, p: -ops.mean(y * ops.log(p) + (1 - y) * ops.log(1 - p)),
    head="sigmoid",
    data=lambda: cancer(),
    change=lambda x, y: (scaled(x) * 3, y.astype(F32)),
    epochs=30,
    rate=0.1,
)


under(
    "focal_by_hand",
    lambda y, p: (
        -ops.mean(
            ops.power(1 - p, 0.5) * y * ops.log(p) + ops.power(p, 0.5) * (1 - y) * ops.log(1 - p)
        )
    ),
    head="sigmoid",
    data=cancer,
    change=lambda x, y: (scaled(x) * 5, y.astype(F32)),
    epochs=30,
    rate=0.1,
)


under(
    "linex",
    lambda y, p: ops.mean(ops.exp(3 * (y - p)) - 3 * (y - p) - 1),
    (C.UNSAFE_LOSS, C.UNSCALED_DATA),
    change=lambda x, y: (x, 50 * y),
)


under(
    "dice_no_eps",
    lambda y, p: 1 - 2 * ops.sum(y * p) / (ops.sum(y) + ops.sum(p)),
    head="relu",
    change=lambda x, y: (x, 0 * y),
    bias=keras.initializers.Constant(-5.0),
    units=(16,),
    truth=(C.UNSAFE_LOSS, C.DEAD_RELU),
)


under(
    "gauss_nll_sigma",
    lambda y, p: ops.mean(ops.log(p[:, :1]) + ops.square(y) / p[:, :1]),
    data=linear,
)


under(
    "div_by_pred",
    lambda y, p: ops.mean(ops.abs(y - p) / p),
    head="relu",
    data=curved,
    change=lambda x, y: (x, np.abs(y)),
)


@LOSSES.case(C.UNSAFE_LOSS, C.UNSCALED_DATA)
def held_kl_by_hand() -> Setup:
    x, _ = digits()
    y = np.eye(10)[_].astype(F32)

    def f(a, b):
        return ops.sum(a * ops.log(a / b), -1)

    return Setup(compiled(dense(x, (32,), 10, head="softmax"), ADAM(1e-2), f), x / 16, y)


@LOSSES.case(C.UNSAFE_LOSS)
def held_cce_by_hand_saturates() -> Setup:
    x, _ = blobs()
    y = np.eye(4)[_].astype(F32)

    def f(a, b):
        return -ops.mean(ops.sum(a * ops.log(b), -1))

    return Setup(compiled(dense(x, (32,), 4, head="softmax"), ADAM(0.2), f), 10 * x, y, epochs=20)


@LOSSES.case(C.UNSAFE_LOSS)
def held_add_loss_log() -> Setup:
    x, y = linear()
    i = keras.Input((10,))
    h = layers.Dense(16, "relu")(i)

    class Ent(layers.Layer):
        def call(self, t):
            self.add_loss(-1e-3 * ops.mean(t * ops.log(t)))
            return t

    return Setup(compiled(keras.Model(i, layers.Dense(1)(Ent()(h))), ADAM(1e-3), "mse"), x, y)


@LOSSES.case(C.UNSAFE_LOSS, C.UNSCALED_DATA, C.EXPLODING_GRADIENTS, C.NUMERIC_OVERFLOW)
def held_vae_raw_pixels() -> Setup:
    class VAE(keras.Model):
        def __init__(self):
            super().__init__()
            self.e = layers.Dense(64, "relu")
            self.m = layers.Dense(2)
            self.v = layers.Dense(2)
            self.d = layers.Dense(64, "relu")
            self.o = layers.Dense(64)

        def call(self, x):
            h = self.e(x)
            m, v = self.m(h), self.v(h)
            z = m + ops.exp(v / 2) * keras.random.normal(ops.shape(m))
            self.add_loss(-0.5 * ops.mean(1 + v - m**2 - ops.exp(v)))
            return self.o(self.d(z))

    x, _ = digits()
    x = x * 255
    return Setup(compiled(VAE(), ADAM(1e-3), "mse"), x, x)


@LOSSES.case(C.UNSAFE_METRIC)
def held_metric_r2_constant() -> Setup:
    x, y = linear()

    def f(a, b):
        return 1 - ops.sum((a - b) ** 2) / ops.sum((a - ops.mean(a)) ** 2)

    return Setup(
        compiled(dense(x), ADAM(1e-3), "mse", metrics=[f]),
        x,
        y,
        fit={"validation_data": (x[:32], np.full(32, 2.0, F32))},
    )


@LOSSES.case(C.UNSAFE_LOSS)
def held_own_step_sqrt() -> Setup:
    x, y = linear()
    model = OwnStep(lambda y, p: ops.sqrt(ops.square(p - 0 * y)), final="zeros")
    model.compile(ADAM(1e-3))
    return Setup(model, x, y)


@LOSSES.case(C.UNSAFE_LOSS)
def held_entropy_bonus() -> Setup:
    x, y = blobs()

    def f(a, p):
        return ops.mean(keras.losses.sparse_categorical_crossentropy(a, p)) + 0.01 * ops.mean(
            ops.sum(p * ops.log(p), -1)
        )

    return Setup(compiled(dense(x, (32,), 4, head="softmax"), ADAM(0.1), f), 20 * x, y, epochs=10)


@LOSSES.case(C.UNSAFE_METRIC)
def held_metric_log() -> Setup:
    x, y = linear()

    def f(a, p):
        return ops.mean(ops.log(p))

    f.__name__ = "m"
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse", metrics=[f]), x, y)


@LOSSES.case(C.UNSAFE_METRIC)
def held_metric_mape_val() -> Setup:
    x, y = linear()

    def f(a, p):
        return ops.mean(ops.abs((a - p) / a))

    return Setup(
        compiled(dense(x, (16,)), ADAM(1e-3), "mse", metrics=[f]),
        x,
        y,
        fit={"validation_data": (x[:50], np.where(np.arange(50) == 3, 0, y[:50]))},
    )
