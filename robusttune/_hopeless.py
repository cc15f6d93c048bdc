"""When going on is pointless: failing that cannot depend on the hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence

from robusttune._error_kinds import names_a_value, without_values
from robusttune._records import TrialRecord, one_line

# What user code raises to say that these hyperparameters will not do, and that others may.
_DECLARED = "FailedTrialError"
_MAX_ERROR = 300  # characters of an exception
_WAY_OUT = "Policy(hopeless_after=None) continues regardless."


def why_hopeless(records: Sequence[TrialRecord], after: int | None) -> str | None:
    """Return why no trial can succeed, with the fix and the way out; None while one might.

    A search is hopeless when all its trials failed, and for one reason: the data (after `after`
    trials), or the same exception (after twice as many, since a combination of hyperparameters may
    yet avoid it).

    Args:
        records: The finished trials.
        after: Policy.hopeless_after; None: never.
    """
    if after is None or len(records) < after or any(r.status != "failed" for r in records):
        return None
    causes = {record.cause for record in records}
    if len(causes) != 1:
        return None
    first = records[0]
    if first.cause is None or first.cause.ends_search is None:
        return None
    if first.cause.ends_search == "data":
        what = f" ({one_line(first.error, _MAX_ERROR).rstrip('.')})" if first.error else ""
        return (
            f"All {len(records)} trials failed with {first.cause}{what}, which does not depend on"
            f" the hyperparameters. {first.advice or first.cause.advice} {_WAY_OUT}"
        )
    if not first.error or first.error.startswith(_DECLARED):
        return None
    same = {without_values(record.error or "", record.params) for record in records}
    if len(records) >= 2 * after and len(same) == 1 and not _name_a_value(records):
        return (
            f"All {len(records)} trials failed with the same exception: {first.error.rstrip('.')}."
            f" {first.advice or first.cause.advice} {_WAY_OUT}"
        )
    return None


def is_last_chance(records: Sequence[TrialRecord], after: int | None) -> bool:
    """Whether one more failure like the last one would end the search for its code.

    Then that trial is to be as far from the failed ones as the space allows.

    Args:
        records: The finished trials.
        after: Policy.hopeless_after; None: never.
    """
    if not records or not blames_the_code(records):
        return False
    return why_hopeless([*records, records[-1]], after) is not None


def blames_the_code(records: Sequence[TrialRecord]) -> bool:
    """Whether, if these failures end a search, its code is the reason."""
    cause = records[0].cause
    return cause is not None and cause.ends_search == "code"


def _name_a_value(records: Sequence[TrialRecord]) -> bool:
    return names_a_value([(record.error or "", record.params) for record in records])
