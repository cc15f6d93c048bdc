"""Fits that learn nothing, each as people write it, with the cause that Guard names; and twins."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras.initializers import Constant, RandomUniform
from keras.layers import (
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    MaxPooling2D,
    Normalization,
    ReLU as Relu,
)

import robusttune
from robusttune import TrialRecord

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 8)).astype("float32")
Q = np.tanh(X @ RNG.normal(size=(8, 1))).astype("float32")
B = (Q[:, 0] > 0).astype(int)
TOKENS = RNG.integers(0, 50, (600, 6))


def fitted(
    layers: Any, loss: Any, y: Any, x: Any = X, optimizer: Any = "adam", seed: int = 0, **fit: Any
) -> TrialRecord:
    """Return what Guard says of a fit; the layers are made anew, so that the seed draws weights."""
    keras.utils.set_random_seed(seed)
    fresh = [each if each.built else type(each).from_config(each.get_config()) for each in layers]
    model = keras.Sequential([keras.Input(x.shape[1:]), *fresh])
    model.compile(optimizer, loss)
    guard = robusttune.Guard(robusttune.Policy(diagnosis_seconds=60.0))
    model.fit(x, y, verbose=0, callbacks=[guard], **{"epochs": 6, **fit})
    assert guard.record is not None
    return guard.record


@pytest.mark.parametrize("rate", [-1e3, -1e-1, -1e-3, -1e-7])
def test_a_negative_learning_rate_is_named(rate: float) -> None:
    """However small: it goes uphill."""
    optimizer = keras.optimizers.Adam(rate)
    record = fitted([Dense(8, "relu"), Dense(1, "sigmoid")], "binary_crossentropy", B, X, optimizer)
    assert record.cause == "divergent_learning_rate"
    assert record.advice is not None
    assert "negative" in record.advice


def test_a_negative_learning_rate_is_named_in_a_fit_of_a_few_steps() -> None:
    """No course is needed."""
    optimizer = keras.optimizers.SGD(-0.01)
    record = fitted([Dense(1)], "mse", Q, X, optimizer, epochs=1, batch_size=200)
    assert record.cause == "divergent_learning_rate"


@pytest.mark.parametrize(
    ("loss", "optimizer"),
    [
        ("categorical_crossentropy", "sgd"),
        ("categorical_crossentropy", "adam"),
        ("mean_squared_error", "sgd"),
    ],
)
def test_several_labels_a_row_under_a_softmax(loss: str, optimizer: str) -> None:
    """0 to 4 ones a row: whatever the loss does, and before any fit."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (1000, 12)).astype("float32")
    y = np.stack([x[:, 0], x[:, 1] * x[:, 2], np.maximum(x[:, 3], x[:, 4]), 1 - x[:, 5]], 1)
    layers = [Dense(20, "relu"), Dense(4, "softmax")]
    record = fitted(layers, loss, y, x, optimizer, batch_size=50)
    assert record.cause == "label_mismatch"
    assert record.advice is not None
    assert "sigmoid" in record.advice


@pytest.mark.full
@pytest.mark.parametrize(("size", "epochs"), [(1, 2), (4, 4), (32, 20)])
def test_whole_prices_are_quantities_at_any_batch_size(size: int, epochs: int) -> None:
    """Also where a batch is one row."""
    y = np.round(180_000 + 60_000 * X[:, 0] + 30_000 * X[:, 1]).astype("float32")
    layers = [Dense(20, "tanh"), Dense(20, "tanh"), Dense(1)]
    record = fitted(layers, "mse", y, epochs=epochs, batch_size=size)
    assert record.cause == "unscaled_data"
    assert record.skill is not None
    assert record.skill < -1


def test_a_doubtful_head_counts_where_the_loss_ends_above_a_constants() -> None:
    """A linear head under a loss of probabilities, raw pixels, and dropout."""
    rng = np.random.default_rng(0)
    kinds = rng.uniform(0, 255, (10, 16, 16, 3))
    y = rng.integers(0, 10, 800)
    x = np.clip(kinds[y] * rng.uniform(0.4, 1, (800, 1, 1, 1)), 0, 255).astype("float32")
    layers = [
        *(Conv2D(8, 3, activation="relu"), MaxPooling2D(), Dropout(0.8), Flatten()),
        *(Dense(16, "relu"), Dropout(0.8), Dense(10)),
    ]
    record = fitted(layers, "sparse_categorical_crossentropy", y, x, batch_size=64)
    assert record.cause == "label_mismatch"
    assert record.skill is not None
    assert record.skill < 0


