"""RobustOracle: a Keras Tuner oracle that survives failures, and whose retries start afresh."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Hashable
from typing import Any, cast

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from robusttune._compat.keras_tuner import (
    MetricsTracker,
    give_out_next_cell,
    lock_released_on_error,
)
from robusttune._diagnosis.postponed import PostponedDiagnoses
from robusttune._hopeless import is_last_chance, why_hopeless
from robusttune._keras_tuner.objective_check import MISSING
from robusttune._keras_tuner.oracles_learning import learning_mixin
from robusttune._keras_tuner.project.files import is_remote, set_aside, write_atomically
from robusttune._keras_tuner.project.resume import resume
from robusttune._keras_tuner.project.stored_names import HANDED_OUT_FILE, RECORD_FILE, TRIAL_FILE
from robusttune._keras_tuner.project.stored_trials import check_trial_id, has_trials
from robusttune._keras_tuner.space.search_space import SearchSpace
from robusttune._policy import Policy
from robusttune._prior_searches import PriorSearches
from robusttune._records import TrialRecord
from robusttune._trial_run import RecordCallback, notify_callbacks, notify_search_end, notifying
from robusttune._untrusted_json import read_bytes
from robusttune.errors import HopelessSearchError, InstabilityWarning

_log = logging.getLogger("robusttune.tuners")

_DEFAULT_LIMIT = 3  # Keras Tuner's default of max_consecutive_failed_trials
# oracle.json grows with the search, so it is written at every change only while that is cheap:
# once in so many seconds, or once as many changes are new as a share of the trials.
_SAVE_SECONDS = 1.0
_SAVE_SHARE = 1 / 16


class RobustOracle(keras_tuner.Oracle):  # type: ignore[misc,unused-ignore]
    """Mixed into the class of an oracle that exists already, so it has no __init__ of its own."""

    robust_policy: Policy
    robust_limit_is_set: bool
    robust_space: SearchSpace
    _robust_records: dict[str, TrialRecord]
    _robust_read: int  # so many of the ended trials were asked for their records
    _robust_began_at: int  # so many trials had ended when this session began
    _robust_unsaved: int  # changes since oracle.json was written
    _robust_saved_at: float
    _robust_farthest: str | None  # the trial that was put far from the failed ones
    robust_earlier: PriorSearches
    farthest_is_due: bool  # whether the next one is to be
    record_callbacks: tuple[RecordCallback, ...]
    robust_executor: Any  # where trials run; None: on this machine
    _robust_handed_out: int  # so many of the ended trials were handed out, or wait for it
    _robust_held_back: list[str]  # trials whose records wait for a diagnosis
    postponed: PostponedDiagnoses
    cannot_report_objective: Callable[[], bool]  # whether no trial can report the objective
    gives_out_ahead = False  # whether a grid gives out cells without waiting for the last one
    resumed: bool  # whether `reload` found anything to go on with

    def create_trial(self, tuner_id: str) -> Any:
        """Create the next trial.

        Raises:
            HopelessSearchError: No trial can succeed.
        """
        with lock_released_on_error(self):
            self._raise_if_named_as_prior()
            if not self.robust_limit_is_set:
                self._raise_if_hopeless()
            due = self.farthest_is_due
            trial = super().create_trial(tuner_id)
            if due and not self.farthest_is_due:
                self._robust_farthest = trial.trial_id
        if self.gives_out_ahead and trial.status == TrialStatus.RUNNING:
            give_out_next_cell(self, trial.trial_id)
        return trial

    def _raise_if_hopeless(self) -> None:
        # Of this session only: what was wrong in an earlier one may have been put right since.
        ended = self.end_order[self._robust_began_at :]
        if any(self.trials[id_].status == TrialStatus.COMPLETED for id_ in ended):
            return
        records = self.robusttune_records()
        if all(id_ in records for id_ in ended):
            finished = [records[id_] for id_ in ended]
            more = self.max_trials is None or len(self.trials) < self.max_trials
            missing = more and any(MISSING in record.evidence for record in finished)
            if missing and self.cannot_report_objective():
                found = next(record for record in finished if MISSING in record.evidence)
                raise HopelessSearchError(f"No trial can have a score. {found.advice}")
            if self._waits_for_the_farthest(finished):
                return
            reason = why_hopeless(finished, self.robust_policy.hopeless_after)
            if reason is not None:
                raise HopelessSearchError(reason)

    def _waits_for_the_farthest(self, finished: list[TrialRecord]) -> bool:
        """Whether a trial far from the failed ones is to come before the code is blamed.

        A grid visits all that there is by itself.
        """
        if isinstance(self, keras_tuner.oracles.GridSearchOracle):
            return False
        if not is_last_chance(finished, self.robust_policy.hopeless_after):
            return False
        if self._robust_farthest is None:
            self.farthest_is_due = True
        return self._robust_farthest not in self.end_order

    def count_turned_away(self, by: str) -> None:
        """Count a proposal that an earlier search turned away, for the report."""
        self.robust_space.count_turned_away(self, by)

    def _raise_if_named_as_prior(self) -> None:
        """Raise where the search is one of its own earlier searches.

        Raises:
            ValueError: Its project folder is in `Policy.prior_searches`.
        """
        project = os.path.realpath(self._project_dir)
        for source in self.robust_policy.prior_searches:
            if os.path.realpath(source) == project:
                raise ValueError(f"prior_searches names the search's own folder, {source!r}.")

    def update_trial(self, *args: Any, **kwargs: Any) -> Any:
        """Update a trial."""
        with lock_released_on_error(self):
            return super().update_trial(*args, **kwargs)

    def end_trial(self, *args: Any, **kwargs: Any) -> Any:
        """End a trial, and hand its record out where it is not tried again."""
        with lock_released_on_error(self):
            result = super().end_trial(*args, **kwargs)
        self.notify_of_records()
        return result

    def notify_of_records(self) -> None:
        """Call the record callbacks with each trial that has ended, once a trial and project.

        A file beside the record says that it was done, and is made before the calls: where the
        process ends in one of them, that call is not made again.
        """
        if not self.record_callbacks:
            return
        with notifying:
            ended = self._robust_held_back + self.end_order[self._robust_handed_out :]
            self._robust_held_back = [id_ for id_ in ended if id_ in self.postponed]
            self._robust_handed_out = len(self.end_order)
            records = self.robusttune_records()
            for trial_id in ended:
                if trial_id in self._robust_held_back:
                    continue
                if trial_id in records and self._is_first_to_notify(trial_id):
                    trial = self.trials[trial_id]
                    notify_callbacks(self.record_callbacks, trial, records[trial_id])

    def _is_first_to_notify(self, trial_id: str) -> bool:
        if is_remote(self._project_dir):
            return True
        path = os.path.join(self._get_trial_dir(trial_id), HANDED_OUT_FILE)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o664))
        except FileExistsError:
            return False
        return True

    def conclude_diagnoses(self) -> None:
        """Make the diagnoses that waited for the end of the search, and hand their records out."""
        try:
            self.postponed.conclude()
        finally:
            self.notify_of_records()

    def notify_search_end(self) -> None:
        """Tell the record callbacks that the search has ended."""
        if self.record_callbacks:
            notify_search_end(self.record_callbacks, self.ended_records())

    def ended_records(self) -> list[TrialRecord]:
        """Return the records of the trials that have ended, in their order; some have none."""
        records = self.robusttune_records()
        return [records[trial_id] for trial_id in self.end_order if trial_id in records]

    def update_space(self, hyperparameters: Any) -> None:
        """Add new hyperparameters to the space; they are sanitized like the first ones."""
        super().update_space(hyperparameters)
        self.robust_space.extend(self)

    def score_trial(self, trial: Any) -> None:
        """Score a trial; an infinite score counts as the failure that it is, like NaN."""
        super().score_trial(trial)
        if trial.score is not None and math.isinf(trial.score):
            trial.score = math.nan

    def _retry(self, trial: Any) -> bool:
        again = bool(super()._retry(trial))
        if again:  # what the failed run reported would be taken for the retry's own report
            trial.metrics = MetricsTracker()
            trial.best_step = 0
        if trial.score is not None and math.isnan(trial.score):
            trial.score = None
        return again

    def _check_consecutive_failures(self) -> None:
        """End the search at the user's limit, with the failures of this session only."""
        if not self.robust_limit_is_set:
            return
        limit, last = self.max_consecutive_failed_trials, self.end_order[self._robust_began_at :]
        last = last[-limit:]
        if len(last) < limit or any(self.trials[i].status != TrialStatus.FAILED for i in last):
            return
        # Keras Tuner raises before it saves, and runs the last trial again when the search goes on.
        trial = self.trials[last[-1]]
        self._save_trial(trial)
        for tuner_id in [k for k, ongoing in self.ongoing_trials.items() if ongoing is trial]:
            del self.ongoing_trials[tuner_id]
        self.save_now()
        raise RuntimeError(
            f"Number of consecutive failures exceeded the limit of {limit}.\n{trial.message or ''}"
        )

    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """Return the best completed trials; fewer than asked for where fewer have completed."""
        best = super().get_best_trials(num_trials)
        return [trial for trial in best if trial.status == TrialStatus.COMPLETED]

    def save(self) -> None:
        """Save the state, or leave that for later: what is new is in the trials' own files."""
        if is_remote(self._project_dir):
            super().save()
            return
        self._robust_unsaved += 1
        many = self._robust_unsaved >= _SAVE_SHARE * len(self.trials)
        if many or time.monotonic() - self._robust_saved_at >= _SAVE_SECONDS:
            self.save_now()

    def save_now(self) -> None:
        """Save the state as Keras Tuner reads it.

        Raises:
            StoreError: It cannot be written.
        """
        if is_remote(self._project_dir):
            super().save()
        else:
            # Not durable: after a power cut the trials' files say what this one would.
            text = json.dumps(self.get_state())
            write_atomically(self._get_oracle_fname(), text, durable=False)
        self._robust_unsaved, self._robust_saved_at = 0, time.monotonic()

    def reload(self) -> None:
        """Go on with the search that the project folder holds.

        Raises:
            StoreError: It cannot be read, or is that of another kind of tuner.
        """
        if is_remote(self._project_dir):
            super().reload()
            self.resumed = True
        else:
            self.resumed = resume(self)
        self._robust_began_at = len(self.end_order)
        if self.resumed:
            self.save_now()

    def has_stored_state(self) -> bool:
        """Whether the project folder holds a search that was begun."""
        project = self._project_dir
        if is_remote(project):
            return False
        return os.path.lexists(self._get_oracle_fname()) or has_trials(project)

    def _save_trial(self, trial: Any) -> None:
        path = os.path.join(self._get_trial_dir(trial.trial_id), TRIAL_FILE)
        ended = trial.status in (TrialStatus.COMPLETED, TrialStatus.FAILED)
        # A power cut costs the trials that were running, and none that had ended.
        write_atomically(path, json.dumps(trial.get_state()), durable=ended)

    def _get_trial_dir(self, trial_id: str) -> str:
        return cast(str, super()._get_trial_dir(check_trial_id(trial_id)))

    def robusttune_records(self) -> dict[str, TrialRecord]:
        """Return the records of the finished trials by trial_id, read from the project once."""
        damaged = []
        for trial_id in self.end_order[self._robust_read :]:
            if trial_id not in self._robust_records:
                path = os.path.join(self._get_trial_dir(trial_id), RECORD_FILE)
                try:
                    self._robust_records[trial_id] = TrialRecord.from_json(read_bytes(path))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    _log.warning("no record of trial %s: %s", trial_id, error)
                except ValueError as error:
                    damaged.append(
                        f"{os.path.relpath(set_aside(path), self._project_dir)}: {error}"
                    )
        self._robust_read = len(self.end_order)
        if damaged:
            warnings.warn(
                f"{len(damaged)} damaged trial records were set aside; their trials count, but"
                f" why they failed is unknown: {'; '.join(damaged[:5])}",
                InstabilityWarning,
                stacklevel=2,
            )
        return self._robust_records


