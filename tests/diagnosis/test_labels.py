"""Do labels, head and loss agree? By structure and labels alone, beyond doubt or not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras.layers import Activation, Dense

from robusttune._diagnosis.case import _are_quantities
from robusttune._diagnosis.data.labels import label_mismatch
from robusttune._diagnosis.model.info import LossFacts, OutputHead
from robusttune._diagnosis.rules import model_mismatch
from robusttune._diagnosis.trace import Batch

RNG = np.random.default_rng(0)
BITS = (RNG.uniform(size=(60, 4)) < 0.4).astype("float32")
CLASSES = RNG.integers(0, 3, 60)
ONE_HOT = np.eye(3)[CLASSES]
REALS = RNG.normal(size=(60, 1))
CCE, BCE = "categorical_crossentropy", "binary_crossentropy"
SCCE = "sparse_categorical_crossentropy"
MSE, MAE, KLD = "mean_squared_error", "mean_absolute_error", "kl_divergence"


def verdict(y: Any, loss: str, units: int, activation: str | None, **options: Any) -> str | None:
    """Return "certain", "doubtful" or None."""
    facts = LossFacts(name=loss, built_in=True, **options)
    found = label_mismatch(np.asarray(y), facts, OutputHead(units, activation))
    return None if found is None else "certain" if found.certain else "doubtful"


@pytest.mark.parametrize(
    ("y", "loss", "units", "activation"),
    [
        # Several ones in a row, where what is predicted for a row sums to 1.
        (BITS, CCE, 4, "softmax"),
        (BITS, CCE, 4, None),
        (BITS, MSE, 4, "softmax"),
        (BITS, BCE, 4, "softmax"),
        (BITS, KLD, 4, "softmax"),
        (np.ones((40, 2)), CCE, 2, "softmax"),
        (np.zeros((40, 3)), CCE, 3, "softmax"),
        # One unit.
        (CLASSES > 0, BCE, 1, "softmax"),
        (REALS, MSE, 1, "softmax"),
        (CLASSES > 0, MAE, 1, "softmax"),
        (CLASSES > 0, "hinge", 1, "softmax"),
        (CLASSES, MSE, 1, "sigmoid"),  # three classes
        (CLASSES, BCE, 1, "sigmoid"),
        # Out of reach.
        (REALS, MSE, 1, "relu"),
        (REALS - 3, MAE, 1, "relu"),
        (10 * REALS, MSE, 1, "tanh"),
        (-np.abs(REALS), MSE, 1, "sigmoid"),
        (1e5 * np.abs(REALS), "huber", 1, "sigmoid"),
        (2 * (CLASSES > 0) - 1, MSE, 1, "sigmoid"),
        (5 * REALS, MSE, 1, "elu"),
        (CLASSES * 4, "poisson", 1, "sigmoid"),
        # No probabilities.
        (CLASSES > 0, BCE, 1, "relu"),
        (CLASSES > 0, BCE, 1, "tanh"),
        (ONE_HOT, CCE, 3, "tanh"),
        (CLASSES + 1, SCCE, 3, "softmax"),
    ],
)
def test_what_no_data_trains_well_is_certain(y, loss, units, activation):
    """Whatever the loss did."""
    assert verdict(y, loss, units, activation) == "certain"


@pytest.mark.parametrize(
    ("y", "loss", "units", "activation"),
    [
        (CLASSES > 0, BCE, 1, "linear"),
        (ONE_HOT, CCE, 3, "linear"),
        (CLASSES, SCCE, 3, "linear"),
        (CLASSES > 0, MSE, 1, "tanh"),
        (2 * (CLASSES > 0) - 1, "hinge", 1, "sigmoid"),
        (np.where(np.arange(60)[:, None] % 3, ONE_HOT, 0), CCE, 3, "softmax"),  # unlabelled rows
        (REALS, MSE, 1, "elu"),  # a sixth is below -1
        (np.where(np.arange(100) % 30, 0.5, -9.0), MSE, 1, "relu"),  # a few that are far out
    ],
)
def test_what_may_train_is_doubtful(y, loss, units, activation):
    """It is a verdict only where nothing was learned."""
    assert verdict(y, loss, units, activation) == "doubtful"


@pytest.mark.parametrize(
    ("y", "loss", "units", "activation"),
    [
        (BITS, BCE, 4, "sigmoid"),  # multi-label, as it should be
        (BITS, MSE, 4, "sigmoid"),
        (BITS, MSE, 4, "linear"),
        (ONE_HOT, MSE, 3, "softmax"),
        (ONE_HOT, BCE, 3, "softmax"),
        (ONE_HOT, KLD, 3, "softmax"),
        (0.8 * ONE_HOT + 0.2 / 3, CCE, 3, "softmax"),  # smoothed
        (RNG.dirichlet(np.ones(3), 60), CCE, 3, "softmax"),  # soft, or mixed up
        (np.where(np.arange(60)[:, None] % 30, ONE_HOT, 0), CCE, 3, "softmax"),  # two of 60 empty
        (np.zeros((60, 5, 3)), MSE, 3, "softmax"),  # padding, dummies
        (np.zeros((60, 1)), MSE, 1, "linear"),
        (np.zeros((60, 3)), MSE, 3, "softmax"),
        (CLASSES, MSE, 1, "linear"),  # ordinal
        (CLASSES, MSE, 1, "relu"),
        (CLASSES, "poisson", 1, "exponential"),
        (RNG.uniform(size=60), MSE, 1, "sigmoid"),
        (RNG.uniform(size=60), BCE, 1, "sigmoid"),
        (RNG.uniform(size=60), MSE, 1, "tanh"),
        (RNG.uniform(size=60), MAE, 1, "relu"),
        (RNG.uniform(0, 1.04, 60), MSE, 1, "sigmoid"),  # a little beyond
        (2 * RNG.uniform(size=60) - 1, MSE, 1, "tanh"),
        (np.abs(REALS) - 0.02, MSE, 1, "softplus"),
        (REALS / 2, MSE, 1, "elu"),
        (2 * (CLASSES > 0) - 1, "hinge", 1, "tanh"),
        (CLASSES, SCCE, 3, "sigmoid"),
        (REALS, MSE, 1, None),
    ],
)
def test_what_agrees_is_left_alone(y, loss, units, activation):
    """Soft labels, label smoothing, ordinal targets, regression to 0..1, dummies."""
    assert verdict(y, loss, units, activation) is None


def test_classes_on_another_axis_are_not_judged_by_the_last() -> None:
    """Channels first."""
    y = np.eye(3)[RNG.integers(0, 3, (20, 4))].transpose(0, 2, 1)[:, :, 0]
    assert verdict(np.tile(y, (1, 2)), CCE, 6, "softmax", axis=1) is None


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others take the output")
def test_a_softmax_under_from_logits_is_harmless_where_logits_are_cached() -> None:
    """Keras's TensorFlow backend takes what went into the softmax."""
    assert verdict(CLASSES, SCCE, 3, "softmax", from_logits=True) is None


