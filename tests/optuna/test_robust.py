"""robust(objective): outcomes, records, hopeless studies, the failure report."""

from __future__ import annotations

import json
import logging
import math
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from robusttune import (
    FailureCause,
    HopelessSearchError,
    Policy,
    SearchSpaceWarning,
    Symptom,
    TrialFailure,
    TrialRecord,
)
from robusttune._records import COLUMNS
from robusttune.optuna import (
    CrashAwareSampler,
    FailureReportCallback,
    records_of,
    robust,
    sanitize_trial,
)
from robusttune.optuna._records import RECORD_KEY, stored_record, write_record


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def study_of(objective, n_trials=1, policy=None, directions=("minimize",), **options):
    """Return a study after robust(objective) has run in it."""
    study = optuna.create_study(
        directions=list(directions), sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(robust(objective, policy=policy), n_trials=n_trials, **options)
    return study


def raising(error):
    """Return an objective that raises."""

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        raise error

    return objective


def returning(value):
    """Return an objective that returns a value."""

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        return value

    return objective


class NoNumber:
    """A result like a tensor of several numbers."""

    def __float__(self):
        raise RuntimeError("only one element tensors can be converted to Python scalars")


class NoTextError(Exception):
    """An exception whose message depends on what it was not given."""

    def __str__(self):
        return self.missing


def frozen(params):
    """Return a finished trial with these floats."""
    space = {name: optuna.distributions.FloatDistribution(0, 1) for name in params}
    return optuna.create_trial(params=params, distributions=space, value=0.0)


NAN, CODE = Symptom.NON_FINITE_OBJECTIVE, Symptom.EXCEPTION


@pytest.mark.parametrize(
    ("objective", "symptom", "cause"),
    [
        (returning(math.nan), NAN, "unknown"),
        (returning(np.float32("nan")), NAN, "unknown"),
        (returning(-math.inf), NAN, "unknown"),
        (returning(None), CODE, "code_error"),
        (returning("good"), CODE, "code_error"),
        (returning((1.0, 2.0)), CODE, "code_error"),
        (returning(10**400), CODE, "code_error"),
        (returning(NoNumber()), CODE, "code_error"),
        (raising(KeyError("a")), CODE, "code_error"),
        (raising(MemoryError("Unable to allocate 8 GiB")), CODE, "out_of_memory"),
        (raising(TrialFailure("no")), CODE, "unknown"),
    ],
)
def test_a_failure_is_stored_as_fail_with_a_record(objective, symptom, cause):
    """FAIL stays FAIL, the study goes on, and the record says why."""
    study = study_of(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
    record = records_of(study)[1]
    assert (record.trial_id, record.number, record.status) == ("1", 1, "failed")
    assert (record.symptom, record.cause) == (symptom, cause)
    assert record.unstable
    assert record.value is None
    assert record.advice
    assert record.params == study.trials[1].params
    assert record.seconds >= 0


@pytest.mark.parametrize("value", [0.5, 3, np.float32(0.5), True, math.inf])
def test_a_result_is_returned_as_it_is(value):
    """What Optuna takes is not touched; an infinitely bad value is the user's way to say no."""
    study = study_of(returning(value))
    assert study.trials[0].state is TrialState.COMPLETE
    assert study.trials[0].value == float(value)
    record = records_of(study)[0]
    assert record.status == "completed"
    assert record.unstable == math.isinf(value)


def test_healthy_searches_are_what_they_were():
    """Same seed, same trials and values, with and without robust."""

    def objective(trial):
        return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 9)

    plain = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3))
    plain.optimize(objective, n_trials=20)
    ours = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3))
    ours.optimize(robust(objective), n_trials=20)
    assert [(t.params, t.value) for t in plain.trials] == [(t.params, t.value) for t in ours.trials]


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ((1.0, 2.0), TrialState.COMPLETE),
        ((1.0, math.nan), TrialState.FAIL),
        ((-math.inf, 1.0), TrialState.FAIL),
        ((math.inf, -math.inf), TrialState.COMPLETE),
        (1.0, TrialState.FAIL),
    ],
)
def test_multi_objective_studies(value, state):
    """One broken objective fails the trial; the values of a good one are in the evidence."""
    study = study_of(returning(value), directions=("minimize", "maximize"))
    assert study.trials[0].state is state
    record = records_of(study)[0]
    assert (record.status == "failed") == (state is TrialState.FAIL)
    assert record.unstable == (value != (1.0, 2.0))
    if state is TrialState.COMPLETE and math.isfinite(value[0]):
        assert record.evidence["values"] == [1.0, 2.0]


