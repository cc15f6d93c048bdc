"""diagnose_failure, diagnose_stall: from a symptom and its evidence to a verdict."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis import fallback, initial_state, rules
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import AS_EARLIER, BY_CLOCK, NOTHING_SHOWN, Grounds
from robusttune._diagnosis.data.bad_data import non_finite_labels, not_numeric, rows_of
from robusttune._diagnosis.related_trials import (
    earlier_like_this,
    rate_parameter,
    search_evidence,
    weighed,
)
from robusttune._diagnosis.stalls.detection import looks_healthy, stall_verdict
from robusttune._diagnosis.trace import Batch, FitTrace
from robusttune._diagnosis.verdict import Verdict
from robusttune._exception_causes import classify_error
from robusttune._policy import Policy
from robusttune._random_states import untouched_randomness
from robusttune._records import TrialRecord

if TYPE_CHECKING:
    import keras

    from robusttune._diagnosis.arrays import Array
    from robusttune._diagnosis.replay.runner import ReplayRunner
    from robusttune._diagnosis.undefined import Undefined

_log = logging.getLogger("robusttune.diagnosis")


def diagnose_failure(
    symptom: Symptom,
    *,
    model: keras.Model | None = None,
    trace: FitTrace | None = None,
    error: BaseException | None = None,
    params: Mapping[str, Any] | None = None,
    related_trials: Sequence[TrialRecord] = (),
    policy: Policy,
) -> Verdict:
    """Name the cause of a failed trial. Never raises, and leaves the model as it was.

    Args:
        symptom: How the trial went wrong.
        model: The compiled model with the weights of the last good step; None where there is none.
        trace: What the guard saw of the fit; None where it saw nothing.
        error: The exception that ended the trial; None without one.
        params: Hyperparameter values of the trial, by name.
        related_trials: Records of the other trials of the search.
        policy: Thresholds.
    """
    try:
        case = Case(
            symptom=symptom,
            model=model,
            trace=trace or FitTrace(),
            params=params or {},
            related_trials=related_trials,
            policy=policy,
        )
        with untouched_randomness():
            return _with_grounds(_diagnose(case, error))
    except Exception as failure:  # a diagnosis must not cost the search that it serves
        _log.warning("the diagnosis itself failed: %r", failure, exc_info=True)
        return Verdict(
            cause=FailureCause.UNKNOWN,
            advice=FailureCause.UNKNOWN.advice,
            evidence={"why_not": {"diagnosis": repr(failure)}},
        )


def diagnose_stall(
    *,
    model: keras.Model,
    trace: FitTrace,
    params: Mapping[str, Any] | None = None,
    related_trials: Sequence[TrialRecord] = (),
    policy: Policy,
) -> Verdict | None:
    """Name why a fit that raised no alarm learned nothing; None for a healthy fit.

    Nearly free for healthy fits. Never raises, and leaves the model as it was.

    Args:
        model: The compiled model after the fit.
        trace: What the guard saw of the fit.
        params: Hyperparameter values of the trial, by name.
        related_trials: Records of the other trials of the search.
        policy: Thresholds.
    """
    try:
        if policy.diagnosis == "off" or looks_healthy(model, trace):
            return None
        case = Case(
            symptom=Symptom.STALLED,
            model=model,
            trace=trace,
            params=params or {},
            related_trials=related_trials,
            policy=policy,
        )
        with untouched_randomness():
            verdict = stall_verdict(case)
        if verdict is None:
            trace.why_not.update(case.why_not)
            return None
        return _with_grounds(verdict)
    except Exception as failure:  # a diagnosis must not cost the search that it serves
        _log.warning("the diagnosis itself failed: %r", failure, exc_info=True)
        return None


def _with_grounds(verdict: Verdict) -> Verdict:
    if verdict.grounds is None:
        return verdict
    return replace(verdict, evidence={**verdict.evidence, "grounds": str(verdict.grounds)})


_OUTRIGHT = {
    Symptom.TIMEOUT: FailureCause.TIMEOUT,
    Symptom.CRASHED: FailureCause.CRASHED,
}


NOT_DIAGNOSED = Verdict(
    cause=FailureCause.UNKNOWN,
    advice="Not diagnosed: policy.diagnosis is 'off', or 'search_end' and the search has not"
    " ended.",
    evidence={"why_not": {"diagnosis": "not diagnosed"}},
)


def _diagnose(case: Case, error: BaseException | None) -> Verdict:
    if case.symptom in _OUTRIGHT:
        cause = _OUTRIGHT[case.symptom]
        return Verdict(cause=cause, confidence=BY_CLOCK, advice=cause.advice)
    if error is not None:
        found = classify_error(error)
        of_data = None if found is None else not_numeric(case.trace.given, error)
        if found is not None and found.cause is FailureCause.LABEL_MISMATCH:
            of_data = of_data or _refused_labels(case)
        if found is not None and of_data is not None:
            return replace(of_data, evidence={"error": found.error, **of_data.evidence})
        if found is not None:
            at = f" at {found.where}" if found.where else ""
            return Verdict(
                cause=found.cause,
                grounds=Grounds.EXCEPTION,
                advice=f"{found.cause.advice}" + (f" Raised{at}." if at else ""),
                evidence={"error": found.error, "where": found.where},
            )
    if case.policy.diagnosis == "off":
        return NOT_DIAGNOSED
    if case.symptom is Symptom.STALLED and case.model is not None:
        quiet = stall_verdict(case)
        return quiet or Verdict(
            cause=FailureCause.UNKNOWN, confidence=NOTHING_SHOWN, advice=FailureCause.UNKNOWN.advice
        )
    case.observe()
    for rule in (*initial_state.CONCLUSIVE, *rules.CONCLUSIVE):
        verdict = rule(case)
        if verdict is not None:
            return replace(verdict, evidence={**case.numbers(), **verdict.evidence})
    verdict = _naming_the_rate(case, _replayed(case))
    return replace(verdict, evidence={**case.numbers(), **verdict.evidence})


def _refused_labels(case: Case) -> Verdict | None:
    """Return what is wrong with labels that the loss has refused, in their own numbers."""
    verdict = non_finite_labels(case) or rules.labels(case)
    given = case.trace.given
    if verdict is not None or case.model is None or given is None or given.is_pipeline:
        return verdict
    found = rules.model_mismatch(case.model, [Batch(None, rows_of(given.y, slice(None)))])
    return rules.label_verdict(found) if found is not None and found.certain else None


def _naming_the_rate(case: Case, verdict: Verdict) -> Verdict:
    """Return a verdict that says which hyperparameter its learning rate is, where it needs to."""
    rate = case.facts.learning_rate
    name = rate_parameter(case.params, rate)
    if rate is None or name is None or name.split("/")[-1] in ("learning_rate", "lr"):
        return verdict
    told = re.compile(rf"(earning rate (?:from )?{re.escape(f'{rate:.3g}')})")
    return replace(verdict, advice=told.sub(rf"\1 ({name})", verdict.advice, count=1))


def _replayed(case: Case) -> Verdict:
    """Let an earlier trial or replays decide; without them, the learning rate and the data."""
    search = search_evidence(case.params, case.facts.learning_rate, case.related_trials)
    evidence: dict[str, Any] = {"search": search.as_evidence()} if case.related_trials else {}
    earlier = earlier_like_this(case.symptom, case.params, search.parameter, case.related_trials)
    if earlier is not None and earlier.cause is not None:
        return Verdict(
            cause=earlier.cause,
            other_causes=earlier.other_causes,
            confidence=min(earlier.confidence or 0.0, AS_EARLIER),
            advice=f"As trial {earlier.trial_id}: {earlier.advice}",
            evidence={**evidence, "as_trial": earlier.trial_id},
        )
    verdict, replayed = _replays(case)
    return weighed(replace(verdict, evidence={**verdict.evidence, **replayed, **evidence}), search)


def _own_step(runner: ReplayRunner) -> Verdict | None:
    """Return the verdict on a train_step that is not finite where the predictions are ordinary.

    For what no replay cures: predictions of another call than the step's own tell little.
    """
    case = runner.case
    steps = (
        (case.first, case.initial_weights, "the first step of the model's own train_step"),
        (case.last, case.trace.weights, "the failing step of the model's own train_step"),
    )
    for seen, weights, what in steps:
        ordinary = seen is not None and seen.predictions_finite and not rules.overflows(case, seen)
        if ordinary and runner.undefined(weights):
            return rules.unsafe_loss(case, what, _undefined_in_own_step(case, weights))
    return None


def _undefined_in_own_step(case: Case, weights: list[Array] | None) -> Undefined | None:
    """Return where the model's own train_step is undefined, traced anew to see it."""
    from robusttune._diagnosis.model.forward import runs_on_tensorflow

    if not runs_on_tensorflow():
        return None
    from robusttune._diagnosis.replay.runner import ReplayRunner
    from robusttune._diagnosis.undefined import metrics_reset, undefined_in

    with metrics_reset(case.model):  # which hold the NaN of the step that failed
        return undefined_in(lambda: ReplayRunner(case).undefined(weights))


