"""Failing trials: what is wrong with each is put there on purpose."""

# ruff: noqa: D103 - the names say what is wrong

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from diagnosis_corpus.scenario import (
    F32,
    Scenario,
    Setup,
    blobs,
    cancer,
    circles,
    compiled,
    curved,
    dense,
    diabetes,
    digits,
    linear,
    scaled,
    waves,
    wine,
    words,
    xor,
)
from robusttune import FailureCause as C

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
CE = "sparse_categorical_crossentropy"
_SCENARIOS: list[Scenario] = []


def case(*truth: C) -> Callable[[Callable[..., Setup]], Callable[..., Setup]]:
    """Register a scenario, with every cause that is a right answer."""

    def register(make: Callable[..., Setup]) -> Callable[..., Setup]:
        _SCENARIOS.append(Scenario(make.__name__, frozenset(truth), make))
        return make

    return register


def add(name: str, make: Callable[[], Setup], *truth: C) -> None:
    """Register one row of a family."""
    _SCENARIOS.append(Scenario(name, frozenset(truth), make))


def failing() -> Iterator[Scenario]:
    """All failing scenarios."""
    yield from _SCENARIOS


# Divergent learning rate: standardized data, a plain loss, a rate far beyond the ordinary.

_RATES: dict[str, Callable[[], Any]] = {
    "sgd_1e2": lambda: SGD(100.0),
    "sgd_5": lambda: SGD(5.0),
    "momentum_2": lambda: SGD(2.0, momentum=0.9),
    "nesterov_3": lambda: SGD(3.0, momentum=0.9, nesterov=True),
    "adam_10": lambda: ADAM(10.0),
    "adam_1": lambda: ADAM(1.0),
    "rmsprop_3": lambda: keras.optimizers.RMSprop(3.0),
    "nadam_10": lambda: keras.optimizers.Nadam(10.0),
    "adagrad_100": lambda: keras.optimizers.Adagrad(100.0),
    "adamw_5": lambda: keras.optimizers.AdamW(5.0),
    "lion_1": lambda: keras.optimizers.Lion(1.0),
}


def _rate_on_line(optimizer: Any) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), optimizer, "mse"), x, y)


def _rate_on_classes(optimizer: Any) -> Setup:
    x, y = digits()
    x = scaled(x + 1e-3 * np.random.default_rng(0).normal(size=x.shape))
    return Setup(compiled(dense(x, out=10, head="softmax"), optimizer, CE), x, y)


for _name, _optimizer in _RATES.items():
    add(
        f"rate_{_name}_regression",
        lambda o=_optimizer: _rate_on_line(o()),
        C.DIVERGENT_LEARNING_RATE,
    )
for _name in ("sgd_1e2", "adam_10", "rmsprop_3", "momentum_2"):
    add(
        f"rate_{_name}_digits",
        lambda o=_RATES[_name]: _rate_on_classes(o()),
        C.DIVERGENT_LEARNING_RATE,
    )


@case(C.DIVERGENT_LEARNING_RATE)
def rate_cnn_images() -> Setup:
    x, y = digits()
    x = (x / 16).reshape(-1, 8, 8, 1)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(net, SGD(20.0), CE), x, y)


@case(C.DIVERGENT_LEARNING_RATE)
def rate_schedule() -> Setup:
    x, y = linear()
    schedule = keras.optimizers.schedules.ExponentialDecay(8.0, 100, 0.99)
    return Setup(compiled(dense(x), SGD(schedule), "mse"), x, y)


@case(C.DIVERGENT_LEARNING_RATE, C.EXPLODING_GRADIENTS)
def rate_lstm() -> Setup:
    x, y = waves()
    net = keras.Sequential([keras.Input(x.shape[1:]), layers.LSTM(16), layers.Dense(1)])
    return Setup(compiled(net, SGD(50.0), "mse"), x, y)


@case(C.DIVERGENT_LEARNING_RATE)
def rate_diabetes_normalized() -> Setup:
    x, y = diabetes()
    net = dense(x, normalize=True)
    return Setup(compiled(net, SGD(5.0), "mse"), x, (y - 150) / 77)


@case(C.DIVERGENT_LEARNING_RATE)
def rate_adam_diabetes_normalized() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), ADAM(10.0), "mse"), x, y)


