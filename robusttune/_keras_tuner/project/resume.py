"""Go on with a search that ended in any way: the trials' files are the truth, oracle.json helps.

An oracle's state says which trials there are, which of them wait, and where the random numbers are.
It may be missing, damaged, or older than the trials that lie beside it. So it is taken as far as it
goes, and what the trials' own files say is put in its place where the two differ. All oracles here
are robust ones.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import keras_tuner
from keras_tuner.engine import trial as trial_module
from keras_tuner.oracles import GridSearchOracle, HyperbandOracle

from robusttune._compat.keras_tuner import MetricsTracker, set_grid_order
from robusttune._files import remove_stale_files
from robusttune._findings import Findings
from robusttune._keras_tuner.project.files import set_aside, write_atomically
from robusttune._keras_tuner.project.run_markers import CRASHED_ADVICE, times_begun
from robusttune._keras_tuner.project.stored_names import RECORD_FILE, STATE_FILE, TRIAL_FILE
from robusttune._keras_tuner.project.stored_state import OtherOracleError, read_state, trial_ids_of
from robusttune._keras_tuner.project.stored_trials import (
    StoredTrials,
    check_trial_id,
    read_record,
    read_trials,
    restored_trial,
)
from robusttune._records import TrialRecord
from robusttune.errors import InstabilityWarning, OtherProjectError, StoreError

_Status = trial_module.TrialStatus
_FINISHED = (_Status.COMPLETED, _Status.FAILED)


def resume(oracle: keras_tuner.Oracle) -> bool:
    """Give an oracle the state that its project folder holds.

    Finished trials stay finished. A trial that had returned its result is ended with it; one that
    was running, or waited to be tried again, is given out again, the oldest first. A trial in which
    the process ended `policy.interruptions` times counts as failed: it has crashed.

    Returns:
        Whether there was anything to go on with.

    Raises:
        StoreError: The files cannot be read or written, or are those of another kind of tuner.
    """
    project = oracle._project_dir
    remove_stale_files(project)
    stored = read_trials(project)
    state = _state(oracle, stored)
    begun = state is not None or bool(stored.trials or stored.lost)
    if state is not None:
        _restore_lost(oracle, stored, state)
        oracle.trials = stored.trials
        oracle.set_state(state)
    else:
        for trial in stored.trials.values():
            oracle.update_space(trial.hyperparameters)
        _restore_lost(oracle, stored, oracle.get_state())
        oracle.trials = stored.trials
    if begun:
        _reconcile(oracle)
    if stored.damaged:
        warnings.warn(
            f"{len(stored.damaged)} files of the project {project!r} are damaged or missing. The"
            " search continues; damaged files were set aside:"
            f" {'; '.join(stored.damaged[:5])}",
            InstabilityWarning,
            stacklevel=2,
        )
    return begun


def _state(oracle: keras_tuner.Oracle, stored: StoredTrials) -> dict[str, Any] | None:
    """Return the state in oracle.json; None without one that can be used."""
    path = oracle._get_oracle_fname()
    try:
        state = read_state(path, oracle.get_state())
        for trial_id in trial_ids_of(state):
            check_trial_id(trial_id)
        return state
    except FileNotFoundError:
        return None
    except OtherOracleError as error:
        raise OtherProjectError(
            f"This project was begun by another kind of tuner ({error}). Change the `project_name`"
            f" or pass `overwrite=True`: {path}"
        ) from error
    except StoreError as error:
        problem: Exception = error
    except OSError as error:
        raise StoreError(error.errno, f"{error.strerror}. Cannot resume", path) from error
    except ValueError as error:
        problem = error
    set_aside(path)
    stored.damaged.append(f"{STATE_FILE}: {problem}")
    return None


def _restore_lost(oracle: keras_tuner.Oracle, stored: StoredTrials, state: dict[str, Any]) -> None:
    """Put a trial in the place of each one that is known of and cannot be read."""
    known = [*trial_ids_of(state), *stored.lost]
    lost = dict.fromkeys(trial_id for trial_id in known if trial_id not in stored.trials)
    if not lost:
        return
    space = oracle.get_space()
    if state["hyperparameters"]["space"]:
        space = type(space).from_config(state["hyperparameters"])
    for trial_id in lost:
        record = read_record(oracle._project_dir, trial_id)
        trial = restored_trial(trial_id, record, space, oracle.objective)
        stored.trials[trial_id] = trial
        oracle._save_trial(trial)
    in_order = sorted(stored.trials, key=_by_id)
    stored.trials = {trial_id: stored.trials[trial_id] for trial_id in in_order}


def _by_id(trial_id: str) -> tuple[int, str]:
    return (int(trial_id), "") if trial_id.isdecimal() else (-1, trial_id)


def _reconcile(oracle: keras_tuner.Oracle) -> None:
    """Make the oracle's lists agree with its trials, whose files are written first."""
    known = set(oracle.start_order)
    new = [trial_id for trial_id in oracle.trials if trial_id not in known]
    oracle.start_order = [*oracle.start_order, *new]
    for trial_id in new:
        oracle.update_space(oracle.trials[trial_id].hyperparameters)
        oracle._record_values(oracle.trials[trial_id])
    # So many random numbers were drawn at least since the state was stored.
    oracle._seed_state += len(new) * max(len(oracle.hyperparameters.space), 1)

    was_ended = [id_ for id_ in oracle.end_order if oracle.trials[id_].status in _FINISHED]
    now_ended = [id_ for id_, trial in oracle.trials.items() if trial.status in _FINISHED]
    missing = set(now_ended) - set(was_ended)
    oracle.end_order = [*dict.fromkeys(was_ended), *sorted(missing, key=_when_ended(oracle))]
    for trial_id in missing:
        oracle._run_times[trial_id] = max(oracle._run_times[trial_id], 1)

    oracle.ongoing_trials = {}
    oracle._retry_queue = []
    for trial_id in oracle.start_order:
        if oracle.trials[trial_id].status not in _FINISHED:
            end_or_requeue(oracle, oracle.trials[trial_id])
    oracle._retry_queue.reverse()  # Keras Tuner takes the last one first

    if isinstance(oracle, GridSearchOracle):
        _restore_grid(oracle)
    if isinstance(oracle, HyperbandOracle):
        _restore_brackets(oracle, changed=bool(new))


