"""Optuna as a host: what `TrialRun` asks of a trial of a study, and the run that a trial is in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from robusttune._causes import Symptom
from robusttune._compat.optuna import stored_trial
from robusttune._hopeless import blames_the_code, is_last_chance, why_hopeless
from robusttune._learning import farthest
from robusttune._policy import Policy
from robusttune._records import TrialRecord, text_of
from robusttune._trial_run import NoObjectiveError, TrialRun
from robusttune.errors import HopelessSearchError
from robusttune.optuna._dashboard import note_failure
from robusttune.optuna._distributions import parameters_of
from robusttune.optuna._records import (
    forget_copied_attributes,
    record_of,
    stored_record,
    write_record,
)
from robusttune.optuna._results import problem_with
from robusttune.optuna._search_end import postponed_of, write_later
from robusttune.optuna._stored_names import FARTHEST_KEY

_KEY = "_robusttune_run"
# What an open run sets in the `__dict__` of its trial.
RUN_KEYS = (_KEY, "report", "should_prune")
# So many of the latest trials are shown to the diagnosis of a failing one.
_SIBLINGS = 100


class StudyTrial:
    """A trial of a study.

    Args:
        trial: The trial.
    """

    asked = None  # Optuna has only what was asked for
    unwatched_advice = "Put TrialGuard(trial) into the callbacks of model.fit to learn why."

    def __init__(self, trial: BaseTrial) -> None:
        self.trial = trial

    @property
    def trial_id(self) -> str:
        """The trial's number."""
        return str(self.trial.number)

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.trial.number

    @property
    def params(self) -> Mapping[str, Any]:
        """The trial's parameters so far."""
        return self.trial.params

    def related_trials(self) -> list[TrialRecord]:
        """Return records of the latest finished trials of the study."""
        return [record_of(trial) for trial in self.finished()[-_SIBLINGS:]]

    def finished(self) -> Sequence[FrozenTrial]:
        """Return the finished trials of the study."""
        if not isinstance(self.trial, optuna.Trial):
            return []
        trials = self.trial.study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.is_finished()]

    def clip_norm(self) -> float | None:
        """The search has none."""
        return None

    def value(self, result: Any) -> float | None:
        """Return the value of a result, None where it has several.

        Raises:
            NoObjectiveError: It is NaN, or better than any number.
            TypeError: It is no number, or the study has another number of objectives.
        """
        directions = self.trial.study.directions if isinstance(self.trial, optuna.Trial) else None
        problem = problem_with(result, directions)
        if problem is None:
            return None if isinstance(result, Sequence) and len(result) != 1 else _number(result)
        if problem.symptom is Symptom.EXCEPTION:
            raise TypeError(problem.text)
        raise NoObjectiveError(problem.text)

    def error_text(self, error: Exception) -> str:
        """Return what an exception says."""
        return text_of(error)

    def read(self) -> TrialRecord | None:
        """Return what was stored, also by another process that ran a fit of the trial."""
        trial = self.trial
        if isinstance(trial, optuna.Trial):  # which knows only the attributes that it has set
            return stored_record(stored_trial(trial))
        return stored_record(trial)

    def write_later(self, record: TrialRecord) -> None:
        """Store a record of the trial, which has ended."""
        assert isinstance(self.trial, optuna.Trial)
        write_later(self.trial.study, record)

    def write(self, record: TrialRecord) -> None:
        """Store a record with the trial; its parameters are Optuna's already."""
        stored = record.replace(params={})
        if record.status == "failed":
            write_record(self.trial, stored)
        else:
            with suppress(UpdateFinishedTrialError):  # told already, by whomever
                write_record(self.trial, stored)
        if record.unstable and isinstance(self.trial, optuna.Trial):
            note_failure(self.trial, record)


class StudyRun(TrialRun):
    """The run that a trial is in while an objective or a fit runs.

    Args:
        trial: The trial; objects that share its `__dict__` share the run.
        policy: Thresholds and switches.
        whole: Whether it is the run of a whole objective (under `robust`), and not of one fit.
    """

    host: StudyTrial

    def __init__(self, trial: BaseTrial, policy: Policy, *, whole: bool) -> None:
        super().__init__(StudyTrial(trial), policy, postponed_of(trial, policy))
        self.whole = whole
        self._blind = False  # whether the last value that was reported was NaN
        earlier = None if whole else self.host.read()
        self.found = None if earlier is None else earlier.findings
        self.skill = None if earlier is None else earlier.skill
        if self.found is None:
            forget_copied_attributes(trial)
            # Every failure will be recorded where the whole objective is watched: a trial that
            # failed with nothing but this has lost its worker.
            self.begin(recorded=whole)

    @staticmethod
    def of(trial: BaseTrial) -> StudyRun | None:
        """Return the run that a trial is in; None where there is none."""
        run: StudyRun | None = trial.__dict__.get(_KEY)
        return run

    def open(self) -> None:
        """Attach the run to its trial."""
        trial = self.host.trial
        trial.__dict__[_KEY] = self
        trial.__dict__["report"] = self._report
        trial.__dict__["should_prune"] = self._should_prune

    def close(self) -> None:
        """Leave the trial, and the model of a fit that was broken off, as they were."""
        self.release()
        for name in RUN_KEYS:
            self.host.trial.__dict__.pop(name, None)

    def raise_if_hopeless(self, failure: TrialRecord) -> None:
        """End the search where no trial can succeed.

        Raises:
            HopelessSearchError: All trials failed for one reason that no parameter changes.
        """
        finished = self.host.finished()
        if any(trial.state is not TrialState.FAIL for trial in finished):
            return
        records = [*(record_of(trial) for trial in finished[-_SIBLINGS:]), failure]
        after = self.policy.hopeless_after
        reason = why_hopeless(records, after)
        if reason is None and not is_last_chance(records, after):
            return
        if blames_the_code(records) and not self._farthest_has_ended(records):
            return
        if reason is not None:
            raise HopelessSearchError(reason)

    def _farthest_has_ended(self, failed: Sequence[TrialRecord]) -> bool:
        """Whether a trial far from the failed ones has ended; where there is none, enqueue it."""
        trial = self.host.trial
        if not isinstance(trial, optuna.Trial):
            return True
        trials = trial.study.get_trials(deepcopy=False)
        far = [other for other in trials if FARTHEST_KEY in other.user_attrs]
        if not far:
            space = parameters_of(trials).values()
            values = farthest(space, [record.params for record in failed])
            trial.study.enqueue_trial(values, user_attrs={FARTHEST_KEY: True})
            return False
        return any(other.state.is_finished() or other.number == trial.number for other in far)

    # Set on the trial while the run is open. A failing epoch has no value to prune by: NaN would
    # make every pruner end the trial as pruned, where it has failed.

    def _report(self, value: float, step: int) -> None:
        self._blind = _is_nan(value)
        if not self._blind:
            type(self.host.trial).report(self.host.trial, value, step)

    def _should_prune(self) -> bool:
        return not self._blind and type(self.host.trial).should_prune(self.host.trial)


def _number(result: Any) -> float:
    return float(result[0] if isinstance(result, Sequence) else result)


def _is_nan(value: Any) -> bool:
    try:
        return math.isnan(float(value))
    except (TypeError, ValueError):  # Optuna says what is wrong with it
        return False
