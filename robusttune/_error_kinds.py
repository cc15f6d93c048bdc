"""Errors of several trials: what they have in common, and which hyperparameter values they name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# The start of a message says what is wrong, the rest with what.
_KIND_CHARACTERS = 48


def kind_of_error(error: str, params: Mapping[str, Any]) -> str:
    """Return what errors of one kind have in common, whatever the trial's values were.

    Args:
        error: Type and message on one line.
        params: Hyperparameter values of the trial, which are left out, as all numbers are.

    Example:
        >>> kind_of_error("ValueError: no layer 7 of adam", {"optimizer": "adam"})
        'ValueError: no layer # of #'
    """
    return without_values(error, params)[:_KIND_CHARACTERS]


def without_values(error: str, params: Mapping[str, Any]) -> str:
    """Return an error without the trial's hyperparameter values, other numbers and addresses."""
    words = {re.escape(value) for value in params.values() if isinstance(value, str) and value}
    if words:
        choices = "|".join(sorted(words, key=len, reverse=True))
        error = re.sub(rf"(?<!\w)({choices})(?!\w)", "#", error)
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?", "#", error)


def names_a_value(failures: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    """Whether each exception names the trial's own value of one hyperparameter, which differs.

    Then it depends on that hyperparameter: with another value there may be none.

    Args:
        failures: Exception on one line and hyperparameter values of each failed trial.
    """
    if len(failures) < 2:
        return False
    return any(
        len({repr(params.get(name)) for _, params in failures}) > 1
        and all(_is_named(params.get(name), error) for error, params in failures)
        for name in failures[0][1]
    )


def _is_named(value: object, error: str) -> bool:
    texts = {str(value)} | ({f"{value:g}"} if isinstance(value, float) else set())
    return any(re.search(rf"(?<![\w.]){re.escape(text)}(?![\w]|\.\d)", error) for text in texts)