def test_an_exception_without_a_text_is_recorded_by_its_name():
    """Its class is what there is to say; that it has no message does not end the study."""
    study = study_of(raising(NoTextError()), n_trials=2)
    assert [record.error for record in records_of(study)] == ["NoTextError", "NoTextError"]


def test_callbacks_run_after_a_failure():
    """Optuna calls no callbacks after an exception; under robust there is none."""
    seen = []
    study_of(raising(KeyError("a")), callbacks=[lambda study, trial: seen.append(trial.state)])
    assert seen == [TrialState.FAIL]


def test_keyboard_interrupt_ends_the_study():
    """It is recorded, and never swallowed."""

    def objective(trial):
        raise KeyboardInterrupt

    study = optuna.create_study()
    with pytest.raises(KeyboardInterrupt):
        study.optimize(robust(objective), n_trials=5)
    (record,) = records_of(study)
    assert (record.status, record.cause) == ("failed", FailureCause.CRASHED)
    assert record.error.startswith("KeyboardInterrupt")


def test_pruned_trials_are_pruned():
    """TrialPruned passes through, and leaves no failure."""
    study = study_of(raising(optuna.TrialPruned()))
    assert study.trials[0].state is TrialState.PRUNED
    assert records_of(study)[0].status == "pruned"
    assert not records_of(study)[0].unstable


def test_nan_is_never_reported_to_a_pruner():
    """A pruner ends a trial for NaN, which has failed instead."""

    def objective(trial):
        for step, value in enumerate([1.0, math.nan]):
            trial.report(value, step)
            assert not trial.should_prune()
        return math.nan

    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=10))
    study.optimize(robust(objective), n_trials=1)
    assert study.trials[0].intermediate_values == {0: 1.0}
    assert study.trials[0].state is TrialState.FAIL


def test_reports_work_as_before():
    """Values are reported, bad ones pruned, and the trial is left without our methods."""
    trials = []

    def objective(trial):
        trials.append(trial)
        trial.report(100.0, 0)
        if trial.should_prune():
            raise optuna.TrialPruned
        return 1.0

    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=10))
    study.optimize(robust(objective), n_trials=1)
    assert study.trials[0].state is TrialState.PRUNED
    assert not {"report", "should_prune"} & set(trials[0].__dict__)


def test_a_hopeless_study_ends():
    """The same exception in every trial: after twice hopeless_after trials the study ends."""
    study = optuna.create_study()
    with pytest.raises(HopelessSearchError, match=r"All 4 trials failed .* KeyError: 'a'"):
        study.optimize(robust(raising(KeyError("a")), policy=Policy(hopeless_after=2)), n_trials=50)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 4


@pytest.mark.parametrize("policy", [Policy(hopeless_after=None), Policy(hopeless_after=2)])
def test_a_study_with_a_success_is_not_hopeless(policy):
    """One success, or hopeless_after=None, and it goes on."""

    def objective(trial):
        if policy.hopeless_after and trial.number == 0:
            return 1.0
        raise KeyError("a")

    assert len(study_of(objective, n_trials=12, policy=policy).trials) == 12


def test_suggestions_are_sanitized():
    """A learning rate that is searched linearly over decades becomes logarithmic."""

    def objective(trial):
        return trial.suggest_float("learning_rate", 1e-6, 0.1)

    with pytest.warns(SearchSpaceWarning):
        study = study_of(objective)
    assert study.trials[0].distributions["learning_rate"].log


def grid():
    """A sampler whose user has listed the values."""
    return optuna.samplers.GridSampler({"dropout": [0.0, 0.5, 1.0]}, seed=0)


def held():
    """A sampler whose user has fixed a value."""
    return optuna.samplers.PartialFixedSampler({"lr": 0.0}, optuna.samplers.RandomSampler(seed=0))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("wrap", [lambda sampler: sampler, CrashAwareSampler])
@pytest.mark.parametrize(
    ("sampler", "objective", "values"),
    [
        (grid, lambda trial: trial.suggest_categorical("dropout", [0.0, 0.5, 1.0]), [0, 0.5, 1]),
        (held, lambda trial: trial.suggest_float("lr", 0.0, 1.0), [0.0, 0.0, 0.0]),
    ],
)
def test_values_that_the_sampler_was_given_are_run(wrap, sampler, objective, values):
    """A range that has to hold what the user listed is left as it is; that is said once."""
    study = optuna.create_study(sampler=wrap(sampler()))
    with pytest.warns(SearchSpaceWarning, match="the sampler was given values outside") as told:
        study.optimize(robust(objective), n_trials=3)
    assert len([warning for warning in told if warning.category is SearchSpaceWarning]) == 1
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert sorted(trial.value for trial in study.trials) == values
    assert study.user_attrs == {}