def test_a_softmax_under_from_logits_is_doubtful_elsewhere(monkeypatch) -> None:
    """It trains, with a flat loss."""
    monkeypatch.setattr("robusttune._diagnosis.data.labels.cached_logits_are_used", lambda: False)
    assert verdict(CLASSES, SCCE, 3, "softmax", from_logits=True) == "doubtful"
    assert verdict(CLASSES > 0, BCE, 1, "sigmoid", from_logits=True) == "doubtful"
    assert verdict(CLASSES, SCCE, 3, "linear", from_logits=True) is None


@pytest.mark.parametrize(
    ("y", "quantities"),
    [
        ([180_000.0, 210_500.0, 99_000.0], True),  # whole floats, few rows
        ([1_000_001, 7], True),
        ([3.7, 18.2], True),
        (np.arange(60.0), True),
        ([0, 1, 1], False),
        ([0.0, 2.0, 9.0], False),
        ([0.1, 0.9], False),  # soft labels
        ([-1.0, 1.0], False),
        ([np.nan, 1.0], False),
        ([], False),
    ],
)
def test_whole_targets_beyond_what_classes_have_are_quantities(y, quantities):
    """Prices are no labels, however few rows were seen."""
    assert _are_quantities(np.asarray(y)) is quantities


@pytest.mark.parametrize("loss", ["mse", "mae", "binary_crossentropy"])
def test_one_unit_for_several_columns_is_named(loss: str) -> None:
    """Keras compares it with each of them; a unit for each time step is another matter."""
    several = (BITS > 0).astype("float32")
    activation = "sigmoid" if loss == "binary_crossentropy" else None
    one = keras.Sequential([keras.Input((4,)), Dense(1, activation=activation)])
    one.compile("adam", loss)
    found = model_mismatch(one, [Batch(several, several)])
    assert found is not None
    assert found.certain
    assert "4 columns" in found.reason
    alike = np.repeat(several[:, :1], 4, axis=1)
    assert model_mismatch(one, [Batch(several, alike)]) is None
    steps = keras.Sequential([keras.Input((4, 2)), Dense(1, activation=activation)])
    steps.compile("adam", loss)
    sequences = np.zeros((60, 4, 2), "float32")
    assert model_mismatch(steps, [Batch(sequences, several)]) is None


def test_every_output_is_looked_at() -> None:
    """Also the second one, with its activation in a layer or a function of its own."""
    x = keras.Input((4,))
    for end in (Activation("sigmoid"), keras.activations.sigmoid):
        ends = [Dense(1, name="a")(x), end(Dense(1)(x))]
        model = keras.Model(x, ends)
        model.compile("sgd", ["mse", "mse"])
        found = model_mismatch(model, [Batch(None, [REALS, 50 * np.abs(REALS)])])
        assert found is not None
        assert found.certain
        assert "sigmoid" in found.reason
        assert model_mismatch(model, [Batch(None, [REALS, np.abs(REALS) / 5])]) is None
