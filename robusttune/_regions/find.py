"""find_regions: hyperparameters and failures in, unstable regions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from robusttune._causes import FailureCause
from robusttune._regions.axes import Axis, Floats
from robusttune._regions.boxes import Atoms, Box
from robusttune._regions.features import Bools, Feature, features_of
from robusttune._regions.fit import fit, left_over, place
from robusttune._regions.region import Condition, Region
from robusttune._regions.significance import p_value, wilson

# Regions are searched for among at most this many trials; borders and counts are of all of them.
_SAMPLE = 2000
# Cuts tried in each of a few hyperparameters, and at least in each of many.
_PLACES, _FEWEST_PLACES, _MOST_ATOMS = 32, 4, 4000


def find_regions(
    params: Mapping[str, Sequence[Any]],
    failed: Bools,
    axes: Mapping[str, Axis],
    *,
    causes: Sequence[FailureCause | None] | None = None,
    seconds: Floats | None = None,
    alpha: float = 0.05,
) -> list[Region]:
    """Return the unstable regions of a search, the most important first.

    Rules are searched for that explain the failures in the fewest words. The best one is tested
    against the same search on permuted failures, then the next one on the trials that are left
    over, until one could be noise.

    Args:
        params: The values of each hyperparameter, INACTIVE where it is not in the trial, or None
            where it is a number; all of length n.
        failed: Which trials failed, shape (n,).
        axes: Kind and scale of each hyperparameter.
        causes: Of each trial; None: unknown.
        seconds: Wall time of each trial, shape (n,); None: unknown.
        alpha: Probability of finding a region where there is none, 0..1.
    """
    failed = np.asarray(failed, dtype=bool)
    # The matrices are small: more threads only wait for each other, for long on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        return _find(params, failed, axes, causes, seconds, alpha)


def _find(
    params: Mapping[str, Sequence[Any]],
    failed: Bools,
    axes: Mapping[str, Axis],
    causes: Sequence[FailureCause | None] | None,
    seconds: Floats | None,
    alpha: float,
) -> list[Region]:
    if not failed.any() or failed.all():
        return []
    features = features_of(params, axes)
    if not features:
        return []
    sample = _sample(failed)
    seen = [feature.take(sample) for feature in features]
    alike = {product: sum(f.is_product == product for f in seen) for product in (False, True)}
    # A product is two of them and a sign: it has to explain more than a single one.
    costs = [feature.cost(alike[feature.is_product] * (1 + feature.is_product)) for feature in seen]
    places = max(_FEWEST_PLACES, min(_PLACES, _MOST_ATOMS // (2 * len(features))))
    boxes = fit(seen, failed[sample], costs, places)
    tested = _tested(boxes, seen, failed[sample], Atoms.of(seen, costs, places), alpha)
    placed = place([box for box, _ in tested], features, failed)
    everything = np.ones(len(failed), dtype=bool)
    members = [box.holds(features, everything) for box in placed]
    regions = [
        _region(placed[i], tested[i][1], features, failed, causes, seconds)
        for i in _not_repeated(members, failed)
    ]
    return [region for region in regions if region.failure_rate > region.baseline_rate]


def _sample(failed: Bools) -> Bools:
    """Return all of a few trials; of many, about as many failed as healthy ones."""
    rng = np.random.default_rng(0)
    chosen = np.zeros(len(failed), dtype=bool)
    room = _SAMPLE
    smaller, larger = sorted(
        (np.flatnonzero(failed), np.flatnonzero(~failed)), key=lambda index: len(index)
    )
    if len(failed) <= room:
        return ~chosen
    few = rng.permutation(smaller)[: room // 2]
    chosen[few] = True
    chosen[rng.permutation(larger)[: room - len(few)]] = True
    return chosen


def _tested(
    boxes: Sequence[Box], features: Sequence[Feature], failed: Bools, atoms: Atoms, alpha: float
) -> list[tuple[Box, float]]:
    """Return the boxes that are not noise, each with its p-value."""
    rows = np.ones(len(failed), dtype=bool)
    tested: list[tuple[Box, float]] = []
    for box in boxes:
        p = p_value(atoms, rows, failed, base_rate=float(failed.mean()), seed=len(tested))
        if p > alpha:
            break
        tested.append((box, p))
        rows = left_over([box], features, rows)
    return tested


def _not_repeated(members: Sequence[Bools], failed: Bools) -> list[int]:
    """Return the positions of the boxes that are left without those that repeat another one.

    A box repeats one that has all its failures, unless the other trials of that fail less often.
    Borders are placed after the boxes were chosen: one that was there for a few trials beside
    another box may have come to cover both, or the other one to cover those few.

    Args:
        members: Which trials are in each box, shape (n,).
        failed: Which trials failed, shape (n,).
    """
    left = list(range(len(members)))
    for i in sorted(left, key=lambda i: int(members[i].sum())):
        inside = members[i]
        for other in (members[j] for j in left if j != i):
            covered = not (failed & inside & ~other).any()
            _, most = _interval(other & ~inside, failed)
            if covered and most * inside.sum() >= (failed & inside).sum():
                left.remove(i)
                break
    return left


def _interval(rows: Bools, failed: Bools) -> tuple[float, float]:
    """Return the 95 % interval of the failure rate of some trials."""
    trials = int(rows.sum())
    return wilson(int((rows & failed).sum()), trials) if trials else (0.0, 1.0)


def _region(
    box: Box,
    p: float,
    features: Sequence[Feature],
    failed: Bools,
    causes: Sequence[FailureCause | None] | None,
    seconds: Floats | None,
) -> Region:
    order = sorted(box.bounds, key=lambda index: (bool(features[index].values), index))
    conditions = tuple(Condition.of(features[index], box.bounds[index]) for index in order)
    inside = np.ones(len(failed), dtype=bool)
    for index, condition in zip(order, conditions, strict=True):
        inside &= condition.holds_in(features[index])
    bad = inside & failed
    trials, failures = int(inside.sum()), int(bad.sum())
    low, high = _interval(inside, failed)
    named = Counter(
        cause for cause, is_bad in zip(causes or (), bad, strict=False) if is_bad and cause
    )
    return Region(
        conditions=conditions,
        trials=trials,
        failures=failures,
        failure_rate=failures / trials if trials else 0.0,
        baseline_rate=float(failed.mean()),
        ci_low=low,
        ci_high=high,
        p_value=p,
        dominant_cause=named.most_common(1)[0][0] if named else None,
        seconds_lost=float(np.nansum(seconds[bad])) if seconds is not None else 0.0,
    )