def _when_ended(oracle: keras_tuner.Oracle) -> Any:
    def when(trial_id: str) -> tuple[int, str]:
        path = os.path.join(oracle._get_trial_dir(trial_id), TRIAL_FILE)
        return os.stat(path).st_mtime_ns, trial_id

    return when


def end_or_requeue(oracle: keras_tuner.Oracle, trial: Any) -> None:
    """End a trial that was left open, as far as its run got; else put it in the queue."""
    record = read_record(oracle._project_dir, trial.trial_id)
    # While a run is tried again, the file says INVALID, and the record may be the first run's.
    ended = record if trial.status == _Status.RUNNING else None
    has_result = trial.metrics.exists(oracle.objective.name)
    if ended is not None and ended.status == "completed" and has_result:
        oracle.update_space(trial.hyperparameters)
        oracle.score_trial(trial)
        trial.status = _Status.COMPLETED
        _end(oracle, trial)
        return
    if ended is not None and ended.status == "failed":
        trial.message = ended.error or ended.message()
        trial.status = _Status.INVALID
        oracle._run_times[trial.trial_id] += 1
        if not oracle._retry(trial):  # which makes it a failed one
            oracle.end_order.append(trial.trial_id)
        oracle._save_trial(trial)
        return
    limit = oracle.robust_policy.interruptions
    begun = times_begun(record)
    if limit is not None and begun >= limit:
        give_up(oracle, trial)
        return
    # A run that was cut short may have reported, which would be taken for the next run's report.
    trial.metrics = MetricsTracker()
    trial.score, trial.best_step = None, 0
    oracle._retry_queue.append(trial.trial_id)


