"""policy.trial_seconds: the guard ends a fit at the next batch, and no other fit begins."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pytest

import robusttune
from robusttune import FailureCause, Guard, Policy, Symptom, TrialFailure, _trial_run as trial_run
from robusttune._guard.clock import FitClock, TrialClock
from robusttune.optuna import TrialGuard, records_of, robust
from tests.zoo import linear

ENDLESS = 1_000_000  # epochs, or batches an epoch: nobody waits for these
SHORT = Policy(trial_seconds=1.0)


class StepClock(TrialClock):
    """Its time is over after 25 steps, however fast the machine is."""

    def __init__(self, limit: float | None) -> None:
        super().__init__(limit)
        self.steps, self.wants_ticks = 0, True

    def tick(self, epoch: int, step: int) -> bool:
        """Count."""
        self.steps += 1
        return self.expired

    @property
    def expired(self) -> bool:
        """Whether all steps were taken."""
        return self.steps >= 25


def batches() -> Any:
    """Batches without an end: one epoch of them is never completed."""
    rng = np.random.default_rng(0)
    while True:
        x = rng.normal(size=(8, 10)).astype("float32")
        yield x, x[:, :1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("trial_seconds", 0),
        ("trial_seconds", -1.0),
        ("trial_seconds", math.nan),
        ("trial_seconds", "10"),
        ("isolate", 1),
        ("memory_limit", 0),
        ("memory_limit", 1.5e9),
        ("memory_limit", 10**9),  # without isolate there is nothing to limit
        ("worker_silence", 0.5),
        ("worker_silence", None),
    ],
)
def test_policy_rejects_limits_that_mean_nothing(setting: str, value: Any) -> None:
    """One error that names the argument."""
    with pytest.raises(ValueError, match=f"{setting} must be"):
        Policy(**{setting: value})


def test_clock_stands_still_while_paused() -> None:
    """What a diagnosis takes is not counted, and without a limit the time is never over."""
    clock, endless = TrialClock(0.1), TrialClock(None)
    with clock.paused():
        time.sleep(0.15)
    assert clock.seconds < 0.1
    assert not clock.expired
    clock.require_time()
    time.sleep(0.1)
    assert clock.tick(0, 0)
    assert not endless.tick(0, 0)
    with pytest.raises(TrialFailure, match="seconds are over") as caught:
        clock.require_time()
    assert caught.value.findings is not None
    assert caught.value.findings.cause is FailureCause.TIMEOUT


def test_guard_ends_a_fit_at_its_time_limit(regression: Any, monkeypatch: Any) -> None:
    """The epochs before it count, and the model keeps its weights."""
    monkeypatch.setattr(trial_run, "TrialClock", StepClock)
    model, guard = linear(), Guard()
    history = model.fit(*regression, epochs=ENDLESS, verbose=0, callbacks=[guard])
    record = guard.record
    assert record is not None
    assert (record.symptom, record.cause) == (Symptom.TIMEOUT, FailureCause.TIMEOUT)
    assert record.status == "completed"
    assert (record.epoch, record.step) == (2, 24)  # 10 batches an epoch
    assert [math.isnan(loss) for loss in history.history["loss"]] == [False, False, True]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_guard_a_fit_without_a_completed_epoch_has_failed() -> None:
    """No epoch, no result."""
    guard = Guard(SHORT)  # by the clock on the wall
    linear().fit(batches(), steps_per_epoch=ENDLESS, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert (guard.record.status, guard.record.cause) == ("failed", FailureCause.TIMEOUT)


def test_guard_diagnosis_does_not_count(regression: Any) -> None:
    """The clock of the trial stands still while a diverged fit is replayed."""
    guard = Guard(Policy(trial_seconds=600.0))
    began = time.monotonic()
    linear(1e6).fit(*regression, epochs=50, verbose=0, callbacks=[guard])
    seconds = time.monotonic() - began
    assert guard.record is not None
    assert guard.record.cause is FailureCause.DIVERGENT_LEARNING_RATE
    assert guard.context is not None
    clock = guard.context.clock_of(guard.policy)
    assert clock.seconds < seconds - guard.record.evidence["diagnosis_seconds"]


def tuner_of(run_trial: Any, directory: Path, **kwargs: Any) -> Any:
    """A robust tuner with a run_trial of the test's."""

    class Mine(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **fit: Any) -> Any:
            trial.hyperparameters.Float("x", 0, 1)
            return run_trial(trial, *args, **fit)

    tuner = robusttune.robust(Mine)(
        objective=keras_tuner.Objective("loss", "min"), directory=str(directory), **kwargs
    )
    return tuner


