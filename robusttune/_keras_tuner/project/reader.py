"""Read a Keras Tuner project folder: JSON only, no link out of it is followed, nothing is run.

Needs neither Keras Tuner nor TensorFlow.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from robusttune._findings import Findings
from robusttune._keras_tuner.parameters import stored_parameters, without_bookkeeping
from robusttune._keras_tuner.project.objective_reader import about_search
from robusttune._keras_tuner.project.run_markers import CRASHED_ADVICE, times_begun
from robusttune._keras_tuner.project.stored_names import (
    PROJECT_FILE,
    RECORD_FILE,
    STATE_FILE,
    TRIAL_FILE,
    TRIAL_PREFIX,
)
from robusttune._processes import is_gone
from robusttune._records import Status, TrialRecord, one_line
from robusttune._report.search_data import Search, without_record
from robusttune._space.parameters import Parameter
from robusttune._untrusted_json import read_bytes, read_object

_STATUS: dict[str, Status] = {"COMPLETED": "completed", "FAILED": "failed", "INVALID": "failed"}


def read(source: str | os.PathLike[str], study: str | None = None) -> Search:
    """Read the search that is in a project folder; see `read_project`.

    Args:
        source: The folder.
        study: None: a project is one search.
    """
    return read_project(source)


def read_project(directory: str | os.PathLike[str]) -> Search:
    """Read the trials of a Keras Tuner project folder, watched by robusttune or not.

    Works while the search runs. What cannot be read is named in `problems` and left out.

    Args:
        directory: The folder that holds oracle.json and the trial_<id> folders.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folder is not that of a search.
    """
    root = Path(directory)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {os.fspath(directory)!r}.")
    problems: list[str] = []
    folders, links = _trial_folders(root)
    problems += [f"{name}: a symbolic link, not followed" for name in links]
    has_state = (root / STATE_FILE).is_file()
    if not any(map(_is_trial, folders)) and not has_state and not _is_new(root):
        raise ValueError(_not_a_project(root))
    oracle = _read_object(root / STATE_FILE, problems, root) if folders or has_state else None
    oracle = oracle or {}
    order = oracle.get("start_order")
    numbers = {str(name): n for n, name in enumerate(order if isinstance(order, list) else [])}

    space = _space(oracle.get("hyperparameters"))
    records: list[TrialRecord] = []
    stored: list[Mapping[str, Any]] = []
    for folder in folders:
        trial = _read_object(folder / TRIAL_FILE, problems, root)
        record = _read_record(folder / RECORD_FILE, problems, root)
        if trial is None and record is None:
            continue
        trial_id = folder.name.removeprefix(TRIAL_PREFIX)  # whatever a copied file says
        if record is not None:
            record = replace(record, trial_id=trial_id)
        merged = _merge(record, trial or {}, trial_id, numbers.get(trial_id))
        records.append(merged)
        if trial is not None:
            stored.append(trial)
            space = {**_space(trial.get("hyperparameters")), **space}

    body = _read_object(root / PROJECT_FILE, problems, root) if _has_project_file(root) else None
    return Search.of(
        records,
        name=root.resolve().name,
        adjustments=_adjustments(body or {}, problems),
        space=space,
        problems=tuple(problems),
        host="keras_tuner",
        storage=os.fspath(directory),
        **about_search(body or {}, stored),
    )


def _is_trial(folder: Path) -> bool:
    """Whether a folder holds a trial, and is not only called like one ("trial_notes")."""
    return any(os.path.lexists(folder / name) for name in (TRIAL_FILE, RECORD_FILE))


def _has_project_file(root: Path) -> bool:
    return os.path.lexists(root / PROJECT_FILE)


def _is_new(root: Path) -> bool:
    """Whether a robust tuner has opened the project, which has no trial yet."""
    return (root / PROJECT_FILE).is_file() and not (root / TRIAL_FILE).exists()


def _trial_folders(root: Path) -> tuple[list[Path], list[str]]:
    with os.scandir(root) as entries:
        named = [entry for entry in entries if entry.name.startswith(TRIAL_PREFIX)]
    links = sorted(entry.name for entry in named if entry.is_symlink())
    real = [entry.name for entry in named if entry.is_dir(follow_symlinks=False)]
    return [root / name for name in sorted(real, key=_natural)], links


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort "trial_2" before "trial_10"."""
    return [
        (part.isdigit(), int(part[:18]) if part.isdigit() else 0, part)
        for part in re.split(r"([0-9]+)", name)
    ]


