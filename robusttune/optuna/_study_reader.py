"""Read an Optuna study, from memory or from its storage."""

from __future__ import annotations

import json
import logging
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import optuna
from optuna import Study
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from robusttune import _validation
from robusttune._compat.optuna import with_fewer_trials
from robusttune._prior_searches import turned_away
from robusttune._records import one_line
from robusttune._report.search_data import Search
from robusttune._report.sources import without_password
from robusttune.optuna._distributions import parameters_of
from robusttune.optuna._records import records_of
from robusttune.optuna._stored_names import ADJUSTMENTS_KEY, TURNED_AWAY_KEY

_log = logging.getLogger("robusttune.optuna")

# More trials than these cost time and say no more of what matters.
_MOST_TRIALS = 10_000
_SQLITE_MAGIC = b"SQLite format 3\x00"


def read(source: str | PathLike[str] | BaseStorage, study: str | None = None) -> Search:
    """Read a study of a storage; see `open_study`.

    Args:
        source: A storage, its URL, or the path of an SQLite or journal file.
        study: Name of the study; None: the only one.
    """
    found = read_study(open_study(source, study))
    where = fspath(source) if isinstance(source, (str, PathLike)) else None
    # A study that was loaded has a new sampler, and not the one that ran it.
    return replace(found, sampler=None, storage=where and without_password(where))


def read_study(study: Study) -> Search:
    """Read the trials of a study, also while it runs.

    Args:
        study: Any Optuna study, watched by robusttune or not.
    """
    problems: list[str] = []
    records = records_of(study, problems)
    trials = study.get_trials(deepcopy=False)
    return Search.of(
        records,
        name=study.study_name,
        adjustments=(*_adjustments(study.user_attrs, problems), *_turned_away(trials)),
        space=parameters_of(trials),
        problems=tuple(problems),
        host="optuna",
        **_about(study, trials),
    )


def _about(study: Study, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """Return what a study tells of itself and of its objective."""
    began = [trial.datetime_start for trial in trials if trial.datetime_start]
    ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    told = {
        "sampler": type(study.sampler).__name__,
        "began": min(began, default=None),
        "ended": max(ended, default=None),
    }
    if len(study.directions) > 1:
        return told
    names = study.metric_names
    return {
        **told,
        "objective": names[0] if names else None,
        "direction": "max" if study.direction is StudyDirection.MAXIMIZE else "min",
        "objective_importance": partial(_importance, study),
    }


def _importance(study: Study) -> dict[str, float]:
    """Return Optuna's importance of the hyperparameters that all completed trials have.

    That is PED-ANOVA's, which takes milliseconds where fANOVA takes seconds; of very many trials a
    regular sample is taken. Source: Watanabe et al., "PED-ANOVA" (IJCAI 2023).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            some = with_fewer_trials(study, _MOST_TRIALS)
            return dict(optuna.importance.get_param_importances(some, evaluator=evaluator))
    except Exception as error:  # too few trials, no common hyperparameter, a storage that has gone
        _log.debug("no importance for the objective: %s", error)
        return {}


def open_study(storage: str | PathLike[str] | BaseStorage, study_name: str | None = None) -> Study:
    """Open a study for reading.

    Args:
        storage: A storage, its URL, or the path of an SQLite or journal file.
        study_name: Which study; None: the only one.

    Raises:
        FileNotFoundError: There is no such file; none is created.
        ValueError: The storage cannot be read, or which study is meant is not clear.
    """
    where = "the storage"
    if not isinstance(storage, BaseStorage):
        rule = "an Optuna storage, the URL of one, or the path of its file"
        _validation.check_type("storage", storage, (str, PathLike), rule)
        _validation.check_path("storage", storage)
        source = fspath(storage)
        where, storage = repr(without_password(source)), _storage(source)
    _validation.check_type("study_name", study_name, (str, type(None)), "a str or None")
    names = optuna.get_all_study_names(storage)
    if not names:
        raise ValueError(f"There is no study in {where}.")
    if study_name is None and len(names) == 1:
        study_name = names[0]
    if study_name not in names:
        known = ", ".join(map(repr, names[:10]))
        asked = "Name the study" if study_name is None else f"There is no study {study_name!r}"
        raise ValueError(f"{asked}: the storage has {known}.")
    return optuna.load_study(study_name=study_name, storage=storage)


def _storage(source: str) -> BaseStorage:
    path = _file_of(source)
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if path is not None and not _is_sqlite(path):
        try:
            return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        except Exception as error:  # whatever Optuna raises over lines that are not its own
            raise ValueError(
                f"{path} is not an Optuna storage: {one_line(str(error), 200)}"
            ) from error
    if path is not None:
        _check_tables(path)
    try:
        url = source if "://" in source else URL.create("sqlite", database=str(path))
        return optuna.storages.RDBStorage(str(url))
    except Exception as error:  # whatever the database's driver raises, in its own types
        text = without_password(f"Cannot open {source!r}: {error}")
        raise ValueError(one_line(text, 400)) from error


def _file_of(source: str) -> Path | None:
    """Return the file that a source names; None for a database server or one in memory."""
    if "://" not in source:
        return Path(source)
    try:
        url = make_url(source)
    except (ArgumentError, ValueError):  # Optuna refuses it too, and says why
        return None
    name = url.database or ""
    if name.startswith("file:"):  # SQLite has URLs of its own, inside of those of SQLAlchemy
        name = unquote(urlsplit(name).path)
    is_file = url.get_backend_name() == "sqlite" and name not in ("", ":memory:")
    return Path(name) if is_file else None


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def _check_tables(path: Path) -> None:
    """Refuse a database that is not Optuna's: opening it as one would write tables into it."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'studies'"
        (count,) = connection.execute(query).fetchone()
    except sqlite3.DatabaseError as error:
        raise ValueError(f"Cannot open {path}: {error}") from error
    finally:
        connection.close()
    if not count:
        raise ValueError(f"{path} is not an Optuna storage: it has no table 'studies'.")


def _turned_away(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    names = [str(trial.system_attrs.get(TURNED_AWAY_KEY, "")) for trial in trials]
    return [turned_away(names.count(name), name) for name in sorted({*names} - {""})]


def _adjustments(attrs: Mapping[str, Any], problems: list[str]) -> tuple[Any, ...]:
    stored = attrs.get(ADJUSTMENTS_KEY, [])
    try:
        entries = json.loads(stored) if isinstance(stored, str) else stored
    except ValueError:
        entries = None
    if not isinstance(entries, list):
        problems.append(f"{ADJUSTMENTS_KEY}: not a list")
        return ()
    return tuple(entries)
