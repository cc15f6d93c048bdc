"""Warnings of search space changes: one per parameter, at the user's own line."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence

from robusttune._policy import Policy
from robusttune._space.parameters import Adjustment, Parameter
from robusttune.errors import SearchSpaceWarning

_log = logging.getLogger("robusttune.space")

# Frames of these packages are never the line that a user wrote.
_HOSTS = frozenset({"robusttune", "keras_tuner", "optuna", "contextlib", "functools"})


def warn_of_changes(
    before: Parameter, after: Parameter, adjustments: Sequence[Adjustment], policy: Policy
) -> None:
    """Warn that a parameter was, or should be, changed.

    Args:
        before: What was asked for.
        after: What would hold after the adjustments.
        adjustments: At least one.
        policy: Its `sanitize` says whether the change was made.
    """
    verb = "is" if policy.sanitize == "fix" else "should be"
    reasons = "; ".join(dict.fromkeys(adjustment.reason for adjustment in adjustments))
    default = ""
    if {adjustment.field for adjustment in adjustments} == {"default"}:
        default = f" with the default {after.default!r} instead of {before.default!r}"
    warn(
        f"{before.name}: {before} {verb} searched as {after}{default}: {reasons}."
        f" robusttune.Policy(keep={{{before.name!r}}}) leaves it unchanged."
    )


def warn(message: str) -> None:
    """Warn of a search space, at the nearest line that is the user's own."""
    _log.info("%s", message)
    warnings.warn(message, SearchSpaceWarning, stacklevel=_stacklevel())


def _stacklevel() -> int:
    """Return the level of the first frame outside of the hosts, as seen from `tell`."""
    level, frame = 1, sys._getframe(1).f_back
    while frame is not None:
        level += 1
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _HOSTS:
            return level
        frame = frame.f_back
    return 2
