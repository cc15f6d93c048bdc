"""Without a replay: the learning rate against the scale of the data, as far as they tell."""

from __future__ import annotations

from robusttune.causes import FailureCause
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.rules import UNSCALED
from robusttune.diagnosis.verdict import Verdict


def suspect(case: Case) -> Verdict:
    """Return the likeliest cause of a divergence that was not replayed."""
    rate, ordinary = case.facts.learning_rate, case.facts.ordinary_rate
    rate_factor = rate / ordinary if rate and ordinary else 0.0
    scales = {"inputs": case.scale("x") or 0.0, "targets": case.scale("y") or 0.0}
    worst = max(scales, key=lambda name: scales[name])
    scale_factor = scales[worst] / UNSCALED
    if max(rate_factor, scale_factor) <= 1:
        return Verdict(
            cause=FailureCause.UNKNOWN, confidence=0.2, advice=FailureCause.UNKNOWN.advice
        )
    rate_verdict = Verdict(
        cause=FailureCause.DIVERGENT_LEARNING_RATE,
        confidence=0.75,
        advice=f"Lower the learning rate from {rate or 0:.3g} to {ordinary or 0:.3g} or less, which"
        f" is the ordinary range of {case.facts.optimizer}.",
    )
    data_verdict = Verdict(
        cause=FailureCause.UNSCALED_DATA,
        confidence=0.7,
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
            confidence=0.65,
            advice=first.advice,
        )
    return rate_verdict if rate_factor > 1 else data_verdict
