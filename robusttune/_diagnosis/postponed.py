"""Diagnoses that wait for the end of their search: what they need, within a bound on memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robusttune._causes import Symptom
from robusttune._diagnosis.arrays import leaves
from robusttune._diagnosis.diagnose_failure import diagnose_failure, diagnose_stall
from robusttune._diagnosis.trace import FitTrace, findings_of
from robusttune._findings import Findings
from robusttune._policy import Policy
from robusttune._records import TrialRecord

_log = logging.getLogger("robusttune.diagnosis")

# What waiting diagnoses may keep together: batches, weights from before the fit and after it, and
# as much again for the model itself, whose optimizer has slots.
MAX_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class FitDiagnosis:
    """All that the diagnosis of one fit needs; made when the fit has ended, run then or later.

    Args:
        symptom: How the fit went wrong; None: not at all, and the question is whether it learned.
        shown: The symptom that the findings have, where that is another one; None: `symptom`.
        model: The model of the fit.
        trace: What was seen of the fit.
        context: The trial: its `params`, and the `related_trials` by the time of the diagnosis.
        policy: Thresholds and switches.
    """

    symptom: Symptom | None
    shown: Symptom | None = None
    model: Any
    trace: FitTrace
    context: Any
    policy: Policy

    def run(self, policy: Policy | None = None) -> Findings | None:
        """Return what went wrong; None where nothing did.

        Args:
            policy: Thresholds and switches; None: its own.
        """
        known: dict[str, Any] = {
            "model": self.model,
            "trace": self.trace,
            "params": self.context.params,
            "related_trials": self.context.related_trials,
            "policy": policy or self.policy,
        }
        if self.symptom is None:
            quiet = diagnose_stall(**known)
            return None if quiet is None else findings_of(Symptom.STALLED, quiet, self.trace)
        verdict = diagnose_failure(self.symptom, **known)
        return findings_of(self.shown or self.symptom, verdict, self.trace)

    def by_symptom_alone(self) -> Findings | None:
        """Return what can be said without a diagnosis."""
        return self.run(replace(self.policy, diagnosis="off"))

    def kept(self) -> FitDiagnosis:
        """Return it with copies of what changes once the fit is over."""
        weights = self.trace.weights or [np.array(w) for w in self.model.get_weights()]
        batches = list(self.trace.first_batches)
        return replace(self, trace=replace(self.trace, weights=weights, first_batches=batches))

    @property
    def size(self) -> int:
        """Memory that it keeps while it waits, in bytes."""
        trace = self.trace
        batches = [*trace.first_batches, *([trace.failing_batch] if trace.failing_batch else [])]
        arrays = [array for b in batches for _, array in leaves((b.x, b.y, b.sample_weight))]
        weights = 4 * sum(int(np.prod(w.shape)) for w in self.model.weights)
        return sum(array.nbytes for array in arrays) + 5 * weights


@dataclass(slots=True)
class _Waiting:
    diagnosis: FitDiagnosis
    record: TrialRecord
    write: Callable[[TrialRecord], object]
    tell: Callable[[TrialRecord], object] | None = None


class PostponedDiagnoses:
    """The diagnoses of one search that wait for its end.

    Args:
        max_bytes: What they may keep together; where one more does not fit, it does not wait.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._waiting: dict[str, _Waiting] = {}

    def has_room(self, diagnosis: FitDiagnosis) -> bool:
        """Whether one more diagnosis may wait."""
        kept = sum(waiting.diagnosis.size for waiting in self._waiting.values())
        return kept + diagnosis.size <= self._max_bytes

    def add(
        self,
        diagnosis: FitDiagnosis,
        record: TrialRecord,
        write: Callable[[TrialRecord], object],
    ) -> None:
        """Let the diagnosis of a trial wait; its earlier one is forgotten.

        Args:
            diagnosis: Of the fit that went wrong.
            record: Of the trial, as it is stored now.
            write: Stores the record that the diagnosis leads to.
        """
        self._waiting[record.trial_id] = _Waiting(diagnosis, record, write)

    def forget(self, trial_id: str) -> None:
        """Forget the diagnosis of a trial, which has run again perhaps."""
        self._waiting.pop(trial_id, None)

    def __contains__(self, trial_id: object) -> bool:
        return trial_id in self._waiting

    def then(self, trial_id: str, tell: Callable[[TrialRecord], object]) -> None:
        """Say what is done with the final record of a trial that waits."""
        self._waiting[trial_id].tell = tell

    def conclude(self) -> None:
        """Make the diagnoses that wait, the oldest first, and store what they say."""
        if self._waiting:
            _log.info("the search has ended: %d diagnoses are made now", len(self._waiting))
        while self._waiting:
            trial_id = next(iter(self._waiting))
            waiting = self._waiting[trial_id]
            record = concluded(waiting.record, waiting.diagnosis)
            del self._waiting[trial_id]  # only now: an interruption leaves it as it is
            if record is not waiting.record:
                waiting.write(record)
            if waiting.tell is not None:
                waiting.tell(record)


def concluded(record: TrialRecord, diagnosis: FitDiagnosis) -> TrialRecord:
    """Return the record of a trial with what a diagnosis says of its fit."""
    found = diagnosis.run(replace(diagnosis.policy, diagnosis="trial_end"))
    if found is None:
        return record
    if record.cause is not None:  # how it showed is known already, and where in the whole trial
        found = found.replace(
            symptom=record.symptom,
            epoch=record.epoch,
            step=record.step,
            execution=record.execution,
            error=record.error,
        )
    evidence = {name: item for name, item in record.evidence.items() if name != "why_not"}
    return record.replace(evidence=evidence).having(found)
