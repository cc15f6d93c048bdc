"""The cases that everybody meets, each as people write it, through one trial of a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import robusttune
from tests.zoo import stack


def one_trial(
    directory: Path, model: Callable[[], keras.Model], x: Any, y: Any, epochs: int
) -> Any:
    """Run a search of one trial and return its row in the report."""

    def build(hp: Any) -> keras.Model:
        hp.Fixed("kind", "classic")
        return model()

    keras.utils.set_random_seed(2)
    tuner = robusttune.RandomSearch(
        build,
        objective=keras_tuner.Objective("loss", "min"),
        max_trials=1,
        directory=str(directory),
        policy=robusttune.Policy(diagnosis_seconds=60.0),  # also where the machine is busy
    )
    tuner.search(x, y, epochs=epochs, batch_size=32, verbose=0)
    return tuner.report().trials.iloc[0]


def dense(
    inputs: int, *layers: Any, rate: float = 0.01, optimizer: str = "SGD", loss: Any = "mse"
) -> keras.Model:
    """A compiled Sequential."""
    by = getattr(keras.optimizers, optimizer)(rate)
    return stack(*layers, inputs=inputs, optimizer=by, loss=loss)


def hidden() -> Any:
    """The layer between."""
    return keras.layers.Dense(16, activation="relu")


def scaled(rows: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets as they should be."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 6)).astype("float32")
    return x, np.tanh(x @ rng.normal(size=(6, 1))).astype("float32")


@pytest.mark.parametrize(("optimizer", "rate"), [("SGD", 20.0), ("Adam", 10.0)])
def test_learning_rate_too_high(optimizer: str, rate: float, tmp_path: Path) -> None:
    """Scaled data and an absurd rate: it is the rate."""
    x, y = scaled()
    row = one_trial(
        tmp_path,
        lambda: dense(6, hidden(), keras.layers.Dense(1), rate=rate, optimizer=optimizer),
        x,
        y,
        10,
    )
    assert row.status == "failed"
    assert row.cause == "divergent_learning_rate"


def test_inputs_and_targets_in_the_thousands(tmp_path: Path) -> None:
    """An ordinary rate on unscaled data: it is the data."""
    x, y = scaled()
    row = one_trial(
        tmp_path,
        lambda: dense(6, hidden(), keras.layers.Dense(1), rate=0.01),
        5000 * x,
        2000 * y,
        5,
    )
    assert row.unstable
    assert row.cause == "unscaled_data"


def test_loss_that_divides_by_a_target_of_zero(tmp_path: Path) -> None:
    """One zero among the targets is enough."""

    def percentage(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.abs((y_true - y_pred) / y_true))

    x, y = scaled()
    y[17] = 0.0
    row = one_trial(
        tmp_path,
        lambda: dense(6, hidden(), keras.layers.Dense(1), loss=percentage),
        x,
        y,
        3,
    )
    assert row.status == "failed"
    assert row.cause == "unsafe_loss"


def test_nan_in_the_inputs(tmp_path: Path) -> None:
    """A NaN in X is named as such."""
    x, y = scaled()
    x[40, 2] = np.nan
    row = one_trial(tmp_path, lambda: dense(6, hidden(), keras.layers.Dense(1)), x, y, 3)
    assert row.status == "failed"
    assert row.cause == "non_finite_data"


def _dropped() -> tuple[Callable[[], keras.Model], Any, Any]:
    x, y = scaled()
    x[40, 2] = np.nan
    kept = np.isfinite(x).all(axis=1)
    return lambda: dense(6, hidden(), keras.layers.Dense(1)), x[kept], y[kept]


def _imputed() -> tuple[Callable[[], keras.Model], Any, Any]:
    x, y = scaled()
    x[40, 2] = np.nan
    return lambda: dense(6, hidden(), keras.layers.Dense(1)), np.nan_to_num(x), y


def _masked() -> tuple[Callable[[], keras.Model], Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(128, 8, 3)).astype("float32")
    y = x.mean(axis=(1, 2))[:, None]
    x[:, 5:] = -1.0  # padding, which Masking hides

    def masking() -> keras.Model:
        model = keras.Sequential(
            [
                keras.Input((8, 3)),
                keras.layers.Masking(-1.0),
                keras.layers.LSTM(8),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    return masking, x, y


def _deep_net_on_xor() -> tuple[Callable[[], keras.Model], Any, Any]:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0]], "float32")
    layers = [keras.layers.Dense(16, activation="tanh") for _ in range(4)]

    def deep() -> keras.Model:
        fresh = [layer.__class__.from_config(layer.get_config()) for layer in layers]
        last = keras.layers.Dense(1, activation="sigmoid")
        return dense(2, *fresh, last, rate=0.01, optimizer="Adam", loss="binary_crossentropy")

    return deep, np.tile(x, (32, 1)), np.tile(y, (32, 1))


@pytest.mark.parametrize("case", [_dropped, _imputed, _masked, _deep_net_on_xor])
def test_healthy_relatives_of_the_classics(case: Any, tmp_path: Path) -> None:
    """What looks like a classic and is none raises no alarm."""
    model, x, y = case()
    row = one_trial(tmp_path, model, x, y, 30 if case is _deep_net_on_xor else 8)
    assert row.status == "completed"
    assert not row.unstable