def make_robust(oracle: keras_tuner.Oracle, policy: Policy, *, limit_is_set: bool) -> None:
    """Turn an oracle into a robust one, in place.

    Tuners make their oracle inside of `__init__` and reload it there: its class is changed before
    that, its state and its identity are not.
    """
    if not isinstance(oracle, RobustOracle):
        oracle.__class__ = robust_oracle_class(cast(Hashable, type(oracle)))
    robust = cast(RobustOracle, oracle)
    robust.robust_policy = policy
    robust.robust_limit_is_set = (
        limit_is_set or oracle.max_consecutive_failed_trials != _DEFAULT_LIMIT
    )
    robust._robust_records = {}
    robust._robust_read = robust._robust_began_at = robust._robust_unsaved = 0
    robust.record_callbacks = ()
    robust.robust_executor = None
    robust._robust_handed_out = 0
    robust._robust_held_back = []
    robust.postponed = PostponedDiagnoses()
    robust.cannot_report_objective = _never
    robust._robust_saved_at = -math.inf
    robust.robust_earlier = PriorSearches(policy.prior_searches)
    robust._robust_farthest = None
    robust.farthest_is_due = False
    robust.resumed = False
    robust.robust_space = SearchSpace(None, policy)  # until a tuner begins the search


def _never() -> bool:
    return False


@functools.cache
def robust_oracle_class(oracle_class: Any) -> Any:
    """Return the subclass of an oracle class that is robust and learns; it keeps the name."""
    bases = (RobustOracle, learning_mixin(oracle_class), oracle_class)
    return type(oracle_class.__name__, bases, {"__doc__": oracle_class.__doc__})
