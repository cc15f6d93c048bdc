"""TrialGuard: real Keras fits inside Optuna trials."""

from __future__ import annotations

import math

import keras
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from robusttune import FailureCause, Policy, TrialFailure
from robusttune.optuna import TrialGuard, records_of, robust
from tests.zoo import stack

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def model_of(rate, loss="mse"):
    """Return a small compiled model."""
    keras.utils.set_random_seed(0)
    layers = (keras.layers.Dense(8), keras.layers.Dense(1))
    return stack(*layers, inputs=4, optimizer=keras.optimizers.SGD(rate), loss=loss)


def fit(trial, rate, callbacks=(), epochs=3, after=(), x=X, y=Y):
    """Return the loss history of a guarded fit."""
    model = model_of(rate)
    history = model.fit(
        x,
        y,
        epochs=epochs,
        batch_size=16,
        verbose=0,
        callbacks=[*callbacks, TrialGuard(trial), *after],
        shuffle=False,
    )
    return history.history["loss"]


class Poison(keras.callbacks.Callback):
    """Make the third epoch diverge."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.model.optimizer.learning_rate = 1e30


def poisoned(trial):
    """Two good epochs, then NaN; returns the best loss."""
    return np.nanmin(fit(trial, 1e-3, [Poison()], 5))


def caught(trial):
    """No good epoch, which raises."""
    with pytest.raises(TrialFailure):
        fit(trial, 1e20)
    return 0.0


def healthy(trial):
    """All epochs are good."""
    return fit(trial, 1e-3)[-1]


def objective(trial):
    """Every second trial diverges at once."""
    return fit(trial, 1e20 if trial.number % 2 else 1e-3)[-1]


def study_of(objective, n_trials=2, **options):
    """Return a study after robust(objective) has run in it."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), **options)
    study.optimize(robust(objective), n_trials=n_trials)
    return study


def test_a_failing_fit_fails_the_trial_with_its_cause():
    """The record has what the guard saw; the healthy trial has none."""
    study = study_of(objective)
    healthy, failing = records_of(study)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert not healthy.unstable
    assert healthy.cause is None
    assert failing.cause is FailureCause.DIVERGENT_LEARNING_RATE
    assert (failing.status, failing.number, failing.value) == ("failed", 1, None)
    assert failing.epoch == 0
    assert failing.step is not None
    assert failing.seconds_saved > 0


def test_a_failed_fit_fails_whatever_the_objective_returns():
    """An evaluation of the weights of the last good step is no objective of these parameters."""

    def evaluating(trial):
        fit(trial, 1e20)
        return 0.5

    study = study_of(evaluating, 1)
    assert study.trials[0].state is TrialState.FAIL
    assert records_of(study)[0].cause is FailureCause.DIVERGENT_LEARNING_RATE


def test_a_trial_that_was_good_first_counts():
    """Good epochs, then NaN in the loss: completed and unstable, with the best epoch's value."""
    study = study_of(poisoned, 1)
    (record,) = records_of(study)
    assert study.trials[0].state is TrialState.COMPLETE
    assert (record.status, record.unstable, record.epoch) == ("completed", True, 2)
    assert record.cause is not None
    assert record.value == study.best_value


