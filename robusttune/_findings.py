"""Findings: what went wrong in a trial, before it is the record of that trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from robusttune._causes import FailureCause, Symptom


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A failure, as the guards, the diagnosis and the end of a trial report it.

    `TrialRecord.of` makes a record of them, together with what the host knows of the trial.

    Args:
        symptom: How it showed; None where nothing but the fact of failing is known.
        cause: Why.
        other_causes: Further causes, the likeliest first.
        confidence: Probability that `cause` is right, 0..1; None where nobody says.
        epoch: Epoch of the failure, from 0; None where it was not in an epoch.
        step: Training step of the failure, from 0; None where it was not in a step.
        execution: Execution of the failure, from 0; None where a trial has one.
        seconds_saved: Estimate, epochs not run x seconds an epoch; None: unknown.
        advice: One line that says what to do; None: the cause's general advice.
        fix_verified: Whether a replay with the advised change was cured; None: not tried.
        error: One line; None without an exception.
        evidence: Numbers behind the verdict, JSON-like.
        cut_short: Whether the fit ended before its first epoch did, so that nothing can be scored.
    """

    symptom: Symptom | None
    cause: FailureCause
    other_causes: tuple[FailureCause, ...] = ()
    confidence: float | None = None
    epoch: int | None = None
    step: int | None = None
    execution: int | None = None
    seconds_saved: float | None = None
    advice: str | None = None
    fix_verified: bool | None = None
    error: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cut_short: bool = True

    def replace(self, **changes: Any) -> Findings:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    @classmethod
    def crashed(cls, **more: Any) -> Findings:
        """Return the findings on a trial whose process is known to be gone."""
        cause = FailureCause.CRASHED
        return cls(symptom=Symptom.CRASHED, cause=cause, confidence=1.0, **more)
