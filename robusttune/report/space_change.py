"""What to change in a search space, as data: each host turns it into lines of its own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robusttune.regions import Condition
from robusttune.space.parameters import Float, Parameter


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
        by: How a range leaves the region out, so that no trial is refused; None: no range does.
            A host that cannot write it so refuses the trials.
    """

    conditions: tuple[Condition, ...]
    optional: frozenset[str] = frozenset()
    present: Mapping[str, Condition] = field(default_factory=dict, hash=False)
    by: Narrowing | ProductBound | None = None
