"""Keras Tuner as a host: what `TrialRun` asks of a trial of a tuner."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from typing import Any

from robusttune.records import TrialRecord, text_of
from robusttune.trial_run import TrialRun
from robusttune.tuners.files import write_atomically
from robusttune.tuners.oracle import RobustOracle
from robusttune.tuners.parameters import without_bookkeeping
from robusttune.tuners.results import metric_names, objective_value, usable_results
from robusttune.tuners.space import tune_clip_norm
from robusttune.tuners.stored_names import RECORD_FILE
from robusttune.tuners.stored_trials import read_record


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

    def siblings(self) -> Sequence[TrialRecord]:
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
        """Return what an exception says; that of a missing objective says what there is."""
        name = self._tuner.oracle.objective.name
        missing = self.results is not None and isinstance(error, KeyError) and error.args == (name,)
        if missing:
            return f"KeyError: {_what_is_missing(name, metric_names(self.results))}"
        return text_of(error)

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
        host.results = run_trial(*args, **kwargs)
        usable = usable_results(host.results, host._tuner.oracle.objective)
        run.value(host.results)
        return usable

    return run_watched


def _what_is_missing(objective: str, reported: Sequence[str]) -> str:
    """Say that an objective is not in every epoch of a fit, and what would help."""
    what = f"{objective!r} is not in every epoch of the fit, which reports {', '.join(reported)}"
    validated = any(name.startswith("val_") for name in reported)
    if not objective.startswith("val_") or (validated and objective not in reported):
        return what  # a wrong name
    hint = "what begins with val_ needs validation data in search(), and no validation_freq"
    return f"{what}; {hint}"
