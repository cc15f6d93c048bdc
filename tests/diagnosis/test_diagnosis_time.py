"""Policy(diagnosis=...): at the end of each trial, of the search, or not at all."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest

import robusttune
from robusttune import FailureCause, Guard, Policy, Report, Symptom, TrialRecord
from robusttune._diagnosis.postponed import PostponedDiagnoses
from robusttune.optuna import TrialGuard, records_of, robust
from tests.zoo import linear

LATER = Policy(diagnosis="search_end", sanitize="off", avoid_unstable=False)
NEVER = Policy(diagnosis="off", sanitize="off")
RATES = (1e-3, 5.0, 1e-9)


def causes(records: Any) -> list[FailureCause | None]:
    """Causes in the order of the trials."""
    return [record.cause for record in sorted(records, key=lambda record: int(record.trial_id))]


def tuner_of(folder: Path, policy: Policy, seen: list[TrialRecord], **more: Any) -> Any:
    """A grid over a good, a divergent and a far too small learning rate."""
    return robusttune.GridSearch(
        lambda hp: linear(hp.Choice("rate", RATES)),
        objective="loss",
        directory=str(folder),
        policy=policy,
        record_callbacks=[lambda trial, record: seen.append(record)],
        **more,
    )


EXPECTED = [None, FailureCause.DIVERGENT_LEARNING_RATE, FailureCause.LEARNING_RATE_TOO_LOW]


def test_tuner_diagnoses_when_the_search_returns(tmp_path: Path, regression: Any) -> None:
    """Each record comes once, the final one; until then there is a symptom and no cause."""
    seen: list[TrialRecord] = []
    during: list[Any] = []
    tuner = tuner_of(tmp_path, LATER, seen)
    own = tuner.on_trial_end

    def on_trial_end(trial: Any) -> None:
        own(trial)
        during.append(tuner.report().records[-1])

    tuner.on_trial_end = on_trial_end
    tuner.search(*regression, epochs=3, verbose=0)
    assert causes(during) == [None, FailureCause.UNKNOWN, None]
    assert during[1].symptom is not None
    assert "Not diagnosed" in during[1].advice
    assert causes(tuner.report().records) == EXPECTED
    assert sorted(record.trial_id for record in seen) == [r.trial_id for r in during]
    assert causes(seen) == EXPECTED
    stored = Report.from_directory(tuner.project_dir).records
    assert causes(stored) == EXPECTED
    failed, again = stored[1], during[1]
    assert (failed.symptom, failed.step, failed.epoch) == (again.symptom, again.step, again.epoch)
    assert failed.fix_verified
    assert "why_not" not in failed.evidence or "diagnosis" not in failed.evidence["why_not"]


def test_tuner_diagnoses_when_it_is_interrupted(tmp_path: Path, regression: Any) -> None:
    """Ctrl-C in the third trial: the second one has its cause."""
    seen: list[TrialRecord] = []
    tuner = tuner_of(tmp_path, LATER, seen)
    own = tuner.on_trial_begin

    def on_trial_begin(trial: Any) -> None:
        own(trial)
        if trial.trial_id == "0002":
            raise KeyboardInterrupt

    tuner.on_trial_begin = on_trial_begin
    with pytest.raises(KeyboardInterrupt):
        tuner.search(*regression, epochs=3, verbose=0)
    assert causes(seen) == EXPECTED[:2]


def test_tuner_without_diagnosis(tmp_path: Path, regression: Any) -> None:
    """Symptoms alone, and no fit that learned nothing is noticed."""
    seen: list[TrialRecord] = []
    tuner = tuner_of(tmp_path, NEVER, seen)
    tuner.search(*regression, epochs=3, verbose=0)
    assert causes(seen) == [None, FailureCause.UNKNOWN, None]
    assert seen[1].symptom is not None
    assert seen[1].evidence["why_not"]["diagnosis"] == "not diagnosed"


@pytest.mark.full
def test_isolated_trials_are_diagnosed_in_their_process(tmp_path: Path, regression: Any) -> None:
    """The child has what it takes, and keeps nothing for the search's process."""
    seen: list[TrialRecord] = []
    policy = Policy(diagnosis="search_end", isolate=True, sanitize="off", avoid_unstable=False)
    tuner_of(tmp_path, policy, seen).search(*regression, epochs=3, verbose=0)
    assert causes(seen) == EXPECTED


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_study_diagnoses_when_optimize_returns(regression: Any, n_jobs: int) -> None:
    """In one expression, as people write it; the callbacks hear of it once."""
    seen: list[TrialRecord] = []
    during: list[Any] = []

    def objective(trial: Any) -> float:
        rate = trial.suggest_categorical("rate", RATES)
        fit = linear(rate).fit(*regression, epochs=3, verbose=0, callbacks=[TrialGuard(trial)])
        return float(fit.history["loss"][-1])

    study = optuna.create_study()
    for rate in RATES:
        study.enqueue_trial({"rate": rate})
    study.optimize(
        robust(
            objective,
            policy=LATER,
            record_callbacks=[lambda trial, record: seen.append(record)],
        ),
        callbacks=[lambda study, trial: during.append(records_of(study)[trial.number])],
        n_trials=3,
        n_jobs=n_jobs,
    )
    expected = dict(zip(RATES, EXPECTED, strict=True))
    assert {r.params["rate"]: r.cause for r in records_of(study)} == expected
    assert {r.params["rate"] for r in during if r.symptom} == {5.0}
    assert {r.cause for r in during} == {None, FailureCause.UNKNOWN}
    assert sorted(int(r.trial_id) for r in seen) == [0, 1, 2]
    assert {r.cause for r in seen} == set(EXPECTED)


