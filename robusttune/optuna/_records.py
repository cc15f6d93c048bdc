"""Records in an Optuna study: one JSON string a trial, written before the trial ends."""

from __future__ import annotations

import contextlib
import json
import math
from datetime import datetime

from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from robusttune._causes import FailureCause, Symptom
from robusttune._compat.optuna import id_of, stale_trial_ids
from robusttune._findings import Findings
from robusttune._processes import is_gone
from robusttune._records import MAX_BYTES, Status, TrialRecord, plain
from robusttune._validation import check_type
from robusttune.optuna._stored_names import (
    FARTHEST_KEY,
    FILTER_KEYS,
    LATER_RECORD_PREFIX,
    PREFIX,
    RECORD_KEY,
)

_STATUS: dict[TrialState, Status] = {
    TrialState.COMPLETE: "completed",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "running",
}


def write_record(trial: BaseTrial, record: TrialRecord) -> None:
    """Store a record with a trial that has not ended, as a string that every storage takes.

    A storage encodes the string as JSON once more; what counts for its limits is that length. It
    replaces the record that a retried trial copied from the one that it repeats, and so do the
    fields to filter by that are stored beside it.
    """
    limit = MAX_BYTES
    text = record.to_stored_json(limit)
    while len(json.dumps(text)) > MAX_BYTES and limit > 1_000:
        limit = int(limit * 0.8)
        text = record.to_stored_json(limit)
    trial.set_user_attr(RECORD_KEY, text)
    known = trial.user_attrs
    for key, name in FILTER_KEYS.items():
        value = plain(getattr(record, name))
        if value != known.get(key):
            trial.set_user_attr(key, value)


def forget_copied_attributes(trial: BaseTrial) -> None:
    """Empty what a trial that begins has copied of a later version's attributes."""
    for key, value in trial.user_attrs.items():
        ours = key in (RECORD_KEY, FARTHEST_KEY, *FILTER_KEYS)  # which its record replaces
        if key.startswith(PREFIX) and not ours and value is not None:
            trial.set_user_attr(key, None)


def lost_its_worker(failed: TrialRecord) -> bool:
    """Whether what a failed trial stored says that its worker vanished."""
    return failed.status == "running" and failed.evidence.get("recorded") is True


def stored_record(
    trial: FrozenTrial | BaseTrial, problems: list[str] | None = None
) -> TrialRecord | None:
    """Return the trial's own record, or the note that it began; None without one to read.

    Args:
        trial: Of any study.
        problems: Gets a line where something is stored that is no record.
    """
    text = trial.user_attrs.get(RECORD_KEY)
    if text is None:
        return None
    try:
        record = TrialRecord.from_json(text if isinstance(text, str) else "")
    except ValueError as error:
        if problems is not None:
            problems.append(f"trial {trial.number}: {error}")
        return None
    return record if _is_own(record, trial) else None


def _is_own(record: TrialRecord, trial: FrozenTrial | BaseTrial) -> bool:
    """Whether a trial has not copied a record, with other attributes, from one that it repeats.

    The number alone does not tell: it changes where trials are copied into another study.
    """
    attrs = trial.system_attrs if isinstance(trial, FrozenTrial) else {}
    if "retry_history" in attrs:
        return record.number not in attrs["retry_history"]
    return record.number in (None, trial.number) or "fixed_params" not in attrs


def records_of(study: Study, problems: list[str] | None = None) -> list[TrialRecord]:
    """Return one record for each trial that was started, in the order of their numbers.

    State, value and parameters are Optuna's; the rest is what was recorded. A failed trial without
    a record is failed, unstable and of unknown cause. A trial that still counts as running, but
    whose worker is gone (by the storage's heartbeat, or its process on this machine), has crashed.

    Args:
        study: Any study; it need not have been watched.
        problems: Gets a line for each stored record that cannot be read.
    """
    check_type("study", study, Study, "an Optuna study")
    stale = stale_trial_ids(study)
    trials = study.get_trials(deepcopy=False)
    later = later_records(study)
    again = {number: trial.number for trial in trials for number in _repeated_by(trial)}
    return [
        _record_of(
            trial,
            later.get(str(trial.number)) or stored_record(trial, problems),
            id_of(trial) in stale,
            again.get(trial.number),
        )
        for trial in trials
        if trial.state in _STATUS
    ]


def _repeated_by(trial: FrozenTrial) -> list[int]:
    """Return the numbers of the trials that Optuna's retry callback repeats with this one."""
    history = trial.system_attrs.get("retry_history")
    return [n for n in history if isinstance(n, int)] if isinstance(history, list) else []


def _crashed(again: int | None) -> Findings:
    """Return the findings on a trial whose worker is gone.

    Args:
        again: Number of the trial that repeats it, or None.
    """
    next_step = (
        "study.enqueue_trial(study.trials[number].params) tries its parameters again."
        if again is None
        else f"Trial {again} repeats it."
    )
    return Findings.crashed(
        advice="The trial's worker died without a message: find out why (out of memory, a"
        f" signal). {next_step}"
    )


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Return the record of one trial that was started."""
    return _record_of(trial, stored_record(trial), stale=False)


def later_records(study: Study) -> dict[str, TrialRecord]:
    """Return the records that a study keeps of trials that had ended already, by trial_id."""
    found = {}
    for key, text in study.user_attrs.items():
        if key.startswith(LATER_RECORD_PREFIX) and isinstance(text, str):
            with contextlib.suppress(ValueError):
                record = TrialRecord.from_json(text)
                found[record.trial_id] = record
    return found


def _record_of(
    trial: FrozenTrial, stored: TrialRecord | None, stale: bool, again: int | None = None
) -> TrialRecord:
    left_running = stored is not None and stored.status == "running"
    record = stored
    if record is None or left_running:
        skill = None if stored is None else stored.skill
        record = TrialRecord.of(None, trial_id=str(trial.number), skill=skill)
    record = record.replace(
        trial_id=str(trial.number),
        number=trial.number,
        status=_STATUS[trial.state],
        seconds=_seconds(trial) if record.seconds is None else record.seconds,
        params=trial.params,
    )
    if trial.state is TrialState.RUNNING:
        gone = stale or (left_running and stored is not None and is_gone(stored.evidence))
        return record.having(_crashed(again), status="failed") if gone else record
    if trial.state is TrialState.FAIL:
        vanished = stored is not None and lost_its_worker(stored)
        return record.having(_crashed(again)) if vanished else _failed(record)
    return _with_values(record, trial.values)


def _failed(record: TrialRecord) -> TrialRecord:
    if record.cause is not None:
        told = record.unstable and record.value is None
        return record if told else record.replace(unstable=True, value=None)
    cause = FailureCause.UNKNOWN
    return record.replace(unstable=True, cause=cause, advice=cause.advice, value=None)


def _with_values(record: TrialRecord, values: list[float] | None) -> TrialRecord:
    if not values:
        return record
    if len(values) > 1:
        record = record.replace(evidence={**record.evidence, "values": values})
    else:
        record = record.replace(value=values[0]) if record.value != values[0] else record
    if record.unstable or all(map(math.isfinite, values)):
        return record
    cause = FailureCause.UNKNOWN
    return record.replace(
        unstable=True,
        symptom=Symptom.NON_FINITE_OBJECTIVE,
        cause=cause,
        advice=cause.advice,
        evidence={**record.evidence, "values": values},
    )


def _seconds(trial: FrozenTrial) -> float | None:
    if trial.datetime_start is None:
        return None
    end = trial.datetime_complete or datetime.now()
    return max((end - trial.datetime_start).total_seconds(), 0.0)
