"""Replays on the Keras backend of this process; test_replay_backends.py runs this on each."""

from __future__ import annotations

import contextlib
import random

import keras
import numpy as np
import optuna
import pytest

from robusttune import FailureCause, Guard, Policy, Symptom, diagnose
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.diagnose_failure import diagnose_failure
from robusttune._diagnosis.replay.intervention import Intervention
from robusttune._diagnosis.replay.runner import ReplayRunner
from robusttune._diagnosis.trace import Batch, FitTrace
from robusttune.optuna import TrialGuard, records_of, robust

RNG = np.random.default_rng(3)
X = RNG.normal(size=(128, 6)).astype("float32")
Y = (X @ np.array([1, -1, 0.5, 0, 0, 0.2])).astype("float32")[:, None]
SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam


def _net(*middle, regularizer=None, activation="tanh"):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation, kernel_regularizer=regularizer),
            *middle,
            keras.layers.Dense(1),
        ]
    )


def _compiled(model, optimizer, loss="mse"):
    model.compile(optimizer, loss)
    return model


def _trace(model, x=X, y=Y, size=32):
    return FitTrace(
        first_batches=[Batch(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)],
        initial_weights=[np.array(w) for w in model.get_weights()],
    )


def _runner(model, x=X, y=Y, **options):
    case = Case(
        symptom=Symptom.DIVERGED,
        model=model,
        trace=_trace(model, x, y),
        params={},
        related_trials=(),
        policy=Policy(),
    )
    case.observe()
    return ReplayRunner(case, **options)


def _state(model):
    variables = (*model.variables, *model.optimizer.variables)
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def _losses_of_a_fit(model, steps):
    """Train for real, batch by batch, and return the loss of each step."""
    losses = []
    for step in range(steps):
        rows = slice(32 * (step % 4), 32 * (step % 4) + 32)
        losses.append(float(model.train_on_batch(X[rows], Y[rows])))
    return losses


def _absolute(y, p):
    return keras.ops.mean(keras.ops.abs(y - p))


def _ordinary(optimizer):
    return lambda: _compiled(_net(), optimizer())


@pytest.mark.parametrize(
    ("make", "intervention", "same"),
    [
        (_ordinary(lambda: SGD(0.1)), {}, _ordinary(lambda: SGD(0.1))),
        (_ordinary(lambda: ADAM(0.01)), {}, _ordinary(lambda: ADAM(0.01))),
        (_ordinary(lambda: SGD(0.1, 0.9)), {"rate": 0.1}, _ordinary(lambda: SGD(0.01, 0.9))),
        (_ordinary(lambda: SGD(0.1, 0.9)), {"momentum": 0.0}, _ordinary(lambda: SGD(0.1))),
        (_ordinary(lambda: SGD(0.1, 0.8)), {"momentum": 0.5}, _ordinary(lambda: SGD(0.1, 0.4))),
        (
            _ordinary(lambda: SGD(0.1)),
            {"clip": 0.3},
            _ordinary(lambda: SGD(0.1, global_clipnorm=0.3)),
        ),
        (
            _ordinary(lambda: keras.optimizers.AdamW(0.01, weight_decay=20.0)),
            {"weight_decay": 0.0},
            _ordinary(lambda: ADAM(0.01)),
        ),
        (
            lambda: _compiled(_net(keras.layers.Dropout(0.5)), ADAM(0.01)),
            {"dropout": 0.0},
            _ordinary(lambda: ADAM(0.01)),
        ),
        (
            lambda: _compiled(_net(keras.layers.GaussianNoise(0.9)), ADAM(0.01)),
            {"noise": 0.0},
            _ordinary(lambda: ADAM(0.01)),
        ),
        (
            lambda: _compiled(_net(regularizer="l2"), SGD(0.1)),
            {"penalty": 0.0},
            _ordinary(lambda: SGD(0.1)),
        ),
        (
            lambda: _compiled(_net(), SGD(0.1), _absolute),
            {"plain_loss": True},
            _ordinary(lambda: SGD(0.1)),
        ),
        (
            lambda: _compiled(_net(), SGD(0.1)),
            {"activation": "relu"},
            lambda: _compiled(_net(activation="relu"), SGD(0.1)),
        ),
    ],
    ids=str,
)
def test_a_replay_is_the_fit_that_it_stands_for(make, intervention, same):
    """Its losses are those of a model that was made that way and is trained for real."""
    result = _runner(make()).run(Intervention(**intervention), steps=12)
    np.testing.assert_allclose(result.losses[0], _losses_of_a_fit(same(), 12), rtol=2e-3, atol=1e-5)