def test_tuner_a_slow_trial_completes_with_its_best_epoch(
    tmp_path: Path, regression: Any, monkeypatch: Any
) -> None:
    """Completed and unstable: the best epoch before the limit is the score."""
    monkeypatch.setattr(trial_run, "TrialClock", StepClock)

    def slow(hp: Any) -> keras.Model:
        hp.Float("unused", 0, 1)
        return linear()

    tuner = robusttune.RandomSearch(slow, objective="loss", max_trials=1, directory=str(tmp_path))
    tuner.search(*regression, epochs=ENDLESS, verbose=0)
    row = tuner.report().trials.iloc[0]
    assert (row.status, row.unstable, row.symptom, row.cause) == (
        "completed",
        True,
        "timeout",
        "timeout",
    )
    assert row.value == tuner.oracle.get_best_trials()[0].score
    assert len(tuner.get_best_models()) == 1


@pytest.mark.parametrize("where", ["search", "HyperModel.fit"])
def test_tuner_the_users_own_guard_keeps_the_trials_time(
    where: str, tmp_path: Path, regression: Any, monkeypatch: Any
) -> None:
    """It knows of the trial while the fit runs, and of nothing afterwards."""
    monkeypatch.setattr(trial_run, "TrialClock", StepClock)
    guard, params = Guard(Policy(clip=None)), []

    class Noting(keras.callbacks.Callback):
        def on_train_end(self, logs: Any = None) -> None:
            params.append(guard.context.params)

    class Mine(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            hp.Float("unused", 0, 1)
            return linear()

        def fit(self, hp: Any, model: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
            own = [] if where == "search" else [guard, Noting()]
            return model.fit(*args, callbacks=[*callbacks, *own], **kwargs)

    tuner = robusttune.RandomSearch(Mine(), objective="loss", max_trials=1, directory=str(tmp_path))
    given = [guard] if where == "search" else []
    tuner.search(*regression, epochs=ENDLESS, verbose=0, callbacks=given)
    (row,) = tuner.report().trials.itertuples()
    assert (row.status, row.cause, row.step) == ("completed", "timeout", 24)
    assert [list(known) for known in params] == ([] if where == "search" else [["unused"]])
    assert (guard.context, guard.policy) == (None, Policy(clip=None))


@pytest.mark.parametrize(("fit", "trial"), [(0.05, 600.0), (600.0, 0.05)])
def test_clock_of_a_fit_ends_with_the_shorter_limit(fit: float, trial: float) -> None:
    """A guard with a limit of its own has both, and both stand still during its diagnosis."""
    whole = TrialClock(trial)
    clock = FitClock(fit, whole)
    with clock.paused():
        time.sleep(0.1)
    assert not clock.tick(0, 0)
    time.sleep(0.1)
    assert clock.tick(0, 1)
    assert clock.expired
    assert whole.expired is (trial < fit)


@pytest.mark.parametrize("where", ["in a fit", "between fits"])
def test_tuner_no_fit_begins_after_the_limit(where: str, tmp_path: Path, regression: Any) -> None:
    """A trial whose time is over has failed, wherever it was; the next one has its own time."""
    begun = []

    def run_trial(trial: Any, x: Any, y: Any, **fit: Any) -> Any:
        if int(trial.trial_id) == 1:
            return {"loss": 0.5}
        if where == "in a fit":
            linear().fit(x, y, epochs=ENDLESS, verbose=0)
        else:
            time.sleep(1.1)
        begun.append(trial.trial_id)
        return linear().fit(x, y, verbose=0)

    tuner = tuner_of(run_trial, tmp_path, max_trials=2, policy=SHORT)
    tuner.search(*regression)
    trials = tuner.report().trials
    assert list(trials.status) == ["failed", "completed"]
    assert trials.cause[0] == trials.symptom[0] == "timeout"
    assert begun == ["0"]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_trials_have_the_limit_too(regression: Any) -> None:
    """Under robust the limit is that of the whole trial."""

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 1:
            return 0.5
        guards = [TrialGuard(trial)]
        linear().fit(batches(), steps_per_epoch=ENDLESS, verbose=0, callbacks=guards)
        history = linear().fit(*regression, verbose=0, callbacks=guards)
        return float(history.history["loss"][-1])

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.create_study()
    study.optimize(robust(objective, policy=SHORT), n_trials=2)
    first, second = records_of(study)
    assert (first.status, first.cause) == ("failed", FailureCause.TIMEOUT)
    assert (second.status, second.cause) == ("completed", None)
