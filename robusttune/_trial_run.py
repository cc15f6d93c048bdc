"""TrialRun: one run of one trial, whoever the host is: guards, findings, record."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias, runtime_checkable

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis.diagnose_failure import diagnose_failure
from robusttune._diagnosis.fit_input import FitInput
from robusttune._diagnosis.postponed import FitDiagnosis, PostponedDiagnoses
from robusttune._diagnosis.stalls.detection import looks_healthy
from robusttune._diagnosis.trace import FitTrace, findings_of
from robusttune._findings import Findings
from robusttune._guard.clock import FitClock, TrialClock
from robusttune._guard.context import FitGuardLike
from robusttune._host import TrialHost
from robusttune._policy import Policy
from robusttune._processes import this_process
from robusttune._records import Status, TrialRecord, text_of
from robusttune._validation import check_items
from robusttune.errors import TrialFailure

_log = logging.getLogger("robusttune")

# Gets the host's trial and its record.
RecordCallback: TypeAlias = Callable[[Any, TrialRecord], object]


@runtime_checkable
class SearchCallback(Protocol):
    """A record callback that is also told when a tuner's search has ended, however it ended."""

    def __call__(self, trial: Any, record: TrialRecord) -> object:
        """Take a trial that has ended."""

    def search_ended(self, records: Sequence[TrialRecord]) -> object:
        """Take the records of all its trials that have ended, those of earlier sessions too."""


class NoObjectiveError(TrialFailure):
    """A trial has come to its end, and its objective is no finite number."""