def test_without_robust_a_failing_fit_raises():
    """TrialFailure carries the record, Optuna stores FAIL, and catch= keeps the study going."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with pytest.raises(TrialFailure, match="divergent_learning_rate") as caught:
        study.optimize(lambda trial: fit(trial, 1e20)[-1], n_trials=1)
    assert caught.value.record.number == 0
    study.optimize(objective, n_trials=3, catch=(TrialFailure,))
    assert [trial.state.name for trial in study.trials] == ["FAIL", "FAIL", "COMPLETE", "FAIL"]
    causes = [record.cause for record in records_of(study)]
    rate = FailureCause.DIVERGENT_LEARNING_RATE
    assert causes == [rate, rate, None, rate]


@pytest.mark.parametrize("columns", [4, 3])
def test_without_robust_other_failures_are_of_unknown_cause(columns):
    """NaN after a healthy fit, and an exception in the fit: the worker has not crashed."""
    study = optuna.create_study()

    def broken(trial):
        fit(trial, 1e-3, x=X[:, :columns])
        return math.nan

    study.optimize(broken, n_trials=1, catch=(ValueError,))
    assert study.trials[0].state is TrialState.FAIL
    assert records_of(study)[0].cause is FailureCause.UNKNOWN


def test_the_first_failing_fold_is_the_record():
    """Several fits in one trial: a later healthy one does not hide the failure."""

    def folds(trial):
        return fit(trial, 1e20)[-1] + fit(trial, 1e-3)[-1]

    study = study_of(folds, 1)
    assert records_of(study)[0].cause is FailureCause.DIVERGENT_LEARNING_RATE


@pytest.mark.full
@pytest.mark.parametrize(
    ("folds", "epoch"),
    [
        ([poisoned, healthy], 2),
        ([caught, healthy], 0),
        ([caught, poisoned], 0),
        ([poisoned, caught], 0),
    ],
)
def test_without_robust_the_gravest_fold_is_the_record(folds, epoch):
    """A later fit of the trial neither hides an earlier failure nor is ended by it."""
    study = optuna.create_study()
    study.optimize(lambda trial: float(sum(fold(trial) for fold in folds)), n_trials=1)
    (record,) = records_of(study)
    assert (record.status, record.unstable, record.epoch) == ("completed", True, epoch)
    assert record.cause is FailureCause.DIVERGENT_LEARNING_RATE


def test_a_trial_that_is_run_again_by_hand_is_judged_anew():
    """The user asks for one trial, and repeats its failing run until it is good."""
    study = optuna.create_study()
    trial = study.ask()
    objective = robust(lambda trial: healthy(trial) if rates.pop() < 1 else fit(trial, 1e20)[-1])
    rates = [1e-3, 1e20]
    assert math.isnan(objective(trial))
    study.tell(trial, objective(trial))
    (record,) = records_of(study)
    assert (record.status, record.unstable) == ("completed", False)


def test_an_exception_after_a_failing_fit_keeps_the_fits_cause():
    """What went wrong in training is why the rest went wrong."""

    def broken(trial):
        if math.isnan(fit(trial, 1e20)[-1]):
            raise ValueError("Input contains NaN")
        return 0.0

    (record,) = records_of(study_of(broken, 1))
    assert record.cause is FailureCause.DIVERGENT_LEARNING_RATE
    assert record.error == "ValueError: Input contains NaN"


def test_an_exception_without_a_text_after_a_failing_fit():
    """It is named beside what the guard saw."""

    class NoTextError(Exception):
        def __str__(self):
            return self.missing

    def broken(trial):
        poisoned(trial)
        raise NoTextError

    (record,) = records_of(study_of(broken, 1))
    assert (record.cause, record.error) == (FailureCause.DIVERGENT_LEARNING_RATE, "NoTextError")


def test_an_exception_in_the_fit_is_diagnosed_and_leaves_no_instrumentation():
    """A wrong shape is an invalid model; the optimizer is as it was."""
    models = []

    def wrong(trial):
        model = model_of(1e-3)
        models.append(model)
        model.fit(X, Y[:, :1], epochs=1, verbose=0, callbacks=[TrialGuard(trial)])
        model.fit(X[:, :3], Y, epochs=1, verbose=0, callbacks=[TrialGuard(trial)])

    study = study_of(wrong, 1)
    assert records_of(study)[0].cause is FailureCause.INVALID_MODEL
    assert "apply" not in vars(models[0].optimizer)


def test_pruning_callbacks_work_beside_it():
    """Optuna's own Keras callback: a pruned trial is pruned, a failed one failed, NaN unseen."""
    integration = pytest.importorskip("optuna_integration")

    def both(trial):
        pruning = integration.KerasPruningCallback(trial, "loss")
        rate = {0: 3e-2, 1: 1e-9, 2: 1e20}[trial.number]
        return fit(trial, rate, after=[pruning])[-1]

    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=8.0))
    study.optimize(robust(both), n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.trials[2].intermediate_values == {}
    assert [record.status for record in records_of(study)] == ["completed", "pruned", "failed"]


def test_pruning_callbacks_work_without_robust():
    """Placed after the guard, they see no NaN either."""
    integration = pytest.importorskip("optuna_integration")

    def both(trial):
        return fit(trial, 1e20, after=[integration.KerasPruningCallback(trial, "loss")])[-1]

    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=8.0))
    study.optimize(both, n_trials=1, catch=(TrialFailure,))
    assert study.trials[0].state is TrialState.FAIL


def test_the_policy_of_robust_is_the_guards():
    """Unless the guard has one of its own."""
    seen = []

    def looking(trial):
        seen.append((TrialGuard(trial).policy, TrialGuard(trial, Policy(clip=2.0)).policy))
        return 0.0

    study = optuna.create_study()
    policy = Policy(clip=None)
    study.optimize(robust(looking, policy=policy), n_trials=1)
    assert seen == [(policy, Policy(clip=2.0))]


def test_training_is_the_same_with_the_guard():
    """A healthy fit has the same losses, bit by bit."""
    plain = model_of(1e-3).fit(X, Y, epochs=3, batch_size=16, verbose=0, shuffle=False)
    study = optuna.create_study()
    guarded = []
    study.optimize(robust(lambda t: guarded.extend(fit(t, 1e-3)) or guarded[-1]), n_trials=1)
    assert plain.history["loss"] == guarded
