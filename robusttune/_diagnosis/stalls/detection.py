"""Training that fails quietly: no alarm, and nothing learned. Silence beats a false alarm."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._diagnosis import initial_state, rules
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.data.unpaired import pairs_no_rows, unpaired_loss
from robusttune._diagnosis.model.info import loss_scale, model_facts, updates_made
from robusttune._diagnosis.model.structure import regularization
from robusttune._diagnosis.reference.baseline import constant_loss
from robusttune._diagnosis.related_trials import as_proven_earlier
from robusttune._diagnosis.replay.intervention import limit
from robusttune._diagnosis.stalls.end_state import end_state, epoch_losses
from robusttune._diagnosis.stalls.limits import (
    insufficient_capacity,
    is_linear_stack,
    is_narrow,
    no_nonlinearity,
)
from robusttune._diagnosis.trace import FitTrace
from robusttune._diagnosis.verdict import Verdict

if TYPE_CHECKING:
    from robusttune._diagnosis.replay.intervention import ReplayResult
    from robusttune._diagnosis.replay.runner import ReplayRunner

# A fit of fewer steps than this has hardly begun, and its silence says nothing.
_MIN_STEPS = 20
# A fit that ends this near to the best constant prediction, or above it, has learned little, and is
# looked at; so is one that may have come to the end of what its model can do.
_LITTLE = 0.9
# A fit whose last epoch still gained this share is on its way.
_GAIN = 0.005
# A fit that was this many times above its start has blown up on the way.
_BLOWN = 2.0
# A change gets this many steps at least: some cures need them to show at all.
_LEAST_STEPS = 100
# A fit that ends so far above the loss of the best constant prediction, as a share of it, is worse
# than the first batches' noise explains.
_ABOVE = 0.05
# Beside a fit that came to rest this far above it, as a share of it, a change that ends below it at
# all has cured something.
_FAR_ABOVE = 1.0
# Over all epochs a fit that learns falls by more than this share.
_FELL = 0.02
# A fit that gained more than this share on the best constant prediction has learned something.
_LEARNED = 0.1
# A target this small, as a share of the mean size, is next to 0; this share of them spoils it all.
_NEXT_TO_0, _SOME_ROWS = 1e-3, 0.01
# What is suspect by itself is looked at below this skill, and without that it must learn this much
# better.
_HALF = 0.5
# A rate below this share of the ordinary ones is one that a schedule has taken down to nothing.
_COLLAPSED = 1e-4
# Steps skipped beyond this share leave too few to learn from.
_MOST_STEPS = 0.5
# After one that gained little, a cure must end below this share of the constant prediction's loss.
_CLEAR = 0.75


def looks_healthy(model: Any, trace: FitTrace) -> bool:
    """Whether a look at the loss curve and the labels says that the fit learned something.

    Nearly free: it reads epoch means and the targets of the first batches.
    """
    if labels_disagree(model, trace) or pairs_no_rows(model, next(iter(trace.first_batches), None)):
        return False
    if trace.first_step + len(trace.losses) < _MIN_STEPS:
        return not (model_facts(model).learning_rate or 0.0) < 0
    return _curve_is_healthy(model, trace)


def labels_disagree(model: Any, trace: FitTrace) -> bool:
    """Whether labels, head and loss of an output can never agree."""
    found = rules.model_mismatch(model, trace.first_batches)
    return found is not None and found.certain


def _curve_is_healthy(model: Any, trace: FitTrace) -> bool:
    curve = epoch_losses(trace)
    final = curve[-1] if curve else math.nan
    if not curve or not math.isfinite(final):
        return not curve
    baseline = constant_loss(model, trace.first_batches)
    if baseline is None:
        baseline = trace.start_loss
    if baseline is None or final < limit(baseline, _LITTLE):
        little = baseline is not None and final > limit(baseline, 1 - _HALF)
        suspect = little and (is_narrow(model) or _strong_suspicion(model, trace) is not None)
        return not (suspect or is_linear_stack(model))
    return False


def _strong_suspicion(model: Any, trace: FitTrace) -> FailureCause | None:
    """Return what structure and rate suggest so strongly that little skill is worth a look."""
    facts = model_facts(model)
    if regularization(model, strong=True):
        return FailureCause.OVER_REGULARIZED
    if (facts.learning_rate or 0.0) < _COLLAPSED * (facts.ordinary_rate or 0.0):
        return FailureCause.LEARNING_RATE_TOO_LOW
    if rules.model_mismatch(model, trace.first_batches) is not None:
        return FailureCause.LABEL_MISMATCH
    return None


def is_gaining(trace: FitTrace) -> bool:
    """Whether the last epoch still gained, after a course that never left its start upwards.

    One epoch shows no course, and gets the benefit of the doubt.
    """
    curve = epoch_losses(trace)
    if not curve or _blew_up(trace, curve):
        return False
    return len(curve) < 2 or curve[-2] - curve[-1] > _GAIN * abs(curve[-2])


def _steps(trace: FitTrace, longest: int) -> int:
    """Return how many steps a change has to make the trial learn: as many as the trial had."""
    if not trace.losses.size:  # no fit yet
        return longest
    return min(longest, max(trace.first_step + len(trace.losses), _LEAST_STEPS))


def _blew_up(trace: FitTrace, curve: list[float]) -> bool:
    start = trace.start_loss
    return start is not None and max(curve, default=0.0) > _BLOWN * abs(start)


def stall_verdict(case: Case) -> Verdict | None:
    """Look closely at a fit that seems to have learned nothing; None where it has, or may have.

    The question is comparative: which one change makes the trial learn in as many steps as it had,
    where the trial as it is does not? One that does learn, given more steps, was only short.
    """
    case.observe()
    conclusive = next(filter(None, (rule(case) for rule in _SETTLED)), None)
    if conclusive is not None:
        return replace(conclusive, evidence={**case.numbers(), **conclusive.evidence})
    learned = _has_learned(case)
    verdict = insufficient_capacity(case) if learned else None
    if verdict is None and not (learned and _strong_suspicion(case.model, case.trace) is None):
        verdict = _replayed(case) or as_proven_earlier(case)
    if verdict is None or verdict.cause is FailureCause.UNKNOWN:
        return None
    return replace(verdict, evidence={**case.numbers(), **verdict.evidence})


def _has_learned(case: Case) -> bool:
    """Whether the loss of its last epoch is clearly better than that of a constant prediction."""
    skill = case.trace.skill
    return skill is not None and skill > _LEARNED


def _replayed(case: Case) -> Verdict | None:
    """Return what replays say; None where the fit has learned something, or was only short."""
    from robusttune._diagnosis.investigate import loss_changes
    from robusttune._diagnosis.replay.optimizer import CannotReplayError
    from robusttune._diagnosis.replay.runner import MARGIN, ReplayRunner
    from robusttune._diagnosis.stalls.causes import candidates, find_stall, has_unusual_rate

    began = time.monotonic()
    try:
        runner = ReplayRunner(case, hold_out=True)
        runner.expect(candidates(runner))
        gained, only = runner.gained, None
        if gained > _LEARNED:
            only = _strong_suspicion(case.model, case.trace) if gained < _HALF else None
            if only is None:
                return None
            runner.demand(_HALF * (1 - gained))
        elif gained > 1 - MARGIN:  # hardly: where little can be learned, that may be all of it
            runner.demand(_CLEAR)
        unchanged = runner.unchanged()
        if unchanged is None:
            return None
        if loss_changes(runner) and runner.learns_by_plain_loss:
            return None
        if _rests_far_above(case, unchanged):
            runner.content_with(1.0)
        if not has_unusual_rate(case) and _only_short(runner, unchanged):
            return None
        if unchanged.cured:
            runner.demand(_CLEAR)
            only = FailureCause.LEARNING_RATE_TOO_LOW
        verdict = find_stall(runner, steps=_steps(case.trace, runner.steps), only=only)
        if verdict is None or verdict.cause is FailureCause.UNKNOWN:
            return None
        target = None if unchanged.baseline is None else limit(unchanged.baseline, MARGIN)
        state = end_state(runner, target)
    except CannotReplayError as error:
        case.why_not["replay"] = str(error)
        return None
    evidence = {
        **verdict.evidence,
        **({} if state is None else {"end_state": state.as_evidence()}),
        "replays": [result.as_evidence() for result in runner.results],
        "baseline_loss": unchanged.baseline,
        "diagnosis_seconds": time.monotonic() - began,
    }
    told = "" if state is None else f" As it is, {state}."
    return replace(verdict, advice=f"{verdict.advice}{told}", evidence=evidence)


def _rests_far_above(case: Case, unchanged: ReplayResult) -> bool:
    """Whether the trial has come to rest at far more than the best constant prediction's loss."""
    baseline = unchanged.baseline
    if baseline is None or is_gaining(case.trace):
        return False
    return bool((unchanged.finals > limit(baseline, 1 + _FAR_ABOVE)).all())


