"""What a search may learn from its failures: which of them hyperparameters caused, and where."""

from __future__ import annotations

from robusttune.learning.earlier import EarlierSearch, Guidance
from robusttune.learning.failure_prior import PriorAdvice, shipped
from robusttune.learning.farthest import farthest
from robusttune.learning.lesson import Lesson, learn
from robusttune.learning.outcomes import Outcome, is_free, recent
from robusttune.learning.proposals import first_stable

__all__ = [
    "EarlierSearch",
    "Guidance",
    "Lesson",
    "Outcome",
    "PriorAdvice",
    "farthest",
    "first_stable",
    "is_free",
    "learn",
    "recent",
    "shipped",
]
