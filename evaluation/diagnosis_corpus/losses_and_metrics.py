"""Failing trials: losses and metrics that are undefined somewhere, as people write them."""

# ruff: noqa: D103 - the names say what each scenario is

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

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
    linear,
    scaled,
    xor,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam

LOSSES_AND_METRICS = Family()


# Unsafe losses, as people write them.


def _zeros(y: np.ndarray) -> np.ndarray:
    y = np.abs(y) + 0.5
    y[::17] = 0
    return y.astype(F32)


def _mean(value: Any) -> Any:
    return ops.mean(value)


_UNSAFE_REGRESSION: dict[str, Callable[[Any, Any], Any]] = {
    "percentage": lambda y, p: _mean(ops.abs(y - p) / y),
    "percentage_squared": lambda y, p: _mean(ops.square((y - p) / y)),
    "log_of_ratio": lambda y, p: _mean(ops.square(ops.log(p / y))),
    "log_of_prediction": lambda y, p: _mean(p - y * ops.log(p)),
    "log_error": lambda y, p: _mean(ops.square(ops.log(0.1 + p) - ops.log(0.1 + y))),
    "divide_by_prediction": lambda y, p: _mean(ops.abs(y - p) / ops.relu(p)),
    "gaussian_relu_variance": lambda y, p: _mean(
        ops.log(ops.relu(p[:, 1:])) + ops.square(y[:, None] - p[:, :1]) / ops.relu(p[:, 1:])
    ),
    "batch_correlation": lambda y, p: (
        1
        - _mean((y - _mean(y)) * (p - _mean(p))) / ops.sqrt(ops.var(y) * ops.var(ops.relu(-p * p)))
    ),
    "root_of_error": lambda y, p: _mean(ops.sqrt(ops.relu(ops.abs(y - p) - 0.2))),
    "norm_of_error": lambda y, p: _mean(
        ops.sqrt(ops.sum(ops.square(ops.relu(y[:, None] - p)), axis=-1))
    ),
}


def _unsafe_regression(loss: Any, out: int = 1) -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, out=out), ADAM(1e-3), loss), x, _zeros(y))


for _name, _loss in _UNSAFE_REGRESSION.items():
    LOSSES_AND_METRICS.add(
        f"loss_{_name}",
        lambda f=_loss, n=_name: _unsafe_regression(f, out=2 if n.startswith("gaussian") else 1),
        C.UNSAFE_LOSS,
    )


