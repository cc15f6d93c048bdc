"""How often a run of a trial has begun that did not end."""

from __future__ import annotations

from robusttune._causes import FailureCause
from robusttune._records import TrialRecord

# Of a process that ended in a trial of the search's own process.
CRASHED_ADVICE = (
    f"{FailureCause.CRASHED.advice} With Policy(isolate=True) a crash ends only the trial."
)
BEGUN = "begun"  # in the evidence of a record that was stored when a run began


def times_begun(record: TrialRecord | None) -> int:
    """Return how many runs have begun that did not end, by what is stored of a trial."""
    begun = record.evidence.get(BEGUN) if record is not None else None
    unfinished = record is not None and record.status == "running"
    return begun if unfinished and isinstance(begun, int) and not isinstance(begun, bool) else 0
