"""Results of a trial: its objective value, and the epochs that can be used."""

from __future__ import annotations

import copy
import math
from typing import Any

import keras
import numpy as np
from keras_tuner import Objective

from robusttune._trial_run import NoObjectiveError


def usable_results(results: Any, objective: Objective) -> Any:
    """Return results in which no non-finite epoch can be taken for the best one.

    Keras Tuner compares every epoch with the first one, and nothing is better than NaN: a NaN in
    the first epoch hides all later ones. In the returned copy such an epoch has the worst value
    there is.
    Results with finite objectives only are returned as they are.

    Args:
        results: What `Tuner.run_trial` returned: a History, dict, number, or a list of these.
        objective: The objective of the search.

    Raises:
        NoObjectiveError: No epoch of some execution has a finite objective.
    """
    if isinstance(results, list):
        return [usable_results(result, objective) for result in results]
    if isinstance(results, keras.callbacks.History):
        values = _epoch_values(results, objective)
        bad = [epoch for epoch, value in enumerate(values) if not math.isfinite(value)]
        if not bad:
            return results
        if len(bad) == len(values):
            raise NoObjectiveError(f"{objective.name} is not finite in any epoch")
        return _without(results, bad, objective)
    value = _single_value(results, objective)
    if value is not None and not math.isfinite(value):
        raise NoObjectiveError(f"{objective.name} is {value}")
    return results


def objective_value(results: Any, objective: Objective) -> float | None:
    """Return the best objective value, averaged over executions; None where there is none."""
    if isinstance(results, list):
        values = [objective_value(result, objective) for result in results]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known and len(known) == len(values) else None
    if isinstance(results, keras.callbacks.History):
        finite = [value for value in _epoch_values(results, objective) if math.isfinite(value)]
        if not finite:
            return None
        return max(finite) if objective.direction == "max" else min(finite)
    return _single_value(results, objective)


def metric_names(results: Any) -> list[str]:
    """Return the names of what the fits of a trial reported; none where no History tells them."""
    if isinstance(results, list):
        return list(dict.fromkeys(name for result in results for name in metric_names(result)))
    return list(results.history) if isinstance(results, keras.callbacks.History) else []


def _single_value(results: Any, objective: Objective) -> float | None:
    if isinstance(results, (int, float, np.number)):
        return float(results)
    if isinstance(results, dict) and objective.has_value(results):
        return float(objective.get_value(results))
    if isinstance(results, dict) and objective.name in results:
        return float(results[objective.name])
    return None


def _epoch_values(history: Any, objective: Objective) -> list[float]:
    """Objective value of each epoch; an epoch without one (validation_freq) counts as NaN."""
    logs = history.history
    epochs = max((len(values) for values in logs.values()), default=0)
    rows = [{name: v[e] for name, v in logs.items() if e < len(v)} for e in range(epochs)]
    if not any(objective.has_value(row) for row in rows):
        return []  # not in the history at all: Keras Tuner says so in its own words
    return [
        float(objective.get_value(row)) if objective.has_value(row) else math.nan for row in rows
    ]


def _without(history: Any, bad: list[int], objective: Objective) -> Any:
    cleaned = copy.copy(history)
    cleaned.history = {name: list(values) for name, values in history.history.items()}
    directions = getattr(objective, "name_to_direction", {objective.name: objective.direction})
    for name, direction in directions.items():
        for epoch in bad:
            if epoch < len(cleaned.history[name]):
                cleaned.history[name][epoch] = -math.inf if direction == "max" else math.inf
    return cleaned