@case(C.DIVERGENT_LEARNING_RATE, C.UNSCALED_DATA)
def rate_and_raw_data() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), SGD(10.0), "mse"), x, y)


@case(C.DIVERGENT_LEARNING_RATE, C.UNSCALED_DATA)
def rate_adam_raw_data() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), ADAM(5.0), "mse"), x, y)


@case(C.DIVERGENT_LEARNING_RATE)
def rate_functional_two_inputs() -> Setup:
    x, y = linear()
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    h = layers.Dense(32, "relu")(layers.Concatenate()([a, b]))
    net = keras.Model([a, b], layers.Dense(1)(h))
    return Setup(compiled(net, SGD(5.0), "mse"), {"a": x[:, :5], "b": x[:, 5:]}, y)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(32, "relu")
        self.out = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x))


@case(C.DIVERGENT_LEARNING_RATE)
def rate_subclassed() -> Setup:
    x, y = linear()
    return Setup(compiled(Subclassed(), SGD(8.0), "mse"), x, y)


@case(C.DIVERGENT_LEARNING_RATE)
def rate_linear_model() -> Setup:
    x, y = linear(d=40)
    return Setup(compiled(dense(x, units=()), SGD(3.0), "mse"), x, y, epochs=6)


# Unscaled data: an ordinary rate.


@case(C.UNSCALED_DATA)
def raw_diabetes_sgd() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y)


@case(C.UNSCALED_DATA)
def raw_diabetes_sgd_slow() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x), SGD(0.003), "mse"), x, y)


@case(C.UNSCALED_DATA)
def raw_targets_only() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, 1e4 * y)


@case(C.UNSCALED_DATA)
def raw_prices() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x), SGD(0.01, momentum=0.9), "mse"), x, 2e5 + 5e4 * y)


@case(C.UNSCALED_DATA)
def raw_inputs_thousand() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), SGD(0.01), "mse"), 1000 * x, y)


@case(C.UNSCALED_DATA)
def raw_two_columns() -> Setup:
    x, y = linear()
    x = x.copy()
    x[:, :2] *= 1000
    return Setup(compiled(dense(x), SGD(0.01), "mse"), x, y)


@case(C.UNSCALED_DATA, C.DIVERGENT_LEARNING_RATE)
def raw_counting() -> Setup:
    x = np.arange(200, dtype=F32)[:, None]
    return Setup(compiled(dense(x, units=()), SGD(1e-3), "mse"), x, 2 * x[:, 0])


@case(C.UNSCALED_DATA)
def raw_wine_sgd() -> Setup:
    x, y = wine()
    return Setup(compiled(dense(x, out=3, head="softmax"), SGD(0.01), CE), x, y, epochs=8)


@case(C.UNSCALED_DATA)
def raw_cancer_sgd() -> Setup:
    x, y = cancer()
    return Setup(
        compiled(dense(x, head="sigmoid"), SGD(0.05), "binary_crossentropy"), x, y, epochs=4
    )


@case(C.UNSCALED_DATA)
def raw_timestamps() -> Setup:
    x, y = linear()
    x = np.concatenate([x, 1.6e9 + 1e6 * x[:, :1]], axis=1).astype(F32)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y)


@case(C.UNSCALED_DATA)
def raw_incomes() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x), SGD(0.01), "mae"), 3e4 + 1e4 * x, y)


@case(C.UNSCALED_DATA)
def raw_sequence() -> Setup:
    x, y = waves()
    net = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv1D(16, 5, activation="relu"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    return Setup(compiled(net, SGD(0.01), "mse"), 500 + 100 * x, y)


@case(C.UNSCALED_DATA)
def raw_tanh_saturated() -> Setup:
    x, y = curved()
    net = dense(x, units=(32, 32), activation="tanh")
    return Setup(compiled(net, SGD(0.01), "mse"), x, 3e4 * y)


@case(C.UNSCALED_DATA)
def raw_linear_regression() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, units=()), SGD(0.01), "mse"), x, y)


@case(C.UNSCALED_DATA)
def raw_images_sgd() -> Setup:
    x, y = digits()
    x = (x / 16 * 255).reshape(-1, 8, 8, 1)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return Setup(compiled(net, SGD(0.05), CE), x, y)


