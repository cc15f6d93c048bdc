"""Training that fails quietly: no alarm, and nothing learned. Silence beats a false alarm."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from robusttune.causes import FailureCause
from robusttune.diagnosis import initial_state, rules
from robusttune.diagnosis.baseline import constant_loss
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.confidence import Grounds
from robusttune.diagnosis.facts import model_facts
from robusttune.diagnosis.replay.intervention import limit
from robusttune.diagnosis.trace import FitTrace
from robusttune.diagnosis.verdict import Verdict

# A fit of fewer steps than this has hardly begun, and its silence says nothing.
_MIN_STEPS = 20
# A fit that ends this near to the best constant prediction, or above it, has learned nothing.
_MARGIN = 0.95
# A fit whose last epoch still gained this share is on its way.
_GAIN = 0.005
# A fit that was this many times above its start has blown up on the way.
_BLOWN = 2.0
# A change gets this many steps at least: some cures need them to show at all.
_LEAST_STEPS = 100


# A fit that ends so far above the loss of the best constant prediction, as a share of it, is worse
# than the first batches' noise explains.
_ABOVE = 0.05
# Over all epochs a fit that learns falls by more than this share.
_FELL = 0.02
# A fit that gained more than this share on the best constant prediction has learned something.
_LEARNED = 0.1
# After one that gained little, a cure must end below this share of the constant prediction's loss.
_CLEAR = 0.75


def looks_healthy(model: Any, trace: FitTrace) -> bool:
    """Whether a look at the loss curve and the labels says that the fit learned something.

    Nearly free: it reads epoch means and the targets of the first batches.
    """
    if labels_disagree(model, trace):
        return False
    if trace.first_step + len(trace.losses) < _MIN_STEPS:
        return not (model_facts(model).learning_rate or 0.0) < 0
    return _curve_is_healthy(model, trace)


def labels_disagree(model: Any, trace: FitTrace) -> bool:
    """Whether labels, head and loss of an output can never agree."""
    found = rules.model_mismatch(model, trace.first_batches)
    return found is not None and found.certain


def _curve_is_healthy(model: Any, trace: FitTrace) -> bool:
    curve = _curve(trace)
    final = curve[-1] if curve else math.nan
    if not curve or not math.isfinite(final):
        return not curve
    baseline = constant_loss(model, trace.first_batches)
    if baseline is None:
        baseline = trace.start_loss
    return baseline is None or final < limit(baseline, _MARGIN)


def is_gaining(trace: FitTrace) -> bool:
    """Whether the last epoch still gained, after a course that never left its start upwards.

    One epoch shows no course, and gets the benefit of the doubt.
    """
    curve = _curve(trace)
    if not curve or _blew_up(trace, curve):
        return False
    return len(curve) < 2 or curve[-2] - curve[-1] > _GAIN * abs(curve[-2])


def _steps(trace: FitTrace, longest: int) -> int:
    """Return how many steps a change has to make the trial learn: as many as the trial had."""
    return min(longest, max(trace.first_step + len(trace.losses), _LEAST_STEPS))


def _curve(trace: FitTrace) -> list[float]:
    return [logs["loss"] for logs in trace.epoch_logs if "loss" in logs]


def _blew_up(trace: FitTrace, curve: list[float]) -> bool:
    start = trace.start_loss
    return start is not None and max(curve, default=0.0) > _BLOWN * abs(start)


def quiet_verdict(case: Case) -> Verdict | None:
    """Look closely at a fit that seems to have learned nothing; None where it has, or may have.

    The question is comparative: which one change makes the trial learn in as many steps as it had,
    where the trial as it is does not? One that does learn, given more steps, was only short.
    """
    from robusttune.diagnosis.replay.optimizer import CannotReplayError
    from robusttune.diagnosis.replay.runner import MARGIN, ReplayRunner
    from robusttune.diagnosis.stalls import candidates, find_stall

    began = time.monotonic()
    case.observe()
    settled = (rules.non_finite_data, rules.labels, _unmoved, *initial_state.QUIET, _worse)
    conclusive = next(filter(None, (rule(case) for rule in settled)), None)
    if conclusive is not None:
        return replace(conclusive, evidence={**case.numbers(), **conclusive.evidence})
    try:
        runner = ReplayRunner(case, hold_out=True)
        runner.expect(candidates(runner))
        gained = runner.gained
        if gained > _LEARNED:
            return None
        if gained > 1 - MARGIN:  # hardly: where little can be learned, that may be all of it
            runner.demand(_CLEAR)
        unchanged = runner.unchanged()
        if unchanged is None or unchanged.cured:  # given more steps, it learns
            return None
        verdict = find_stall(runner, steps=_steps(case.trace, runner.steps))
    except CannotReplayError as error:
        case.why_not["replay"] = str(error)
        return None
    if verdict is None or verdict.cause is FailureCause.UNKNOWN:
        return None
    evidence = {
        **case.numbers(),
        **verdict.evidence,
        "replays": [result.as_evidence() for result in runner.results],
        "baseline_loss": unchanged.baseline,
        "diagnosis_seconds": time.monotonic() - began,
    }
    return replace(verdict, evidence=evidence)


def _worse(case: Case) -> Verdict | None:
    """A doubtful head or loss, where the fit came to rest above the best constant prediction."""
    found, skill = rules.mismatch(case), case.trace.skill
    if found is None or skill is None or skill > -_ABOVE:
        return None
    curve = _curve(case.trace)
    fell = curve[-1] < (1 - _FELL) * curve[0] or len(curve) < 2
    return None if fell and is_gaining(case.trace) else rules.label_verdict(found, Grounds.SIGNS)


def _unmoved(case: Case) -> Verdict | None:
    """Return the verdict on a learning rate of 0 that has left every weight where it was."""
    initial = case.initial_weights
    if case.facts.learning_rate != 0 or initial is None:
        return None
    trained = {id(v) for v in case.model.trainable_variables}
    pairs = zip(case.model.weights, initial, case.model.get_weights(), strict=True)
    if any(not np.array_equal(old, new) for v, old, new in pairs if id(v) in trained):
        return None
    return Verdict(
        cause=FailureCause.LEARNING_RATE_TOO_LOW,
        grounds=Grounds.RULE,
        advice=f"The learning rate is 0, and no weight has moved: {case.facts.optimizer} is"
        f" ordinarily used with up to {case.facts.ordinary_rate or 0:.3g}.",
    )