def test_interventions_share_one_step_and_pairs_are_expressible():
    """What was expected is an input of the first program: no other is made."""
    runner = _runner(_compiled(_net(keras.layers.Dropout(0.2)), SGD(0.1), _absolute))
    wanted = [
        Intervention(rate=0.1),
        Intervention(clip=1.0),
        Intervention(inputs=True),
        Intervention(targets=True),
        Intervention(plain_loss=True) | Intervention(dropout=0.0),
        Intervention(initialization=True) | Intervention(rate=0.01),
    ]
    runner.expect(wanted)
    results = [runner.run(each, seeds=2, steps=5) for each in wanted]
    assert [result.losses.shape for result in results] == [(2, 5)] * len(wanted)
    assert all(result.finite for result in results)
    assert len(runner._programs) == 1
    for result in results:  # the other seed is another fit
        assert not np.allclose(result.losses[0], result.losses[1])


def test_a_longer_replay_holds_the_shorter_ones():
    """The same seed takes the same steps, however many there are."""
    runner = _runner(_compiled(_net(), ADAM(0.01)))
    long, short = runner.unchanged(steps=20), runner.unchanged(steps=6)
    np.testing.assert_array_equal(long.losses[:, :6], short.losses)
    other = _runner(_compiled(_net(), ADAM(0.01))).unchanged(steps=6)
    np.testing.assert_allclose(other.losses, short.losses, rtol=1e-4)


@pytest.mark.parametrize(
    ("x", "rate", "cause"),
    [
        (X, 30.0, FailureCause.DIVERGENT_LEARNING_RATE),
        (2000 * X, 0.01, FailureCause.UNSCALED_DATA),
        (X, 0.01, None),
    ],
    ids=["diverging", "unscaled", "healthy"],
)
def test_a_fit_is_diagnosed_and_cured(x, rate, cause):
    """A diverging and an unscaled fit have a verified fix; a healthy one has no cause."""
    record = diagnose(_compiled(_net(activation="relu"), SGD(rate, 0.5)), x, Y)
    assert (record.cause, record.fix_verified) == (cause, cause and True)


def test_a_diagnosis_changes_nothing():
    """Weights, slots and random states are as they were."""

    def run(diagnosed):
        model = _compiled(_net(keras.layers.Dropout(0.3)), SGD(30.0, 0.9))
        trace = _trace(model)
        model.train_on_batch(X[:32], Y[:32])
        before = _state(model)
        random.seed(1), np.random.seed(1)
        if diagnosed:
            verdict = diagnose_failure(Symptom.DIVERGED, model=model, trace=trace, policy=Policy())
            assert verdict.cause is FailureCause.DIVERGENT_LEARNING_RATE
        for old, new in zip(before, _state(model), strict=True):
            np.testing.assert_array_equal(old, new)
        return random.random(), np.random.random(), float(keras.random.uniform(()))

    assert run(diagnosed=True) == run(diagnosed=False)


