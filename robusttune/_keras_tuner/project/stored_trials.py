"""Read the trials of a project folder: each is whole, or set aside and restored where it can be."""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from robusttune._keras_tuner.project.files import set_aside
from robusttune._keras_tuner.project.stored_names import RECORD_FILE, TRIAL_FILE, TRIAL_PREFIX
from robusttune._records import TrialRecord, one_line
from robusttune._untrusted_json import read_bytes, read_object
from robusttune.errors import StoreError

_CLASSES = frozenset({"Boolean", "Choice", "Fixed", "Float", "Int"})
_STATUSES = frozenset(
    value for name, value in vars(TrialStatus).items() if name.isupper() and isinstance(value, str)
)
_SCALAR = (str, int, float, bool, type(None))


@dataclass
class StoredTrials:
    """Trials and records of a project folder.

    Args:
        trials: The trials that can be read, by trial_id, in the order of their ids.
        lost: Ids of trials whose trial.json is damaged or missing.
        damaged: One line for each file that was set aside or is missing.
    """

    trials: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def check_trial_id(trial_id: Any) -> str:
    """Return a trial id that names a folder inside of the project.

    Raises:
        StoreError: Its folder would be elsewhere.
    """
    name = str(trial_id)
    if not name or re.search(r"[/\\\0]", name):
        raise StoreError(errno.EINVAL, f"trial_id must be the name of a folder, got {name!r}", name)
    return name


def has_trials(project: str) -> bool:
    """Whether a project folder holds any trial."""
    return any(_has_content(project, trial_id) for trial_id in _trial_ids(project)[0])


def read_trials(project: str) -> StoredTrials:
    """Read all trials of a project folder; damaged trial files are set aside.

    Raises:
        StoreError: A file cannot be read for another reason than its content.
    """
    stored = StoredTrials()
    trial_ids, outside = _trial_ids(project)
    for name in outside:
        set_aside(os.path.join(project, name))
        stored.damaged.append(f"{name}: a link out of the project, not followed")
        stored.lost.append(name.removeprefix(TRIAL_PREFIX))
    for trial_id in trial_ids:
        path = _path(project, trial_id, TRIAL_FILE)
        try:
            stored.trials[trial_id] = _read_trial(path, trial_id)
        except FileNotFoundError:
            if _has_content(project, trial_id):
                stored.damaged.append(f"{TRIAL_PREFIX}{trial_id}: {TRIAL_FILE} is missing")
                stored.lost.append(trial_id)
        except OSError as error:
            raise StoreError(error.errno, f"{error.strerror}. Cannot resume", path) from error
        except ValueError as error:
            aside = os.path.relpath(set_aside(path), project)
            stored.damaged.append(f"{aside}: {one_line(str(error), 200)}")
            stored.lost.append(trial_id)
    stored.lost += _gaps([*stored.trials, *stored.lost])
    return stored


def read_record(project: str, trial_id: str) -> TrialRecord | None:
    """Return the record that is stored with a trial; None without one that can be read."""
    try:
        return TrialRecord.from_json(read_bytes(_path(project, trial_id, RECORD_FILE)))
    except (OSError, ValueError):
        return None


def restored_trial(
    trial_id: str, record: TrialRecord | None, space: Any, objective: keras_tuner.Objective
) -> Any:
    """Return a trial whose trial.json is lost, as far as its record tells of it.

    With a record nothing is lost: what had ended has ended, what was running is run again. Without
    one it is a failed trial without values, which keeps its number in the search.

    Args:
        trial_id: Its id.
        record: What robusttune stored of it; None where there is none.
        space: The HyperParameters of the search.
        objective: The objective of the search.
    """
    hyperparameters = space.copy()
    hyperparameters.values = {}
    trial = Trial(hyperparameters, trial_id=trial_id, status=TrialStatus.FAILED)
    trial.message = "The trial's file was damaged or missing."
    if record is None or record.trial_id != trial_id:
        return trial
    hyperparameters.values = {k: v for k, v in record.params.items() if isinstance(v, _SCALAR)}
    if record.status == "completed" and record.value is not None:
        trial.status, trial.message = TrialStatus.COMPLETED, None
        trial.score = record.value
        trial.metrics.register(objective.name, objective.direction)
        trial.metrics.update(objective.name, record.value, step=0)
    elif record.status == "running" and hyperparameters.values:
        trial.status, trial.message = TrialStatus.RUNNING, None
    elif record.status == "failed":
        trial.message = record.error or record.message()
    return trial


