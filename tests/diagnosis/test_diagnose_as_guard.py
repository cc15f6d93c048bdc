"""`robusttune.diagnose` says without a fit what Guard says in one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import robusttune
from robusttune import Guard

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 6)).astype("float32")
Y = X @ RNG.normal(size=(6, 1)).astype("float32")


def compiled(loss: Any = "mse", **arguments: Any) -> keras.Model:
    """Return a model of one hidden layer."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), loss, **arguments)
    return model


def log_ratio(y: Any, p: Any) -> Any:
    """Return a metric that is undefined where signs differ."""
    return keras.ops.mean(keras.ops.log(p / y))


def no_pairs(y: Any, p: Any) -> Any:
    """Return a loss whose shapes (rows,) and (rows, 1) are broadcast."""
    return keras.ops.mean(keras.ops.square(y[:, 0] - p))


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({}, None),
        ({"metrics": ["mae"]}, None),
        ({"loss": no_pairs}, "unsafe_loss"),
        # A search may have it as its objective, and then its trials fail; a fit has no objective.
        ({"metrics": [log_ratio]}, "unsafe_metric"),
        ({"metrics": ["mae", log_ratio]}, "unsafe_metric"),
    ],
)
def test_diagnose_agrees_with_guard(arguments: dict[str, Any], cause: str | None) -> None:
    """Also where only a metric is undefined, and where the loss falls to no purpose."""
    guard = Guard()
    compiled(**arguments).fit(X, Y, epochs=10, verbose=0, callbacks=[guard])
    assert guard.record is not None
    model = compiled(**arguments)
    before = [np.array(w) for w in model.get_weights()]
    record = robusttune.diagnose(model, X, Y)
    assert record.cause == cause
    assert guard.record.cause == (None if cause == "unsafe_metric" else cause)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    # What was asked leaves no trace in a later fit either.
    history = model.fit(X, Y, epochs=1, verbose=0, shuffle=False).history
    alone = compiled(**arguments).fit(X, Y, epochs=1, verbose=0, shuffle=False).history
    assert set(history) == set(alone)
    for name, values in alone.items():
        np.testing.assert_array_equal(history[name], values)


def log_of_a_difference(y: Any, p: Any) -> Any:
    """Return a loss that is undefined once a prediction comes near enough."""
    return keras.ops.mean(keras.ops.square(y - p) - keras.ops.log(keras.ops.abs(y - p) - 1e-3))


def test_a_loss_that_fails_in_a_later_step_is_unsafe() -> None:
    """The shadow's last good weights and its failing batch are looked at, as the guard's are."""
    guard = Guard()
    compiled(log_of_a_difference).fit(X, Y, epochs=10, verbose=0, callbacks=[guard])
    assert guard.record is not None
    record = robusttune.diagnose(compiled(log_of_a_difference), X, Y)
    assert record.cause == guard.record.cause == "unsafe_loss"


@pytest.mark.parametrize("form", ["arrays", "generator"])
@pytest.mark.parametrize("part", ["x", "y", "sample_weight"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_row_that_is_not_finite_is_bad_data(form: str, part: str, value: float) -> None:
    """Wherever it comes from and late as it may come: a relu may hide it from the loss."""
    data = {"x": X.copy(), "y": Y.copy(), "sample_weight": np.ones(len(X), "float32")}
    data[part][200] = value
    model = compiled()
    if form == "arrays":
        record = robusttune.diagnose(model, **data)
    else:
        rows = [slice(i, i + 32) for i in range(0, len(X), 32)]
        record = robusttune.diagnose(model, (tuple(a[r] for a in data.values()) for r in rows))
    assert record.cause == "non_finite_data"
    assert f"in {part}" in (record.advice or "")


def test_a_metric_that_raises_is_the_users_own_code() -> None:
    """What it raises is the finding."""

    def broken(y: Any, p: Any) -> Any:
        raise KeyError("missing")

    record = robusttune.diagnose(compiled(metrics=[broken]), X, Y)
    assert record.cause == "code_error"
