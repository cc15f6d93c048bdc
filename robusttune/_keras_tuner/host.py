"""Keras Tuner as a host: what `TrialRun` asks of a trial of a tuner."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from typing import Any

from robusttune._keras_tuner.objective_check import MissingObjectiveError, objective_names
from robusttune._keras_tuner.oracle import RobustOracle
from robusttune._keras_tuner.parameters import without_bookkeeping
from robusttune._keras_tuner.project.files import write_atomically
from robusttune._keras_tuner.project.stored_names import RECORD_FILE
from robusttune._keras_tuner.project.stored_trials import read_record
from robusttune._keras_tuner.results import metric_names, objective_value, usable_results
from robusttune._keras_tuner.space.sanitizer import tune_clip_norm
from robusttune._records import EXECUTIONS, TrialRecord, text_of
from robusttune._trial_run import TrialRun


class TunerTrial:
    """A trial of a tuner.

    Args:
        tuner: The tuner that runs it.
        trial: The trial.

    Attributes:
        results: What `run_trial` returned; None before.
        asked: Names of the hyperparameters that the trial asked for so far; None: nobody listened.
    """

    unwatched_advice = None

    def __init__(self, tuner: Any, trial: Any) -> None:
        self._tuner = tuner
        self.trial = trial
        self.results: Any = None
        self.asked: Set[str] | None = None
        self.isolated_scores: dict[str, Any] | None = None  # what `scores` gave in a child process

    @property
    def trial_id(self) -> str:
        """The name of its folder, without the prefix."""
        return str(self.trial.trial_id)

    @property
    def number(self) -> int | None:
        """Position in the search; None in a worker, whose chief knows it."""
        order = getattr(self._tuner.oracle, "start_order", None) or []
        backwards = (n for n in reversed(range(len(order))) if order[n] == self.trial.trial_id)
        return next(backwards, None)  # it is the newest as a rule

    @property
    def params(self) -> dict[str, Any]:
        """The trial's hyperparameter values, without the bookkeeping of Hyperband."""
        return without_bookkeeping(self.trial.hyperparameters.values)

    def related_trials(self) -> Sequence[TrialRecord]:
        """Records of the other trials of the search that this process knows of."""
        oracle = self._tuner.oracle
        if not isinstance(oracle, RobustOracle):
            return []
        records = oracle.robusttune_records().items()
        return [record for trial_id, record in records if trial_id != self.trial.trial_id]

    def clip_norm(self) -> float | None:
        """The clip norm that is a hyperparameter of the search."""
        return tune_clip_norm(self.trial.hyperparameters)

    def value(self, result: Any) -> float | None:
        """Return the best objective value of what `run_trial` returned, or of what it reported."""
        objective = self._tuner.oracle.objective
        value = objective_value(result, objective)
        if value is None:  # reported through oracle.update_trial, as people did before 1.1
            metrics = self._tuner.oracle.get_trial(self.trial.trial_id).metrics
            if metrics.exists(objective.name):
                value = metrics.get_best_value(objective.name)
        return value

    def error_text(self, error: Exception) -> str:
        """Return what an exception says."""
        return text_of(error)

    def scores(self) -> dict[str, Any]:
        """Return the objective's values of single executions, as evidence; none where it is one."""
        if self.isolated_scores is not None:
            return self.isolated_scores
        if not isinstance(self.results, list) or len(self.results) < 2:
            return {}
        objective = self._tuner.oracle.objective
        return {EXECUTIONS: [objective_value(result, objective) for result in self.results]}

    def explained(self, error: Exception) -> Exception:
        """Return an error in words of its own where Keras Tuner only names a missing objective."""
        missing = [n for n in objective_names(self._tuner.oracle.objective) if error.args == (n,)]
        if self.results is None or not isinstance(error, KeyError) or not missing:
            return error
        return MissingObjectiveError.of(missing[0], metric_names(self.results))

    def read(self) -> TrialRecord | None:
        """Return what is stored of the trial."""
        return read_record(self._tuner.project_dir, self.trial_id)

    def write(self, record: TrialRecord) -> None:
        """Store a record beside the trial."""
        path = os.path.join(self._tuner.get_trial_dir(self.trial_id), RECORD_FILE)
        write_atomically(path, record.to_stored_json(), durable=record.unstable)
        oracle = self._tuner.oracle
        if isinstance(oracle, RobustOracle) and record.status != "running":
            oracle.robusttune_records()[self.trial.trial_id] = record


def watched(host: TunerTrial, run: TrialRun, run_trial: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run_trial` with its results noted, and without epochs that cannot be used."""

    def run_watched(*args: Any, **kwargs: Any) -> Any:
        host._tuner.robust_run = run
        try:
            host.results = run_trial(*args, **kwargs)
        finally:
            host._tuner.robust_run = None
        usable = usable_results(host.results, host._tuner.oracle.objective)
        run.value(host.results)
        return usable

    return run_watched