def test_study_diagnoses_when_it_is_interrupted(regression: Any, tmp_path: Path) -> None:
    """The verdict is in the storage, for whoever makes the report."""

    def objective(trial: Any) -> float:
        if trial.number:
            raise KeyboardInterrupt
        linear(5.0).fit(*regression, epochs=3, verbose=0, callbacks=[TrialGuard(trial)])
        return 0.0

    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=url, study_name="s")
    with pytest.raises(KeyboardInterrupt):
        study.optimize(robust(objective, policy=LATER), n_trials=2)
    assert Report.from_storage(url).records[0].cause is FailureCause.DIVERGENT_LEARNING_RATE


def test_ask_and_tell_diagnoses_at_once(regression: Any) -> None:
    """No search returns there."""

    def objective(trial: Any) -> float:
        linear(5.0).fit(*regression, epochs=3, verbose=0, callbacks=[TrialGuard(trial)])
        return 0.0

    study = optuna.create_study()
    trial = study.ask()
    study.tell(trial, robust(objective, policy=LATER)(trial), skip_if_finished=True)
    assert records_of(study)[0].cause is FailureCause.DIVERGENT_LEARNING_RATE


@pytest.mark.parametrize("policy", [LATER, NEVER])
def test_plain_fit(regression: Any, policy: Policy) -> None:
    """It is its own search: its end is that of the fit."""
    guard = Guard(policy)
    linear(5.0).fit(*regression, epochs=3, verbose=0, callbacks=[guard])
    later = policy is LATER
    expected = FailureCause.DIVERGENT_LEARNING_RATE if later else FailureCause.UNKNOWN
    assert guard.record is not None
    assert guard.record.cause is expected
    assert guard.record.symptom in (Symptom.DIVERGED, Symptom.NON_FINITE_LOSS)


def test_without_diagnosis_an_exception_still_says_its_cause(tmp_path: Path) -> None:
    """It costs nothing to read."""

    def objective(trial: Any) -> float:
        return float({}["missing"])

    study = optuna.create_study()
    study.optimize(robust(objective, policy=NEVER), n_trials=1)
    assert records_of(study)[0].cause is FailureCause.CODE_ERROR


def test_diagnose_is_asked_for_whatever_the_policy_says(regression: Any) -> None:
    """Policy(diagnosis="off") is about trials."""
    record = robusttune.diagnose(linear(5.0), *regression, policy=NEVER)
    assert record.cause is FailureCause.DIVERGENT_LEARNING_RATE


def test_what_does_not_fit_is_diagnosed_at_once(
    tmp_path: Path, regression: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on memory costs no verdict."""
    seen: list[TrialRecord] = []
    tuner = tuner_of(tmp_path, LATER, seen)
    tuner.oracle.postponed = PostponedDiagnoses(max_bytes=10)
    monkeypatch.setattr(PostponedDiagnoses, "conclude", lambda self: None)
    tuner.search(*regression, epochs=3, verbose=0)
    assert causes(seen) == EXPECTED


def test_nothing_is_kept_once_it_is_diagnosed(tmp_path: Path, regression: Any) -> None:
    """Models of failing trials go when the search has returned."""
    models: list[Any] = []

    def build(hp: Any) -> keras.Model:
        model = linear(hp.Choice("rate", [5.0, 6.0]))
        models.append(weakref.ref(model))
        return model

    tuner = robusttune.GridSearch(build, objective="loss", directory=str(tmp_path), policy=LATER)
    tuner.search(*regression, epochs=1, verbose=0)
    gc.collect()
    kept = [ref for ref in models if ref() is not None]
    assert len(kept) <= 1  # the last fit's own
    assert not np.isnan([r.seconds for r in tuner.report().records]).any()
