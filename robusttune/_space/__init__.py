"""Search spaces, independent of who samples them, and the rules that correct them."""

from __future__ import annotations

from robusttune._space.parameters import (
    Adjustment,
    Choice,
    Float,
    Int,
    Parameter,
    ParentCondition,
    Value,
)
from robusttune._space.roles import Role, role_by_name
from robusttune._space.rules import sanitize

__all__ = [
    "Adjustment",
    "Choice",
    "Float",
    "Int",
    "Parameter",
    "ParentCondition",
    "Role",
    "Value",
    "role_by_name",
    "sanitize",
]