class TrialRun:
    """Collects what happens in one trial, and makes its record.

    Args:
        host: The trial, as its host knows it.
        policy: Thresholds and switches.
        postponed: Where diagnoses wait for the end of the search; None: no search waits for them.

    Attributes:
        clock: The trial's time against its limit.
        found: What its fits have shown so far: of several failures the gravest, then the first.
        skill: Of its last fit that has one; None before (see `TrialRecord`).
        clipped_steps: Steps that the guards of its fits have clipped; None: no fit has ended.
        why_not: What a closer look at its last fit could not tell, where it found nothing.
    """

    def __init__(
        self, host: TrialHost, policy: Policy, postponed: PostponedDiagnoses | None = None
    ) -> None:
        self.host = host
        self.policy = policy
        self.postponed = postponed
        self._later: FitDiagnosis | None = None  # the one that its record waits for
        self.clock = TrialClock(policy.trial_seconds)
        self.found: Findings | None = None
        self._last: FitGuardLike | None = None
        self.skill: float | None = None
        self.clipped_steps: int | None = None
        self.why_not: Mapping[str, str] = {}
        self._refused: FitInput | None = None
        self._execution: int | None = None
        self._steps = 0  # of the fits that have ended
        self._began = time.perf_counter()

    # What a guard asks of the trial that its fit is in (`guard.context.FitContext`).

    @property
    def params(self) -> Mapping[str, Any]:
        """Values of the hyperparameters that the trial has asked for so far."""
        params, asked = self.host.params, self.host.asked
        return {n: v for n, v in params.items() if n in asked} if asked else params

    @property
    def related_trials(self) -> Sequence[TrialRecord]:
        """Records of the other trials of the search."""
        return self.host.related_trials()

    def clock_of(self, policy: Policy) -> TrialClock:
        """Return the clock of a fit whose guard has a policy of its own."""
        limit = policy.trial_seconds
        if limit is None or limit == self.policy.trial_seconds:
            return self.clock
        return FitClock(limit, self.clock)

    def wants_diagnosis(self, *, cut_short: bool) -> bool:
        """Whether a fit that fails is worth a diagnosis: a trial has one cause."""
        return self.found is None or _gravity(self.found) < 1 + cut_short

    def postpone(self, diagnosis: FitDiagnosis) -> bool:
        """Keep a diagnosis for the end of the search; False where it has to be made now.

        Of several fits that of the gravest failure is kept, as with findings.
        """
        if self.postponed is None or not self.postponed.has_room(diagnosis):
            return False
        first = self.found is None and self._later is None
        graver = diagnosis.symptom is not None  # than the ones before, or it was not asked for
        if graver or (first and not looks_healthy(diagnosis.model, diagnosis.trace)):
            self._later = diagnosis.kept()
        return True

    def fit_begins(self, guard: FitGuardLike) -> None:
        """Take note of a fit."""
        self._last = guard

    def fit_refused(self, given: FitInput) -> None:
        """Take note of a fit that has raised before it began: of its data, perhaps."""
        self._refused = given

    def fit_ended(self, guard: FitGuardLike) -> None:
        """Take note of what a fit has shown, however it ended."""
        trace, found = guard.trace, guard.findings
        if found is not None:
            step = None if found.step is None else self._steps + found.step
            self.note(found.replace(step=step, execution=self._execution))
        if trace is not None:
            self.clipped_steps = (self.clipped_steps or 0) + trace.clipped_steps
            self._steps += trace.first_step + len(trace.losses)
            self.skill = self.skill if trace.skill is None else trace.skill
            self.why_not = trace.why_not

    def note(self, found: Findings) -> None:
        """Keep findings where they are graver than those so far."""
        if self.found is None or _gravity(found) > _gravity(self.found):
            self.found = found

    # What a host asks of it.

    def execution_begins(self, number: int) -> None:
        """Count steps anew: a trial may train several models with the same hyperparameters."""
        self._execution, self._steps = number, 0

    def guarding(self) -> AbstractContextManager[None]:
        """Give each Keras fit inside a block, in this thread, a guard that knows of the trial."""
        from robusttune._guard.fits import guard_every_fit

        return guard_every_fit(self.guard)

    def noting_refusals(self) -> AbstractContextManager[None]:
        """Hear of fits inside a block, in this thread, that raise before any callback is called."""
        if "keras" not in sys.modules:
            return nullcontext()
        from robusttune._guard.fits import refusals_noted

        return refusals_noted(self.fit_refused)

    def guard(self, found: Any = None) -> Any:
        """Return the guard of the next fit.

        Args:
            found: The user's own among the callbacks of the fit, or None.
        """
        from robusttune._guard.callback import FitGuard

        guard = FitGuard(self._fit_policy()) if found is None else found
        guard.context = self
        return guard

    def _fit_policy(self) -> Policy:
        norm = self.host.clip_norm() if self.policy.clip == "tune" else None
        return self.policy if norm is None else dataclasses.replace(self.policy, clip=norm)

    def begin(self, **evidence: Any) -> None:
        """Store who runs the trial, so that a killed process is told from a running one.

        Args:
            evidence: What the host wants to find again.
        """
        self.host.write(self._record(None, "running", evidence={**this_process(), **evidence}))

    def value(self, result: Any) -> float | None:
        """Return the objective's value of a trial that has come to its end.

        Raises:
            NoObjectiveError: It is not finite, or a fit of the trial did not get through its first
                epoch.
        """
        if self.found is not None and self.found.cut_short:
            raise NoObjectiveError("a fit ended before its first epoch")
        return self.host.value(result)

    def end(
        self, error: Exception | None = None, value: float | None = None, **evidence: Any
    ) -> TrialRecord:
        """Make the record of the trial, and store it.

        Args:
            error: What the trial failed with; None for one that completed.
            value: Objective value; None where there is not one number.
            evidence: What the host wants to add.
        """
        with self.clock.paused():
            found = self.findings(error)
        if (found is None or self.skill is None) and (earlier := self.host.read()) is not None:
            found = found or earlier.findings  # by another process that ran a fit of the trial
            self.skill = earlier.skill if self.skill is None else self.skill
        if error is None:
            return self.store(found, "completed", value=value, evidence=evidence)
        return self.store(found, "failed", evidence=evidence)

    def pruned(self) -> TrialRecord:
        """Make the record of a trial that its host ends before its end, and store it."""
        return self.store(self.found, "pruned")

    def interrupted(self, error: BaseException) -> TrialRecord:
        """Make the record of a trial that is ended from outside, and store it."""
        advice = "Interrupted: run the trial again."
        found = Findings.crashed(advice=advice, error=text_of(error))
        return self.store(self.found or found, "failed")

    def store(self, found: Findings | None, status: Status, **more: Any) -> TrialRecord:
        """Store a record with these findings and fields, and return it."""
        seconds = time.perf_counter() - self._began
        if found is None and self.why_not:
            more["evidence"] = {"why_not": self.why_not, **more.get("evidence", {})}
        record = self._record(found, status, seconds=seconds, **more)
        self.host.write(record)
        if self.postponed is not None:
            if self._later is None:
                self.postponed.forget(record.trial_id)
            else:
                write = getattr(self.host, "write_later", self.host.write)
                self.postponed.add(self._later, record, write)
        return record

    def findings(self, error: Exception | None) -> Findings | None:
        """Return what the trial's fits and its end say; None where nothing went wrong.

        Args:
            error: What the trial failed with; None for one that completed.
        """
        seen = self.found
        if error is None:
            return seen
        if seen is None or seen.symptom is Symptom.STALLED:
            seen = self._of_error(error)
        elif isinstance(error, NoObjectiveError) and seen.epoch is None and not seen.cut_short:
            seen = seen.replace(symptom=Symptom.NON_FINITE_OBJECTIVE)  # a loss in validation only
        if isinstance(error, TrialFailure):
            return seen
        return seen.replace(error=self.host.error_text(error))

    def _of_error(self, error: Exception) -> Findings:
        objective_only = isinstance(error, NoObjectiveError)
        if isinstance(error, TrialFailure) and not objective_only:
            return error.findings or _declared(error)
        guard = self._last
        symptom = Symptom.NON_FINITE_OBJECTIVE if objective_only else Symptom.EXCEPTION
        if guard is None and objective_only and self.host.unwatched_advice is not None:
            advice = self.host.unwatched_advice
            return Findings(symptom=symptom, cause=FailureCause.UNKNOWN, advice=advice)
        trace = None if guard is None else guard.trace
        in_a_step = guard is not None and guard.broke_off
        if self._refused is not None and not objective_only and not in_a_step:
            trace = FitTrace(given=self._refused)
        policy, model = self.policy, None if guard is None else guard.fitted
        if policy.diagnosis == "search_end" and objective_only and trace is not None:
            later = FitDiagnosis(
                symptom=symptom, model=model, trace=trace, context=self, policy=policy
            )
            if self.postpone(later):
                policy = dataclasses.replace(policy, diagnosis="off")
        verdict = diagnose_failure(
            symptom,
            model=model,
            trace=trace,
            error=None if objective_only else error,
            params=self.params,
            related_trials=self.related_trials,
            policy=policy,
        )
        return findings_of(symptom, verdict, trace)

    def _record(self, found: Findings | None, status: Status, **more: Any) -> TrialRecord:
        host = self.host
        return TrialRecord.of(
            found,
            trial_id=host.trial_id,
            number=host.number,
            status=status,
            skill=self.skill,
            clipped_steps=self.clipped_steps,
            params=host.params if status == "running" else self.params,
            **more,
        )

    def release(self) -> None:
        """Leave the model of a fit that was broken off as it was."""
        if self._last is not None:
            self._last.release()
            self._last = None


