"""Search spaces, independent of who samples them, and the rules that mend them."""

from __future__ import annotations

from robusttune._space.parameters import Adjustment, Choice, Condition, Float, Int, Parameter, Value
from robusttune._space.roles import Role, role_by_name
from robusttune._space.rules import sanitize

__all__ = [
    "Adjustment",
    "Choice",
    "Condition",
    "Float",
    "Int",
    "Parameter",
    "Role",
    "Value",
    "role_by_name",
    "sanitize",
]