def _only_short(runner: ReplayRunner, unchanged: ReplayResult) -> bool:
    """Whether the trial as it is learns, given more steps.

    Few rows are kept: where the fit itself was getting better, what is learned of these counts,
    even by heart. And a loss that halves again and again will get there.
    """
    baseline = unchanged.baseline
    if unchanged.cured or baseline is None or not unchanged.finite:
        return unchanged.cured
    if not is_gaining(runner.case.trace) or len(epoch_losses(runner.case.trace)) < 2:
        return False
    if unchanged.ends_below(unchanged.margin):
        return True
    before, end = unchanged.last_quarters
    if not end - baseline < _HALF * (before - baseline):
        return False
    longer = runner.unchanged(runner.affordable(2 * runner.steps))
    return longer is not None and longer.ends_below(unchanged.margin)


def _worse(case: Case) -> Verdict | None:
    """A doubtful head or loss, where the fit came to rest above the best constant prediction."""
    found, skill = rules.mismatch(case), case.trace.skill
    if found is None or skill is None or skill > -_ABOVE:
        return None
    curve = epoch_losses(case.trace)
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
        f" usually used with up to {case.facts.ordinary_rate or 0:.3g}.",
    )


def _percentage_of_zero(case: Case) -> Verdict | None:
    """A percentage of targets that are 0: the loss divides by next to nothing."""
    for targets, loss in case.targets_and_losses():
        if loss.name != "mean_absolute_percentage_error" or not loss.built_in:
            continue
        sizes = np.abs(targets[np.isfinite(targets)])
        share = float(np.mean(sizes < _NEXT_TO_0 * sizes.mean())) if sizes.size else 0.0
        if share >= _SOME_ROWS and not (case.trace.skill or 0.0) > _LEARNED:
            return Verdict(
                cause=FailureCause.UNSAFE_LOSS,
                grounds=Grounds.RULE,
                advice=f"{share:.0%} of the targets are 0 or close to it, and the loss averages"
                " percentages of them: use mean_absolute_error or"
                " mean_squared_logarithmic_error.",
                evidence={"targets_next_to_0": share},
            )
    return None


