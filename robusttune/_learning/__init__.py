"""What a search may learn from its failures: which of them hyperparameters caused, and where."""

from __future__ import annotations

from robusttune._learning.earlier import EarlierSearch, Guidance
from robusttune._learning.failure_model import Lesson, learn
from robusttune._learning.farthest import farthest
from robusttune._learning.outcomes import Outcome, is_free, recent
from robusttune._learning.proposals import first_stable

__all__ = [
    "EarlierSearch",
    "Guidance",
    "Lesson",
    "Outcome",
    "farthest",
    "first_stable",
    "is_free",
    "learn",
    "recent",
]