@case(C.UNSCALED_DATA)
def raw_diabetes_normalized_inputs() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True), SGD(0.01), "mse"), x, 100 * y)


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
    add(
        f"loss_{_name}",
        lambda f=_loss, o=2 if _name.startswith("gaussian") else 1: _unsafe_regression(f, o),
        C.UNSAFE_LOSS,
    )


def _by_hand(y: Any, p: Any) -> Any:
    return -_mean(y * ops.log(p) + (1 - y) * ops.log(1 - p))


@case(C.UNSAFE_LOSS)
def loss_binary_by_hand() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), _by_hand), scaled(x), y[:, None].astype(F32), 60)


@case(C.UNSAFE_LOSS)
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


@case(C.UNSAFE_LOSS)
def loss_kl_by_hand() -> Setup:
    x, y = blobs()
    one_hot = np.eye(4, dtype=F32)[y]
    net = dense(x, out=4, head="softmax")
    return Setup(
        compiled(net, ADAM(1e-3), lambda y, p: _mean(ops.sum(y * ops.log(y / p), -1))), x, one_hot
    )


@case(C.UNSAFE_LOSS)
def loss_root_mean_square_at_zero() -> Setup:
    x, _ = curved()
    net = dense(x, out_init="zeros")
    return Setup(
        compiled(net, ADAM(1e-3), lambda y, p: ops.sqrt(_mean(ops.square(y - p)))),
        x,
        np.where(np.arange(512) < 256, 0, 1).astype(F32),
        fit={"shuffle": False},
    )


@case(C.UNSAFE_LOSS)
def loss_cosine_by_hand() -> Setup:
    x, y = curved()
    targets = np.stack([y, y**2, -y], axis=1)
    targets[::9] = 0

    def cosine(y: Any, p: Any) -> Any:
        return -_mean(ops.sum(y * p, -1) / (ops.norm(y, axis=-1) * ops.norm(p, axis=-1)))

    return Setup(compiled(dense(x, out=3), ADAM(1e-3), cosine), x, targets.astype(F32))


@case(C.UNSAFE_LOSS)
def loss_dice_without_smoothing() -> Setup:
    x, y = xor()
    y = np.where(np.arange(len(y)) // 32 % 3 == 2, 0, y).astype(F32)

    def dice(y: Any, p: Any) -> Any:
        p = ops.cast(ops.relu(p - 0.6), "float32")
        return 1 - 2 * ops.sum(y * p[:, 0]) / (ops.sum(y) + ops.sum(p))

    return Setup(compiled(dense(x, head="sigmoid"), ADAM(1e-3), dice), x, y, fit={"shuffle": False})


@case(C.UNSAFE_LOSS)
def loss_batch_r_squared() -> Setup:
    x, y = curved()
    y = np.where(np.arange(len(y)) // 32 % 4 == 3, 1.0, y).astype(F32)

    def r_squared(y: Any, p: Any) -> Any:
        return ops.sum(ops.square(y - p[:, 0])) / ops.sum(ops.square(y - _mean(y)))

    return Setup(compiled(dense(x), ADAM(1e-3), r_squared), x, y, fit={"shuffle": False})


@case(C.UNSAFE_LOSS, C.LABEL_MISMATCH)
def loss_poisson_linear_head() -> Setup:
    x, y = curved()
    counts = np.random.default_rng(0).poisson(np.abs(y) + 1).astype(F32)
    return Setup(compiled(dense(x), ADAM(0.01), "poisson"), x, counts)


@case(C.UNSAFE_LOSS)
def loss_builtin_percentage() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x), SGD(0.01), "mape"), x, _zeros(y))


@case(C.UNSAFE_LOSS)
def loss_symmetric_percentage() -> Setup:
    x, y = curved()
    net = dense(x, head="relu")
    return Setup(
        compiled(net, ADAM(1e-3), lambda y, p: _mean(ops.abs(y[:, None] - p) / (y[:, None] + p))),
        x,
        _zeros(y),
    )


