"""Changes of a search space as data, which each host turns into lines of its own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from robusttune._regions import Condition
from robusttune._space.parameters import Choice, Float, Int, Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """Leave out a region by fewer values of one parameter.

    Args:
        parameter: The parameter as it is.
        narrowed: The parameter as it should be; of the same kind.
        where: The other conditions of the region: only where all of them hold the parameter has to
            be narrowed. Empty: everywhere.
    """

    parameter: Parameter
    narrowed: Parameter
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductBound:
    """Keep a product or a quotient of two parameters below a limit, by the range of one of them.

    Args:
        parameter: A continuum; with any value of the other one, some of it is left.
        other: Name of the other parameter, which is drawn first.
        exponent: Of the other one: 1 where parameter * other is limited, -1 where
            parameter / other is.
        limit: The product's or quotient's largest value.
    """

    parameter: Float
    other: str
    exponent: int
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceChange:
    """A change of the search space that leaves one region out.

    Args:
        conditions: Those of the region. To refuse a trial in which all of them hold is right in
            any space and on any host.
        optional: Names of the parameters that not every trial has.
        present: For parameters that not every trial has, a condition on another one that holds in
            just the trials that have it, as far as the trials tell.
        others: Further changes of the range of the parameter of `by`, for other regions: the lines
            are those of all of them together.
        after: Names of parameters that the lines need and that are asked for later.
        by: How a range leaves the region out, so that no trial is refused; None: no range does.
            A host that cannot write it so refuses the trials.
    """

    conditions: tuple[Condition, ...]
    optional: frozenset[str] = frozenset()
    present: Mapping[str, Condition] = field(default_factory=dict, hash=False)
    others: tuple[Narrowing | ProductBound, ...] = ()
    after: tuple[str, ...] = ()
    by: Narrowing | ProductBound | None = None


def together(change: SpaceChange) -> Parameter:
    """Return the parameter of a narrowing as it is left by all changes that always hold."""
    assert isinstance(change.by, Narrowing)
    narrowed = change.by.narrowed
    for other in change.others:
        if isinstance(other, ProductBound) or other.where:
            continue
        if not isinstance(narrowed, Choice) and not isinstance(other.narrowed, Choice):
            narrowed = within(narrowed, other.narrowed)
    return narrowed


def within(one: Float | Int, other: Float | Int) -> Float | Int:
    """Return what two ranges of one parameter have in common; the first one where that is none."""
    low, high = max(one.low, other.low), min(one.high, other.high)
    if low > high:
        return one
    found: Float | Int = replace(one, low=low, high=high)  # type: ignore[arg-type]
    return found


def remark(change: SpaceChange) -> str:
    """Return a comment on where lines are to go, where they need what is asked for later."""
    names = " and ".join(map(repr, change.after))
    return f"  # below the line that asks for {names}" if names else ""
