"""record_callbacks: each finished record is handed out once, after it is stored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pytest

import robusttune
from robusttune import Guard, Policy, TrialRecord
from robusttune.optuna import TrialGuard, records_of, robust
from tests import ROOT
from tests.zoo import linear

Seen = list[tuple[Any, TrialRecord]]


class Lottery(keras_tuner.RandomSearch):
    """Every third trial fails, without any training."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        number = trial.hyperparameters.Int("number", 0, 1000)
        return float("nan") if int(trial.trial_id) % 3 == 2 else float(number)


def lottery(directory: Path, trials: int, seen: Seen, **kwargs: Any) -> Any:
    """A tuner that notes what is handed out."""
    return robusttune.robust(Lottery)(
        lambda hp: hp.Int("number", 0, 1000),
        keras_tuner.Objective("default_objective", "min"),
        max_trials=trials,
        directory=str(directory),
        record_callbacks=[lambda trial, record: seen.append((trial, record))],
        **kwargs,
    )


def test_tuner_each_trial_once_also_across_a_resume(tmp_path: Path) -> None:
    """The record is stored by then, the trial has its status, and later searches say no more."""
    seen: Seen = []
    tuner = lottery(tmp_path, 4, seen)
    tuner.search()
    again = lottery(tmp_path, 7, seen)
    again.search()
    assert [trial.trial_id for trial, _ in seen] == [str(number) for number in range(7)]
    assert [record.status for _, record in seen] == [trial.status.lower() for trial, _ in seen]
    assert [record.number for _, record in seen] == list(range(7))
    assert tuple(record for _, record in seen) == again.report().records


def test_tuner_a_retried_trial_is_handed_out_once(tmp_path: Path) -> None:
    """The record of its last run is the one that counts."""
    seen: Seen = []
    lottery(tmp_path, 3, seen, max_retries_per_trial=2).search()
    assert [trial.trial_id for trial, _ in seen] == ["0", "1", "2"]
    assert [record.cause for _, record in seen] == [None, None, "unknown"]


def test_tuner_a_callback_may_report_and_may_raise(tmp_path: Path, caplog: Any) -> None:
    """What a tracker does or breaks is nothing to the search."""
    counts: list[int] = []
    tuner = lottery(tmp_path, 3, [])

    def report(trial: Any, record: TrialRecord) -> None:
        counts.append(len(tuner.report().trials))
        raise ConnectionError("no tracker")

    tuner.oracle.record_callbacks = (report,)
    tuner.search()
    assert counts == [1, 2, 3]
    assert caplog.text.count("ConnectionError: no tracker") == 3


@pytest.mark.full
def test_tuner_a_callback_stays_in_the_searchs_process(tmp_path: Path) -> None:
    """It may hold what cannot be sent, and need not know of the child."""
    seen: list[int] = []
    tuner = robusttune.RandomSearch(
        lambda hp: linear(hp.Float("rate", 1e-3, 1e-2)),
        objective="loss",
        max_trials=2,
        directory=str(tmp_path),
        policy=Policy(isolate=True),
        record_callbacks=[lambda trial, record: seen.append(os.getpid())],
    )
    x = keras.random.normal((64, 10), seed=1)
    tuner.search(keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(x)[:, :1], verbose=0)
    assert seen == [os.getpid()] * 2


KILLED = """
import os, sys
from tests.test_record_callbacks import lottery
def note(trial, record):
    with open({log!r}, "a") as file:
        file.write(trial.trial_id + " ")
        file.flush()
    if trial.trial_id == "2" and {kill}:
        os.kill(os.getpid(), 9)
tuner = lottery({folder!r}, 5, [])
tuner.oracle.record_callbacks = (note,)
tuner.search()
"""


@pytest.mark.full
def test_tuner_a_call_that_ends_the_process_is_not_made_again(tmp_path: Path) -> None:
    """Killed in the middle of a callback, a search goes on with the next trial's."""
    log = tmp_path / "log"
    for kill in (True, False):
        code = KILLED.format(log=str(log), folder=str(tmp_path), kill=kill)
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=not kill, capture_output=True)
    assert log.read_text().split() == ["0", "1", "2", "3", "4"]


