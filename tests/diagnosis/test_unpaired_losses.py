"""Losses of the user's own that compare each prediction with every target of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from robusttune import FailureCause, Guard, TrialRecord
from robusttune._diagnosis.data.unpaired import pairs_no_rows
from robusttune._diagnosis.trace import Batch
from tests.zoo import stack

RNG = np.random.default_rng(3)
X = RNG.normal(size=(512, 10)).astype("float32")
Y = (X @ RNG.normal(size=10) / 3 + 0.1 * RNG.normal(size=512)).astype("float32")
Loss = Callable[[Any, Any], Any]


def compiled(loss: Any, out: int = 1) -> keras.Model:
    """A small regression model."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(32, "relu"), keras.layers.Dense(out)]
    return stack(*layers, optimizer=keras.optimizers.Adam(3e-3), loss=loss)


def fitted(loss: Any) -> TrialRecord:
    """Return the record of a fit."""
    guard = Guard()
    compiled(loss).fit(X, Y, epochs=8, verbose=0, callbacks=[guard])
    assert guard.record is not None
    return guard.record


def broadcast(y: Any, p: Any) -> Any:
    """(rows, 1) - (rows,) is (rows, rows)."""
    return ops.mean(ops.square(y - p[:, 0]))


def paired(y: Any, p: Any) -> Any:
    """The same, of one shape."""
    return ops.mean(ops.square(y[:, 0] - p[:, 0]))


def test_a_broadcast_loss_is_named_although_it_falls() -> None:
    """With what is wrong in it, and the plain loss as the proof."""
    record = fitted(broadcast)
    assert record.cause is FailureCause.UNSAFE_LOSS
    assert record.fix_verified
    assert "(rows, 1) and (rows,)" in (record.advice or "")


def test_its_sound_twin_is_left_alone() -> None:
    """It pairs rows."""
    assert fitted(paired).cause is None


def nearest(y: Any, p: Any) -> Any:
    """Distributions alone are matched: sorted values are compared."""
    return ops.mean(ops.square(ops.sort(y[:, 0]) - ops.sort(p[:, 0])))


@pytest.mark.parametrize(
    ("loss", "unpaired"),
    [
        (broadcast, True),
        (lambda y, p: ops.mean(ops.abs(y - p[:, 0]) / (ops.abs(y) + 0.5)), True),
        (nearest, True),
        (paired, False),
        (lambda y, p: ops.mean(ops.square(p)), False),  # of no targets
        (lambda y, p: ops.mean(ops.square(y - p)) + 1e3, False),
        ("mse", False),
    ],
)
def test_rows_are_paired(loss: Any, unpaired: bool) -> None:
    """By shuffling the targets of one batch; a dead model hides nothing."""
    for bias in (0.0, -100.0):
        model = compiled(loss)
        model.layers[0].bias.assign(ops.full((32,), bias))
        model.layers[1].bias.assign([0.3])
        assert pairs_no_rows(model, Batch(X[:32], Y[:32])) is unpaired


def test_what_cannot_be_told_is_no_finding() -> None:
    """Few rows, no targets, a loss that raises."""

    def raises(y: Any, p: Any) -> Any:
        raise ValueError("not with these")

    model = compiled(broadcast)
    assert not pairs_no_rows(model, None)
    assert not pairs_no_rows(model, Batch(X[:3], Y[:3]))
    assert not pairs_no_rows(model, Batch(X[:32], None))
    assert not pairs_no_rows(compiled(raises), Batch(X[:32], Y[:32]))


@pytest.mark.full
def test_a_loss_that_matches_distributions_is_left_alone() -> None:
    """It pairs no rows on purpose: what is to be learned is not which row has which target."""
    noise = np.random.default_rng(5).normal(size=512).astype("float32")
    guard = Guard()
    compiled(nearest).fit(X, noise, epochs=8, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause is None