def test_values_that_the_sampler_was_given_do_not_hinder_where_they_are_sound():
    """A grid inside the mended range is searched in that range."""
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"lr": [1e-3, 1.0]}, seed=0))
    with pytest.warns(SearchSpaceWarning, match="is searched as"):
        study.optimize(robust(lambda trial: trial.suggest_float("lr", 0.0, 10.0)))
    assert sorted(trial.value for trial in study.trials) == [1e-3, 1.0]
    assert study.trials[0].distributions["lr"].log


@pytest.mark.filterwarnings("ignore::robusttune.SearchSpaceWarning")
@pytest.mark.filterwarnings("ignore:Inconsistent parameter values:RuntimeWarning")
@pytest.mark.parametrize("high", [10.0, 5.0])
def test_a_value_that_was_asked_for_before_stays(high):
    """What a trial has drawn before robust saw it keeps its range, in the whole study."""
    space = {"lr": optuna.distributions.FloatDistribution(0.0, 10.0)}
    study = optuna.create_study()
    trial = study.ask(space)
    value = trial.params["lr"]
    assert robust(lambda trial: trial.suggest_float("lr", 0.0, high))(trial) == value
    study.tell(trial, value)
    assert study.trials[0].distributions == space
    study.optimize(robust(lambda trial: trial.suggest_float("lr", 0.0, 10.0)), n_trials=2)
    assert [trial.distributions for trial in study.trials] == [space] * 3


def test_ask_and_tell():
    """The objective that robust returns can be called by hand."""
    study = optuna.create_study()
    objective = robust(returning(math.nan))
    trial = study.ask()
    with pytest.warns(UserWarning, match="nan is not acceptable"):
        study.tell(trial, objective(trial))
    assert records_of(study)[0].cause is FailureCause.UNKNOWN


def test_a_trial_that_its_user_fails_has_not_crashed():
    """It ran to its end under robust; why its user told it as failed only the user knows."""
    study = optuna.create_study()
    trial = study.ask()
    robust(returning(1.0))(trial)
    study.tell(trial, state=TrialState.FAIL)
    (record,) = records_of(study)
    assert (record.cause, record.symptom, record.confidence) == (FailureCause.UNKNOWN, None, None)


def test_a_trial_may_be_told_before_its_objective_returns():
    """It cannot be changed any more, and need not be."""
    study = optuna.create_study()

    def objective(trial):
        study.tell(trial.number, 1.0)
        return 1.0

    assert robust(objective)(study.ask()) == 1.0
    assert records_of(study)[0].status == "completed"


def test_fixed_trials_can_be_evaluated():
    """A trial without a study: the best parameters once more."""
    assert robust(lambda trial: trial.suggest_float("x", 0, 1))(
        optuna.trial.FixedTrial({"x": 0.25})
    ) == pytest.approx(0.25)
    assert math.isnan(robust(raising(KeyError("a")))(optuna.trial.FixedTrial({"x": 0.25})))


def test_threads():
    """n_jobs=4: each record belongs to its trial."""

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        if x < 0.5:
            raise ValueError(f"trial {trial.number}")
        return x

    study = study_of(objective, n_trials=40, n_jobs=4)
    for trial, record in zip(study.trials, records_of(study), strict=True):
        if trial.state is TrialState.FAIL:
            assert record.error == f"ValueError: trial {trial.number}"
            assert record.params == trial.params
    assert {record.status for record in records_of(study)} == {"completed", "failed"}


def test_exceptions_are_logged_with_their_traceback(caplog):
    """The study goes on, so the log is where the traceback is."""
    with caplog.at_level(logging.WARNING, logger="robusttune.optuna"):
        study_of(raising(KeyError("a")))
    (entry,) = caplog.records
    assert "Trial 0 failed (code_error)" in entry.getMessage()
    assert entry.exc_info[0] is KeyError


def test_the_objective_keeps_its_name():
    """Functions, callables and partials; anything else is refused."""
    assert robust(raising).__name__ == "raising"
    with pytest.raises(TypeError, match="objective must be callable, got 3"):
        robust(3)