@case(C.UNSAFE_LOSS)
def loss_percentage_diabetes() -> Setup:
    x, y = diabetes()
    loss = _UNSAFE_REGRESSION["percentage"]
    return Setup(compiled(dense(x, normalize=True), ADAM(1e-3), loss), x, y - y.min())


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
    add(f"data_{_where}", lambda w=_where: _spoilt(w), C.NON_FINITE_DATA)


@case(C.NON_FINITE_DATA)
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


@case(C.NON_FINITE_DATA)
def data_sequence() -> Setup:
    x, y = waves()
    x[40, 10] = np.nan
    net = keras.Sequential([keras.Input(x.shape[1:]), layers.LSTM(8), layers.Dense(1)])
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@case(C.NON_FINITE_DATA)
def data_divided_by_zero_spread() -> Setup:
    x, y = linear()
    x = x.copy()
    x[:, 2] = 1.0
    with np.errstate(all="ignore"):
        x = (x - x.mean(0)) / x.std(0)
        x[:, 2] = np.float32(0) / np.float32(0)
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x.astype(F32), y)


# Labels, head and loss.


@case(C.LABEL_MISMATCH)
def labels_from_one() -> Setup:
    x, y = blobs()
    return Setup(compiled(dense(x, out=4, head="softmax"), ADAM(1e-3), CE), x, y + 1)


@case(C.LABEL_MISMATCH)
def labels_from_one_jit() -> Setup:
    x, y = blobs()
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), CE, jit_compile=True), x, y + 1)


@case(C.LABEL_MISMATCH)
def labels_too_few_units() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, out=8, head="softmax"), ADAM(1e-3), CE), x / 16, y)


@case(C.LABEL_MISMATCH)
def labels_one_hot_with_sparse() -> Setup:
    x, y = blobs()
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), CE), x, np.eye(4, dtype=F32)[y])


@case(C.LABEL_MISMATCH)
def labels_sparse_with_categorical() -> Setup:
    x, y = blobs()
    net = dense(x, out=4, head="softmax")
    return Setup(compiled(net, ADAM(1e-3), "categorical_crossentropy"), x, y)


@case(C.LABEL_MISMATCH)
def labels_minus_one() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), "binary_crossentropy"), scaled(x), 2 * y - 1, epochs=10)


@case(C.LABEL_MISMATCH)
def labels_ten_classes_binary() -> Setup:
    x, y = digits()
    net = dense(x, head="sigmoid")
    return Setup(compiled(net, ADAM(0.01), "binary_crossentropy"), x / 16, y, epochs=10)


@case(C.LABEL_MISMATCH)
def labels_softmax_one_unit() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="softmax")
    return Setup(compiled(net, ADAM(1e-3), "binary_crossentropy"), scaled(x), y)


@case(C.LABEL_MISMATCH)
def labels_sigmoid_regression() -> Setup:
    x, y = diabetes()
    return Setup(compiled(dense(x, normalize=True, head="sigmoid"), ADAM(1e-3), "mse"), x, y)


@case(C.LABEL_MISMATCH)
def labels_tanh_regression() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, head="tanh"), ADAM(1e-3), "mse"), x, 40 + 10 * y)


@case(C.LABEL_MISMATCH)
def labels_relu_negative_targets() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, head="relu"), ADAM(1e-3), "mse"), x, -3 - np.abs(y))


@case(C.LABEL_MISMATCH)
def labels_softmax_regression() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, head="softmax"), ADAM(1e-3), "mae"), x, 5 + y)


@case(C.LABEL_MISMATCH)
def labels_categorical_one_unit() -> Setup:
    x, y = cancer()
    net = dense(scaled(x), head="sigmoid")
    return Setup(
        compiled(net, ADAM(1e-3), "categorical_crossentropy"), scaled(x), y[:, None].astype(F32)
    )


@case(C.LABEL_MISMATCH)
def labels_hinge_classes() -> Setup:
    x, y = blobs()
    return Setup(compiled(dense(x, head="tanh"), SGD(0.01), "squared_hinge"), x, 10 * y)


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
    add(_name, lambda f=_function, n=_name: _metric(f, n), C.UNSAFE_METRIC)


# Initialization.

_NORMAL = keras.initializers.RandomNormal


@case(C.BAD_INITIALIZATION)
def init_huge_normal() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, init=_NORMAL(stddev=20.0)), SGD(0.01), "mse"), x, y)


