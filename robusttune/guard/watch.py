"""The loss watcher: pure functions that say when a fit has gone wrong, tested with tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from robusttune.causes import Symptom
from robusttune.policy import Policy

# The trial's own start is the median of this many losses: one lucky first batch is no yardstick.
START_STEPS = 5


@dataclass(slots=True)
class WatchState:
    """What the watcher carries from look to look.

    Args:
        first_losses: The first losses of the fit, at most START_STEPS.
        baseline: Loss of the best constant prediction; None where it is not known.
        high: Looks in a row at which the loss was beyond its limit.
    """

    first_losses: list[float] = field(default_factory=list)
    baseline: float | None = None
    high: int = 0

    @property
    def start(self) -> float | None:
        """Median of the first losses; None before the first."""
        return _median(self.first_losses) if self.first_losses else None


def watch(policy: Policy, state: WatchState, loss: float, norm: float) -> Symptom | None:
    """Return the symptom of one step, or None for a healthy one; updates `state`.

    Args:
        policy: Thresholds.
        state: What was seen so far.
        loss: The step's loss; NaN where it is not known and the gradient norm is finite.
        norm: The step's global gradient norm; NaN where the gradient was non-finite.
    """
    if not math.isfinite(norm):
        return Symptom.NON_FINITE_LOSS if not math.isfinite(loss) else Symptom.NON_FINITE_GRADIENT
    if math.isinf(loss):
        return Symptom.NON_FINITE_LOSS
    if math.isnan(loss):
        return None
    if len(state.first_losses) < START_STEPS:
        state.first_losses.append(loss)
        return None
    state.high = state.high + 1 if loss > loss_limit(policy, state) else 0
    return Symptom.DIVERGED if state.high >= policy.divergence_patience else None


def watch_epoch(policy: Policy, state: WatchState, mean_loss: float) -> Symptom | None:
    """Return DIVERGED if an epoch was far too high as a whole and at its last step, else None.

    Short epochs end before `divergence_patience` steps are over; without this their metrics would
    count as a result.

    Args:
        policy: Thresholds.
        state: What was seen so far.
        mean_loss: Mean training loss of the epoch.
    """
    beyond = state.high > 0 and mean_loss > loss_limit(policy, state)
    return Symptom.DIVERGED if beyond else None


def loss_limit(policy: Policy, state: WatchState) -> float:
    """Return the loss above which a step counts as far too high; inf before anything was seen.

    The limit is `divergence_factor` times the larger of the trial's own start and the best constant
    prediction's loss. Losses that can be negative (a log density) have no natural zero: there the
    limit lies the factor times the size of the start above it.
    """
    start = state.start
    if start is None:
        return math.inf
    if start <= 0:
        return start + policy.divergence_factor * max(abs(start), 1.0)
    return policy.divergence_factor * max(start, state.baseline or 0.0)


def step_loss(mean: float, previous_mean: float, batch: int) -> float:
    """Return the loss of one step from the running mean that Keras reports.

    Args:
        mean: Mean loss of the epoch after `batch` batches.
        previous_mean: Mean loss after `batch - 1` batches; anything where batch is 1.
        batch: Batches so far in this epoch, from 1.
    """
    return mean if batch <= 1 else batch * mean - (batch - 1) * previous_mean


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