def test_study_each_trial_once() -> None:
    """Completed, failed and pruned ones, in the order in which they end."""
    seen: Seen = []

    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 1:
            raise ValueError("no")
        if trial.number == 2:
            raise optuna.TrialPruned
        return float(x)

    study = optuna.create_study()
    note = [lambda trial, record: seen.append((trial, record))]
    study.optimize(robust(objective, record_callbacks=note), n_trials=4)
    assert [trial.number for trial, _ in seen] == [0, 1, 2, 3]
    statuses = ["completed", "failed", "pruned", "completed"]
    assert [record.status for _, record in seen] == statuses
    assert [record.status for record in records_of(study)] == statuses
    assert [record.value for _, record in seen] == [record.value for record in records_of(study)]


def test_healthy_trials_of_a_study_have_a_small_record() -> None:
    """It says no status, which only Optuna knows, and no parameters, which Optuna has."""
    study = optuna.create_study()
    study.optimize(robust(lambda trial: trial.suggest_float("x", 0, 1)), n_trials=1)
    stored = study.trials[0].user_attrs["robusttune:record"]
    assert len(stored) < 120
    assert "status" not in stored
    (record,) = records_of(study)
    assert (record.status, record.value) == ("completed", study.trials[0].value)
    assert record.params == study.trials[0].params


def test_guard_each_plain_fit_once(regression: Any) -> None:
    """A fit is a trial of its own; in a trial of a study it is a part of one."""
    seen: Seen = []
    note = [lambda trial, record: seen.append((trial, record))]
    guard = Guard(record_callbacks=note)
    for rate in (1e-3, 1e6):
        linear(rate).fit(*regression, epochs=2, verbose=0, callbacks=[guard])
    assert [(trial, record.unstable) for trial, record in seen] == [(None, False), (None, True)]
    assert seen[-1][1] == guard.record

    def objective(trial: Any) -> float:
        fit = linear(1e-3).fit(*regression, verbose=0, callbacks=[TrialGuard(trial)])
        return float(fit.history["loss"][-1])

    optuna.create_study().optimize(robust(objective, record_callbacks=note), n_trials=1)
    assert len(seen) == 3


def test_guard_tells_of_a_step_that_raises() -> None:
    """Its record has the cause, and so has the exception; of the user's own code it says nothing.

    In a search the trial tells, once.
    """
    calls: list[Any] = []

    def raises_later(y: Any, p: Any) -> Any:
        calls.append(y)
        if len(calls) > 3:
            raise KeyError("no such thing")
        return keras.ops.mean(keras.ops.square(p))

    seen: Seen = []
    guard = Guard(record_callbacks=[lambda trial, record: seen.append((trial, record))])
    x, labels = np.ones((64, 3), "float32"), np.full(64, 7)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(Exception, match="label value of 7") as raised:
        model.fit(x, labels, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert (guard.record.cause, guard.record.symptom) == ("label_mismatch", "exception")
    assert raised.value.__notes__ == [f"robusttune: label_mismatch. {guard.record.advice}"]
    assert "7..7" in raised.value.__notes__[0]
    assert [record for _, record in seen] == [guard.record]

    model.compile("sgd", raises_later, run_eagerly=True)
    with pytest.raises(KeyError) as raised:
        model.fit(x, labels, batch_size=8, verbose=0, callbacks=[guard])
    assert guard.record.cause == "code_error"
    assert not getattr(raised.value, "__notes__", [])
    assert len(seen) == 2

    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, np.arange(64) % 4, verbose=0, callbacks=[guard])
    assert guard.record.cause is None

    def objective(trial: Any) -> float:
        model.fit(x, labels, verbose=0, callbacks=[guard])
        return 0.0

    study = optuna.create_study()
    study.optimize(robust(objective), n_trials=1)
    assert records_of(study)[0].cause == "label_mismatch"


@pytest.mark.parametrize("callbacks", [print, [1], "text", None])
def test_callbacks_that_are_none_get_a_clear_error(callbacks: Any) -> None:
    """Argument, rule and value are named."""
    with pytest.raises(TypeError, match=r"record_callbacks must be callables"):
        Guard(record_callbacks=callbacks)
