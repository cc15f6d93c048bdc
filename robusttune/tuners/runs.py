"""Note that a run of a trial has begun, so that a trial that takes its process down is told."""

from __future__ import annotations

import os
import platform
from typing import Any

from robusttune.records import TrialRecord
from robusttune.stored import RECORD_FILE, TRIAL_PREFIX
from robusttune.tuners.files import write_atomically
from robusttune.tuners.stored_trials import read_record

_BEGUN = "begun"


def note_begin(project: str, trial: Any, *, number: int | None, change: int = 1) -> None:
    """Store that a run of a trial begins; it replaces the record of an earlier run.

    Args:
        project: The project folder.
        trial: The trial.
        number: Its position in the search; None where unknown.
        change: 1; -1 takes a note back, where the user and not the trial ended the process.
    """
    trial_id = str(trial.trial_id)
    earlier = read_record(project, trial_id)
    record = TrialRecord(
        trial_id=trial_id,
        number=number,
        evidence={
            _BEGUN: times_begun(earlier) + change,
            "host": platform.node(),
            "pid": os.getpid(),
        },
        params=trial.hyperparameters.values,
    )
    path = os.path.join(project, f"{TRIAL_PREFIX}{trial_id}", RECORD_FILE)
    write_atomically(path, record.to_json(), durable=False)


def times_begun(record: TrialRecord | None) -> int:
    """Return how many runs have begun that did not end, by what is stored of a trial."""
    begun = record.evidence.get(_BEGUN) if record is not None else None
    unfinished = record is not None and record.status == "running"
    return begun if unfinished and isinstance(begun, int) and not isinstance(begun, bool) else 0
