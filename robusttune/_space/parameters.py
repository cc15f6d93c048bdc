"""The neutral search space: what one hyperparameter may be, whoever samples it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from robusttune._records import plain

Value: TypeAlias = float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class ParentCondition:
    """A parent's values under which a parameter is active.

    Args:
        parent: Name of the parent parameter.
        values: The parent's values for which the child is active.
    """

    parent: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Float:
    """A range of real numbers, both ends included.

    Args:
        name: Name of the parameter, scopes included.
        low: Smallest value.
        high: Largest value.
        log: Whether it is sampled uniformly in the logarithm.
        step: Distance between two values, or their ratio where `log`; None: any value.
        default: Value before anything is sampled; None: `low`.
        reverse: With `log`, whether values lie densest at `high` (Keras Tuner's "reverse_log").
        conditions: All of them must hold for the parameter to be active.
    """

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None
    reverse: bool = False
    conditions: tuple[ParentCondition, ...] = ()

    def __str__(self) -> str:
        return _range_text(self)


@dataclass(frozen=True, slots=True)
class Int:
    """A range of integers, both ends included; the fields are those of `Float`."""

    name: str
    low: int
    high: int
    log: bool = False
    step: int | None = None
    default: int | None = None
    reverse: bool = False
    conditions: tuple[ParentCondition, ...] = ()

    def __str__(self) -> str:
        return _range_text(self)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values.

    Args:
        name: Name of the parameter, scopes included.
        choices: The values, at least one.
        default: Value before anything is sampled; None: the first.
        conditions: All of them must hold for the parameter to be active.
    """

    name: str
    choices: tuple[Value, ...]
    default: Value = None
    conditions: tuple[ParentCondition, ...] = ()

    def __str__(self) -> str:
        return f"Choice({list(self.choices)})"


Parameter: TypeAlias = Float | Int | Choice


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One change to one field of a parameter, and why.

    Args:
        parameter: Name of the parameter.
        field: "low", "high", "log", "step", "default", "choices", or "declaration" where a second,
            different declaration of the same name is not used.
        before: What the space asked for, JSON-like.
        after: What holds instead, JSON-like.
        reason: Why, in a few words.
    """

    parameter: str
    field: str
    before: Any
    after: Any
    reason: str

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            object.__setattr__(self, name, plain(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """Return the five fields as a JSON-like dict."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Adjustment:
        """Read an adjustment back.

        Raises:
            ValueError: A field is missing.
        """
        try:
            return cls(**{name: fields[name] for name in cls.__slots__})
        except (KeyError, TypeError) as error:
            raise ValueError(f"Not an adjustment: {fields!r}") from error

    def __str__(self) -> str:
        return f"{self.field} {self.before} -> {self.after} ({self.reason})"


def _range_text(parameter: Float | Int) -> str:
    parts = [f"{parameter.low!r}", f"{parameter.high!r}"]
    if parameter.log:
        parts.append("reverse log" if parameter.reverse else "log")
    if parameter.step is not None:
        parts.append(f"step={parameter.step!r}")
    return f"{type(parameter).__name__}({', '.join(parts)})"
