"""What people ask about most, as they post it, with the right words; and its sound twins."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras.layers import Activation, Dense, Dropout
from keras.optimizers import SGD, Adam

import robusttune
from robusttune import TrialRecord

BITS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
XOR = np.array([[0], [1], [1], [0]], "float32")
POINTS = np.array([[0.0], [0.5], [1.0]], "float32")
SINE = np.sin(2 * POINTS)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(640, 6)).astype("float32")
LINEAR = X @ RNG.normal(size=(6, 1))
LINE = RNG.normal(size=(100, 1)).astype("float32")


def fitted(layers: list[Any], optimizer: Any, loss: str, x: Any, y: Any, **fit: Any) -> TrialRecord:
    """Return what Guard says of a fit."""
    keras.utils.set_random_seed(0)
    fresh = [type(layer).from_config(layer.get_config()) for layer in layers]
    model = keras.Sequential([keras.Input(x.shape[1:]), *fresh])
    model.compile(optimizer, loss)
    guard = robusttune.Guard(robusttune.Policy(diagnosis_seconds=60.0))
    model.fit(x, y, verbose=0, callbacks=[guard], **fit)
    assert guard.record is not None
    return guard.record


@pytest.mark.parametrize(
    ("optimizer", "loss", "epochs"),
    [
        (Adam(), "binary_crossentropy", 100),
        pytest.param(SGD(0.05), "mean_squared_error", 500, marks=pytest.mark.full),
        pytest.param(SGD(0.01), "binary_crossentropy", 2000, marks=pytest.mark.full),
    ],
)
def test_xor_in_too_few_steps_of_a_low_rate(optimizer: Any, loss: str, epochs: int) -> None:
    """Two sigmoid units learn it, at a higher rate or in many more epochs: the words say which."""
    record = fitted(
        [Dense(2), Activation("sigmoid"), Dense(1, "sigmoid")],
        *(optimizer, loss, BITS, XOR),
        epochs=epochs,
    )
    assert record.cause == "learning_rate_too_low"
    assert record.advice is not None
    assert f"in {epochs} epochs" in record.advice
    assert record.evidence["steps_needed"] > 0
    assert record.evidence["end_state"]["state"] in ("saddle", "still_learning")
    assert abs(record.skill or 1.0) < 0.1


@pytest.mark.full
def test_a_linear_stack_at_its_optimum_although_the_skill_is_high() -> None:
    """Least squares, whatever the number of units; both numbers are told."""
    record = fitted([Dense(10), Dense(1)], Adam(0.05), "mse", POINTS, SINE, epochs=200)
    assert record.cause == "no_nonlinearity"
    assert record.skill is not None
    assert record.skill > 0.8
    found = record.evidence
    assert found["loss_reached"] == pytest.approx(found["best_linear_loss"], rel=0.05)


def test_a_linear_stack_far_from_its_optimum_has_a_low_rate() -> None:
    """And a better rate would end where least squares do."""
    record = fitted([Dense(10), Dense(1)], Adam(1e-5), "mse", POINTS, SINE, epochs=150)
    assert record.cause == "learning_rate_too_low"
    assert record.advice is not None
    assert "least squares" in record.advice


def test_two_layers_of_dropout_on_a_linear_task() -> None:
    """Each leaves one unit in twenty."""
    layers = [Dense(32, "relu"), Dropout(0.95), Dense(32, "relu"), Dropout(0.95), Dense(1)]
    record = fitted(layers, "adam", "mse", X, LINEAR, epochs=8)
    assert record.cause == "over_regularized"
    assert record.fix_verified


SOUND: dict[str, tuple[list[Any], Any, str, Any, Any, int]] = {
    "xor with enough tanh units": (
        [Dense(8, "tanh"), Dense(1, "sigmoid")],
        *(Adam(0.1), "binary_crossentropy", BITS, XOR, 100),
    ),
    "sine with tanh": ([Dense(10, "tanh"), Dense(1)], Adam(0.05), "mse", POINTS, SINE, 200),
    "one neuron on a noisy line": (
        [Dense(1)],
        *(SGD(0.1), "mse", LINE, 3 * LINE + 1 + RNG.normal(size=(100, 1)), 30),
    ),
    "linear layers on a noisy line": (
        [Dense(10), Dense(1)],
        *(Adam(0.01), "mse", LINE, 3 * LINE + 1 + RNG.normal(size=(100, 1)), 60),
    ),
    "scaled cubic": ([Dense(16, "relu"), Dense(1)], Adam(0.01), "mse", LINE, LINE**3 / 5, 60),
    "noise": ([Dense(32, "relu"), Dense(1)], Adam(0.01), "mse", X, RNG.normal(size=(640, 1)), 8),
    "few rows of noise": (
        [Dense(8, "relu"), Dense(1)],
        *(Adam(0.001), "mse", X[:30], RNG.normal(size=(30, 1)), 30),
    ),
    "noise of classes": (
        [Dense(32, "relu"), Dense(1, "sigmoid")],
        *(Adam(), "binary_crossentropy", X, RNG.integers(0, 2, 640), 5),
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_twins_stay_without_a_word(name: str) -> None:
    """Whether there is something to learn or not."""
    layers, optimizer, loss, x, y, epochs = SOUND[name]
    assert fitted(layers, optimizer, loss, x, y, epochs=epochs).cause is None
