"""TrialRun: what is decided of a trial, whoever its host is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from robusttune import FailureCause, Guard, Policy, Symptom, TrialFailure, TrialRecord
from robusttune._diagnosis.trace import FitTrace
from robusttune._findings import Findings
from robusttune._trial_run import NoObjectiveError, TrialRun, notify_callbacks

DEAD = Findings(symptom=Symptom.STALLED, cause=FailureCause.DEAD_RELU, cut_short=False)
LATE = Findings(symptom=Symptom.DIVERGED, cause=FailureCause.UNSCALED_DATA, cut_short=False)
EARLY = Findings(symptom=Symptom.NON_FINITE_LOSS, cause=FailureCause.UNSAFE_LOSS, step=3)


class Loop:
    """A host that keeps one record in memory."""

    trial, trial_id, number = "the trial", "7", 7
    asked: frozenset[str] | None = None
    unwatched_advice: str | None = None

    def __init__(self, **params: Any) -> None:
        self.params: Mapping[str, Any] = params
        self.stored: TrialRecord | None = None

    def related_trials(self) -> list[TrialRecord]:
        return []

    def clip_norm(self) -> float | None:
        return 0.25

    def value(self, result: Any) -> float:
        if result != result:
            raise NoObjectiveError("the objective is NaN")
        return float(result)

    def error_text(self, error: Exception) -> str:
        return f"told: {error}"

    def read(self) -> TrialRecord | None:
        return self.stored

    def write(self, record: TrialRecord) -> None:
        self.stored = record


def fit(found: Findings | None, steps: int = 10) -> Any:
    """A guard whose fit has ended."""
    trace = FitTrace(first_step=steps)
    return SimpleNamespace(findings=found, trace=trace, fitted=None, release=lambda: None)


@pytest.mark.parametrize(
    ("fits", "cause"),
    [
        ([None], None),
        ([DEAD], "dead_relu"),
        ([DEAD, LATE], "unscaled_data"),
        ([LATE, DEAD], "unscaled_data"),
        ([LATE, EARLY], "unsafe_loss"),
        ([EARLY, LATE], "unsafe_loss"),
        ([LATE, LATE.replace(cause=FailureCause.UNKNOWN)], "unscaled_data"),
    ],
)
def test_the_gravest_fit_is_the_trials(fits: list[Findings | None], cause: str | None) -> None:
    """Of several failures the gravest counts, then the first; steps are those of the trial."""
    run = TrialRun(Loop(units=3), Policy())
    for found in fits:
        run.fit_begins(fit(found))
        run.fit_ended(fit(found))
    record = run.end(value=1.0)
    assert record.cause == cause
    assert (record.trial_id, record.number, record.params) == ("7", 7, {"units": 3})
    assert record.step == (None if EARLY not in fits else 3 + 10 * fits.index(EARLY))
    assert run.host.read() == record


def test_one_diagnosis_a_trial() -> None:
    """A later fit is diagnosed only where it is graver than what is known."""
    run = TrialRun(Loop(), Policy())
    asked = []
    for found in (None, DEAD, LATE, EARLY):
        run.found = found
        asked.append([run.wants_diagnosis(cut_short=cut) for cut in (False, True)])
    assert asked == [[True, True], [True, True], [False, True], [False, False]]


@pytest.mark.parametrize(
    ("error", "found", "cause", "text"),
    [
        (KeyError("units"), None, "code_error", "told: 'units'"),
        (KeyError("units"), DEAD, "code_error", "told: 'units'"),
        (KeyError("units"), LATE, "unscaled_data", "told: 'units'"),
        (TrialFailure("units do not fit"), None, "unknown", "units do not fit"),
        (TrialFailure("why", findings=LATE), None, "unscaled_data", None),
        (TrialFailure("why", findings=LATE), EARLY, "unsafe_loss", None),
        (NoObjectiveError("NaN"), None, "unknown", None),
        (None, DEAD, "dead_relu", None),
    ],
)
def test_what_a_trial_ends_with(
    error: Exception | None, found: Findings | None, cause: str, text: str | None
) -> None:
    """An exception goes before a fit that learned nothing, and after one that went wrong."""
    run = TrialRun(Loop(), Policy())
    run.found = found
    record = run.end(error)
    assert (record.cause, record.error) == (cause, text)
    assert record.status == ("completed" if error is None else "failed")
    assert record.unstable


def test_an_objective_after_a_fit_that_was_cut_short() -> None:
    """It counts for nothing, whatever it is."""
    run = TrialRun(Loop(), Policy())
    assert run.value(0.5) == 0.5
    run.found = EARLY
    with pytest.raises(NoObjectiveError, match="before its first epoch"):
        run.value(0.5)


def test_without_a_guard_the_host_says_what_to_do() -> None:
    """A NaN objective of fits that nobody watched cannot be diagnosed."""
    host = Loop()
    host.unwatched_advice = "Put a guard in."
    with pytest.raises(NoObjectiveError) as caught:
        TrialRun(host, Policy()).value(float("nan"))
    record = TrialRun(host, Policy()).end(caught.value)
    assert (record.symptom, record.cause) == ("non_finite_objective", "unknown")
    assert record.advice == "Put a guard in."


def test_hyperparameters_that_were_not_asked_for_are_not_in_the_record() -> None:
    """They had no part in what happened; before the end nobody knows which they are."""
    host = Loop(units=3, k=151)
    host.asked = frozenset({"units"})
    run = TrialRun(host, Policy())
    run.begin(begun=2)
    assert host.stored is not None
    assert (host.stored.status, host.stored.params) == ("running", {"units": 3, "k": 151})
    assert host.stored.evidence["begun"] == 2
    assert run.end(value=0.5).params == {"units": 3}


def test_what_another_process_has_stored_is_kept() -> None:
    """It ran a fit of the trial, and this process saw nothing of it."""
    host = Loop()
    TrialRun(host, Policy()).store(LATE, "completed")
    assert TrialRun(host, Policy()).end(value=1.0).cause is FailureCause.UNSCALED_DATA


def test_the_users_own_guard_is_told_of_the_trial() -> None:
    """Its policy stays, with its limit; one that the run makes has the clip norm of the search."""
    run = TrialRun(Loop(units=3), Policy(trial_seconds=600.0, clip="tune"))
    first, second = Guard(Policy(clip=None)), Guard(Policy(trial_seconds=5.0))
    assert run.guard(first) is first
    assert (first.context, first.policy) == (run, Policy(clip=None))
    assert run.clock_of(first.policy) is run.clock
    assert run.clock_of(second.policy).limit == 5.0
    assert run.guard().policy == Policy(trial_seconds=600.0, clip=0.25)


def test_record_callbacks_are_called_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """One that raises is logged, and the others are called."""
    seen: list[Any] = []

    def broken(trial: Any, record: TrialRecord) -> None:
        raise OSError("the tracker is down")

    record = TrialRecord(trial_id="7")
    with caplog.at_level(logging.ERROR, logger="robusttune"):
        notify_callbacks([broken, lambda *given: seen.append(given)], "trial", record)
    assert seen == [("trial", record)]
    assert "the tracker is down" in caplog.text