@pytest.mark.parametrize(
    ("layers", "loss", "y"),
    [
        ([Dense(8, "relu"), Dense(1), Relu()], "mse", 2 * Q),
        ([Dense(8, "relu"), Dense(1, "tanh")], "binary_crossentropy", B),
        ([Dense(8, "relu"), Dense(1), keras.layers.Softmax()], "mse", B),
        ([Dense(8, "relu"), Dense(1, "sigmoid")], "mse", B + (Q[:, 0] > 0.5)),
    ],
)
def test_the_wrong_head_is_named(layers: Any, loss: str, y: Any) -> None:
    """A relu on negative targets, a tanh for probabilities, one unit for three classes."""
    assert fitted(layers, loss, y).cause == "label_mismatch"


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(16, "relu", kernel_initializer="zeros"), Dense(1)],
        [
            Dense(16, "tanh", kernel_initializer=Constant(0.5)),
            Dense(1, kernel_initializer=Constant(0.5)),
        ],
        [
            Dense(16, "tanh", kernel_initializer="zeros"),
            Dense(1, kernel_initializer="zeros"),
        ],
        [Dense(16, "relu"), Dense(1, bias_initializer=Constant(1e5))],
    ],
)
def test_first_weights_that_stop_learning_are_named(layers: Any) -> None:
    """Units that stay alike, a bias far from all targets."""
    targets = np.abs(X[:, :1]) - 0.8  # not what a single unit learns
    record = fitted(layers, "mse", targets)
    assert record.cause == "bad_initialization"
    assert record.confidence is not None
    assert record.confidence > 0.9


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(16, "relu", bias_initializer=Constant(-10.0)), Dense(1)],
        [Dense(16, bias_initializer=Constant(-10.0)), Relu(), Dense(1)],
        [Dense(16, "relu"), Dense(16, "relu", bias_initializer=Constant(-30.0)), Dense(1)],
    ],
)
def test_biases_that_switch_units_off_are_named(layers: Any) -> None:
    """No row makes them fire, before the fit and after it."""
    record = fitted(layers, "mse", Q)
    assert (record.cause, record.other_causes) == ("dead_relu", ("bad_initialization",))
    assert record.advice is not None
    assert "biases" in record.advice


def test_huge_embeddings_are_named() -> None:
    """They saturate what comes after."""
    layers = [
        *(Embedding(50, 8, embeddings_initializer=RandomUniform(-1e4, 1e4)), Flatten()),
        *(Dense(16, "tanh"), Dense(1, "sigmoid")),
    ]
    record = fitted(layers, "binary_crossentropy", TOKENS[:, 0] > 25, TOKENS)
    assert record.cause == "bad_initialization"


def test_nan_that_adapt_has_frozen_is_in_the_data() -> None:
    """The initializer is not to blame."""
    x = X.copy()
    x[3, 2] = np.nan
    layer = Normalization()
    layer.adapt(x)
    record = fitted([layer, Dense(8, "tanh"), Dense(1)], "mse", Q)
    assert record.cause == "non_finite_data"
    assert record.evidence["non_finite_columns"] == ["x column 2"]


def far_from_0(y: Any, p: Any) -> Any:
    """Return a loss with a constant that hides what is learned."""
    return keras.ops.mean(keras.ops.square(y - p)) + 1000.0


