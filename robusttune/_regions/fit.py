"""Fit: several boxes that explain the failures together, with their borders where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from robusttune._regions.axes import Floats
from robusttune._regions.boxes import Atoms, Bound, Box, Likelihood, beam
from robusttune._regions.features import Bools, Feature

# The beam search: boxes kept at each depth, and most conditions of a box.
_WIDTH = 16
_DEPTH = 5
# First boxes to start from, most boxes of an explanation, and most moves of one box.
_STARTS = 4
_MOST_BOXES = 6
_ROUNDS = 12
# Places at which the ends of a range are tried; they are then placed exactly.
_ENDS = 96
# The quantiles of a border's posterior between which it is rounded.
_MIDDLE = (0.4, 0.6)
# With very many trials, a border is rounded within this share of the feature's whole range.
_SLACK = 5e-4


def fit(
    features: Sequence[Feature], failed: Bools, costs: Sequence[float], places: int
) -> list[Box]:
    """Return the boxes that explain the failures best, the most important first.

    Boxes are found one after the other, each in the trials that the ones before leave over; then
    each is fitted again to what the others leave over. This starts from several first boxes, with
    and without products of hyperparameters, and the explanation with the largest gain wins.

    Args:
        features: The columns, each of shape (trials,).
        failed: Which trials failed, shape (trials,).
        costs: Of one condition on each feature, in nats.
        places: Most cuts in a feature to begin with; borders are moved to any place afterwards.
    """
    plain = [index for index, feature in enumerate(features) if not feature.is_product]
    spaces = [plain] if len(plain) == len(features) else [plain, list(range(len(features)))]
    best: tuple[float, list[Box]] = (0.0, [])
    for indices in spaces:
        chosen = _Fit([features[i] for i in indices], failed, [costs[i] for i in indices], places)
        gain, boxes = chosen.best()
        if gain > best[0] + 1e-9:
            renamed = [Box({indices[i]: bound for i, bound in box.bounds.items()}) for box in boxes]
            best = gain, renamed
    return best[1]


def place(boxes: Sequence[Box], features: Sequence[Feature], failed: Bools) -> list[Box]:
    """Return the boxes with every border placed exactly, given all the others.

    Args:
        boxes: What `fit` found, perhaps in a sample of the trials.
        features: The columns, each of shape (trials,).
        failed: Which trials failed, shape (trials,).
    """
    boxes = list(boxes)
    everything = np.ones(len(failed), dtype=bool)
    for _ in range(2):
        for position, box in enumerate(boxes):
            rows = left_over(boxes[:position] + boxes[position + 1 :], features, everything)
            inside = box.holds(features, rows)
            rates = _rate(failed[inside]), _rate(failed[rows & ~inside])
            log_odds = (
                float(np.log((1 - rates[0]) / (1 - rates[1]))),
                float(np.log(rates[0] / rates[1])),
            )
            for index, bound in box.bounds.items():
                if not bound.codes:
                    slab = _Slab(features[index], box.without(index).holds(features, rows), failed)
                    box = box.with_(index, slab.placed(bound, features[index], log_odds))
            boxes[position] = box
    return boxes


def left_over(boxes: Sequence[Box], features: Sequence[Feature], rows: Bools) -> Bools:
    """Return those of the given trials that are in none of the boxes."""
    for box in boxes:
        rows = rows & ~box.holds(features, rows)
    return rows


class _Fit:
    """The fit in one set of features."""

    def __init__(
        self, features: Sequence[Feature], failed: Bools, costs: Sequence[float], places: int
    ) -> None:
        self.features, self.failed, self.costs = features, failed, costs
        self.base = float(failed.mean()) if len(failed) else 0.0
        self.everything = np.ones(len(failed), dtype=bool)
        self.atoms = Atoms.of(features, costs, places)

    def best(self) -> tuple[float, list[Box]]:
        """Return the largest gain, and its boxes."""
        results = []
        for box in self.found(self.everything)[:_STARTS]:
            boxes = self.refit(self.cover([self.improve(box, self.everything)]))
            results.append((self.total(boxes), boxes))
        return max(results, key=lambda result: result[0], default=(0.0, []))

    def found(self, rows: Bools) -> list[Box]:
        """Return the boxes that a coarse search finds among some trials, the best first."""
        found = beam(self.atoms, rows, self.failed, width=_WIDTH, depth=_DEPTH, base_rate=self.base)
        return [box for _, box in found]

    def gain(self, box: Box, rows: Bools) -> float:
        """Return the gain of a box among some trials."""
        likelihood = Likelihood(int(rows.sum()), int((rows & self.failed).sum()), self.base)
        inside = box.holds(self.features, rows)
        gain = likelihood.gain(inside.sum(), (inside & self.failed).sum())
        return float(gain) - box.cost(self.costs)

    def total(self, boxes: Sequence[Box]) -> float:
        """Return the gain of several boxes, each among the trials that are left over for it."""
        rows, total = self.everything, 0.0
        for box in boxes:
            total += self.gain(box, rows)
            rows = rows & ~box.holds(self.features, rows)
        return total

    def cover(self, boxes: list[Box]) -> list[Box]:
        """Add boxes for what is left over, while that is worth their cost."""
        rows = left_over(boxes, self.features, self.everything)
        while len(boxes) < _MOST_BOXES:
            better = [self.improve(box, rows) for box in self.found(rows)[:2]]
            box = max(better, key=lambda box: self.gain(box, rows), default=None)
            if box is None or self.gain(box, rows) <= 0:
                break
            boxes = [*boxes, box]
            rows = rows & ~box.holds(self.features, rows)
        return boxes

    def refit(self, boxes: list[Box]) -> list[Box]:
        """Fit each box again to what the others leave over, and drop those that are not needed."""
        for _ in range(3):
            before = boxes
            for index in range(len(boxes)):
                others = boxes[:index] + boxes[index + 1 :]
                rows = left_over(others, self.features, self.everything)
                improved = self.improve(boxes[index], rows)
                changed = [*boxes[:index], improved, *boxes[index + 1 :]]
                boxes = max(boxes, changed, key=self.total)
            boxes = max([boxes, *self.merged(boxes)], key=self.total)
            for index in reversed(range(len(boxes))):
                fewer = boxes[:index] + boxes[index + 1 :]
                if fewer and self.total(fewer) >= self.total(boxes):
                    boxes = fewer
            if boxes == before:
                break
        return sorted(boxes, key=lambda box: -self.gain(box, self.everything))

    def merged(self, boxes: list[Box]) -> list[list[Box]]:
        """Return the boxes with two of them, that differ in one condition only, made one."""
        results = []
        for left, right in combinations(boxes, 2):
            if left.bounds.keys() != right.bounds.keys():
                continue
            unlike = [index for index in left.bounds if left.bounds[index] != right.bounds[index]]
            if len(unlike) != 1:
                continue
            union = left.bounds[unlike[0]].union(right.bounds[unlike[0]])
            joined = left.with_(unlike[0], union) if union.sides else left.without(unlike[0])
            if joined.bounds:
                others = [box for box in boxes if box is not left and box is not right]
                results.append([joined, *others])
        return results

    def improve(self, box: Box, rows: Bools) -> Box:
        """Move, drop and add single conditions while the gain among these trials grows."""
        gain = self.gain(box, rows)
        for _ in range(_ROUNDS):
            candidates = [self.moved(box, index, rows) for index in box.bounds]
            candidates += [box.without(index) for index in box.bounds]
            if len(box.bounds) < _DEPTH:
                candidates += self.extended(box, rows)
            best = max(candidates, key=lambda box: self.gain(box, rows), default=box)
            if self.gain(best, rows) <= gain + 1e-9:
                break
            box, gain = best, self.gain(best, rows)
        return box

    def extended(self, box: Box, rows: Bools) -> list[Box]:
        """Return the box with the best further condition."""
        inside = box.holds(self.features, rows).astype(np.float32)
        trials = np.rint(inside @ self.atoms.matrix).astype(np.int64)
        failures = np.rint((inside * self.failed) @ self.atoms.matrix).astype(np.int64)
        likelihood = Likelihood(int(rows.sum()), int((rows & self.failed).sum()), self.base)
        gain = likelihood.gain(trials, failures) - self.atoms.cost
        for index in box.bounds:
            gain[self.atoms.feature == index] = -np.inf
        if not np.isfinite(gain).any():
            return []
        atom = int(np.argmax(gain))
        return [box.with_(int(self.atoms.feature[atom]), self.atoms.bounds[atom])]

    def moved(self, box: Box, index: int, rows: Bools) -> Box:
        """Return the box with the best place for one condition, the others as they are."""
        feature = self.features[index]
        inside = box.without(index).holds(self.features, rows)
        likelihood = Likelihood(int(rows.sum()), int((rows & self.failed).sum()), self.base)
        if feature.values:
            return box.with_(index, self._best_codes(feature, inside, likelihood, index))
        bound = _Slab(feature, inside, self.failed).best(likelihood, self.costs[index])
        return box.with_(index, bound) if bound.sides else box.without(index)

    def _best_codes(
        self, feature: Feature, inside: Bools, likelihood: Likelihood, index: int
    ) -> Bound:
        """Return the best set of values: the likeliest to fail first, as many as pay."""
        known = inside & ~np.isnan(feature.column)
        codes = feature.column[known].astype(np.int64)
        trials = np.bincount(codes, minlength=len(feature.values))
        failures = np.bincount(codes[self.failed[known]], minlength=len(feature.values))
        order = np.argsort(-failures / np.maximum(trials, 1), kind="stable")
        order = order[trials[order] > 0]
        gain = likelihood.gain(np.cumsum(trials[order]), np.cumsum(failures[order]))
        count = int(np.argmax(gain[:-1])) + 1 if len(order) > 1 else 1
        return Bound(codes=frozenset(order[:count].tolist()))


def _rate(failed: Bools) -> float:
    """Return a failure rate that is never 0 or 1: half a trial of each kind is added."""
    return float((failed.sum() + 0.5) / (len(failed) + 1))


class _Slab:
    """The trials that satisfy all other conditions of a box, along one feature."""

    def __init__(self, feature: Feature, inside: Bools, failed: Bools) -> None:
        known = inside & ~np.isnan(feature.column)
        self.positions, index = np.unique(feature.column[known], return_inverse=True)
        self.trials = np.bincount(index, minlength=len(self.positions))
        self.failures = np.bincount(
            index, weights=failed[known], minlength=len(self.positions)
        ).astype(np.int64)
        self.cuts = (self.positions[:-1] + self.positions[1:]) / 2

    def best(self, likelihood: Likelihood, cost: float) -> Bound:
        """Return the best range, between any two of at most _ENDS places."""
        count = len(self.positions)
        if count < 2:
            return Bound()
        ends = np.unique(np.linspace(0, count, min(count + 1, _ENDS)).round().astype(np.int64))
        start = np.concatenate([[0], np.cumsum(self.trials)])
        bad = np.concatenate([[0], np.cumsum(self.failures)])
        lower, upper = np.triu_indices(len(ends), 1)
        low, high = ends[lower], ends[upper]
        gain = likelihood.gain(start[high] - start[low], bad[high] - bad[low])
        best = int(np.argmax(gain - cost * ((low > 0).astype(float) + (high < count))))
        return Bound(
            low=float(self.cuts[low[best] - 1]) if low[best] else -np.inf,
            high=float(self.cuts[high[best] - 1]) if high[best] < count else np.inf,
        )

    def placed(self, bound: Bound, feature: Feature, log_odds: tuple[float, float]) -> Bound:
        """Return the range with each end at a round number in the middle of its posterior.

        Any border between the last healthy and the first failing trial explains the same, and
        where failing is a matter of chance a few more do. The prior is even on the scale.

        Args:
            bound: The range whose ends are to be placed.
            feature: What the range is over.
            log_odds: Log-likelihood of a healthy and of a failed trial that is inside, over that
                of the same trial outside.
        """
        weight = (self.trials - self.failures) * log_odds[0] + self.failures * log_odds[1]
        inside = (self.positions > bound.low) & (self.positions <= bound.high)
        if not inside.any():
            return bound
        first, last = np.flatnonzero(inside)[[0, -1]]
        low, high = bound.low, bound.high
        if low > -np.inf:
            # The border before position c, for c = 1..last.
            told = np.cumsum(weight[: last + 1][::-1])[::-1][1:]
            low = _middle(self.positions[: last + 1], told, feature)
        if high < np.inf:
            # The border before position c, for c = first+1..
            told = np.cumsum(weight[first:])[:-1]
            high = _middle(self.positions[first:], told, feature)
        return Bound(low, high) if low < high else bound


def _middle(positions: Floats, told: Floats, feature: Feature) -> float:
    """Return the roundest border among the middle ones of a posterior.

    Args:
        positions: Ascending, shape (n,).
        told: Log-likelihood of a border between each two of them, shape (n - 1,).
        feature: What the positions are of; on its scale the prior is even.
    """
    axis = feature.axis
    mass = np.exp(told - told.max()) * np.diff(positions)
    reached = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
    low, high = np.interp(_MIDDLE, reached, positions)
    slack = _SLACK * (feature.distinct[-1] - feature.distinct[0])
    low, high = min(low, high - slack), max(high, low + slack)
    if feature.is_grid:
        return float(feature.distinct[feature.distinct <= (low + high) / 2][-1])
    border = round_between(axis.unscale(low), axis.unscale(high))
    if axis.kind == "int":
        border = float(np.floor(border))
    return float(axis.scale(np.array(border)))


def round_between(low: float, high: float) -> float:
    """Return the number with the fewest digits in low..high, the middlemost of them.

    Example:
        >>> round_between(0.087, 0.13)
        0.1
    """
    middle = (low + high) / 2
    for digits in range(1, 16):
        rounded = float(f"{middle:.{digits - 1}e}")
        if low <= rounded <= high:
            return rounded
    return middle
