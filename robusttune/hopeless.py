"""When going on is pointless: failing that cannot depend on the hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robusttune.exception_causes import without_values
from robusttune.records import TrialRecord, one_line

# What user code raises to say that these hyperparameters will not do, and that others may.
_DECLARED = "FailedTrialError"
_MAX_ERROR = 300  # characters of an exception
_WAY_OUT = "Policy(hopeless_after=None) goes on all the same."


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
    if len(records) >= 2 * after and len(same) == 1 and not _names_a_value(records):
        return (
            f"All {len(records)} trials failed with the same exception: {first.error.rstrip('.')}."
            f" {first.advice or first.cause.advice} {_WAY_OUT}"
        )
    return None


def _names_a_value(records: Sequence[TrialRecord]) -> bool:
    """Whether each exception names the trial's own value of one hyperparameter, which differs.

    Then it depends on that hyperparameter: with another value there may be none.
    """
    return any(
        len({repr(record.params.get(name)) for record in records}) > 1
        and all(_is_named(record.params.get(name), record.error or "") for record in records)
        for name in records[0].params
    )


def _is_named(value: object, error: str) -> bool:
    texts = {str(value)} | ({f"{value:g}"} if isinstance(value, float) else set())
    return any(re.search(rf"(?<![\w.]){re.escape(text)}(?![\w]|\.\d)", error) for text in texts)
