"""The end of `study.optimize`: where diagnoses that have waited for it are made and stored."""

from __future__ import annotations

import functools
import threading
import weakref

import optuna
from optuna.study import Study
from optuna.trial import BaseTrial

from robusttune._compat.optuna import is_optimizing, when_optimize_ends
from robusttune._diagnosis.postponed import PostponedDiagnoses
from robusttune._policy import Policy
from robusttune._records import TrialRecord
from robusttune.optuna._stored_names import LATER_RECORD_PREFIX

_of_study: weakref.WeakKeyDictionary[Study, PostponedDiagnoses] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@functools.cache
def listen() -> bool:
    """Hear of the end of each `study.optimize` from now on; False where Optuna has no such place.

    To be called before `optimize` is: when an objective is made robust, or a guard.
    """
    return when_optimize_ends(_conclude)


def postponed_of(trial: BaseTrial, policy: Policy) -> PostponedDiagnoses | None:
    """Return where the diagnoses of a trial's study wait; None where they shall not, or cannot.

    That is where the trial is not run by `study.optimize`, in its own thread: then no end comes.
    """
    if policy.diagnosis != "search_end" or not isinstance(trial, optuna.Trial) or not listen():
        return None
    if not is_optimizing(trial.study):
        return None
    with _lock:
        return _of_study.setdefault(trial.study, PostponedDiagnoses())


def write_later(study: Study, record: TrialRecord) -> None:
    """Store a record with the study: Optuna lets nobody change a trial that has ended."""
    stored = record.replace(params={}).to_stored_json()
    study.set_user_attr(f"{LATER_RECORD_PREFIX}{record.trial_id}", stored)


def _conclude(study: Study) -> None:
    with _lock:
        postponed = _of_study.pop(study, None)
    if postponed is not None:
        postponed.conclude()