SOUND = {
    "loss with a large constant": ([Dense(16, "relu"), Dense(1)], far_from_0, Q),
    "zeros that the head tells apart": (
        [Dense(16, "tanh", kernel_initializer="zeros"), Dense(1)],
        "mse",
        Q,
    ),
    "head of zeros": ([Dense(16, "tanh"), Dense(1, kernel_initializer="zeros")], "mse", Q),
    "bias at the mean": (
        [Dense(16, "relu"), Dense(1, bias_initializer=Constant(1e3))],
        "mse",
        Q + 1000,
    ),
    "noise under a tanh": ([Dense(8, "relu"), Dense(1, "tanh")], "mse", RNG.uniform(size=600)),
    "noise of classes": (
        [Dense(8, "relu"), Dense(1, "sigmoid")],
        "binary_crossentropy",
        RNG.integers(0, 2, 600),
    ),
    "ordinal": ([Dense(8, "relu"), Dense(1)], "mse", B + (Q[:, 0] > 0.5)),
    "soft labels": (
        [Dense(8, "relu"), Dense(2, "softmax")],
        "categorical_crossentropy",
        np.eye(2)[B] * 0.8 + 0.1,
    ),
    "softmax and from_logits": (
        [Dense(8, "relu"), Dense(2, "softmax")],
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        B,
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_twins_stay_without_a_word(name: str) -> None:
    """They train, or there is nothing to learn."""
    layers, loss, y = SOUND[name]
    record = fitted(layers, loss, y, epochs=8)
    assert record.cause is None


def test_a_softmax_over_one_unit_is_named_under_any_loss() -> None:
    """Before a Flatten, and under a loss of the user's own."""
    rng = np.random.default_rng(1)

    def dice(y: Any, p: Any) -> Any:
        return 1 - keras.ops.mean(2 * y * p / (y + p + 1))

    images = rng.normal(size=(160, 6, 6, 1)).astype("float32")
    masks = (images > 0).astype("float32")
    record = fitted([Conv2D(1, 3, padding="same", activation="softmax")], dice, masks, images)
    assert record.cause == "label_mismatch"
    steps = rng.normal(size=(320, 5, 3)).astype("float32")
    layers = [Dense(8, "relu"), Dense(1, "softmax"), Flatten()]
    chosen = steps[:, :, 0].argmax(axis=1)
    assert (
        fitted(layers, "sparse_categorical_crossentropy", chosen, steps).cause == "label_mismatch"
    )


def test_hidden_softmax_layers_let_gradients_vanish() -> None:
    """Written as an argument; an attention's softmax has no weights of its own, and stays."""
    layers = [*(Dense(16, "softmax") for _ in range(4)), Dense(2, "softmax")]
    record = fitted(layers, "sparse_categorical_crossentropy", B, epochs=8)
    assert record.cause == "vanishing_gradients"


def test_a_leaky_relu_of_slope_1_is_none() -> None:
    """It passes on what it gets."""
    layers = [Dense(16), keras.layers.LeakyReLU(1.0), Dense(16), keras.layers.LeakyReLU(1.0)]
    y = (X[:, :1] * X[:, 1:2]).astype("float32")
    record = fitted([*layers, Dense(1)], "mse", y, optimizer=keras.optimizers.Adam(0.01), epochs=8)
    assert record.cause == "no_nonlinearity"


@pytest.mark.parametrize(
    "constraint", [keras.constraints.MaxNorm(1e-3), keras.constraints.MinMaxNorm(0.0, 1e-3)]
)
def test_a_norm_that_allows_nothing_regularizes_too_much(constraint: Any) -> None:
    """The weights cannot grow."""
    layers = [Dense(16, "relu", kernel_constraint=constraint) for _ in range(2)]
    record = fitted([*layers, Dense(1, "sigmoid")], "binary_crossentropy", B, epochs=8)
    assert record.cause == "over_regularized"
    assert record.advice is not None
    assert "constraint" in record.advice


class Jitter(keras.layers.Layer):
    """Noise of the user's own."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return inputs with much noise in training."""
        noise = 30 * keras.random.normal(keras.ops.shape(inputs))
        return inputs + noise if training else inputs


@pytest.mark.full
def test_noise_that_no_layer_of_keras_adds_is_found() -> None:
    """In a layer of the user's, and inside of a recurrent one."""
    rng = np.random.default_rng(1)
    layers = [Jitter(), Dense(16, "relu"), Dense(1, "sigmoid")]
    record = fitted(layers, "binary_crossentropy", B, X, keras.optimizers.Adam(0.01))
    assert record.cause == "over_regularized"
    x = rng.normal(size=(320, 12, 3)).astype("float32")
    layers = [keras.layers.LSTM(8, recurrent_dropout=0.98, dropout=0.95), Dense(1, "sigmoid")]
    y = (x[:, -1, 0] > 0).astype(int)
    record = fitted(layers, "binary_crossentropy", y, x, keras.optimizers.Adam(0.01))
    assert record.cause == "over_regularized"


def test_biases_that_saturate_tanh_units_are_a_bad_start() -> None:
    """Not vanishing gradients, which relu units would cure as well."""
    layers = [Dense(16, "tanh", bias_initializer=Constant(20.0)) for _ in range(2)]
    record = fitted([*layers, Dense(1)], "mse", Q, epochs=8)
    assert record.cause == "bad_initialization"


@pytest.mark.full
def test_what_a_sequence_has_in_its_first_steps_is_out_of_reach() -> None:
    """The gradient does not come back so far, and a net that sees all steps learns."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(512, 60, 1)).astype("float32")
    y = (x[:, :3].sum(axis=(1, 2)) > 0).astype(int)
    layers = [keras.layers.LSTM(8), Dense(1, "sigmoid")]
    record = fitted(layers, "binary_crossentropy", y, x, epochs=3)
    assert record.cause == "vanishing_gradients"


def test_pure_half_precision_is_cured_in_float32() -> None:
    """An epsilon of 1e-8 is 0 in float16, as the squares of small gradients are."""
    layers = [Dense(16, "relu", dtype="float16"), Dense(2, "softmax", dtype="float16")]
    x = np.hstack([X, np.zeros((600, 1), "float32")])  # a gradient of exactly 0
    adam = keras.optimizers.Adam(1e-3, epsilon=1e-8)
    record = fitted(layers, "sparse_categorical_crossentropy", B, x, adam)
    assert record.cause == "numeric_overflow"


def test_one_hidden_unit_is_too_few_where_much_is_learned() -> None:
    """Also where it has gained something on a constant prediction."""
    rng = np.random.default_rng(1)
    angle = rng.uniform(0, 2 * np.pi, 600)
    radius = np.where(np.arange(600) % 2, 1.0, 2.0)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype("float32")
    layers = [Dense(1, "tanh"), Dense(1, "sigmoid")]
    record = fitted(
        *(layers, "binary_crossentropy", np.arange(600) % 2, x, keras.optimizers.Adam(0.05)),
        epochs=12,
    )
    assert record.cause == "insufficient_capacity"


def test_steps_that_a_loss_scale_skips_are_counted() -> None:
    """The gradients overflow at every scale, and nobody says so."""
    half = keras.DTypePolicy("mixed_float16")
    layers = [
        Dense(16, "relu", dtype=half),
        keras.layers.Rescaling(100.0, dtype=half),
        Dense(1, dtype="float32"),
    ]
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3))
    record = fitted(layers, "mse", 1e8 * Q, optimizer=optimizer)
    assert record.other_causes == ("unscaled_data",)
    assert record.cause == "numeric_overflow"
    assert record.evidence["skipped_steps"] > 16
    assert record.evidence["loss_scale"] < 1


def test_inputs_in_a_dict_are_standardized_each_by_its_own_columns() -> None:
    """Whatever the order of the keys."""
    rng = np.random.default_rng(1)
    x = {"numbers": X, "facts": rng.uniform(0, (1e6, 80), (600, 2)).astype("float32")}
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((array.shape[1],), name=name) for name, array in x.items()}
    hidden = Dense(16, "relu")(keras.layers.Concatenate()(list(inputs.values())))
    model = keras.Model(inputs, Dense(2, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    guard = robusttune.Guard(robusttune.Policy(diagnosis_seconds=60.0))
    model.fit(x, B, epochs=4, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause == "unscaled_data"


def test_a_schedule_that_takes_the_rate_to_nothing_is_named() -> None:
    """However many decades, and also where something was learned before."""
    for decades in (2, 4):
        schedule = keras.callbacks.LearningRateScheduler(
            lambda epoch, _, d=decades: 10.0 ** -(3 + d * epoch)
        )
        layers = [Dense(16, "relu"), Dense(1, "sigmoid")]
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), *layers])
        model.compile(keras.optimizers.Adam(0.001), "binary_crossentropy")
        guard = robusttune.Guard(robusttune.Policy(diagnosis_seconds=60.0))
        model.fit(X, B, epochs=8, verbose=0, callbacks=[guard, schedule])
        assert guard.record is not None
        assert guard.record.cause == "learning_rate_too_low"


def test_a_bias_that_saturates_the_head_is_a_bad_start() -> None:
    """Under a sigmoid it need not be far beyond the targets."""
    layers = [Dense(16, "relu"), Dense(1, "sigmoid", bias_initializer=Constant(40.0))]
    assert fitted(layers, "mse", B).cause == "bad_initialization"


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.full)])
def test_a_raw_table_that_blows_up_and_goes_quiet_is_unscaled(seed: int) -> None:
    """At a rate at which standardized inputs do not get below the constant in so few steps."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    income, people = rng.gamma(2, 2, (1024, 1)), rng.gamma(1.5, 2000, (1024, 1))
    x = np.hstack([income, people]).astype("float32")
    y = (0.4 * income[:, 0] + 0.5 * rng.normal(size=1024)).astype("float32")
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    guard = robusttune.Guard()
    model.fit(x, y, epochs=4, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause == "unscaled_data"
    assert "blows up" in (guard.record.advice or "")