def check_space(config: Any) -> None:
    """Check the JSON of HyperParameters, before Keras Tuner makes objects of it.

    Raises:
        ValueError: It is not a search space with values.
    """
    _require(isinstance(config, dict), "hyperparameters")
    space, values = config.get("space"), config.get("values")
    _require(isinstance(space, list), "hyperparameters.space")
    for item in space:
        named = isinstance(item, dict) and isinstance(item.get("class_name"), str)
        _require(named and item["class_name"] in _CLASSES, "class_name")
        body = item.get("config")
        _require(isinstance(body, dict) and isinstance(body.get("name"), str), "config")
        conditions = body.get("conditions")
        _require(isinstance(conditions, list), "conditions")
        for condition in conditions:
            known = isinstance(condition, dict) and condition.get("class_name") == "Parent"
            _require(known and isinstance(condition.get("config"), dict), "conditions")
    _require(
        isinstance(values, dict) and all(isinstance(v, _SCALAR) for v in values.values()),
        "hyperparameters.values",
    )


def made(make: Callable[[], Any]) -> Any:
    """Return what Keras Tuner makes of JSON that somebody may have tampered with.

    Raises:
        ValueError: It cannot make anything of it.
    """
    try:
        return make()
    except Exception as error:  # whatever its constructors raise, it is the content's fault
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _read_trial(path: str, trial_id: str) -> Any:
    body = read_object(path)
    _require(body.get("trial_id") == trial_id, "trial_id (not that of its folder)")
    status, score = body.get("status"), body.get("score")
    _require(isinstance(status, str) and status in _STATUSES, "status")
    _require(score is None or _is_number(score), "score")
    _require(
        status != TrialStatus.COMPLETED or (score is not None and not math.isnan(score)), "score"
    )
    _require(body.get("best_step") is None or _is_number(body["best_step"]), "best_step")
    _require(isinstance(body.get("message"), (str, type(None))), "message")
    check_space(body.get("hyperparameters"))
    _check_metrics(body.get("metrics"))
    return made(lambda: Trial.from_state(body))


def _check_metrics(config: Any) -> None:
    metrics: Any = config.get("metrics") if isinstance(config, dict) else None
    _require(isinstance(metrics, dict), "metrics")
    for history in metrics.values():
        observations: Any = history.get("observations") if isinstance(history, dict) else None
        _require(isinstance(observations, list), "metrics")
        for observation in observations:
            _require(isinstance(observation, dict), "metrics")
            value, step = observation.get("value"), observation.get("step")
            values = value if isinstance(value, list) else [value]
            _require(bool(values) and all(map(_is_number, values)) and _is_number(step), "metrics")


def _trial_ids(project: str) -> tuple[list[str], list[str]]:
    """Return the ids of the trial folders in their order, and the links that lead elsewhere."""
    if not os.path.isdir(project):
        return [], []
    root = os.path.realpath(project)
    ids, outside = [], []
    with os.scandir(project) as entries:
        for entry in entries:
            is_trial = entry.name.startswith(TRIAL_PREFIX) and ".damaged" not in entry.name
            if not is_trial or not entry.is_dir():
                continue
            if entry.is_symlink() and not _is_inside(os.path.realpath(entry.path), root):
                outside.append(entry.name)
            else:
                ids.append(entry.name.removeprefix(TRIAL_PREFIX))
    return sorted(filter(None, ids), key=natural), sorted(outside)


def _is_inside(path: str, root: str) -> bool:
    return os.path.commonpath([path, root]) == root


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort "2" before "10"."""
    return [
        (part.isdecimal(), int(part[:18]) if part.isdecimal() else 0, part)
        for part in re.split(r"([0-9]+)", name)
    ]


def _gaps(known: list[str]) -> list[str]:
    """Return the numbers that nobody has below the highest: Keras Tuner would give them again."""
    numbered = [name for name in known if name.isdecimal() and len(name) < 10]
    if not numbered:
        return []
    width = min(map(len, numbered))
    taken = {int(name) for name in numbered}
    return [f"{n:0{width}d}" for n in range(min(max(taken), 10 * len(known))) if n not in taken]


def _has_content(project: str, trial_id: str) -> bool:
    """Whether a trial has begun: a folder that was made and never filled is none."""
    with os.scandir(os.path.join(project, TRIAL_PREFIX + trial_id)) as entries:
        return any(not entry.name.startswith(".") for entry in entries)


def _path(project: str, trial_id: str, name: str) -> str:
    return os.path.join(project, TRIAL_PREFIX + trial_id, name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} is not in Keras Tuner's format")
