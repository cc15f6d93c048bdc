"""Whether failing of one kind depends on the hyperparameters: a permutation test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robusttune._error_kinds import names_a_value
from robusttune._learning.logistic import LogisticModel
from robusttune._learning.outcomes import Outcome
from robusttune._learning.points import Bools, Floats, filled
from robusttune._learning.terms import Terms, score

Ints = np.ndarray[Any, np.dtype[np.int64]]

# Chance that failures which strike at random are taken for dependent ones, for one search of a
# given length. benchmarks/trap.py shows what that costs (controls with 10 % random failures).
_ALPHA = 0.02
_PERMUTATIONS = 99
_LATEST = 100  # failures of a kind, and successes, that are compared
_ENOUGH = 3  # fewer failures of a kind show no pattern


def dependent(
    points: Floats, nominal: Bools, group: Bools, shown: Bools, outcomes: Sequence[Outcome]
) -> Bools:
    """Return which failures of a group lie where failing depends on the hyperparameters.

    Failing depends on them where the best cut of one, or the best term of the model of failing,
    separates failures of the group from successes better than of 99 % of permuted labels; or where
    each exception names the trial's own value of one. Of those, the ones count that the model, fit
    to the others, finds at least half as likely as a failure is on average.

    Args:
        points: All outcomes, shape (n, axes); NaN is inactive, inf not known.
        nominal: Which axes are choices, shape (axes,).
        group: Failures of one undetermined kind, shape (n,).
        shown: These and the successes, which they are compared with, shape (n,).
        outcomes: All outcomes.
    """
    shown = _latest(group) | _latest(shown & ~group)
    failures, trials = int((group & shown).sum()), int(shown.sum())
    found = np.zeros(len(group), dtype=bool)
    if failures == trials or not points.shape[1]:
        return found
    of_group = [outcome for outcome, one in zip(outcomes, group, strict=True) if one]
    if names_a_value([(outcome.error, outcome.params) for outcome in of_group]):
        return group.copy()
    among, labels = points[shown], group[shown]
    if failures < _ENOUGH or _chance_of_more(among, nominal, labels) > _ALPHA:
        return found
    model = LogisticModel.fit(among, nominal, labels)
    chances = model.chances(points[group])
    chances[shown[group]] = model.left_out[labels]
    found[group] = chances >= 0.5 * failures / trials
    return found


def _chance_of_more(points: Floats, nominal: Bools, labels: Bools) -> float:
    """Return the share of permuted labels that go along with the hyperparameters as well.

    They may do so in one place, as in the best cut or term, or a little in all hyperparameters:
    what counts is the better rank of the two among all permutations.
    """
    rng = np.random.default_rng(0)
    permuted = np.array([labels, *(rng.permutation(labels) for _ in range(_PERMUTATIONS))])
    cuts = _cut_gains(points, permuted, nominal)
    ones = np.ones(len(points))
    whole = filled(points)
    terms = Terms.of(whole, nominal, labels.astype(float), ones, select=False)
    scores = score(terms(whole), permuted.astype(float), ones)
    best = np.maximum(cuts.max(axis=1), scores.max(axis=1))
    rank = np.minimum(_rank(best), _rank(cuts.sum(axis=1)))
    return float((rank <= rank[0]).mean())


def _rank(gains: Floats) -> Ints:
    """Return how many gains are at least as large as each."""
    rank: Ints = (gains[None, :] >= gains[:, None]).sum(axis=1)
    return rank


def _latest(which: Bools) -> Bools:
    latest = np.zeros(len(which), dtype=bool)
    latest[np.flatnonzero(which)[-_LATEST:]] = True
    return latest


def _cut_gains(points: Floats, labels: Bools, nominal: Bools) -> Floats:
    """Return how well one cut of each axis separates the labels: a log-likelihood ratio.

    Args:
        points: Shape (n, axes).
        labels: Sets of labels, shape (sets, n).
        nominal: Which axes are choices (one value against the rest), shape (axes,).

    Returns:
        The best cut's gain in nats, shape (sets, axes).
    """
    gains = np.zeros((len(labels), points.shape[1]))
    for column in range(points.shape[1]):
        reached = ~np.isinf(points[:, column])
        hits, trials = _cuts(labels[:, reached], points[reached, column], bool(nominal[column]))
        if len(trials):
            total = labels[:, reached].sum(axis=1, keepdims=True)
            gains[:, column] = _gain(hits, trials, total, int(reached.sum())).max(axis=1)
    return gains


def _cuts(labels: Bools, values: Floats, nominal: bool) -> tuple[Ints, Ints]:
    """Return the true labels and the trials on one side of every cut, shapes (sets, cuts), (cuts,).

    Of a choice a cut is one value against the rest. Absent values of a number are above all others,
    so that absent against present is a cut as well.
    """
    order = np.argsort(values, kind="stable")  # absent ones last
    present = values[order][: int((~np.isnan(values)).sum())]
    # How many trials are up to the end of each value.
    ends = 1 + np.flatnonzero(present[:-1] != present[1:])
    ends = np.append(ends, len(present)) if len(present) else ends
    hits = labels[:, order].cumsum(axis=1)[:, ends - 1]
    if nominal:
        return np.diff(hits, axis=1, prepend=0), np.diff(ends, prepend=0)
    within = ends < len(values)
    return hits[:, within], ends[within]


def _gain(hits: Ints, inside: Ints, total: Ints, n: int) -> Floats:
    """Log-likelihood ratio of two failure rates against one; shape (sets, cuts)."""
    gain: Floats = (
        _log_likelihood(hits, inside)
        + _log_likelihood(total - hits, n - inside)
        - _log_likelihood(total, np.full_like(total, n))
    )
    return gain


def _log_likelihood(hits: Ints, trials: Ints) -> Floats:
    """Log-likelihood of `hits` in `trials` at its maximum."""
    value: Floats = _x_log_x(hits) + _x_log_x(trials - hits) - _x_log_x(trials)
    return value


def _x_log_x(x: Ints) -> Floats:
    real = x.astype(float)
    value: Floats = real * np.log(np.maximum(real, 1.0))
    return value
