"""Verdict: what a diagnosis says of one failed trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robusttune._causes import FailureCause
from robusttune._diagnosis.confidence import Grounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A cause, how sure it is, and the numbers that say so.

    Args:
        cause: The likeliest cause; unknown where nothing could be shown.
        other_causes: Further causes, the likeliest first.
        confidence: Probability that `cause` is right, 0..1; 0: that of its grounds.
        grounds: What it rests on; None where nothing was counted.
        advice: One line with concrete values; the cause's general advice where there are none.
        fix_verified: Whether a replay with the advised change was cured; None: not tried.
        evidence: Numbers with their units in the names, JSON-like.
    """

    cause: FailureCause
    other_causes: tuple[FailureCause, ...] = ()
    confidence: float = 0.0
    grounds: Grounds | None = None
    advice: str = ""
    fix_verified: bool | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.grounds is not None and not self.confidence:
            object.__setattr__(self, "confidence", self.grounds.confidence)
