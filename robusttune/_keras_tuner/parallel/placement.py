"""A Keras Tuner trial as a job for a place, and the outcome that comes back from it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from robusttune._guard.clock import TrialClock
from robusttune._isolation.places import ChildPlaces, Job, Places
from robusttune._jobs import jobs_on_executor
from robusttune._keras_tuner.host import TunerTrial
from robusttune._keras_tuner.isolation.child import OracleProxy, runner_of
from robusttune._keras_tuner.isolation.process import answers_for, parts_of
from robusttune._keras_tuner.isolation.run_result import RunResult, run_for_result
from robusttune._keras_tuner.parallel.snapshot import SnapshotOracle, StoredRecords, snapshot_of
from robusttune._keras_tuner.project.files import is_remote
from robusttune.executors._places import ExecutorPlaces
from robusttune.executors._worker import this_worker


class Placement(Protocol):
    """Where the trials of a search run, and how they get there."""

    places: Places

    def job(self, host: TunerTrial, seed: int) -> Job:
        """Return the job of a trial."""

    def outcome(self, host: TunerTrial, returned: Any) -> RunResult:
        """Return the outcome that a place has returned."""


class InChildren:
    """Trials in child processes.

    Args:
        tuner: The tuner that searches.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
        most: How many places are of use (>= 1).
    """

    def __init__(
        self, tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any], most: int
    ) -> None:
        self._tuner = tuner
        parts = parts_of(tuner, fit_args, fit_kwargs, runner_of, quiet=True)
        policy, stays = tuner.robust_policy, (tuner.oracle, OracleProxy)
        self.places: Places = ChildPlaces(parts, stays, policy, n_jobs=policy.n_jobs, most=most)

    def job(self, host: TunerTrial, seed: int) -> Job:
        """Return the job of a trial, which may ask for what it needs of the oracle."""
        answer = answers_for(self._tuner, host)
        return Job(name=host.trial_id, order=(host.trial, seed), answer=answer)

    def outcome(self, host: TunerTrial, returned: Any) -> RunResult:
        """Return what the child has returned."""
        outcome: RunResult = returned
        return outcome


class OnExecutor:
    """Trials on an executor.

    Args:
        tuner: The tuner that searches.
        executor: The user's.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
        most: How many places are of use (>= 1).
    """

    def __init__(
        self,
        tuner: Any,
        executor: Any,
        fit_args: tuple[Any, ...],
        fit_kwargs: dict[str, Any],
        most: int,
    ) -> None:
        self._tuner = tuner
        project, directory = tuner.project_dir, str(tuner.directory)
        self._is_remote = is_remote(project)
        parts = parts_of(tuner, fit_args, fit_kwargs, worker_runner_of, quiet=True)
        parts["the directory"] = directory if self._is_remote else os.path.abspath(directory)
        self.places: Places = ExecutorPlaces(
            executor,
            parts,
            (tuner.oracle, SnapshotOracle),
            jobs=min(jobs_on_executor(tuner.robust_policy.n_jobs), most),
            folder=None if self._is_remote else project,
        )

    def job(self, host: TunerTrial, seed: int) -> Job:
        """Return the job of a trial, with what it may know of the oracle."""
        folder = None if self._is_remote else self._tuner.get_trial_dir(host.trial_id)
        order = (host.trial, seed, snapshot_of(self._tuner.oracle, host.trial))
        return Job(name=host.trial_id, order=order, folder=folder)

    def outcome(self, host: TunerTrial, returned: Any) -> RunResult:
        """Return what the worker has returned, once its reports are the oracle's."""
        outcome, reports, worker = returned
        for trial_id, metrics, step in reports:
            if trial_id == host.trial_id:
                self._tuner.oracle.update_trial(trial_id, metrics, step=step)
        named: RunResult = dataclasses.replace(outcome, scores={**outcome.scores, **worker})
        return named


def worker_runner_of(parts: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return what runs a trial in a worker of an executor.

    Args:
        parts: What was sent.
    """
    tuner = parts["the tuner"]
    tuner.directory = parts["the directory"]

    def run(order: Any) -> Any:
        trial, seed, snapshot = order
        oracle: SnapshotOracle = tuner.oracle
        oracle.show(snapshot)
        outcome = run_for_result(
            tuner,
            trial,
            seed,
            parts["the data"],
            parts["the arguments of search"],
            StoredRecords(tuner.project_dir, snapshot.others),
            TrialClock(tuner.robust_policy.trial_seconds),
        )
        return outcome, oracle.reports, {"worker": this_worker()}

    return run
