"""Search settings from a project folder: objective, planned trials, tuner, policy.

A robust tuner stores it. Of a project that it never saw, the objective is the metric whose best
value is the score of every trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

# Enough trials to tell which metric is the objective.
_MOST = 20


def about_search(body: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return fields of a `robusttune._report.search_data.Search`, those that are known.

    Args:
        body: What a robust tuner stored with the project; may be anything.
        trials: The trial.json of each trial.
    """
    told = body.get("search")
    told = told if isinstance(told, Mapping) else {}
    name, direction = told.get("objective"), told.get("direction")
    if direction not in ("min", "max"):
        name, direction = _inferred(trials)
    planned, tuner, policy = told.get("max_trials"), told.get("tuner"), told.get("policy")
    whole = isinstance(planned, int) and not isinstance(planned, bool) and planned > 0
    return {
        "objective": name if isinstance(name, str) else None,
        "direction": direction,
        "planned": planned if whole else None,
        "sampler": tuner if isinstance(tuner, str) else None,
        "policy": dict(policy) if isinstance(policy, Mapping) else {},
    }


def _inferred(trials: Iterable[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Return the name and direction of the metric that gave all trials their scores."""
    alike: dict[str, str] | None = None
    scored = (trial for trial in trials if _is_number(trial.get("score")))
    for _, trial in zip(range(_MOST), scored, strict=False):
        fitting = {
            name: direction
            for name, (direction, best) in _best_values(trial).items()
            if math.isclose(best, trial["score"], rel_tol=1e-9, abs_tol=1e-12)
        }
        alike = (
            fitting
            if alike is None
            else {name: way for name, way in alike.items() if fitting.get(name) == way}
        )
    if not alike or len(set(alike.values())) > 1:
        return None, None
    return (next(iter(alike)) if len(alike) == 1 else None), next(iter(alike.values()))


def _best_values(trial: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Return direction and best value of each metric of a trial.json."""
    metrics: Any = trial.get("metrics")
    metrics = metrics.get("metrics") if isinstance(metrics, Mapping) else None
    found: dict[str, tuple[str, float]] = {}
    for name, history in metrics.items() if isinstance(metrics, Mapping) else ():
        direction = history.get("direction") if isinstance(history, Mapping) else None
        values = _observed(history) if direction in ("min", "max") else []
        if values and direction:
            found[name] = (direction, max(values) if direction == "max" else min(values))
    return found


def _observed(history: Mapping[str, Any]) -> list[float]:
    """Return the mean of each observation of a metric."""
    entries = history.get("observations")
    means = []
    for entry in entries if isinstance(entries, list) else ():
        values = entry.get("value") if isinstance(entry, Mapping) else None
        if isinstance(values, list) and values and all(map(_is_number, values)):
            means.append(sum(values) / len(values))
    return means


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
