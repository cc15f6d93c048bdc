"""TrialSession: one run of one Optuna trial, from its breadcrumb to its record."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from robusttune._compat.optuna import stored_trial
from robusttune.causes import FailureCause, Symptom
from robusttune.diagnosis import Verdict, judge
from robusttune.diagnosis.trace import failure_record
from robusttune.errors import HopelessSearchError, TrialFailure
from robusttune.guard.clock import TrialClock
from robusttune.hopeless import why_hopeless
from robusttune.optuna.dashboard import note_failure
from robusttune.optuna.records import leave_breadcrumb, record_of, stored_record, write_record
from robusttune.policy import Policy
from robusttune.records import TrialRecord, text_of

if TYPE_CHECKING:
    from robusttune.guard import Guard

_KEY = "_robusttune_session"
# What an open session sets in the `__dict__` of its trial.
SESSION_KEYS = (_KEY, "report", "should_prune")
# So many of the latest trials are shown to the diagnosis of a failing one.
_SIBLINGS = 100


class TrialSession:
    """Collects what happens in one trial.

    Args:
        trial: The trial; objects that share its `__dict__` share the session.
        policy: Thresholds and switches.
        returns: Whether the objective's failures are returned as NaN (under `robust`), and not
            raised.
    """

    def __init__(self, trial: BaseTrial, policy: Policy, *, returns: bool) -> None:
        self.trial = trial
        self.policy = policy
        self.returns = returns
        self.failure: TrialRecord | None = None if returns else _recorded_failure(trial)
        self.guard: Guard | None = None  # of the last fit
        self._blind = False  # whether the last value that was reported was NaN
        self.clock = TrialClock(policy.trial_seconds)
        self.began = time.perf_counter()
        if self.failure is None:
            leave_breadcrumb(trial, recorded=returns)

    @staticmethod
    def of(trial: BaseTrial) -> TrialSession | None:
        """Return the session that a trial is in; None where there is none."""
        session: TrialSession | None = trial.__dict__.get(_KEY)
        return session

    def open(self) -> None:
        """Attach the session to its trial."""
        self.trial.__dict__[_KEY] = self
        self.trial.__dict__["report"] = self._report
        self.trial.__dict__["should_prune"] = self._should_prune

    def close(self) -> None:
        """Leave the trial, and the model of a fit that was broken off, as they were."""
        if self.guard is not None:
            self.guard.release()
            self.guard = None
        for name in SESSION_KEYS:
            self.trial.__dict__.pop(name, None)

    def note(self, record: TrialRecord) -> TrialRecord:
        """Store the record of a failure; of several in one trial the gravest, then the first."""
        graver = self.failure is not None and self.failure.status != "failed" == record.status
        return self._store(record) if self.failure is None or graver else self.failure

    def note_exception(self, failure: TrialRecord, error: Exception) -> TrialRecord:
        """Store the exception that a recorded failure has led to beside it."""
        return self._store(failure.replace(status="failed", error=text_of(error)))

    def _store(self, record: TrialRecord) -> TrialRecord:
        self.failure = self._completed(record)
        write_record(self.trial, self.failure)
        if isinstance(self.trial, optuna.Trial):
            note_failure(self.trial, self.failure)
        return self.failure

    def judge(self, symptom: Symptom, error: BaseException | None = None) -> TrialRecord:
        """Diagnose a failure that no guard recorded, and store its record."""
        guard = self.guard
        if guard is None and error is None:
            advice = "Put TrialGuard(trial) into the callbacks of model.fit to learn why."
            return self._note(symptom, Verdict(cause=FailureCause.UNKNOWN, advice=advice), None)
        verdict = judge(
            symptom,
            model=None if guard is None else guard.fitted,
            trace=None if guard is None else guard.trace,
            error=error,
            params=self.trial.params,
            siblings=self.siblings(),
            policy=self.policy,
        )
        return self._note(symptom, verdict, error)

    def declared(self, error: TrialFailure) -> TrialRecord:
        """Store the record of a trial whose objective says itself that it failed."""
        if error.record is not None:
            return self.note(error.record.replace(status="failed"))
        return self._note(Symptom.EXCEPTION, Verdict(cause=FailureCause.UNKNOWN), error)

    def interrupted(self, error: BaseException) -> None:
        """Record that the trial was ended from outside."""
        verdict = Verdict(
            cause=FailureCause.CRASHED, confidence=1.0, advice="Interrupted: run the trial again."
        )
        self._note(Symptom.CRASHED, verdict, error)

    def ended_well(self) -> None:
        """Note that a trial that fails from here on was failed by its user, who knows why."""
        if self.failure is None and _recorded_failure(self.trial) is None:
            with suppress(UpdateFinishedTrialError):  # told already, by whomever
                leave_breadcrumb(self.trial, recorded=False)

    def siblings(self) -> list[TrialRecord]:
        """Return records of the latest finished trials of the study."""
        return [record_of(trial) for trial in self._finished()[-_SIBLINGS:]]

    def raise_if_hopeless(self, failure: TrialRecord) -> None:
        """End the search where no trial can succeed.

        Raises:
            HopelessSearchError: All trials failed for one reason that no parameter changes.
        """
        if failure.status != "failed":
            return
        finished = self._finished()
        if any(trial.state is not TrialState.FAIL for trial in finished):
            return
        records = [record_of(trial) for trial in finished[-_SIBLINGS:]]
        reason = why_hopeless([*records, failure], self.policy.hopeless_after)
        if reason is not None:
            raise HopelessSearchError(reason)

    def _note(self, symptom: Symptom, verdict: Verdict, error: BaseException | None) -> TrialRecord:
        record = failure_record(symptom, verdict, None if self.guard is None else self.guard.trace)
        text = None if error is None else text_of(error)
        advice = record.advice or verdict.cause.advice
        return self.note(record.replace(status="failed", error=text, advice=advice))

    def _finished(self) -> Sequence[FrozenTrial]:
        if not isinstance(self.trial, optuna.Trial):
            return []
        trials = self.trial.study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.is_finished()]

    def _completed(self, record: TrialRecord) -> TrialRecord:
        number = self.trial.number
        return record.replace(
            trial_id=str(number),
            number=number,
            unstable=True,
            value=None,
            seconds=time.perf_counter() - self.began,
            params=self.trial.params,
        )

    # Set on the trial while the session is open. A failing epoch has no value to prune by: NaN
    # would make every pruner end the trial as pruned, where it has failed.

    def _report(self, value: float, step: int) -> None:
        self._blind = _is_nan(value)
        if not self._blind:
            type(self.trial).report(self.trial, value, step)

    def _should_prune(self) -> bool:
        return not self._blind and type(self.trial).should_prune(self.trial)


def _recorded_failure(trial: BaseTrial) -> TrialRecord | None:
    """Return what was recorded elsewhere: another process, or another fit without `robust`."""
    # A Trial knows only the attributes that it has set itself.
    latest = stored_trial(trial) if isinstance(trial, optuna.Trial) else trial
    stored = stored_record(latest)
    return None if stored is None or stored.cause is None else stored


def _is_nan(value: Any) -> bool:
    try:
        return math.isnan(float(value))
    except (TypeError, ValueError):  # Optuna says what is wrong with it
        return False
