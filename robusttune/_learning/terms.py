"""The terms of the model of failing: hyperparameters, their squares and their products."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._learning.points import Bools, Floats

Ints = np.ndarray[Any, np.dtype[np.intp]]

# So many terms by themselves are multiplied with each other, and so many are kept of all: those
# that failing goes along with best. It bounds what a proposal costs.
_FACTORS = 24
_TERMS = 64
# A product counts half as much as its factors before any trial, as in the polynomial kernel whose
# products are not doubled: most dependence is on one hyperparameter at a time.
_PRODUCT = 0.5
# How much a term counts before any trial that failing does not go along with, beside the one that
# it goes along with best.
_IRRELEVANT = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Columns of a logistic regression, scaled by how much each counts before any trial.

    A number on its scale is -1..1, a choice is one column a value (0 or 1), of two values one
    column (-1 or 1); one that only some trials have is 0 where it is inactive, and has one more
    column that says so. What is not known is as on average. With numbers on logarithmic scales a
    product is a sum, and a ratio a difference, so that all of them are linear here.

    Args:
        values: For each column by itself, the axis, and the choice (NaN: a number; inf: whether it
            is inactive).
        means: Of each column by itself.
        factors: Pairs of columns by themselves whose products are terms, shape (pairs, 2).
        kept: Positions of the terms in use, of the columns by themselves and the products.
        centre: Mean of each term in use.
        scale: How much it counts.
    """

    values: tuple[tuple[int, float], ...]
    means: Floats
    factors: Ints
    kept: Ints
    centre: Floats
    scale: Floats

    @classmethod
    def of(
        cls,
        points: Floats,
        nominal: Bools,
        labels: Floats,
        weights: Floats,
        *,
        select: bool = True,
    ) -> Terms:
        """Return the terms for points, and weigh them by what their labels go along with.

        Args:
            points: Shape (n, axes); NaN is inactive, inf not known.
            nominal: Which axes are choices, shape (axes,).
            labels: 1 where it failed, shape (n,).
            weights: How much each counts, shape (n,).
            select: Whether what the labels go along with says which terms are in use, and how much
                they count; else the first ones are, equally.
        """
        values = _values(points, nominal)
        columns = _columns(points, values)
        share = weights / weights.sum()
        known = np.isfinite(columns)
        counts = (share[:, None] * known).sum(axis=0)
        means = (share[:, None] * np.where(known, columns, 0.0)).sum(axis=0) / np.maximum(
            counts, 1e-12
        )
        columns = np.where(known, columns, means)
        fit = score(columns, labels[None, :], weights)[0] * select
        best = np.sort(np.argsort(-fit, kind="stable")[:_FACTORS])
        pairs = [
            (first, second)
            for i, first in enumerate(best)
            for second in best[i:]
            if values[first][0] != values[second][0]
            or (first == second and np.isnan(values[first][1]))
        ]
        factors = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        every = np.hstack([columns, columns[:, factors[:, 0]] * columns[:, factors[:, 1]]])
        gains = score(every, labels[None, :], weights)[0] * select
        kept = np.sort(np.argsort(-gains, kind="stable")[:_TERMS])
        centre = share @ every[:, kept]
        scale = _relevance(gains[kept], float(weights.sum()))
        scale = scale * np.where(kept < len(values), 1.0, _PRODUCT)
        return cls(values, means, factors, kept, centre, scale)

    def __call__(self, points: Floats) -> Floats:
        """Return the terms of points, shape (n, terms)."""
        columns = _columns(points, self.values)
        columns = np.where(np.isfinite(columns), columns, self.means)
        products = columns[:, self.factors[:, 0]] * columns[:, self.factors[:, 1]]
        terms: Floats = (np.hstack([columns, products])[:, self.kept] - self.centre) * self.scale
        return terms


def score(columns: Floats, labels: Floats, weights: Floats) -> Floats:
    """Return what a term could gain in log-likelihood, to second order: half its score statistic.

    Rao 1948, "Large sample tests of statistical hypotheses"; of a logistic regression without any
    term it needs no fit.

    Args:
        columns: Shape (n, terms).
        labels: Sets of labels, shape (sets, n).
        weights: How much each row counts, shape (n,).

    Returns:
        Shape (sets, terms).
    """
    total = weights.sum()
    centred = columns - weights @ columns / total
    rates = (labels @ weights / total)[:, None]
    variances = rates * (1 - rates) * (weights @ centred**2)
    along = (labels * weights) @ centred
    gains: Floats = 0.5 * along**2 / np.maximum(variances, 1e-12)
    return gains


def _relevance(gains: Floats, n: float) -> Floats:
    """Return how much each term counts, the best one 1; all 1 where none stands out.

    A term counts by what it gains above half of log n, as the Bayesian information criterion asks.
    """
    excess = np.maximum(gains - 0.5 * np.log(max(n, 2.0)), 0.0)
    best = excess.max(initial=0.0)
    if best <= 0:
        return np.ones_like(gains)
    relevance: Floats = _IRRELEVANT + (1 - _IRRELEVANT) * np.sqrt(excess / best)
    return relevance


def _values(points: Floats, nominal: Bools) -> tuple[tuple[int, float], ...]:
    values: list[tuple[int, float]] = []
    for axis, is_choice in enumerate(nominal):
        column = points[:, axis]
        if is_choice:
            seen = np.unique(column[np.isfinite(column)]).tolist()
            values += [(axis, code) for code in (seen if len(seen) > 2 else seen[1:])]
        else:
            values.append((axis, np.nan))
        if np.isnan(column).any():
            values.append((axis, np.inf))
    return tuple(values)


def _columns(points: Floats, values: tuple[tuple[int, float], ...]) -> Floats:
    """Return each column by itself, NaN where it is not known; shape (n, columns)."""
    columns = np.zeros((len(points), len(values)))
    choices = Counter(axis for axis, value in values if np.isfinite(value))
    for place, (axis, value) in enumerate(values):
        column = points[:, axis]
        absent, unknown = np.isnan(column), np.isinf(column)
        if np.isnan(value):
            shown = np.where(absent, 0.0, 2.0 * column - 1.0)
        elif np.isinf(value):
            shown = absent.astype(float)
        else:
            other = -1.0 if choices[axis] == 1 else 0.0
            shown = np.where(column == value, 1.0, other)
            shown = np.where(absent, 0.0, shown)
        columns[:, place] = np.where(unknown, np.nan, shown)
    return columns
