"""Checks of what callers pass in: one clear error that names argument, rule, value and way out.

A value of the wrong class is a TypeError, one outside its range a ValueError. Where several types
are fine (a number, a word or None), anything else is a ValueError.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

# Somebody may pass an array, or all the data: a value is shown up to this many characters.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 100


def require(
    holds: bool,
    name: str,
    rule: str,
    value: Any,
    way_out: str = "",
    *,
    error: type[Exception] = ValueError,
) -> None:
    """Raise the error that says what is wrong with an argument, unless the rule holds.

    Args:
        holds: Whether the rule holds.
        name: The argument.
        rule: What it must be, as it follows "must be".
        value: What it is.
        way_out: A sentence that says what to pass instead.
        error: Class of the error.
    """
    if not holds:
        raise error(f"{name} must be {rule}, got {shown(value)}. {way_out}".rstrip())


def check_type(name: str, value: Any, kinds: Any, rule: str, way_out: str = "") -> None:
    """Require an instance of a class, or of one of several."""
    require(isinstance(value, kinds), name, rule, value, way_out, error=TypeError)


def check_bool(name: str, value: Any) -> None:
    """Require True or False."""
    require(isinstance(value, bool), name, "True or False", value)


def check_int(name: str, value: Any, *, least: int, way_out: str = "") -> None:
    """Require a whole number that is not smaller than `least`."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and value >= least):
        require(False, name, f"an int >= {least}", value, way_out)


def check_number(name: str, value: Any, *, above: float, way_out: str = "") -> None:
    """Require a finite number that is greater than `above`."""
    fits = _is_real(value) and math.isfinite(value) and value > above
    require(fits, name, f"a finite number > {above:g}", value, way_out)


def check_fraction(name: str, value: Any) -> None:
    """Require a number from 0 to 1."""
    require(_is_real(value) and 0 <= value <= 1, name, "a number in 0..1", value)


def check_items(
    name: str,
    value: Any,
    kind: Any,
    rule: str,
    way_out: str = "",
    *,
    error: type[Exception] = TypeError,
) -> tuple[Any, ...]:
    """Return the items of a collection, all of one class; a single string is no collection."""
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    items = tuple(value) if several else ()
    fits = several and all(isinstance(item, kind) for item in items)
    require(fits, name, rule, value, way_out, error=error)
    return items


def check_choice(name: str, value: Any, allowed: Sequence[Any], way_out: str = "") -> None:
    """Require one of a few values."""
    if not any(isinstance(value, type(item)) and value == item for item in allowed):
        require(False, name, " or ".join(map(repr, allowed)), value, way_out)


def check_path(name: str, value: Any) -> Path:
    """Return the path of a file or folder, which need not exist."""
    fits = isinstance(value, (str, os.PathLike)) and not isinstance(os.fspath(value), bytes)
    require(fits, name, "a path, as str or pathlib.Path", value, error=TypeError)
    require(bool(os.fspath(value)), name, "a path, not empty", value)
    require("\0" not in os.fspath(value), name, "a path, without a null character", value)
    return Path(value)


def shown(value: Any) -> str:
    """Return any value on one short line."""
    return " ".join(_short.repr(value).split())


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