def test_an_objective_may_be_made_robust_twice():
    """As a decorator and again where it is used: one session, and one record."""
    objective = robust(robust(raising(MemoryError("out of memory")), policy=Policy(keep={"x"})))
    study = optuna.create_study()
    study.optimize(objective, n_trials=1)
    assert records_of(study)[0].cause is FailureCause.OUT_OF_MEMORY


def test_the_objective_can_be_sent_to_a_worker_process():
    """It is pickled with the objective and the policy."""
    copy = pickle.loads(pickle.dumps(robust(half_failing, policy=Policy(hopeless_after=None))))
    study = optuna.create_study()
    study.optimize(copy, n_trials=4)
    assert [record.status for record in records_of(study)] == ["completed", "failed"] * 2


def test_a_trial_can_be_sent_to_another_process(tmp_path):
    """A plain one can where the storage can: to run a fit in a process of its own, say."""
    code = (
        "import pickle, sys; trial = pickle.load(sys.stdin.buffer);"
        " trial.set_user_attr('seen', trial.suggest_float('lr', 0.0, 10.0));"
        " trial.suggest_float('learning_rate', 0.0, 1.0); trial.report(1.0, 0)"
    )

    def objective(trial):
        rate = trial.suggest_float("lr", 0.0, 10.0)
        subprocess.run([sys.executable, "-c", code], input=pickle.dumps(trial), check=True)
        return rate

    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")
    with pytest.warns(SearchSpaceWarning):
        study.optimize(robust(objective), n_trials=1)
    (trial,) = study.trials
    assert trial.value == trial.params["lr"] == trial.user_attrs["seen"]
    assert trial.distributions["learning_rate"].log
    assert trial.intermediate_values == {0: 1.0}


@pytest.mark.parametrize("make", [frozen, optuna.trial.FixedTrial])
def test_trials_without_a_study_can_be_pickled(make):
    """They come back sanitized."""
    trial = sanitize_trial(make({"x": 0.5}))
    again = pickle.loads(pickle.dumps(trial))
    assert type(again) is type(trial)
    assert again.suggest_float("x", 0, 1) == 0.5