def _by_hand(y: Any, p: Any) -> Any:
    return -_mean(y * ops.log(p) + (1 - y) * ops.log(1 - p))


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_binary_by_hand() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), _by_hand), scaled(x), y[:, None].astype(F32), 60)


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_cross_entropy_by_hand() -> Setup:
    x, y = blobs()
    one_hot = np.eye(4, dtype=F32)[y]
    net = dense(x, out=4, head="softmax")
    return Setup(
        compiled(net, ADAM(0.01), lambda y, p: -_mean(ops.sum(y * ops.log(p), -1))),
        100 * x,
        one_hot,
        60,
    )


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_kl_by_hand() -> Setup:
    x, y = blobs()
    one_hot = np.eye(4, dtype=F32)[y]
    net = dense(x, out=4, head="softmax")
    return Setup(
        compiled(net, ADAM(1e-3), lambda y, p: _mean(ops.sum(y * ops.log(y / p), -1))), x, one_hot
    )


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_root_mean_square_at_zero() -> Setup:
    x, _ = curved()
    net = dense(x, out_init="zeros")
    return Setup(
        compiled(net, ADAM(1e-3), lambda y, p: ops.sqrt(_mean(ops.square(y - p)))),
        x,
        np.where(np.arange(512) < 256, 0, 1).astype(F32),
        fit={"shuffle": False},
    )


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_cosine_by_hand() -> Setup:
    x, y = curved()
    targets = np.stack([y, y**2, -y], axis=1)
    targets[::9] = 0

    def cosine(y: Any, p: Any) -> Any:
        return -_mean(ops.sum(y * p, -1) / (ops.norm(y, axis=-1) * ops.norm(p, axis=-1)))

    return Setup(compiled(dense(x, out=3), ADAM(1e-3), cosine), x, targets.astype(F32))


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_dice_without_smoothing() -> Setup:
    x, y = xor()
    y = np.where(np.arange(len(y)) // 32 % 3 == 2, 0, y).astype(F32)

    def dice(y: Any, p: Any) -> Any:
        p = ops.cast(ops.relu(p - 0.6), "float32")
        return 1 - 2 * ops.sum(y * p[:, 0]) / (ops.sum(y) + ops.sum(p))

    return Setup(compiled(dense(x, head="sigmoid"), ADAM(1e-3), dice), x, y, fit={"shuffle": False})


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_batch_r_squared() -> Setup:
    x, y = curved()
    y = np.where(np.arange(len(y)) // 32 % 4 == 3, 1.0, y).astype(F32)

    def r_squared(y: Any, p: Any) -> Any:
        return ops.sum(ops.square(y - p[:, 0])) / ops.sum(ops.square(y - _mean(y)))

    return Setup(compiled(dense(x), ADAM(1e-3), r_squared), x, y, fit={"shuffle": False})


# Keras gives the targets as (rows, 1); `p[:, 0]` is (rows,), and their difference (rows, rows).
_UNPAIRED: dict[str, Callable[[Any, Any], Any]] = {
    "mse": lambda y, p: _mean(ops.square(y - p[:, 0])),
    "rmse": lambda y, p: ops.sqrt(_mean(ops.square(y - p[:, 0])) + 1e-6),
    "quantile": lambda y, p: _mean(ops.maximum(0.9 * (y - p[:, 0]), -0.1 * (y - p[:, 0]))),
    "percentage_safe": lambda y, p: _mean(ops.abs(y - p[:, 0]) / (ops.abs(y) + 0.5)),
    "negative": lambda y, p: _mean(ops.square(y - p[:, 0])) - 5.0,
}
for _name, _loss in _UNPAIRED.items():
    LOSSES_AND_METRICS.add(
        f"loss_unpaired_{_name}",
        lambda f=_loss: Setup(compiled(dense(linear()[0]), ADAM(3e-3), f), *linear(), epochs=8),
        C.UNSAFE_LOSS,
    )


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS, C.LABEL_MISMATCH)
def loss_poisson_linear_head() -> Setup:
    x, y = curved()
    counts = np.random.default_rng(0).poisson(np.abs(y) + 1).astype(F32)
    return Setup(compiled(dense(x), ADAM(0.01), "poisson"), x, counts)


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_builtin_percentage() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x), SGD(0.01), "mape"), x, _zeros(y))


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_symmetric_percentage() -> Setup:
    x, y = curved()
    net = dense(x, head="relu")
    return Setup(
        compiled(net, ADAM(1e-3), lambda y, p: _mean(ops.abs(y[:, None] - p) / (y[:, None] + p))),
        x,
        _zeros(y),
    )


@LOSSES_AND_METRICS.case(C.UNSAFE_LOSS)
def loss_percentage_diabetes() -> Setup:
    x, y = diabetes()
    loss = _UNSAFE_REGRESSION["percentage"]
    return Setup(compiled(dense(x, normalize=True), ADAM(1e-3), loss), x, y - y.min())


# Unsafe metrics: the objective is non-finite, training is not.


def _metric(function: Callable[[Any, Any], Any], name: str) -> Setup:
    function.__name__ = name
    x, y = curved()
    net = compiled(dense(x), ADAM(1e-3), "mse", metrics=[function])
    return Setup(net, x, _zeros(y), fit={"validation_split": 0.2})


for _name, _function in {
    "metric_percentage": lambda y, p: ops.abs(y - p) / y,
    "metric_log_ratio": lambda y, p: ops.log(p / y),
    "metric_root": lambda y, p: ops.sqrt(p - 5),
    "metric_precision": lambda y, p: (
        ops.sum(ops.cast(p > 1e6, "float32") * y) / ops.sum(ops.cast(p > 1e6, "float32"))
    ),
}.items():
    LOSSES_AND_METRICS.add(_name, lambda f=_function, n=_name: _metric(f, n), C.UNSAFE_METRIC)
