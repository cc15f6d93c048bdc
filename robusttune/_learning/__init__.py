"""Learning from failures: which of them the hyperparameters caused, and in which regions."""

from __future__ import annotations

from robusttune._learning.earlier import EarlierSearch, Guidance
from robusttune._learning.failure_model import FailureModel, learn
from robusttune._learning.farthest import farthest
from robusttune._learning.outcomes import Outcome, is_free, recent
from robusttune._learning.proposals import first_stable

__all__ = [
    "EarlierSearch",
    "FailureModel",
    "Guidance",
    "Outcome",
    "farthest",
    "first_stable",
    "is_free",
    "learn",
    "recent",
]
