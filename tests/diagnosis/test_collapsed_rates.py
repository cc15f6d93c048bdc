"""Learning rates that come down to nothing before anything is learned; and sound schedules."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras.optimizers import schedules

from robusttune import FailureCause, Guard, TrialRecord
from robusttune._diagnosis.model.info import highest_rate, model_facts
from robusttune._diagnosis.replay.intervention import Intervention


def fitted(rate: Any, *callbacks: Any, noise: bool = False) -> TrialRecord:
    """Return the record of ten epochs on four clusters, or on labels that nothing tells."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    centres, y = rng.normal(size=(4, 10)) * 2, rng.integers(0, 4, 1000)
    x = (centres[y] + rng.normal(size=(1000, 10))).astype("float32")
    layers = [keras.layers.Dense(32, "relu"), keras.layers.Dense(4, "softmax")]
    model = keras.Sequential([keras.Input((10,)), *layers])
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    guard = Guard()
    labels = rng.integers(0, 4, 1000) if noise else y
    model.fit(x, labels, epochs=10, verbose=0, callbacks=[guard, *callbacks])
    assert guard.record is not None
    return guard.record


@pytest.mark.parametrize(
    "rate",
    [
        schedules.ExponentialDecay(1e-3, decay_steps=1, decay_rate=0.5),
        pytest.param(schedules.CosineDecay(1e-3, decay_steps=10), marks=pytest.mark.full),
        pytest.param(schedules.InverseTimeDecay(1e-3, 1, 50.0), marks=pytest.mark.full),
    ],
    ids=lambda rate: type(rate).__name__,
)
def test_a_schedule_that_collapses_is_named(rate: Any) -> None:
    """Also where it ends at exactly 0; the cure is its highest rate throughout."""
    record = fitted(rate)
    assert record.cause is FailureCause.LEARNING_RATE_TOO_LOW
    assert record.evidence["fix"]["learning_rate"] == 1e-3
    assert "throughout" in (record.advice or "")


def test_a_callback_that_takes_the_rate_to_0_is_named() -> None:
    """The rate before the fit is what it might have been."""
    record = fitted(1e-3, keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0))
    assert record.cause is FailureCause.LEARNING_RATE_TOO_LOW


@pytest.mark.parametrize("noise", [False, True])
def test_a_schedule_over_the_whole_fit_is_left_alone(noise: bool) -> None:
    """It ends at 0 as well, and a fit of noise would learn nothing at any rate."""
    assert fitted(schedules.CosineDecay(1e-3, decay_steps=320), noise=noise).cause is None


def test_the_highest_rate_of_a_schedule() -> None:
    """Also after a warm-up; a plain number is no schedule."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    warm = schedules.CosineDecay(0.0, 80, warmup_target=0.1, warmup_steps=20)
    model.compile(keras.optimizers.SGD(warm), "mse")
    assert highest_rate(model, 100) == pytest.approx(0.1)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    assert highest_rate(model, 100) is None


@pytest.mark.parametrize("rate", [1e-4, 0.1, 3e-7, 0.0])
def test_a_rate_is_the_number_that_was_written(rate: float) -> None:
    """Not the nearest float32, by which Adam(1e-4) would be below its unusual rates, 1e-4."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    assert model_facts(model).learning_rate == rate


def test_a_held_rate_in_words() -> None:
    """It is what a report says was changed; a factor comes on top."""
    held = Intervention(held_rate=0.01)
    assert str(held | Intervention(rate=0.1)) == "learning rate / 10 + learning rate held at 0.01"
    assert held.causes == (FailureCause.LEARNING_RATE_TOO_LOW,)