def give_up(oracle: keras_tuner.Oracle, trial: Any) -> None:
    """End a trial whose processes have ended as one that has crashed."""
    record = read_record(oracle._project_dir, trial.trial_id)
    begun = times_begun(record)
    trial.status = _Status.FAILED
    trial.message = f"The process ended {begun} times in this trial."
    _write_crash(oracle, record or TrialRecord.of(None, trial_id=trial.trial_id), trial.message)
    _end(oracle, trial)


def _end(oracle: keras_tuner.Oracle, trial: Any) -> None:
    oracle._run_times[trial.trial_id] += 1
    oracle.end_order.append(trial.trial_id)
    oracle._save_trial(trial)


def _write_crash(oracle: keras_tuner.Oracle, record: TrialRecord, error: str) -> None:
    crashed = record.having(Findings.crashed(error=error, advice=CRASHED_ADVICE), status="failed")
    path = os.path.join(oracle._get_trial_dir(record.trial_id), RECORD_FILE)
    write_atomically(path, crashed.to_stored_json())


def _restore_grid(oracle: Any) -> None:
    """Restore the order of a grid's trials, which Keras Tuner does not store, from their values."""
    values = {
        trial_id: trial.hyperparameters.values
        for trial_id, trial in oracle.trials.items()
        if trial.hyperparameters.values or not trial.hyperparameters.space
    }
    space = oracle.get_space().space
    places = {hp.name: [hp.default, *(v for v in hp.values if v != hp.default)] for hp in space}

    def position(trial_id: str) -> list[int]:
        return [
            _index(places[hp.name], values[trial_id][hp.name])
            if hp.name in values[trial_id]
            else -1
            for hp in space
        ]

    set_grid_order(oracle, sorted(values, key=position))


def _index(values: list[Any], value: Any) -> int:
    return values.index(value) if value in values else len(values)


def _restore_brackets(oracle: Any, *, changed: bool) -> None:
    """Restore Hyperband's brackets from what its trials say where they were run."""
    places = [info["id"] for b in oracle._brackets for level in b["rounds"] for info in level]
    if not changed and all(trial_id in oracle.trials for trial_id in places):
        return
    top = oracle._get_num_brackets() - 1
    oracle._current_bracket, oracle._current_iteration = top, 0
    oracle._brackets = []
    oracle._start_new_bracket()
    at: dict[str, tuple[dict[str, Any], int]] = {}  # bracket and round of each trial
    for trial_id in oracle.start_order:
        values = oracle.trials[trial_id].hyperparameters.values
        past = values.get("tuner/trial_id")
        if past in at:
            bracket, level = at[past][0], at[past][1] + 1
        else:
            past, level = None, 0
            first = _open_bracket(oracle, values.get("tuner/bracket"))
            if first is None:
                continue
            bracket = first
        if level < len(bracket["rounds"]):
            bracket["rounds"][level].append({"past_id": past, "id": trial_id})
            at[trial_id] = (bracket, level)


def _open_bracket(oracle: Any, number: Any) -> dict[str, Any] | None:
    """Return the bracket of a first-round trial, begun if need be; None where it has none."""
    if not isinstance(number, int) or not 0 <= number < oracle._get_num_brackets():
        return None
    bracket: dict[str, Any] = oracle._brackets[-1]
    full = len(bracket["rounds"][0]) >= oracle._get_size(bracket["bracket_num"], 0)
    if bracket["bracket_num"] == number and not full:
        return bracket
    while True:
        oracle._increment_bracket_num()
        oracle._start_new_bracket()
        if oracle._current_bracket == number:
            started: dict[str, Any] = oracle._brackets[-1]
            return started
