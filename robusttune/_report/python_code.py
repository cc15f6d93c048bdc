"""Pieces of Python code that lines for any host are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from keyword import iskeyword
from typing import Any

from robusttune._regions import Condition


def variable(name: str) -> str:
    """Return a Python name for a hyperparameter."""
    word = "".join(letter if f"_{letter}".isidentifier() else "_" for letter in name)
    word = word if word.isidentifier() else f"_{word}"
    return f"{word}_" if iskeyword(word) else word


def number(value: float) -> str:
    """Return an integer with all its digits, another number with as many as people can read."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def listed(values: Sequence[Any]) -> str:
    """Return values as a list."""
    return repr(list(values))


def expression(
    conditions: Iterable[Condition], read: Callable[[str], tuple[str | None, str]]
) -> str:
    """Return an expression that is true where all conditions hold.

    Args:
        conditions: Conditions on hyperparameters.
        read: Takes the name of a hyperparameter and returns what has to be true before its value
            can be read (None: nothing), and how it is read; both as code.
    """
    return " and ".join(_one(condition, read) for condition in conditions)


def _one(condition: Condition, read: Callable[[str], tuple[str | None, str]]) -> str:
    guards: list[str] = []
    code = ""
    for name, exponent in condition.factors:
        guard, value = read(name)
        guards += [] if guard is None else [guard]
        code += f"{' * ' if exponent > 0 else ' / '}{value}" if code else value
    return " and ".join([*guards, str(replace(condition, name=code))])
