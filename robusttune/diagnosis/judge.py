"""judge: from a symptom and its evidence to a verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from robusttune.causes import FailureCause, Symptom
from robusttune.diagnosis import fallback, rules
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.exceptions import classify_error
from robusttune.diagnosis.verdict import Verdict
from robusttune.guard.trace import FitTrace
from robusttune.policy import Policy
from robusttune.records import TrialRecord

if TYPE_CHECKING:
    import keras

_log = logging.getLogger("robusttune.diagnosis")


def judge(
    symptom: Symptom,
    *,
    model: keras.Model | None = None,
    trace: FitTrace | None = None,
    error: BaseException | None = None,
    params: Mapping[str, Any] | None = None,
    siblings: Sequence[TrialRecord] = (),
    policy: Policy,
) -> Verdict:
    """Name the cause of a failed trial. Never raises, and leaves the model as it was.

    Args:
        symptom: How the trial went wrong.
        model: The compiled model with the weights of the last good step; None where there is none.
        trace: What the guard saw of the fit; None where it saw nothing.
        error: The exception that ended the trial; None without one.
        params: Hyperparameter values of the trial, by name.
        siblings: Records of the other trials of the search.
        policy: Thresholds.
    """
    try:
        return _judge(
            Case(
                symptom=symptom,
                model=model,
                trace=trace or FitTrace(),
                params=params or {},
                siblings=siblings,
                policy=policy,
            ),
            error,
        )
    except Exception as failure:  # a diagnosis must not cost the search that it serves
        _log.warning("the diagnosis itself failed: %r", failure, exc_info=True)
        return Verdict(
            cause=FailureCause.UNKNOWN,
            advice=FailureCause.UNKNOWN.advice,
            evidence={"why_not": {"diagnosis": repr(failure)}},
        )


def judge_quiet(
    *,
    model: keras.Model,
    trace: FitTrace,
    params: Mapping[str, Any] | None = None,
    siblings: Sequence[TrialRecord] = (),
    policy: Policy,
) -> Verdict | None:
    """Name why a fit that raised no alarm learned nothing; None for a healthy fit."""
    return None


_OUTRIGHT = {
    Symptom.TIMEOUT: FailureCause.TIMEOUT,
    Symptom.CRASHED: FailureCause.CRASHED,
}


def _judge(case: Case, error: BaseException | None) -> Verdict:
    if case.symptom in _OUTRIGHT:
        cause = _OUTRIGHT[case.symptom]
        return Verdict(cause=cause, confidence=0.99, advice=cause.advice)
    if error is not None:
        found = classify_error(error)
        if found is not None:
            at = f" at {found.where}" if found.where else ""
            return Verdict(
                cause=found.cause,
                confidence=found.confidence,
                advice=f"{found.cause.advice}" + (f" Raised{at}." if at else ""),
                evidence={"error": found.error, "where": found.where},
            )
    case.observe()
    for rule in rules.CONCLUSIVE:
        verdict = rule(case)
        if verdict is not None:
            return replace(verdict, evidence={**case.numbers(), **verdict.evidence})
    verdict = fallback.suspect(case)
    return replace(verdict, evidence={**case.numbers(), **verdict.evidence})