@case(C.BAD_INITIALIZATION)
def init_unit_normal_deep() -> Setup:
    x, y = linear()
    net = dense(x, units=(64,) * 5, init=_NORMAL(stddev=1.0), out_init=_NORMAL(stddev=1.0))
    return Setup(compiled(net, SGD(0.01), "mse"), x, y)


@case(C.BAD_INITIALIZATION)
def init_constant_big() -> Setup:
    x, y = linear()
    net = dense(x, init=keras.initializers.Constant(5.0))
    return Setup(compiled(net, SGD(0.01), "mse"), x, y)


@case(C.BAD_INITIALIZATION)
def init_overflow() -> Setup:
    x, y = linear()
    net = dense(x, units=(64,) * 12, init=_NORMAL(stddev=1e4))
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@case(C.BAD_INITIALIZATION)
def init_zeros() -> Setup:
    x, y = curved()
    return Setup(compiled(dense(x, init="zeros", out_init="zeros"), ADAM(1e-3), "mse"), x, y, 10)


@case(C.BAD_INITIALIZATION)
def init_nan() -> Setup:
    x, y = linear()
    net = dense(x)
    weights = net.get_weights()
    weights[0][3, 3] = np.nan
    net.set_weights(weights)
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@case(C.BAD_INITIALIZATION)
def init_layer_logarithm() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [keras.Input((10,)), layers.Lambda(ops.log), layers.Dense(16, "relu"), layers.Dense(1)]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


# Exploding gradients: an ordinary rate, ordinary data, a recurrent or very deep stack.


def _recurrent(layer: Any, steps: int, optimizer: Any) -> Setup:
    x, y = waves(steps=steps)
    net = keras.Sequential([keras.Input(x.shape[1:]), layer, layers.Dense(1)])
    return Setup(compiled(net, optimizer, "mse"), x, y)


_GAIN = keras.initializers.Orthogonal(gain=1.6)
_BROAD_GAIN = keras.initializers.Orthogonal(gain=1.9)
add(
    "explode_rnn_relu",
    lambda: _recurrent(
        layers.SimpleRNN(32, activation="relu", recurrent_initializer=_GAIN), 60, SGD(0.01)
    ),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)
add(
    "explode_rnn_linear",
    lambda: _recurrent(
        layers.SimpleRNN(32, activation="linear", recurrent_initializer=_BROAD_GAIN), 50, SGD(0.01)
    ),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)
add(
    "explode_rnn_relu_default",
    lambda: _recurrent(layers.SimpleRNN(64, activation="relu"), 200, SGD(0.05)),
    C.EXPLODING_GRADIENTS,
)


def _deep_blocks(blocks: int, rate: float) -> Setup:
    x, y = linear()
    inputs = keras.Input((10,))
    h = layers.Dense(32)(inputs)
    for _ in range(blocks):
        h = layers.Add()([h, layers.Dense(32, "relu", kernel_initializer="he_normal")(h)])
    return Setup(compiled(keras.Model(inputs, layers.Dense(1)(h)), SGD(rate), "mse"), x, y)


add(
    "explode_deep_residual",
    lambda: _deep_blocks(25, 0.01),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)
add(
    "explode_very_deep",
    lambda: _deep_blocks(40, 0.001),
    C.EXPLODING_GRADIENTS,
    C.BAD_INITIALIZATION,
)


# Half precision.


def _half(x: np.ndarray, y: np.ndarray, policy: str, width: int = 64) -> Setup:
    net = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Dense(width, "relu", dtype=policy),
            layers.Dense(1, dtype=policy),
        ]
    )
    return Setup(compiled(net, keras.optimizers.SGD(1e-4), "mse"), x, y)


@case(C.NUMERIC_OVERFLOW, C.UNSCALED_DATA)
def half_large_inputs() -> Setup:
    x, y = linear()
    return _half(3e5 * x, y, "mixed_float16")


@case(C.NUMERIC_OVERFLOW)
def half_square_in_layer() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, "relu", dtype="mixed_float16"),
            layers.Lambda(
                lambda h: ops.sum(ops.square(200 * h), -1, keepdims=True) / 2e5,
                output_shape=(1,),
                dtype="mixed_float16",
            ),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, np.abs(y))


