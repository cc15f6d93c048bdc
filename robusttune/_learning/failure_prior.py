"""FailurePrior: what ships with the library of fits that never train.

A small model of the chance that a fit ends no better than the best constant prediction, fitted to
sweeps over synthetic tasks (evaluation/failure_prior; docs/explanation/failure-prior.md is its
card).
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from robusttune._learning.outcomes import Outcome
from robusttune._learning.points import Bools, Floats
from robusttune._learning.trust import odds_of_trust
from robusttune._space.fits import FitReader

FILE = "failure_prior.json"
NAME = "the failure prior"  # what a report calls it
LIMIT = 0.9  # what fails with more than this chance is turned away
_LATEST = 40  # own trials that speak for or against it: a bound on what a proposal costs
_MOST_COLUMNS = 64  # more are as if there were so many, with rows of the same length
_UNKNOWN = np.nan
NUMBERS = (
    "learning_rate",
    "momentum",
    "batch_size",
    "depth",
    "width",
    "columns",
    "input_scale",
    "target_scale",
    "target_offset",
    "steps",
)


@dataclass(frozen=True, slots=True, eq=False)
class FailurePrior:
    """The chance that a fit never trains, averaged over what is not known of it.

    What a fit may have: "optimizer", "activation" and "loss" (texts), "learning_rate", "momentum",
    "batch_size", "depth" (hidden layers), "width" (their mean units), "columns" of the inputs,
    "input_scale" (their root mean square), "target_scale" (standard deviation), "target_offset"
    (mean, in standard deviations) and "steps".

    Args:
        choices: The texts that are known of each choice.
        longest: Steps of the longest fit of the sweep.
        centre: Mean of each input of the networks, shape (inputs,).
        scale: Its standard deviation.
        reference: Fits of the sweep, which stand in for what is not known, shape (n, columns).
        networks: Weights and biases of each network, whose chances are averaged.
    """

    choices: Mapping[str, tuple[str, ...]]
    longest: float
    centre: Floats
    scale: Floats
    reference: Floats
    networks: tuple[tuple[tuple[Floats, Floats], ...], ...]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> FailurePrior:
        """Read the model from the JSON that `fit.py` writes."""
        networks = tuple(
            tuple((np.array(weights), np.array(bias)) for weights, bias in network)
            for network in stored["networks"]
        )
        return cls(
            {name: tuple(values) for name, values in stored["choices"].items()},
            float(stored["longest"]),
            np.array(stored["centre"]),
            np.array(stored["scale"]),
            np.array(stored["reference"]),
            networks,
        )

    def chances(self, fits: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the chance that each fit never trains, shape (len(fits),).

        A fit of more steps than any of the sweep is as one of those with the same rate, or with as
        long a way (rate times steps), whichever fails less.
        """
        chances = self._averaged(fits)
        longer = [row for row, fit in enumerate(fits) if fit.get("steps", 0) > self.longest]
        if longer:
            same_way = [
                {**fits[row], "learning_rate": _rate(fits[row]) * fits[row]["steps"] / self.longest}
                for row in longer
            ]
            chances[longer] = np.minimum(chances[longer], self._averaged(same_way))
        return chances

    def _averaged(self, fits: Sequence[Mapping[str, Any]]) -> Floats:
        columns = encode(fits, self.choices, self.longest)
        unknown = np.isnan(columns)
        averaged = np.zeros(len(fits))
        # Fits of which the same is unknown are looked at together; with nothing unknown, once.
        patterns, which = np.unique(unknown, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = np.flatnonzero(which.reshape(-1) == number)
            stand_ins = self.reference if pattern.any() else self.reference[:1]
            filled = np.repeat(columns[rows][:, None, :], len(stand_ins), axis=1)
            filled[:, :, pattern] = stand_ins[:, pattern]
            flat = filled.reshape(-1, columns.shape[1])
            averaged[rows] = self._forward(flat).reshape(len(rows), -1).mean(axis=1)
        return averaged

    def _forward(self, columns: Floats) -> Floats:
        inputs = (with_products(columns) - self.centre) / self.scale
        total = np.zeros(len(columns))
        for network in self.networks:
            h = inputs
            for weights, bias in network[:-1]:
                h = np.maximum(h @ weights + bias, 0.0)
            weights, bias = network[-1]
            odds = np.clip((h @ weights + bias)[:, 0], -30.0, 30.0)
            total += 1.0 / (1.0 + np.exp(-odds))
        averaged: Floats = total / len(self.networks)
        return averaged


@functools.cache
def shipped() -> FailurePrior:
    """Return the prior that ships with the library."""
    text = files("robusttune._learning").joinpath(FILE).read_text(encoding="utf-8")
    return FailurePrior.of(json.loads(text))


def encode(
    fits: Sequence[Mapping[str, Any]],
    choices: Mapping[str, Sequence[str]],
    longest: float = math.inf,
) -> Floats:
    """Return fits as columns: `NUMBERS`, and one column for each text; NaN is not known.

    Args:
        fits: What is known of each.
        choices: The texts of each choice.
        longest: Most steps; more are as these.
    """
    names = [(name, value) for name, values in choices.items() for value in values]
    columns = np.full((len(fits), len(NUMBERS) + len(names)), _UNKNOWN)
    for row, fit in enumerate(fits):
        known = _scaled(fit, longest)
        for column, name in enumerate(NUMBERS):
            columns[row, column] = known.get(name, _UNKNOWN)
        for column, (name, value) in enumerate(names, len(NUMBERS)):
            if name in fit:
                columns[row, column] = float(fit[name] == value)
    return columns


def with_products(columns: Floats) -> Floats:
    """Return the columns, and products on which failing is known to depend: sums of logarithms.

    The way that the weights can go, also in momentum; what it is beside the targets; and the
    steepest step that a quadratic loss allows (rate times squared length of the inputs).
    """
    rate, slow, count, inputs, target, offset, steps = (
        columns[:, NUMBERS.index(name)]
        for name in (
            *("learning_rate", "momentum", "columns", "input_scale"),
            *("target_scale", "target_offset", "steps"),
        )
    )
    away = np.log10(1.0 + offset)
    effective = rate - slow
    products = [
        rate + steps,
        effective,
        effective + steps,
        effective + 2.0 * inputs + count,
        rate + steps - target - away,
        away,
    ]
    return np.column_stack([columns, *products])


def _scaled(fit: Mapping[str, Any], longest: float) -> dict[str, float]:
    """Return the numbers of a fit on the scales of the model."""
    known: dict[str, float] = {}
    for name in ("learning_rate", "batch_size", "width", "input_scale", "target_scale"):
        if name in fit:
            known[name] = math.log10(max(float(fit[name]), 1e-6))
    if "steps" in fit:
        known["steps"] = math.log10(min(max(float(fit["steps"]), 1.0), longest))
    if "columns" in fit:
        count = max(float(fit["columns"]), 1.0)
        known["columns"] = math.log10(min(count, _MOST_COLUMNS))
        if "input_scale" in known:
            known["input_scale"] += 0.5 * math.log10(max(count / _MOST_COLUMNS, 1.0))
    if "momentum" in fit:
        known["momentum"] = math.log10(max(1.0 - float(fit["momentum"]), 1e-3))
    for name in ("depth", "target_offset"):
        if name in fit:
            known[name] = float(fit[name])
    return known


def _rate(fit: Mapping[str, Any]) -> float:
    return float(fit.get("learning_rate", math.nan))


@dataclass(frozen=True, eq=False)
class PriorAdvice:
    """What a prior says of the proposals of one search, until its own trials know better.

    Args:
        prior: The model.
        read: Says of hyperparameter values what their fit has; None: a fit that is not known.
        outcomes: The search's own finished trials.
    """

    prior: FailurePrior
    read: FitReader
    outcomes: Sequence[Outcome] = ()

    def risks(self, proposals: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the chance never to train of what is turned away, 0 of all else, shape (n,)."""
        chances, known = self.chances(proposals)
        sure = known & (chances > LIMIT)
        if not sure.any() or not self.is_trusted:
            return np.zeros(len(proposals))
        risks: Floats = np.where(sure, chances, 0.0)
        return risks

    def chances(self, proposals: Sequence[Mapping[str, Any]]) -> tuple[Floats, Bools]:
        """Return the chance of each to fail, and of which something is known, shapes (n,)."""
        fits = [self.read(proposal) for proposal in proposals]
        known = np.array([fit is not None and self._knows(fit) for fit in fits], dtype=bool)
        chances = np.zeros(len(fits))
        if known.any():
            looked_at = [fit for fit, one in zip(fits, known, strict=True) if one and fit]
            chances[known] = self.prior.chances(looked_at)
        return chances, known

    @functools.cached_property
    def is_trusted(self) -> bool:
        """Whether own trials do not speak against it; one that ended worse than a constant failed.

        Exceptions say nothing of it.
        """
        told = [outcome for outcome in self.outcomes if not outcome.error][-_LATEST:]
        chances, known = self.chances([outcome.params for outcome in told])
        failed = np.array([o.failed or (o.skill is not None and o.skill <= 0) for o in told])
        return odds_of_trust(chances[known], failed[known].astype(bool)) > 0

    def _knows(self, fit: Mapping[str, Any]) -> bool:
        """Whether a fit has a learning rate, and no text that the sweep did not have."""
        return "learning_rate" in fit and all(
            fit[name] in values for name, values in self.prior.choices.items() if name in fit
        )
