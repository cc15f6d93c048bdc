"""judge: from a symptom and its evidence to a verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from robusttune.causes import FailureCause, Symptom
from robusttune.diagnosis import fallback, rules
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.exceptions import classify_error
from robusttune.diagnosis.quiet import looks_healthy, quiet_verdict
from robusttune.diagnosis.randomness import untouched_randomness
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
        case = Case(
            symptom=symptom,
            model=model,
            trace=trace or FitTrace(),
            params=params or {},
            siblings=siblings,
            policy=policy,
        )
        with untouched_randomness():
            return _judge(case, error)
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
    """Name why a fit that raised no alarm learned nothing; None for a healthy fit.

    Nearly free for healthy fits. Never raises, and leaves the model as it was.

    Args:
        model: The compiled model after the fit.
        trace: What the guard saw of the fit.
        params: Hyperparameter values of the trial, by name.
        siblings: Records of the other trials of the search.
        policy: Thresholds.
    """
    try:
        if looks_healthy(model, trace):
            return None
        case = Case(
            symptom=Symptom.STALLED,
            model=model,
            trace=trace,
            params=params or {},
            siblings=siblings,
            policy=policy,
        )
        with untouched_randomness():
            return quiet_verdict(case)
    except Exception as failure:  # a diagnosis must not cost the search that it serves
        _log.warning("the diagnosis itself failed: %r", failure, exc_info=True)
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
    if case.symptom is Symptom.STALLED and case.model is not None:
        quiet = quiet_verdict(case)
        return quiet or Verdict(
            cause=FailureCause.UNKNOWN, confidence=0.2, advice=FailureCause.UNKNOWN.advice
        )
    case.observe()
    for rule in rules.CONCLUSIVE:
        verdict = rule(case)
        if verdict is not None:
            return replace(verdict, evidence={**case.numbers(), **verdict.evidence})
    verdict = _replayed(case)
    return replace(verdict, evidence={**case.numbers(), **verdict.evidence})


def _replayed(case: Case) -> Verdict:
    """Let replays decide; without them, the learning rate against the data."""
    from robusttune.diagnosis.battery import Battery
    from robusttune.diagnosis.changes import Change
    from robusttune.diagnosis.investigate import find_cures, verdict_of
    from robusttune.diagnosis.replay import CannotReplayError

    began = time.monotonic()
    try:
        battery = Battery(case, deadline=began + case.policy.diagnosis_seconds)
        unchanged = battery.outcome(Change())
        verdict = verdict_of(battery, find_cures(battery)) if unchanged is not None else None
    except CannotReplayError as error:
        case.why_not["replay"] = str(error)
        return fallback.suspect(case)
    evidence = {
        "replays": [outcome.as_evidence() for outcome in battery.outcomes],
        "baseline_loss": None if unchanged is None else unchanged.baseline,
        "diagnosis_seconds": time.monotonic() - began,
    }
    verdict = verdict or fallback.suspect(case)
    return replace(verdict, evidence={**verdict.evidence, **evidence})