def _naming_the_operation(case: Case, verdict: Verdict) -> Verdict:
    """Return a verdict with what overflows in the model's own train_step: a cure may hide it."""
    found = _undefined_in_own_step(case, case.trace.weights)
    if found is None:
        return verdict
    evidence = {**verdict.evidence, **rules.undefined_evidence(found)}
    return replace(
        verdict, advice=f"{verdict.advice} {rules.capital(str(found))}.", evidence=evidence
    )


def _replays(case: Case) -> tuple[Verdict, dict[str, Any]]:
    """Return the verdict of the replays, or else the suspicion, with the numbers of the replays."""
    if case.model is None or not case.batches:
        return fallback.suspect(case), {}
    from robusttune._diagnosis.investigate import candidates, find_cures, verdict_of
    from robusttune._diagnosis.replay.optimizer import CannotReplayError
    from robusttune._diagnosis.replay.runner import ReplayRunner

    began = time.monotonic()
    try:
        runner = ReplayRunner(case)
        runner.expect(candidates(runner))
        unchanged = runner.unchanged()
        if unchanged is not None and unchanged.cured:  # not from the start: from where it failed
            runner = runner.restarted()
            unchanged = runner.unchanged()
        reproduced = unchanged is not None and not unchanged.cured
        verdict = verdict_of(runner, find_cures(runner)) if reproduced else None
        if runner.own_step and not case.trace_is_finite:
            if verdict is None:
                verdict = _own_step(runner)
            elif verdict.cause is not FailureCause.DIVERGENT_LEARNING_RATE:
                verdict = _naming_the_operation(case, verdict)
    except CannotReplayError as error:
        case.why_not["replay"] = str(error)
        return fallback.suspect(case), {}
    if not reproduced:
        case.why_not["replay"] = "the failure did not come again"
    evidence = {
        "replays": [result.as_evidence() for result in runner.results],
        "replayed_from": runner.replayed_from,
        "reproduced": reproduced,
        "baseline_loss": None if unchanged is None else unchanged.baseline,
        "diagnosis_seconds": time.monotonic() - began,
    }
    return verdict or fallback.suspect(case), evidence