@pytest.mark.parametrize("recorded", [{"status": "failed"}, {"status": "completed"}])
def test_the_record_of_another_process_is_kept(tmp_path, recorded):
    """A fit that ran elsewhere was unstable: the trial that ends well does not write over that."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")

    def objective(trial):
        cause = FailureCause.DIVERGENT_LEARNING_RATE
        record = TrialRecord(trial_id="0", number=0, unstable=True, cause=cause, **recorded)
        write_record(optuna.Trial(study, trial._trial_id), record)
        return 1.0

    study.optimize(robust(objective), n_trials=1)
    (record,) = records_of(study)
    assert (record.status, record.cause) == ("completed", FailureCause.DIVERGENT_LEARNING_RATE)


def test_studies_that_never_saw_us_can_be_read():
    """FAIL without a record: failed, unstable, of unknown cause."""
    study = optuna.create_study()
    study.optimize(lambda trial: math.nan if trial.number else 1.0, n_trials=2)
    study.ask()
    study.enqueue_trial({"x": 1})
    records = records_of(study)
    assert [(r.status, r.unstable, r.cause) for r in records] == [
        ("completed", False, None),
        ("failed", True, FailureCause.UNKNOWN),
        ("running", False, None),
    ]


@pytest.mark.parametrize("stored", ["", "{", "[]", '{"trial_id": 3}', 7, None, {"a": 1}])
def test_attributes_that_are_no_records_are_ignored(stored):
    """Somebody else may use the key."""
    study = optuna.create_study()
    trial = study.ask()
    trial.set_user_attr(RECORD_KEY, stored)
    study.tell(trial, state=TrialState.FAIL)
    assert records_of(study)[0].cause is FailureCause.UNKNOWN


def test_a_retried_trial_has_its_own_record():
    """It copies the attributes of the one that it repeats, whose number gives them away."""
    study = optuna.create_study()
    study.optimize(robust(raising(MemoryError("out of memory"))), n_trials=1)
    first = study.trials[0]
    study.enqueue_trial(first.params, user_attrs=first.user_attrs)
    study.enqueue_trial(first.params, user_attrs=first.user_attrs)
    study.optimize(robust(returning(1.0)), n_trials=1)
    study.optimize(returning(2.0), n_trials=1)
    assert [record.cause for record in records_of(study)] == ["out_of_memory", None, None]


def test_trials_that_were_copied_into_another_study_keep_their_records():
    """A user drops the first trials of a study, or joins two: the numbers are others then."""
    study = study_of(half_failing, n_trials=6)
    copy = optuna.create_study()
    copy.add_trials(study.trials[1:])
    records = [record.replace(trial_id="", number=None) for record in records_of(study)[1:]]
    assert [record.replace(trial_id="", number=None) for record in records_of(copy)] == records
    assert [record.number for record in records_of(copy)] == [0, 1, 2, 3, 4]


def test_a_retry_that_was_copied_is_told_from_the_trial_that_it_repeats():
    """Its own record is kept, and one that it copied from the trial before is not."""
    study = study_of(raising(MemoryError("out of memory")), n_trials=2)
    failed = study.trials[1]
    retry = {"failed_trial": 1, "retry_history": [1], "fixed_params": failed.params}
    for number in (1, 2):
        record = TrialRecord.from_json(failed.user_attrs[RECORD_KEY]).replace(number=number)
        trial = optuna.create_trial(
            state=TrialState.FAIL,
            user_attrs={RECORD_KEY: record.to_json()},
            system_attrs=retry,
        )
        copy = optuna.create_study()
        copy.add_trial(trial)
        assert records_of(copy)[0].cause == ("unknown" if number == 1 else "out_of_memory")


def test_records_fit_into_every_storage():
    """What the storage encodes is at most 64 kB, whatever the record holds."""
    study = optuna.create_study()
    trial = study.ask()
    evidence = {f"é{i}": "„" * 900 for i in range(100)}
    write_record(trial, TrialRecord(trial_id="0", number=0, status="failed", evidence=evidence))
    stored = study.trials[0].user_attrs[RECORD_KEY]
    assert len(json.dumps(stored)) <= 64_000
    assert "left_out" in stored_record(study.trials[0]).evidence


def test_a_dead_workers_trial_has_crashed():
    """A breadcrumb tells a killed worker's trial from one that runs."""
    study = optuna.create_study()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    running, gone, elsewhere = study.ask(), study.ask(), study.ask()
    started, go_on = threading.Event(), threading.Event()

    def objective(trial):
        started.set()
        go_on.wait(30)
        return 1.0

    thread = threading.Thread(target=robust(objective), args=(running,))
    thread.start()
    started.wait(30)
    breadcrumb = stored_record(study.trials[0])
    assert breadcrumb.status == "running"
    for trial, changes in ((gone, {"pid": dead.pid}), (elsewhere, {"pid": 1, "host": "other"})):
        worker = {**breadcrumb.evidence, **changes}
        write_record(trial, breadcrumb.replace(number=trial.number, evidence=worker))
    assert [(r.status, r.cause) for r in records_of(study)] == [
        ("running", None),
        ("failed", FailureCause.CRASHED),
        ("running", None),
    ]
    go_on.set()
    thread.join()
    assert not records_of(study)[0].unstable


def rows_of(path):
    """Return the rows of a CSV file."""
    return pd.read_csv(path, dtype={"trial_id": str})


def half_failing(trial):
    """Fail every second trial."""
    x = trial.suggest_float("x", 0, 1)
    if trial.number % 4 == 1:
        raise ValueError("=1+1")
    return math.nan if trial.number % 4 == 3 else x


def test_the_failure_report_is_always_current(tmp_path):
    """After each trial the file has every failure so far, and the columns of the report."""
    path = tmp_path / "new" / "failures.csv"
    report = FailureReportCallback(path)
    counts = []

    def count(study, trial):
        counts.append(len(rows_of(path)))

    study_of(half_failing, n_trials=8, callbacks=[report, count])
    assert counts == [0, 1, 1, 2, 2, 3, 3, 4]
    rows = rows_of(path)
    assert list(rows.columns) == [*COLUMNS, "params_x"]
    assert rows["trial_id"].tolist() == ["1", "3", "5", "7"]
    assert rows["cause"].tolist() == ["code_error", "unknown"] * 2


def test_the_failure_report_begins_with_earlier_failures(tmp_path):
    """A study that goes on, and a file that somebody else has written or removed."""
    path = tmp_path / "failures.csv"
    study = study_of(half_failing, n_trials=4)
    report = FailureReportCallback(path)
    study.optimize(robust(half_failing), n_trials=1, callbacks=[report])
    assert len(rows_of(path)) == 2
    path.unlink()
    study.optimize(robust(half_failing), n_trials=1, callbacks=[report])
    other = FailureReportCallback(path)
    study.optimize(robust(half_failing), n_trials=2, callbacks=[other, report])
    assert rows_of(path)["number"].tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("names", [(None, None), ("same", "same")])