def _not_a_project(root: Path) -> str:
    inside = sorted(path.parent.name for path in root.glob(f"*/{STATE_FILE}"))[:3]
    hint = f" Did you mean {' or '.join(str(root / name) for name in inside)}?" if inside else ""
    return (
        f"{root} is not a Keras Tuner project: it has no {STATE_FILE} and no {TRIAL_PREFIX}*"
        f" folder.{hint}"
    )


def _merge(
    record: TrialRecord | None, trial: Mapping[str, Any], trial_id: str, number: int | None
) -> TrialRecord:
    """Join what is known of a trial; the end that Keras Tuner gave it is the truth."""
    status: Status = _STATUS.get(str(trial.get("status")), "running")
    values = trial.get("hyperparameters")
    params = values.get("values") if isinstance(values, Mapping) else None
    score = trial.get("score")
    score = float(score) if isinstance(score, (int, float)) else None
    message = trial.get("message")
    bare = without_record(
        trial_id=trial_id,
        number=number,
        status=status,
        score=score,
        message=message if isinstance(message, str) else None,
        params=_values(params),
        non_finite=_measured_non_finite(trial, score),
    )
    if record is None:
        return bare
    known = replace(
        record,
        number=record.number if number is None else number,
        params=_values(record.params) or bare.params,
    )
    if status == "running" == record.status and times_begun(record) and is_gone(record.evidence):
        return known.having(Findings.crashed(advice=CRASHED_ADVICE), status="failed")
    if status == "running" or status == record.status:
        return known
    if status == "completed":
        return replace(known, status="completed", value=bare.value)
    if record.cause is None:
        return replace(bare, seconds=record.seconds, evidence=record.evidence, number=known.number)
    return replace(known, status="failed", unstable=True, value=None)


def _measured_non_finite(trial: Mapping[str, Any], score: float | None) -> bool:
    """Whether a completed score, or the metrics of a failed trial without one, are not finite."""
    if score is not None:
        return not math.isfinite(score)
    if str(trial.get("status")) not in _STATUS:
        return False
    return bool(re.search(r"\b(NaN|Infinity)\b", json.dumps(trial.get("metrics"))))


def _values(params: Any) -> dict[str, Any]:
    return without_bookkeeping(params) if isinstance(params, Mapping) else {}


def _space(hyperparameters: Any) -> dict[str, Parameter]:
    space = hyperparameters.get("space") if isinstance(hyperparameters, Mapping) else None
    return stored_parameters(space) if isinstance(space, list) else {}


def _adjustments(body: Mapping[str, Any], problems: list[str]) -> tuple[Mapping[str, Any], ...]:
    entries = body.get("adjustments", [])
    if not isinstance(entries, list):
        problems.append(f"{PROJECT_FILE}: adjustments is not a list")
        return ()
    return tuple(entries)


def _read_record(path: Path, problems: list[str], root: Path) -> TrialRecord | None:
    if not os.path.lexists(path):
        return None
    try:
        return TrialRecord.from_json(read_bytes(path))
    except (OSError, ValueError) as error:
        problems.append(_problem(path, root, error))
        return None


def _read_object(path: Path, problems: list[str], root: Path) -> dict[str, Any] | None:
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        problems.append(_problem(path, root, error))
        return None


def _problem(path: Path, root: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(f"{path.relative_to(root)}: {reason}", 300)
