"""The search around a trial as evidence: what others did above and below its learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import BY_SEARCH, LEAST, MOST
from robusttune._diagnosis.shared_causes import proven_on_same_data
from robusttune._diagnosis.verdict import Verdict
from robusttune._records import TrialRecord

# Rates within this factor of each other are the same for the purpose of a verdict.
_SAME_RATE = 1.5
# Fewer trials than this on a side say nothing.
_ENOUGH = 3
_NAMES = ("learning_rate", "lr", "rate", "eta", "step_size")


@dataclass(frozen=True, slots=True)
class SearchEvidence:
    """Evidence from the other trials of the search.

    Args:
        parameter: The hyperparameter that is the learning rate; None where none is.
        threshold: Rate with (nearly) only failures above and health below; None without one.
        failures: How many of them failed.
        healthy: How many did not.
        failing_rates: Range of the rates that failed.
        healthy_rates: Range of the rates that did not.
    """

    parameter: str | None
    threshold: float | None
    failures: int
    healthy: int
    failing_rates: tuple[float, float] | None
    healthy_rates: tuple[float, float] | None

    @property
    def speaks_for_rate(self) -> bool:
        """Whether failing follows the learning rate."""
        return self.threshold is not None

    @property
    def speaks_against_rate(self) -> bool:
        """Whether trials fail at all rates, low ones included."""
        if self.failing_rates is None or self.failures < _ENOUGH or self.healthy:
            return False
        low, high = self.failing_rates
        return high / low >= 100

    def as_evidence(self) -> dict[str, Any]:
        """Return the numbers."""
        return {
            "failed": self.failures,
            "healthy": self.healthy,
            "learning_rate_parameter": self.parameter,
            "learning_rate_threshold": self.threshold,
            "failing_learning_rates": self.failing_rates,
            "healthy_learning_rates": self.healthy_rates,
        }


def search_evidence(
    params: Mapping[str, Any], rate: float | None, related_trials: Sequence[TrialRecord]
) -> SearchEvidence:
    """Return what other finished trials say of the learning rate.

    Args:
        params: Hyperparameters of the trial in question.
        rate: The learning rate of its optimizer; None where unknown.
        related_trials: Records of other trials.
    """
    name = rate_parameter(params, rate)
    failing = [record for record in related_trials if record.unstable]
    sound = [r for r in related_trials if r.status == "completed" and not r.unstable]
    bad, good = _rates(failing, name), _rates(sound, name)
    return SearchEvidence(
        parameter=name,
        threshold=_threshold(bad, good),
        failures=len(failing),
        healthy=len(sound),
        failing_rates=(min(bad), max(bad)) if bad else None,
        healthy_rates=(min(good), max(good)) if good else None,
    )


def rate_parameter(params: Mapping[str, Any], rate: float | None) -> str | None:
    """Return the hyperparameter that is the learning rate: by its name and value, or either."""
    floats = {name: value for name, value in params.items() if isinstance(value, float)}
    named = [name for name in floats if _is_rates_name(name)]
    alike = [
        n for n, v in floats.items() if rate is not None and math.isclose(v, rate, rel_tol=1e-5)
    ]
    both = [name for name in named if name in alike]
    return next(iter([*both, *(alike if len(named) != 1 else []), *named, *alike]), None)


def _is_rates_name(name: str) -> bool:
    last = name.lower().split("/")[-1]
    return any(last == n or last.endswith(f"_{n}") for n in _NAMES)


def as_proven_earlier(case: Case) -> Verdict | None:
    """Return unscaled data where replays of another trial of the search have proven them."""
    shared = proven_on_same_data(case.trace.skill, case.related_trials)
    if shared is None:
        return None
    found = shared[1]
    return Verdict(
        cause=found.cause,
        confidence=found.confidence or 0.0,
        advice=found.advice or "",
        evidence=found.evidence,
    )


def earlier_like_this(
    symptom: Symptom,
    params: Mapping[str, Any],
    name: str | None,
    related_trials: Sequence[TrialRecord],
) -> TrialRecord | None:
    """Return a sibling whose verdict holds here too, so that no replay is needed.

    It has the same symptom and the same parameters, but for numbers that only say how long or how
    fast: its learning rate is nearly the same, or this trial's is higher where a high rate was the
    proven cause.
    """
    for record in related_trials:
        if record.symptom is not symptom or record.cause in (None, FailureCause.UNKNOWN):
            continue
        if not record.fix_verified or not _same_but_rate(params, record.params, name):
            continue
        mine, its = _number(params, name), _number(record.params, name)
        if name is None or mine is None or its is None:
            continue
        ratio = mine / its
        grows = record.cause is FailureCause.DIVERGENT_LEARNING_RATE
        if 1 / _SAME_RATE <= ratio <= _SAME_RATE or (grows and ratio >= 1):
            return record
    return None


def _same_but_rate(one: Mapping[str, Any], other: Mapping[str, Any], name: str | None) -> bool:
    return {k: v for k, v in one.items() if k != name} == {
        k: v for k, v in other.items() if k != name
    }


def _number(params: Mapping[str, Any], name: str | None) -> float | None:
    value = params.get(name) if name is not None else None
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _rates(records: Sequence[TrialRecord], name: str | None) -> list[float]:
    found = [_number(record.params, name) for record in records]
    return [rate for rate in found if rate is not None]


def _threshold(bad: Sequence[float], good: Sequence[float]) -> float | None:
    """Return the rate that separates failures from health, at most one trial on a wrong side."""
    if len(bad) < _ENOUGH or len(good) < _ENOUGH:
        return None
    cuts = sorted({*bad, *good})
    best = min(
        cuts, key=lambda cut: sum(rate < cut for rate in bad) + sum(rate >= cut for rate in good)
    )
    wrong = sum(rate < best for rate in bad) + sum(rate >= best for rate in good)
    return best if wrong <= 1 and any(rate < best for rate in good) else None


def weighed(verdict: Verdict, search: SearchEvidence) -> Verdict:
    """Return the verdict with its confidence moved by what the search says, never its cause.

    A threshold in the learning rate speaks for the rate and against anything else; failures at
    all rates the other way round.
    """
    if verdict.cause is FailureCause.UNKNOWN:
        return verdict
    rate = verdict.cause is FailureCause.DIVERGENT_LEARNING_RATE
    if search.speaks_for_rate:
        shift = BY_SEARCH if rate else -BY_SEARCH
    elif search.speaks_against_rate:
        shift = -BY_SEARCH if rate else BY_SEARCH
    else:
        return verdict
    return replace(verdict, confidence=float(min(max(verdict.confidence + shift, LEAST), MOST)))
