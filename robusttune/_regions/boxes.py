"""Boxes: rules over features, how well they explain the failures, and the search for the best.

The gain of a box is the log-likelihood that two failure rates, inside and outside of it, have over
a single one, minus what it costs to say the rule (a minimum description length, in nats).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from robusttune._regions.axes import Floats
from robusttune._regions.features import Bools, Feature

Ints = np.ndarray[Any, np.dtype[np.int64]]

_NEVER = -np.inf
# Pseudo-counts of the prior on failure rates: in a region 4 of 5 fail, outside 1 of 5.
# Chosen on planted regions, see benchmarks/regions.py.
_PRIOR = (2.0, 0.5)
# Tables are made for this many more trials at a time, and shared.
_STEP = 256


@dataclass(frozen=True)
class Bound:
    """One condition of a box: low < position <= high, or a code that is one of `codes`."""

    low: float = -np.inf
    high: float = np.inf
    codes: frozenset[int] = frozenset()

    @property
    def sides(self) -> int:
        """How many places have to be said."""
        return 1 if self.codes else int(self.low > -np.inf) + int(self.high < np.inf)

    def holds(self, column: Floats) -> Bools:
        """Return which trials satisfy the condition; an inactive hyperparameter never does."""
        if self.codes:
            inside: Bools = np.isin(column, list(self.codes))
            return inside
        with np.errstate(invalid="ignore"):
            return (column > self.low) & (column <= self.high) & ~np.isnan(column)

    def meet(self, other: Bound) -> Bound:
        """Return the condition that both hold."""
        if self.codes:
            return Bound(codes=self.codes & other.codes)
        return Bound(max(self.low, other.low), min(self.high, other.high))

    def union(self, other: Bound) -> Bound:
        """Return the smallest condition that holds wherever one of the two does."""
        if self.codes:
            return Bound(codes=self.codes | other.codes)
        return Bound(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Box:
    """A rule: a condition per feature, by its index; all of them must hold."""

    bounds: dict[int, Bound] = field(default_factory=dict)

    def holds(self, features: Sequence[Feature], rows: Bools) -> Bools:
        """Return which of the given trials are inside."""
        inside = rows.copy()
        for index, bound in self.bounds.items():
            inside &= bound.holds(features[index].column)
        return inside

    def without(self, index: int) -> Box:
        """Return the box with one condition less."""
        return Box({i: bound for i, bound in self.bounds.items() if i != index})

    def with_(self, index: int, bound: Bound) -> Box:
        """Return the box with a condition put in place of the one on that feature."""
        return Box({**self.without(index).bounds, index: bound})

    def cost(self, costs: Sequence[float]) -> float:
        """Return what the rule costs in nats."""
        return sum(costs[index] * bound.sides for index, bound in self.bounds.items())


@cache
def _tables(steps: int) -> tuple[Floats, Floats, Floats]:
    """Return log(a (a + 1) ... (a + k - 1)) for a of the prior's counts and their sum.

    The likelihood of k failures in n trials, integrated over the prior of their rate, is the
    product of the first two, for k and n - k, over the third, for n.

    Args:
        steps: The tables reach at least to k = steps * _STEP - 1.
    """
    counts = np.arange(steps * _STEP)
    often, seldom = _PRIOR
    log_often, log_seldom, log_both = (
        np.concatenate([[0.0], np.cumsum(np.log(counts + start))])
        for start in (often, seldom, often + seldom)
    )
    return log_often, log_seldom, log_both


class Likelihood:
    """The gain of splitting n trials with k failures in two, for any split, by table look-up.

    Inside of a region failing is the rule and outside of it the exception: the failure rates have
    the priors Beta(a, b) and Beta(b, a), and are integrated out.

    Args:
        trials: n.
        failures: k.
        base_rate: A region has to fail more often than this.
    """

    def __init__(self, trials: int, failures: int, base_rate: float = 0.0) -> None:
        self.trials, self.failures = trials, failures
        self.base_rate = max(base_rate, failures / max(trials, 1))
        self._often, self._seldom, self._both = _tables(1 + trials // _STEP)
        self._single = self._outside(np.array(trials), np.array(failures))

    def _inside(self, trials: Any, failures: Any) -> Any:
        return self._often[failures] + self._seldom[trials - failures] - self._both[trials]

    def _outside(self, trials: Any, failures: Any) -> Any:
        return self._seldom[failures] + self._often[trials - failures] - self._both[trials]

    def gain(self, trials: Any, failures: Any) -> Floats:
        """Return log-likelihood gained by groups of `trials`, of which `failures` failed.

        -inf for a group that fails no more often than the base rate.
        """
        trials, failures = np.asarray(trials), np.asarray(failures)
        inside = self._inside(trials, failures)
        outside = self._outside(self.trials - trials, self.failures - failures)
        worse = failures > self.base_rate * trials
        return np.where(worse, inside + outside - self._single, _NEVER)


@dataclass(frozen=True)
class Atoms:
    """All single conditions, coarsely, as columns of a matrix, so that a search is a product.

    Args:
        matrix: 1.0 where a trial satisfies a condition, shape (trials, conditions).
        feature: Index of the feature of each condition.
        starts: Index of the first condition of each side of a feature; those of a side stand
            together.
        cost: Of each condition, in nats.
        bounds: The conditions themselves.
    """

    matrix: np.ndarray[Any, np.dtype[np.float32]]
    feature: Ints
    starts: Ints
    cost: Floats
    bounds: list[Bound]

    @classmethod
    def of(cls, features: Sequence[Feature], costs: Sequence[float], places: int) -> Atoms:
        """Return the conditions on these features, with at most `places` cuts in each."""
        columns: list[Bools] = []
        bounds: list[Bound] = []
        owner: list[int] = []
        starts: list[int] = []
        for index, feature in enumerate(features):
            for side in _sides(feature, places):
                starts.append(len(bounds))
                bounds += side
                columns += [bound.holds(feature.column) for bound in side]
                owner += [index] * len(side)
        return cls(
            matrix=np.array(columns, dtype=np.float32).T.copy(),
            feature=np.array(owner, dtype=np.int64),
            starts=np.array(starts, dtype=np.int64),
            cost=np.array([costs[index] for index in owner]),
            bounds=bounds,
        )


def _sides(feature: Feature, places: int) -> list[list[Bound]]:
    if feature.values:
        return [[Bound(codes=codes)] for codes in _subsets(len(feature.values))]
    cuts = (feature.distinct[:-1] + feature.distinct[1:]) / 2
    if len(cuts) > places:
        quantiles = np.linspace(0, 1, places + 2)[1:-1]
        known = feature.column[~np.isnan(feature.column)]
        ranks = np.searchsorted(cuts, np.quantile(known, quantiles))
        cuts = cuts[np.unique(np.clip(ranks, 0, len(cuts) - 1))]
    return [[Bound(low=float(cut)) for cut in cuts], [Bound(high=float(cut)) for cut in cuts]]


def _subsets(count: int) -> list[frozenset[int]]:
    """Return all proper subsets of a few values; single ones and all but one of many."""
    if count <= 5:
        masks = range(1, 2**count - 1)
        return [frozenset(i for i in range(count) if mask >> i & 1) for mask in masks]
    everything = frozenset(range(count))
    single = [frozenset({i}) for i in range(count)]
    return single + [everything - one for one in single]


def beam(
    atoms: Atoms, rows: Bools, failed: Bools, *, width: int, depth: int, base_rate: float = 0.0
) -> list[tuple[float, Box]]:
    """Return the best boxes of a beam search, the best first, as (gain, box).

    Args:
        atoms: The conditions to combine.
        rows: The trials to look at, shape (trials,).
        failed: Which trials failed, shape (trials,).
        width: How many boxes are kept at each depth.
        depth: Most conditions in a box.
        base_rate: A box has to fail more often than this, 0..1.
    """
    likelihood = Likelihood(int(rows.sum()), int((rows & failed).sum()), base_rate)
    labels = failed.astype(np.float32)
    masks = rows.astype(np.float32)[None, :]
    paid = np.zeros(1)
    boxes = [Box()]
    found: dict[tuple[int, int], tuple[float, Box]] = {}
    for _ in range(depth):
        inside = np.rint(masks @ atoms.matrix).astype(np.int64)
        bad = np.rint((masks * labels) @ atoms.matrix).astype(np.int64)
        gain = likelihood.gain(inside, bad) - paid[:, None] - atoms.cost
        # A condition that keeps all trials of the box says nothing.
        gain[inside == masks.sum(axis=1, dtype=np.int64)[:, None]] = _NEVER
        best = np.maximum.reduceat(gain, atoms.starts, axis=1)
        flat = np.argsort(-best, axis=None, kind="stable")
        parents: list[int] = []
        chosen: list[int] = []
        seen: set[tuple[int, int]] = set()
        for parent, group in zip(*np.unravel_index(flat, best.shape), strict=True):
            if best[parent, group] == _NEVER or len(parents) == width:
                break
            start = atoms.starts[group]
            stop = atoms.starts[group + 1] if group + 1 < len(atoms.starts) else gain.shape[1]
            atom = start + int(np.argmax(gain[parent, start:stop]))
            key = (int(inside[parent, atom]), int(bad[parent, atom]))
            if key in seen:  # the same trials, as good as always
                continue
            seen.add(key)
            parents.append(parent)
            chosen.append(atom)
        if not parents:
            break
        scores = gain[parents, chosen]
        boxes = [
            _narrowed(boxes[parent], int(atoms.feature[atom]), atoms.bounds[atom])
            for parent, atom in zip(parents, chosen, strict=True)
        ]
        for score, box, parent, atom in zip(scores, boxes, parents, chosen, strict=True):
            key = (int(inside[parent, atom]), int(bad[parent, atom]))
            if key not in found or found[key][0] < score:
                found[key] = (float(score), box)
        paid = paid[parents] + atoms.cost[chosen]
        masks = masks[parents] * atoms.matrix[:, chosen].T
    return sorted(found.values(), key=lambda item: -item[0])


def _narrowed(box: Box, index: int, bound: Bound) -> Box:
    known = box.bounds.get(index)
    return box.with_(index, bound if known is None else known.meet(bound))