def test_the_curvature_is_that_of_the_dense_hessian():
    """Of linear regression, the Hessian of the mean squared error is 2 X'X / n."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    runner = _runner(_compiled(model, SGD(0.1)))
    found = runner.curvature()
    rows = np.hstack([X, np.ones((len(X), 1))]).astype(np.float64)
    values = np.linalg.eigvalsh(2 * rows.T @ rows / len(rows))
    assert found.largest == pytest.approx(values[-1], rel=1e-3)
    assert found.smallest == pytest.approx(values[0], rel=1e-2)


def test_an_unstable_rate_is_above_what_the_curvature_allows():
    """Gradient descent on a quadratic diverges above 2 / largest, and not below it."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    largest = _runner(_compiled(model, SGD(0.1))).curvature().largest
    for factor, falls in ((0.8, True), (2.0, False)):
        runner = _runner(_compiled(model, SGD(factor * 2 / largest)))
        losses = runner.unchanged(steps=40).losses[0]
        assert bool(losses[-1] < losses[0]) is falls


@pytest.mark.parametrize("layer", ["SimpleRNN", "LSTM", "GRU"])
def test_a_recurrent_step_is_looked_at(layer):
    """What goes on in its cell, step by step, is known inside of the loop alone."""
    from robusttune._diagnosis.model.observe import observe

    model = keras.Sequential(
        [keras.Input((5, 3)), getattr(keras.layers, layer)(8), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    rows = Batch(np.ones((4, 5, 3), "float32"), np.ones((4, 1), "float32"))
    seen = observe(model, None, rows)
    assert seen.finite
    assert {"Dense", layer} <= {view.kind for view in seen.layers}


def _fit(x, y, loss, units, guard):
    """Train a classifier."""
    keras.utils.set_random_seed(0)
    head = keras.layers.Dense(units, "softmax" if units > 1 else "sigmoid")
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), head])
    model.compile(SGD(0.01), loss)
    model.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=[guard])


def _record_of_a_plain_fit(*problem):
    """Return the record of a fit, whatever it raises."""
    guard = Guard()
    with contextlib.suppress(Exception):
        _fit(*problem, guard)
    return guard.record


def _record_of_a_fit(*problem):
    """Return the record of an Optuna trial that trains a classifier, whatever the fit raises."""

    def objective(trial):
        _fit(*problem, TrialGuard(trial))
        return 0.0

    study = optuna.create_study()
    study.optimize(robust(objective), n_trials=1)
    return records_of(study)[0]


CLASSES = (Y[:, 0] > 0).astype("float32")
X_NAN, CLASSES_NAN = X.copy(), CLASSES.copy()
X_NAN[40, 3], CLASSES_NAN[40] = np.nan, np.nan
WHOLE = keras.backend.backend() != "jax"  # which reads NaN as class 0, without a word


@pytest.mark.parametrize(
    ("x", "y", "loss", "units", "cause", "words"),
    [
        (X_NAN, CLASSES, "binary_crossentropy", 1, "non_finite_data", "x column 3 (row 40)"),
        (X, CLASSES_NAN, "binary_crossentropy", 1, "non_finite_data", "y (row 40)"),
        (X_NAN, CLASSES, "sparse_categorical_crossentropy", 2, "non_finite_data", "row 40"),
        *[(X, CLASSES_NAN, "sparse_categorical_crossentropy", 2, "non_finite_data", "y (row 40)")]
        * WHOLE,
        (X, CLASSES * 255, "binary_crossentropy", 1, "label_mismatch", "0..255"),
        (X, CLASSES * 2 + 1, "sparse_categorical_crossentropy", 3, "label_mismatch", "1..3"),
        (X * 1e5, CLASSES, "binary_crossentropy", 1, "unscaled_data", "tandardize"),
        (X * 1e10, CLASSES, "binary_crossentropy", 1, "unscaled_data", "tandardize"),
    ],
)
def test_what_is_wrong_with_the_data_is_said_however_it_shows(x, y, loss, units, cause, words):
    """As NaN, as an exception of the backend's, or as a loss that stands still far above any."""
    for record in (_record_of_a_fit(x, y, loss, units), _record_of_a_plain_fit(x, y, loss, units)):
        assert record.cause == cause
        assert words in record.advice
