"""Return values of an objective: Optuna's rules, and no infinity that beats every value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection

from robusttune._causes import Symptom
from robusttune._validation import shown


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a result is not a trial's value.

    Args:
        symptom: non_finite_objective, or exception where the code returned something else.
        text: One line.
    """

    symptom: Symptom
    text: str


def problem_with(result: Any, directions: Sequence[StudyDirection] | None) -> Problem | None:
    """Return why a result is not a trial's value; None where it is.

    Optuna fails a trial that returns NaN, no number, or a wrong number of them, and completes one
    that returns an infinite value. One that is infinitely bad is a usual way to say "not this";
    one that is infinitely good is a breakdown, and would be the best trial for ever.

    Args:
        result: What the objective returned.
        directions: The study's; None where there is no study.
    """
    values = result if isinstance(result, Sequence) else [result]
    numbers = []
    for value in values:
        try:
            numbers.append(float(value))
        except Exception:  # that of a tensor of several numbers is a RuntimeError
            text = f"the objective returned {shown(value)}, not a number"
            return Problem(Symptom.EXCEPTION, text)
    if any(map(math.isnan, numbers)):
        return Problem(Symptom.NON_FINITE_OBJECTIVE, "the objective is NaN")
    if directions is None:
        return None
    if len(numbers) != len(directions):
        counts = f"{len(numbers)} values for {len(directions)} objectives"
        return Problem(Symptom.EXCEPTION, f"the objective returned {counts}")
    for number, direction in zip(numbers, directions, strict=True):
        best = -math.inf if direction is StudyDirection.MINIMIZE else math.inf
        if number == best:
            text = f"the objective is {number}, better than any number"
            return Problem(Symptom.NON_FINITE_OBJECTIVE, text)
    return None
