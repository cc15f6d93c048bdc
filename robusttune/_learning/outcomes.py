"""Outcome: how one finished trial ended, as far as a search can learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robusttune._causes import FailureCause
from robusttune._error_kinds import kind_of_error
from robusttune._records import TrialRecord

# So many of the last failures, and of the last other outcomes, are looked at: a bound on what a
# proposal costs in a long search.
_WINDOW = 150


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one finished trial ended.

    Args:
        params: Hyperparameter values by name; inactive ones are absent.
        failed: Whether the trial has no usable objective.
        cause: Why it failed; None: nothing is known. Ignored where it did not fail.
        kind: What failures of its kind have in common, see `kind_of`; "": the cause alone.
        error: Type and message of its exception on one line; "" without one.
    """

    params: Mapping[str, Any]
    failed: bool
    cause: FailureCause | None = None
    kind: str = ""
    error: str = ""

    @classmethod
    def of_failure(cls, params: Mapping[str, Any], record: TrialRecord | None) -> Outcome:
        """Return the outcome of a failed trial.

        Args:
            params: Hyperparameter values by name.
            record: What is known of the failure; None: nothing.
        """
        if record is None:
            return cls(params, True)
        return cls(params, True, record.cause, kind_of(record, params), record.error or "")


def kind_of(record: TrialRecord, params: Mapping[str, Any]) -> str:
    """Return what failures of one kind have in common: type and place of an exception, or symptom.

    Where the place of an exception is not known, the start of its message stands for it, without
    the values of hyperparameters.

    Example:
        >>> record = TrialRecord(trial_id="0", error="KeyError: 'a'", evidence={"where": "a.py:3"})
        >>> kind_of(record, {})
        'KeyError at a.py:3'
    """
    if not record.error:
        return str(record.symptom or record.cause or "")
    where = record.evidence.get("where")
    if isinstance(where, str):
        return f"{record.error.partition(':')[0]} at {where}"
    return kind_of_error(record.error, params)


def recent(failed: Sequence[bool]) -> list[int]:
    """Return the positions of the last 150 failures and of the last 150 others, in order."""
    failures = [index for index, bad in enumerate(failed) if bad]
    others = [index for index, bad in enumerate(failed) if not bad]
    return sorted(failures[-_WINDOW:] + others[-_WINDOW:])


def is_free(number: int, share: float) -> bool:
    """Whether proposal `number` (from 0) is one of the share that no lesson may turn away.

    The free ones are spread evenly, so that a search can be repeated and workers need not agree.
    """
    return int((number + 1) * share) > int(number * share)