@case(C.NUMERIC_OVERFLOW)
def half_exponential_layer() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, dtype="mixed_float16"),
            layers.Lambda(
                lambda h: ops.log(ops.sum(ops.exp(8 * h), -1, keepdims=True)),
                output_shape=(1,),
                dtype="mixed_float16",
            ),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


@case(C.NUMERIC_OVERFLOW)
def half_power_layer() -> Setup:
    x, y = linear()
    net = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(32, dtype="mixed_float16"),
            layers.Lambda(lambda h: ops.power(ops.abs(h), 14.0), dtype="mixed_float16"),
            layers.LayerNormalization(dtype="float32"),
            layers.Dense(1, dtype="float32"),
        ]
    )
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y)


# Quiet failures.

for _depth in (6, 8, 12):
    add(
        f"vanish_sigmoid_{_depth}",
        lambda d=_depth: _vanishing(d, "sigmoid"),
        C.VANISHING_GRADIENTS,
    )


def _vanishing(depth: int, activation: str) -> Setup:
    x, y = circles()
    net = dense(x, units=(32,) * depth, head="sigmoid", activation=activation)
    return Setup(compiled(net, SGD(0.05), "binary_crossentropy"), x, y, epochs=8)


@case(C.VANISHING_GRADIENTS)
def vanish_sigmoid_regression() -> Setup:
    x, y = curved()
    net = dense(x, units=(32,) * 9, activation="sigmoid")
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, (y - y.mean()) / y.std(), epochs=8)


@case(C.VANISHING_GRADIENTS)
def vanish_hard_sigmoid() -> Setup:
    x, y = xor()
    net = dense(x, units=(24,) * 8, head="sigmoid", activation="hard_sigmoid")
    return Setup(compiled(net, ADAM(1e-3), "binary_crossentropy"), x, y, epochs=8)


for _bias in (-3.0, -10.0, -100.0):
    add(f"dead_bias_{-_bias:g}", lambda b=_bias: _dead(b), C.DEAD_RELU, C.BAD_INITIALIZATION)


def _dead(bias: float) -> Setup:
    x, y = linear()
    net = dense(x, bias=keras.initializers.Constant(bias))
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y, epochs=8)


@case(C.DEAD_RELU, C.BAD_INITIALIZATION, C.UNSCALED_DATA)
def dead_negative_kernels() -> Setup:
    x, y = linear()
    x = np.abs(x)
    net = dense(x, init=keras.initializers.RandomUniform(-0.5, 0.0))
    return Setup(compiled(net, ADAM(1e-3), "mse"), x, y, epochs=8)


def _no_curve(x: np.ndarray, y: np.ndarray, loss: str, head: str | None) -> Setup:
    net = dense(x, units=(64, 64), activation="linear", head=head)
    return Setup(compiled(net, ADAM(0.01), loss), x, y, epochs=10)


add("linear_xor", lambda: _no_curve(*xor(), "binary_crossentropy", "sigmoid"), C.NO_NONLINEARITY)
add(
    "linear_circles",
    lambda: _no_curve(*circles(), "binary_crossentropy", "sigmoid"),
    C.NO_NONLINEARITY,
)


@case(C.NO_NONLINEARITY)
def linear_parabola() -> Setup:
    x = np.random.default_rng(2).uniform(-2, 2, size=(512, 1)).astype(F32)
    return _no_curve(x, x[:, 0] ** 2, "mse", None)


@case(C.NO_NONLINEARITY)
def linear_product() -> Setup:
    x, _ = linear()
    return _no_curve(x, x[:, 0] * x[:, 1], "mae", None)


_SLOW: dict[str, Callable[[], Any]] = {
    "adam_1e8": lambda: ADAM(1e-8),
    "adam_1e7": lambda: ADAM(1e-7),
    "sgd_1e7": lambda: SGD(1e-7),
    "rmsprop_1e8": lambda: keras.optimizers.RMSprop(1e-8),
}
for _name, _optimizer in _SLOW.items():
    add(f"slow_{_name}", lambda o=_optimizer: _slow(o()), C.LEARNING_RATE_TOO_LOW)


def _slow(optimizer: Any) -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), optimizer, "mse"), x, y)


