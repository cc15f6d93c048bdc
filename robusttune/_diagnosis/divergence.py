"""When a finite loss counts as diverged: one rule for the guard, for replays and for verdicts."""

from __future__ import annotations

import math

from robusttune._policy import Policy


def loss_limit(policy: Policy, *, start: float | None, baseline: float | None = None) -> float:
    """Return the loss above which a fit is far too high; inf while there is nothing to compare to.

    The limit is `divergence_factor` times the larger of the trial's own start and the best constant
    prediction's loss. Losses that can be negative (a log density) have no natural zero: there the
    limit lies the factor times the size of that reference above it, and of 1 at least.

    Args:
        policy: Thresholds.
        start: Loss of the first step, of the untrained model; None before it.
        baseline: Loss of the best constant prediction; None where it is not known.

    Example:
        >>> loss_limit(Policy(divergence_factor=10.0), start=0.5, baseline=2.0)
        20.0
    """
    known = [loss for loss in (start, baseline) if loss is not None]
    if not known:
        return math.inf
    reference = max(known)
    if reference <= 0:
        return reference + policy.divergence_factor * max(abs(reference), 1.0)
    return policy.divergence_factor * reference
