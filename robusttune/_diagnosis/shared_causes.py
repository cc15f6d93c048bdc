"""Causes in the data, proven in one trial, hold for the other trials of its search."""

from __future__ import annotations

from collections.abc import Sequence

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis.confidence import AS_EARLIER
from robusttune._findings import Findings
from robusttune._records import TrialRecord

# A fit with less than this has learned nothing.
_NO_SKILL = 0.1


def proven_on_same_data(
    skill: float | None, others: Sequence[TrialRecord]
) -> tuple[TrialRecord, Findings] | None:
    """Return another trial of which replays have proven unscaled data, and what that says here.

    A trial that ends no better than a constant prediction, as that one did, has the same cause,
    whichever change of its own was tried.

    Args:
        skill: Of the trial in question (see `TrialRecord.skill`).
        others: Records of other trials of the search.

    Returns:
        None where there is none, or where this trial has learned something.
    """
    if skill is None or skill >= _NO_SKILL:
        return None
    for record in others:
        proven = record.cause is FailureCause.UNSCALED_DATA and record.fix_verified
        if not proven or (record.skill is not None and record.skill >= _NO_SKILL):
            continue
        return record, Findings(
            symptom=Symptom.STALLED,
            cause=FailureCause.UNSCALED_DATA,
            confidence=min(record.confidence or 0.0, AS_EARLIER),
            advice=f"As trial {record.trial_id}: {record.advice}",
            evidence={"as_trial": record.trial_id},
        )
    return None


def with_shared_causes(records: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    """Return records in which what was proven later is said of the trials before it as well."""
    found = []
    for record in records:
        silent = record.status == "completed" and not record.unstable and record.cause is None
        shared = proven_on_same_data(record.skill, records) if silent else None
        found.append(record if shared is None else record.having(shared[1]))
    return tuple(found)
