"""The loss watcher, as tables."""

from __future__ import annotations

import math

import pytest

from robusttune._causes import Symptom
from robusttune._guard.watch import WatchState, step_loss, watch, watch_epoch
from robusttune._policy import Policy

NAN, INF = math.nan, math.inf
POLICY = Policy(divergence_factor=10.0, divergence_patience=3)


@pytest.mark.parametrize(
    ("loss", "norm", "symptom"),
    [
        (1.0, 1.0, None),
        (NAN, NAN, Symptom.NON_FINITE_LOSS),
        (INF, NAN, Symptom.NON_FINITE_LOSS),
        (INF, 1.0, Symptom.NON_FINITE_LOSS),
        (1.0, NAN, Symptom.NON_FINITE_GRADIENT),
        (1.0, INF, Symptom.NON_FINITE_GRADIENT),
        (NAN, 1.0, None),  # the loss of a custom step is not seen
    ],
)
def test_watch_first_step(loss: float, norm: float, symptom: Symptom | None) -> None:
    """What is not finite is a symptom at once."""
    assert watch(POLICY, WatchState(), loss, norm) is symptom


@pytest.mark.parametrize(
    ("losses", "at"),
    [
        ([1] * 20, None),
        ([1] * 5 + [11, 11, 11], 7),
        ([1] * 5 + [11, 11, 1, 11, 11, 1, 1], None),  # spikes
        ([1] * 5 + [9.9] * 20, None),  # high, but not far too high
        ([1, 1e3, 1e4, 1e5, 1e6], 3),  # the baseline is not known: the median stands in
        ([1, 1e3, 900, 800, 700, 600, 500], None),  # the same: not far above that
        ([1e-3, 1, 1, 1, 1, 1, 1, 1], None),  # a lucky first batch
        ([1e-3, 1, 1, 1, 1, 1, 11, 11, 11], 8),
        ([5, 4, 3, 2, 1] + [0.1] * 20, None),
        ([-5] * 5 + [40] * 5, None),  # negative losses: 10 x 5 above the start
        ([-5] * 5 + [50] * 5, 7),
    ],
)
def test_watch_divergence_that_stays_finite(losses: list[float], at: int | None) -> None:
    """Only a loss that stays beyond the limit has diverged."""
    state = WatchState()
    seen = [watch(POLICY, state, loss, 1.0) for loss in losses]
    alarms = [step for step, symptom in enumerate(seen) if symptom is Symptom.DIVERGED]
    assert alarms[:1] == ([] if at is None else [at])


def test_watch_divergence_within_the_first_steps() -> None:
    """With a known baseline, a loss that explodes at once is caught at once."""
    state = WatchState(find_baseline=lambda: 2.0)
    seen = [watch(POLICY, state, loss, 1.0) for loss in (1.0, 1e3, 1e4, 1e5)]
    assert seen == [None, None, None, Symptom.DIVERGED]


def test_watch_learns_of_data_that_become_harder() -> None:
    """The baseline is asked for before every alarm, and only what is far above it is one."""
    baselines = iter([5.0, 50.0, 50.0])
    state = WatchState(find_baseline=lambda: next(baselines))
    losses = [0.1] * 5 + [20.0] * 3 + [200.0] * 3 + [600.0] * 3
    seen = [watch(POLICY, state, loss, 1.0) for loss in losses]
    assert seen == [None] * (len(losses) - 1) + [Symptom.DIVERGED]


def test_watch_waits_for_the_data_of_now() -> None:
    """There is no alarm before the loss can be compared, and one as soon as it can."""
    ready = iter([False, False, True])
    state = WatchState(find_baseline=lambda: 1.0, ready=lambda: next(ready))
    seen = [watch(POLICY, state, loss, 1.0) for loss in [1.0] * 5 + [1e3] * 5]
    assert seen == [None] * 9 + [Symptom.DIVERGED]


def test_watch_sees_nothing_too_high_before_the_first_loss() -> None:
    """There is nothing to compare with, whatever the baseline is."""
    assert watch_epoch(POLICY, WatchState(baseline=1.0, high=3), 1e9) is None


@pytest.mark.parametrize(
    ("high", "mean", "symptom"), [(0, 1e9, None), (2, 1.0, None), (2, 1e9, Symptom.DIVERGED)]
)
def test_watch_epoch(high: int, mean: float, symptom: Symptom | None) -> None:
    """An epoch has diverged if it is far too high as a whole and still is at its end."""
    assert watch_epoch(POLICY, WatchState(first_losses=[1.0] * 5, high=high), mean) is symptom


def test_step_loss_undoes_the_running_mean() -> None:
    """Keras reports the mean of the epoch so far."""
    losses = [3.0, 1.0, 2.0, 10.0]
    means = [sum(losses[: k + 1]) / (k + 1) for k in range(len(losses))]
    previous = [NAN, *means]
    back = [step_loss(m, p, k + 1) for k, (m, p) in enumerate(zip(means, previous, strict=False))]
    assert back == pytest.approx(losses)
