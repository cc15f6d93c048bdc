"""Without a replay: the learning rate against the scale of the data, as far as they tell."""

from __future__ import annotations

import numpy as np

from robusttune._causes import FailureCause
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import NOTHING_SHOWN, SUDDEN, SUDDEN_AT_LABELS, Grounds
from robusttune._diagnosis.rules import UNSCALED
from robusttune._diagnosis.verdict import Verdict

# A loss that never was this many times its start did not diverge.
_RISEN = 3.0


def suspect(case: Case) -> Verdict:
    """Return the likeliest cause of a divergence that was not replayed."""
    rate, ordinary = case.facts.learning_rate, case.facts.ordinary_rate
    rate_factor = rate / ordinary if rate and ordinary else 0.0
    scales = {"inputs": case.input_scale or 0.0, "targets": case.target_scale or 0.0}
    worst = max(scales, key=lambda name: scales[name])
    scale_factor = scales[worst] / UNSCALED
    if case.trace.step == 0:  # no update was made yet, at any rate
        rate_factor = 0.0
    if max(rate_factor, scale_factor) <= 1:
        return _sudden(case) or Verdict(
            cause=FailureCause.UNKNOWN, confidence=NOTHING_SHOWN, advice=FailureCause.UNKNOWN.advice
        )
    rate_verdict = Verdict(
        cause=FailureCause.DIVERGENT_LEARNING_RATE,
        grounds=Grounds.SUSPICION,
        advice=f"Lower the learning rate from {rate or 0:.3g} to {ordinary or 0:.3g} or less, which"
        f" is the ordinary range of {case.facts.optimizer}.",
    )
    data_verdict = Verdict(
        cause=FailureCause.UNSCALED_DATA,
        grounds=Grounds.SUSPICION,
        advice=f"Standardize the {worst} (root mean square {scales[worst]:.3g}).",
    )
    if rate_factor > 1 and scale_factor > 1:
        first, second = (
            (rate_verdict, data_verdict)
            if rate_factor >= scale_factor
            else (data_verdict, rate_verdict)
        )
        return Verdict(
            cause=first.cause,
            other_causes=(second.cause,),
            grounds=Grounds.SUSPICION,
            advice=first.advice,
        )
    return rate_verdict if rate_factor > 1 else data_verdict


def _sudden(case: Case) -> Verdict | None:
    """Return what a loss that is NaN out of the blue suggests, where its batch was not kept."""
    losses, start = case.trace.losses, case.trace.start_loss
    kept = case.trace.failing_batch is not None
    if kept or not losses.size or np.isfinite(losses[-1]):
        return None
    before = losses[np.isfinite(losses)]
    if before.size and (start is None or before.max() > _RISEN * abs(start)):
        return None
    names = {loss.name for loss in case.facts.losses}
    if "sparse_categorical_crossentropy" in names:
        return Verdict(
            cause=FailureCause.LABEL_MISMATCH,
            other_causes=(FailureCause.NON_FINITE_DATA,),
            confidence=SUDDEN_AT_LABELS,
            advice="Look for labels outside 0..classes-1, which give NaN without an error in a"
            " compiled step, and for NaN in the data: robusttune.check_data(x, y).",
        )
    if all(loss.built_in for loss in case.facts.losses):
        return Verdict(
            cause=FailureCause.NON_FINITE_DATA,
            confidence=SUDDEN,
            advice="Look for NaN or inf in the data (robusttune.check_data): an ordinary loss"
            " became NaN without having risen.",
        )
    return Verdict(
        cause=FailureCause.UNSAFE_LOSS,
        other_causes=(FailureCause.NON_FINITE_DATA,),
        confidence=SUDDEN,
        advice="The loss became NaN without having risen: look for a division, logarithm or root in"
        " it, then for NaN in the data.",
    )
