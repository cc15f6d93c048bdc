"""The loss watcher: pure functions that say when a fit has gone wrong, tested with tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from robusttune._causes import Symptom
from robusttune._diagnosis.divergence import loss_limit
from robusttune._policy import Policy

# Where the best constant prediction is not known, the median of this many losses stands in for it.
START_STEPS = 5


@dataclass(slots=True)
class WatchState:
    """State of the watcher from step to step.

    Args:
        find_baseline: Gives the loss, on the data so far, of a model that has learned nothing, or
            None where it cannot be told; called only when a loss is suspiciously high.
        ready: Whether the data of now are at hand for that; until then there is no alarm.
        first_losses: The first losses of the fit, at most START_STEPS.
        baseline: The most that `find_baseline` gave, or what stands in for it; None before it is
            needed.
        high: Steps in a row at which the loss was beyond its limit.
        quiet: Losses up to here need no closer look; -inf before the start is known.
    """

    find_baseline: Callable[[], float | None] = lambda: None
    ready: Callable[[], bool] = lambda: True
    first_losses: list[float] = field(default_factory=list)
    baseline: float | None = None
    high: int = 0
    quiet: float = -math.inf

    @property
    def start(self) -> float | None:
        """The loss of the first step, of the untrained model; None before it."""
        return self.first_losses[0] if self.first_losses else None


def watch(policy: Policy, state: WatchState, loss: float, norm: float) -> Symptom | None:
    """Return the symptom of one step, or None for a healthy one; updates `state`.

    Args:
        policy: Thresholds.
        state: What was seen so far.
        loss: The step's loss; NaN where it is not known and the gradient norm is finite.
        norm: The step's global gradient norm; NaN where the gradient was non-finite.
    """
    if -math.inf < loss <= state.quiet and norm < math.inf:
        state.high = 0
        return None
    if not math.isfinite(norm):
        return Symptom.NON_FINITE_LOSS if not math.isfinite(loss) else Symptom.NON_FINITE_GRADIENT
    if math.isinf(loss):
        return Symptom.NON_FINITE_LOSS
    if math.isnan(loss):
        return None
    if len(state.first_losses) < START_STEPS:
        state.first_losses.append(loss)
    limit = _limit(policy, state)
    if len(state.first_losses) == START_STEPS:
        state.quiet = limit
    state.high = state.high + 1 if loss > limit else 0
    if state.high < policy.divergence_patience or not state.ready():
        return None
    return _confirmed(policy, state, loss)


def watch_epoch(policy: Policy, state: WatchState, mean_loss: float) -> Symptom | None:
    """Return DIVERGED if an epoch was far too high as a whole and at its last step, else None.

    Short epochs end before `divergence_patience` steps are over; without this their metrics would
    count as a result.

    Args:
        policy: Thresholds.
        state: What was seen so far.
        mean_loss: Mean training loss of the epoch.
    """
    if state.high == 0 or not mean_loss > _limit(policy, state):
        return None
    return _confirmed(policy, state, mean_loss)


def _limit(policy: Policy, state: WatchState) -> float:
    """Return the loss above which a step counts as far too high; inf before anything was seen."""
    if state.start is None:
        return math.inf
    return loss_limit(policy, start=state.start, baseline=state.baseline)


def _confirmed(policy: Policy, state: WatchState, loss: float) -> Symptom | None:
    """Recompute the baseline before reporting divergence.

    Ordered data can get harder without diverging, and the first batch may be an easy one.
    """
    baseline = state.find_baseline()
    if baseline is None:
        baseline = statistics.median(state.first_losses)
    state.baseline = max(baseline, -math.inf if state.baseline is None else state.baseline)
    if loss > _limit(policy, state):
        return Symptom.DIVERGED
    state.high = 0
    return None


def step_loss(mean: float, previous_mean: float, batch: int) -> float:
    """Return the loss of one step from the running mean that Keras reports.

    Args:
        mean: Mean loss of the epoch after `batch` batches.
        previous_mean: Mean loss after `batch - 1` batches; anything where batch is 1.
        batch: Batches so far in this epoch, from 1.
    """
    return mean if batch <= 1 else batch * mean - (batch - 1) * previous_mean
