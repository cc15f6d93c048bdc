"""The model of failing: a logistic regression on hyperparameters and their products."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robusttune._learning.points import Bools, Floats, filled
from robusttune._learning.terms import Terms

# Standard deviations of a coefficient before any trial, of which that one is taken which predicts
# each trial best from the others. A cliff is steep, a gradual rise is not.
_SCALES = (1.0, 3.0, 10.0, 30.0)
_INTERCEPT = 10.0
_STEPS = 25
_CONVERGED = 1e-2  # of the log-likelihood, in nats


@dataclass(frozen=True, slots=True, eq=False)
class LogisticModel:
    """The chance of failing, by where a proposal lies.

    Of what was compared on the same trials (nearest trials, a random forest, extremely randomized
    and boosted trees, a Gaussian process, each on the hyperparameters and their sums and
    differences), this errs least: places that fail and are not known, and others that are lost,
    taken together; and it costs a tenth. A cliff in the sum, product, ratio or order of two
    numbers, and one that each value of a choice has at another place, are linear in its terms.

    Args:
        left_out: Chance of failing of each trial that it was fitted to, without that trial, shape
            (n,).
    """

    left_out: Floats
    _terms: Terms
    _nominal: Bools
    _coefficients: Floats
    _covariance: Floats

    @classmethod
    def fit(
        cls, points: Floats, nominal: Bools, failed: Bools, weights: Floats | None = None
    ) -> LogisticModel:
        """Fit the model to trials of both kinds.

        Args:
            points: Where they lie, shape (n, axes); NaN is inactive, inf not known.
            nominal: Which axes are choices, shape (axes,).
            failed: Which of them failed, shape (n,).
            weights: How much each counts; None: each is 1. Shape (n,).
        """
        weights = np.ones(len(points)) if weights is None else weights
        labels = failed.astype(float)
        points = filled(points)
        terms = Terms.of(points, nominal, labels, weights)
        columns = _with_intercept(terms(points))
        fits = []
        start = np.zeros(columns.shape[1])
        for scale in _SCALES:
            fit = _fit(columns, labels, weights, scale, start)
            start = fit.coefficients
            left_out = _left_out(columns, labels, weights, fit)
            surprise = float(weights @ (np.logaddexp(0.0, left_out) - labels * left_out))
            fits.append((surprise, fit, left_out))
        _, fit, left_out = min(fits, key=lambda each: each[0])
        covariance = np.linalg.inv(fit.curvature).astype(np.float64)
        return cls(_chance(left_out), terms, nominal, fit.coefficients, covariance)

    def likely(self, points: Floats) -> Floats:
        """Return how sure it is that failing is the likelier end at points, 0..1, shape (n,).

        That is the chance that the log odds of failing are positive.
        """
        means, variances = self._odds(points)
        spread = np.sqrt(np.maximum(variances, 1e-12))
        return np.array([0.5 * math.erfc(-odds) for odds in means / spread / math.sqrt(2.0)])

    def chances(self, points: Floats) -> Floats:
        """Return the chance of failing at points, averaged over what is not certain; shape (n,).

        MacKay 1992, "The evidence framework applied to classification networks", eq. 10.
        """
        means, variances = self._odds(points)
        return _chance(means / np.sqrt(1.0 + math.pi * variances / 8.0))

    def _odds(self, points: Floats) -> tuple[Floats, Floats]:
        columns = _with_intercept(self._terms(points))
        variances = ((columns @ self._covariance) * columns).sum(axis=1)
        return columns @ self._coefficients, variances


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    coefficients: Floats
    curvature: Floats  # of the negative log posterior, shape (terms, terms)


def _with_intercept(columns: Floats) -> Floats:
    return np.hstack([np.ones((len(columns), 1)), columns])


def _fit(columns: Floats, labels: Floats, weights: Floats, scale: float, start: Floats) -> _Fit:
    """Return the most likely coefficients, by Newton's method with halved steps."""
    precisions = np.full(columns.shape[1], scale**-2)
    precisions[0] = _INTERCEPT**-2
    coefficients = start
    loss = _loss(columns, labels, weights, precisions, coefficients)
    for _ in range(_STEPS):
        gradient, curvature = _slopes(columns, labels, weights, precisions, coefficients)
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        new = _loss(columns, labels, weights, precisions, coefficients - step)
        while new > loss and length > 1e-3:
            length /= 2.0
            new = _loss(columns, labels, weights, precisions, coefficients - length * step)
        if new > loss:
            break
        coefficients = coefficients - length * step
        if loss - new < _CONVERGED:
            break
        loss = new
    _, curvature = _slopes(columns, labels, weights, precisions, coefficients)
    return _Fit(coefficients, curvature)


def _loss(
    columns: Floats, labels: Floats, weights: Floats, precisions: Floats, coefficients: Floats
) -> float:
    odds = columns @ coefficients
    likelihood = weights @ (np.logaddexp(0.0, odds) - labels * odds)
    return float(likelihood + 0.5 * precisions @ coefficients**2)


def _slopes(
    columns: Floats, labels: Floats, weights: Floats, precisions: Floats, coefficients: Floats
) -> tuple[Floats, Floats]:
    chances = _chance(columns @ coefficients)
    gradient = columns.T @ (weights * (chances - labels)) + precisions * coefficients
    bent = weights * np.maximum(chances * (1.0 - chances), 1e-9)
    curvature = (columns * bent[:, None]).T @ columns
    curvature[np.diag_indices_from(curvature)] += precisions
    return gradient, curvature


def _left_out(columns: Floats, labels: Floats, weights: Floats, fit: _Fit) -> Floats:
    """Return the log odds of each row in a fit without it, to first order.

    Rahnama Rad & Maleki 2020, "A scalable estimate of the out-of-sample prediction error via
    approximate leave-one-out cross-validation", eq. 6.
    """
    odds = columns @ fit.coefficients
    chances = _chance(odds)
    reach = (columns * np.linalg.solve(fit.curvature, columns.T).T).sum(axis=1) * weights
    bent = np.maximum(chances * (1.0 - chances), 1e-9)
    left_out: Floats = odds - reach * (labels - chances) / (1.0 - np.minimum(bent * reach, 0.99))
    return left_out


def _chance(odds: Floats) -> Floats:
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0)))
    return chance