@case(C.LEARNING_RATE_TOO_LOW)
def slow_digits() -> Setup:
    x, y = digits()
    return Setup(compiled(dense(x, out=10, head="softmax"), SGD(1e-7), CE), x / 16, y)


def _narrow(x: np.ndarray, y: np.ndarray, activation: str) -> Setup:
    net = dense(x, units=(1, 1), activation=activation, head="sigmoid")
    return Setup(compiled(net, ADAM(0.02), "binary_crossentropy"), x, y, epochs=20)


add("narrow_xor_tanh", lambda: _narrow(*xor(), "tanh"), C.INSUFFICIENT_CAPACITY)
add("narrow_circles_tanh", lambda: _narrow(*circles(), "tanh"), C.INSUFFICIENT_CAPACITY)


@case(C.INSUFFICIENT_CAPACITY, C.NO_NONLINEARITY)
def narrow_no_hidden_layer() -> Setup:
    x, y = circles()
    net = dense(x, units=(), head="sigmoid")
    return Setup(compiled(net, ADAM(0.02), "binary_crossentropy"), x, y, epochs=20)


# Exceptions.


@case(C.OUT_OF_MEMORY)
def memory_dense() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=(100, 10**11)), "adam", "mse"), x, y)


@case(C.OUT_OF_MEMORY)
def memory_array() -> Setup:
    x, y = linear()
    x = np.zeros((10**9, 10**5), F32)
    return Setup(compiled(dense(x), "adam", "mse"), x, y)


@case(C.INVALID_MODEL)
def shape_kernel_too_large() -> Setup:
    x, y = digits()
    net = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(8, 11), layers.Flatten(), layers.Dense(10)]
    )
    return Setup(compiled(net, "adam", "mse"), x.reshape(-1, 8, 8, 1), y)


@case(C.INVALID_MODEL)
def shape_negative_units() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=(-4,)), "adam", "mse"), x, y)


@case(C.INVALID_MODEL)
def shape_pooled_away() -> Setup:
    x, y = digits()
    net = keras.Sequential([keras.Input((8, 8, 1))])
    for _ in range(5):
        net.add(layers.Conv2D(8, 3))
        net.add(layers.MaxPooling2D())
    return Setup(compiled(net, "adam", "mse"), x.reshape(-1, 8, 8, 1), y)


@case(C.INVALID_MODEL)
def shape_wrong_features() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x[:, :7]), "adam", "mse"), x, y)


@case(C.INVALID_MODEL)
def shape_flat_into_lstm() -> Setup:
    x, y = linear()
    net = keras.Sequential([keras.Input((10,)), layers.LSTM(8), layers.Dense(1)])
    return Setup(compiled(net, "adam", "mse"), x, y)


@case(C.INVALID_MODEL)
def shape_concatenate() -> Setup:
    x, y = linear()
    a, b = keras.Input((5, 2)), keras.Input((4, 2))
    net = keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))
    return Setup(compiled(net, "adam", "mse"), [x, x], y)


@case(C.INVALID_MODEL)
def shape_reshape() -> Setup:
    x, y = linear()
    net = keras.Sequential([keras.Input((10,)), layers.Reshape((3, 4)), layers.Flatten()])
    return Setup(compiled(net, "adam", "mse"), x, y)


@case(C.INVALID_MODEL)
def shape_small_vocabulary() -> Setup:
    x, y = words()
    net = keras.Sequential(
        [keras.Input((12,)), layers.Embedding(20, 8), layers.Flatten(), layers.Dense(1)]
    )
    return Setup(compiled(net, "adam", "mse"), x, y)


@case(C.CODE_ERROR)
def code_name() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), "adam", "mse"), x, undefined_name)  # noqa: F821


@case(C.CODE_ERROR)
def code_key() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, units=({"small": 8}["large"],)), "adam", "mse"), x, y)


@case(C.CODE_ERROR)
def code_callback() -> Setup:
    x, y = linear()

    class Broken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            print(1 / epoch)

    return Setup(compiled(dense(x), "adam", "mse"), x, y, fit={"callbacks": [Broken()]})


@case(C.CODE_ERROR)
def code_in_loss() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x), "adam", lambda y, p: ops.mean(y - p).nothing), x, y)
