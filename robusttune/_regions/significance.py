"""Significance: how often noise alone would show a region as striking as the one that was found."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from robusttune._regions.boxes import Atoms, beam
from robusttune._regions.features import Bools

PERMUTATIONS = 199
# A p-value that is large after this many exceedances needs no better digits.
_ENOUGH = 20
# The search that is repeated is narrower than that for the boxes; the true failures get the same.
_WIDTH = 6
_DEPTH = 3


def p_value(atoms: Atoms, rows: Bools, failed: Bools, base_rate: float, seed: int = 0) -> float:
    """Return the p-value of the best region among some trials.

    The failures are dealt out anew among these trials, and the best region is searched for again,
    each time; the p-value is the share of the searches that do as well as the one with the true
    failures. Stops early where it is large already.

    Source: J. Besag and P. Clifford, "Sequential Monte Carlo p-values", Biometrika 78 (1991).

    Args:
        atoms: The conditions that regions are made of.
        rows: The trials to look at, shape (trials,).
        failed: Which trials failed, shape (trials,).
        base_rate: A region has to fail more often than this, 0..1.
        seed: Of the permutations.
    """
    observed = _best(atoms, rows, failed, base_rate)
    if observed == -np.inf:
        return 1.0
    rng = np.random.default_rng(seed)
    labels = failed[rows]
    reached = 0
    for count in range(1, PERMUTATIONS + 1):
        dealt = np.zeros_like(failed)
        dealt[rows] = rng.permutation(labels)
        reached += _best(atoms, rows, dealt, base_rate) >= observed
        if reached == _ENOUGH:
            return reached / count
    return (reached + 1) / (PERMUTATIONS + 1)


def wilson(failures: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a rate.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927).

    Args:
        failures: Number of failures, 0..trials.
        trials: Number of trials, > 0.
        confidence: Probability that the interval covers the rate.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = failures / trials
    centre = rate + z * z / (2 * trials)
    half = z * float(np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)))
    scale = 1 + z * z / trials
    low = (centre - half) / scale if failures else 0.0
    high = (centre + half) / scale if failures < trials else 1.0
    return low, high


def _best(atoms: Atoms, rows: Bools, failed: Bools, base_rate: float) -> float:
    found = beam(atoms, rows, failed, width=_WIDTH, depth=_DEPTH, base_rate=base_rate)
    return found[0][0] if found else -np.inf