def test_a_failure_report_is_that_of_one_study(tmp_path, names):
    """A callback that is used for another study begins with that study's failures."""
    report = FailureReportCallback(tmp_path / "failures.csv")
    for axis, name in zip("xy", names, strict=True):
        study = optuna.create_study(study_name=name)

        def objective(trial, axis=axis):
            trial.suggest_float(axis, 0, 1)
            return math.nan if trial.number < (5 if axis == "x" else 2) else 1.0

        study.optimize(robust(objective), n_trials=7, callbacks=[report])
    rows = rows_of(report.path)
    assert list(rows.columns) == [*COLUMNS, "params_y"]
    assert rows["number"].tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")
def test_a_failure_report_drops_what_is_no_failure_any_more(tmp_path):
    """A worker that seemed to be lost may end its trial after all."""
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{tmp_path}/study.db", heartbeat_interval=1, grace_period=1
    )
    study = optuna.create_study(storage=storage)
    report = FailureReportCallback(tmp_path / "failures.csv")
    slow, failing = study.ask(), study.ask()
    storage.record_heartbeat(slow._trial_id)
    time.sleep(2.5)
    report(study, study.tell(failing, state=TrialState.FAIL))
    assert rows_of(report.path)["number"].tolist() == [0, 1]
    report(study, study.tell(slow, 1.0))
    assert rows_of(report.path)["number"].tolist() == [1]


def test_a_failure_report_whose_lock_was_broken_does_not_end_the_study(tmp_path, caplog):
    """Another worker breaks the lock of one that was suspended; the file is then written again."""
    report = FailureReportCallback(tmp_path / "failures.csv")
    write = report._write

    def suspended():
        write()
        (lock,) = tmp_path.glob("*.lock")
        lock.unlink()
        report.path.write_text("of another worker")

    report._write = suspended
    study = study_of(half_failing, n_trials=2, callbacks=[report])
    assert "lost its lock" in caplog.text
    report._write = write
    study.optimize(robust(half_failing), n_trials=1, callbacks=[report])
    assert rows_of(report.path)["number"].tolist() == [1]


def test_a_failure_report_that_cannot_be_written_does_not_end_the_study(tmp_path, caplog):
    """Somebody may have the file open; it is made up for with the next trial."""
    path = tmp_path / "failures.csv"
    report = FailureReportCallback(path)
    study = study_of(half_failing, n_trials=2, callbacks=[report])
    path.rename(tmp_path / "aside")
    path.mkdir()
    study.optimize(robust(half_failing), n_trials=2, callbacks=[report])
    assert "failures.csv" in caplog.text
    path.rmdir()
    study.optimize(robust(half_failing), n_trials=1, callbacks=[report])
    assert rows_of(path)["number"].tolist() == [1, 3]


def test_a_failure_report_that_can_never_be_written_says_so_at_once(tmp_path):
    """A wrong path is told of after the first trial."""
    (tmp_path / "file").touch()
    report = FailureReportCallback(tmp_path / "file" / "failures.csv")
    with pytest.raises(OSError, match="file"):
        study_of(half_failing, n_trials=2, callbacks=[report])


def test_the_failure_report_does_not_read_all_trials_each_time(tmp_path):
    """Reading a long study for every trial would cost more than the trials."""
    reads = []
    study = optuna.create_study()
    get_trials = study.get_trials

    def counting(*args, **kwargs):
        reads.append(1)
        return get_trials(*args, **kwargs)

    report = FailureReportCallback(tmp_path / "failures.csv")
    objective = robust(half_failing)
    study.optimize(objective, n_trials=1, callbacks=[report])
    for _ in range(12):
        trial = study.ask()
        study.tell(trial, state=TrialState.FAIL)
        study.get_trials = counting
        report(study, get_trials(deepcopy=False)[-1])
        del study.get_trials
    assert not reads
    assert len(rows_of(report.path)) == 12


def test_the_module_loads_no_tensorflow():
    """Only TrialGuard does."""
    code = (
        "import sys, robusttune.optuna as r;"
        " r.robust, r.CrashAwareSampler, r.FailureReportCallback, r.records_of;"
        " sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