def _gravity(found: Findings) -> int:
    """Rank failures: learning nothing, going wrong after an epoch, going wrong before one."""
    return 0 if found.symptom is Symptom.STALLED else 1 + found.cut_short


def _declared(error: TrialFailure) -> Findings:
    """Return the findings on a trial whose own code says that it failed."""
    return Findings(symptom=Symptom.EXCEPTION, cause=FailureCause.UNKNOWN, error=str(error))


_CALLBACKS_RULE = "callables that take a trial and its TrialRecord"
notifying = threading.RLock()  # held while record callbacks are called


def checked_callbacks(callbacks: Any) -> tuple[RecordCallback, ...]:
    """Return record callbacks as a tuple.

    Raises:
        TypeError: They are not callables in a collection.
    """
    return check_items("record_callbacks", callbacks, Callable, _CALLBACKS_RULE)


def notify_callbacks(callbacks: Iterable[RecordCallback], trial: Any, record: TrialRecord) -> None:
    """Call record callbacks, one at a time in this process; one that raises is logged.

    Args:
        callbacks: They are called in their order.
        trial: The host's object of the trial; None where it has none.
        record: Its record, which is stored already.
    """
    with notifying:
        for callback in callbacks:
            try:
                callback(trial, record)
            except Exception:  # a tracker that is down must not end the search
                _log.exception("record callback %r raised; the search continues", callback)


def notify_search_end(callbacks: Iterable[RecordCallback], records: Sequence[TrialRecord]) -> None:
    """Tell those record callbacks that want to know that a search has ended."""
    with notifying:
        for callback in callbacks:
            if isinstance(callback, SearchCallback):
                try:
                    callback.search_ended(records)
                except Exception:
                    _log.exception("record callback %r raised at the end of the search", callback)