def _skipped(case: Case) -> Verdict | None:
    """Steps skipped by a loss scale until it was below 1, or most of them: gradients overflow.

    From its first value on, a scale that is halved at each skipped step comes below 1 only where
    the gradients themselves are beyond half precision.
    """
    made, before = updates_made(case.model), case.trace.updates_before
    steps, scale = case.trace.first_step + len(case.trace.losses), loss_scale(case.model)
    if made is None or before is None or not steps or _has_learned(case):
        return None
    skipped = steps - (made - before)
    if skipped <= 0 or not (scale < 1 or skipped > _MOST_STEPS * steps):
        return None
    unscaled = max(case.input_scale or 0.0, case.target_scale or 0.0) > rules.UNSCALED
    return Verdict(
        cause=FailureCause.NUMERIC_OVERFLOW,
        other_causes=(FailureCause.UNSCALED_DATA,) if unscaled else (),
        grounds=Grounds.RULE,
        advice=f"{skipped} of {steps} steps were skipped, since their gradients overflow in half"
        f" precision (the loss scale is down to {scale:.3g}): train in float32 or mixed_bfloat16,"
        " or scale the data down.",
        evidence={"skipped_steps": skipped, "loss_scale": scale},
    )


_SETTLED = (
    *(rules.non_finite_data, rules.labels, _skipped, _percentage_of_zero, _unmoved, unpaired_loss),
    *(*initial_state.QUIET, no_nonlinearity, _worse),
)
