"""Questions to a model about a parameter: whether its role matters, which values to build."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robusttune._space.parameters import Choice, Float, Int, Parameter, Value
from robusttune._space.roles import Role, is_number, role_by_name
from robusttune._space.rules import sanitize

# A number of these that is 0 may be the user's way to leave the layer out.
COUNTS = frozenset({Role.UNITS, Role.KERNEL_SIZE})


def roles_that_matter(parameter: Parameter) -> list[Role]:
    """Return the roles with which a parameter would be changed; a harmless one has none.

    A name that tells a role, with which all is well, is believed.
    """
    named = role_by_name(parameter)
    unnamed = sanitize(parameter, None)[0]
    matter = [role for role in _roles_of(parameter) if sanitize(parameter, role)[0] != unnamed]
    return matter if named is None or named in matter else []


def two_values(parameter: Parameter, roles: Sequence[Role]) -> tuple[Value, Value] | None:
    """Return two values of a parameter that work in any of some roles; None: there are none.

    They are odd on purpose, so that no other number of a model is likely to be the same.
    """
    if not roles:
        return None
    works = [sanitize(parameter, role)[0] for role in roles]
    if isinstance(parameter, Choice):
        sets = [set(each.choices) for each in works if isinstance(each, Choice)]
        numbers = list(dict.fromkeys(v for v in parameter.choices if is_number(v)))
        common = [v for v in numbers if all(v in values for values in sets)]
        chosen = common if len(common) >= 2 else numbers
        return (chosen[0], chosen[1]) if len(chosen) >= 2 else None
    ranges = [each for each in works if not isinstance(each, Choice)]
    low, high = max(each.low for each in ranges), min(each.high for each in ranges)
    if not low < high:
        return None
    grid = isinstance(parameter, Int) or parameter.step is not None
    if grid and math.isfinite(parameter.low) and (parameter.low > 0 or not parameter.log):
        return _two_steps(parameter, low, high)
    if low > 0 and high / low > 100:
        return low * (high / low) ** 0.6180339, low * (high / low) ** 0.7320508
    return low + (high - low) * 0.3819661, low + (high - low) * 0.6180339


def _two_steps(parameter: Float | Int, low: float, high: float) -> tuple[Value, Value] | None:
    """Return two values on the grid of a stepped range, from its low end: small models."""
    start = parameter.low
    if parameter.log:
        ratio = max(parameter.step or 2, 1.1)
        skipped = max(0, math.ceil(math.log(low / start, ratio) - 1e-9))
        values = [start * ratio ** (skipped + k) for k in range(6)]
    else:
        step = parameter.step if parameter.step is not None and parameter.step > 0 else 1
        skipped = max(0, math.ceil((low - start) / step - 1e-9))
        values = [start + step * (skipped + k) for k in range(6)]
    if isinstance(parameter, Int):
        values = [int(value) for value in values]
    values = sorted({value for value in values if low <= value <= high})
    return (values[len(values) // 3], values[-1]) if len(values) >= 2 else None


def _roles_of(parameter: Parameter) -> list[Role]:
    """Return the roles that models can show of a parameter of this kind."""
    if isinstance(parameter, Choice):
        numbers = [v for v in parameter.choices if is_number(v)]
        if len(numbers) < len(parameter.choices):
            return []
        whole = all(isinstance(v, int) for v in numbers)
    else:
        whole = isinstance(parameter, Int)
    return [role for role in Role if role is not Role.BATCH_SIZE and (role in COUNTS) is whole]


def reaches_zero(parameter: Parameter) -> bool:
    """Return whether 0 is the smallest value of a number of something."""
    if isinstance(parameter, Choice):
        return min(v for v in parameter.choices if is_number(v)) == 0
    return parameter.low == 0


def cap_matters(parameter: Parameter) -> bool:
    """Return whether the cap of a learning rate depends on which optimizers there are."""
    strictest = sanitize(parameter, Role.LEARNING_RATE, optimizers=["adam"])
    return strictest != sanitize(parameter, Role.LEARNING_RATE)
