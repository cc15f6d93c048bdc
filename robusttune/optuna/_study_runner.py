"""Runs a study's trials in the processes of parallel and isolated searches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from robusttune._compat.optuna import StoredTrial, wait_for_locks, was_stopped
from robusttune._guard.clock import TrialClock
from robusttune._isolation.progress import SharedClock, SharedProgress
from robusttune.optuna._records import stored_record


def child_runner_of(parts: Mapping[str, Any]) -> Callable[..., Any]:
    """Return what runs a trial in a child process.

    Args:
        parts: What was sent.
    """
    run = _runner_of(parts)

    def run_in_child(trial_id: int, channel: Any, progress: SharedProgress) -> Any:
        return run(trial_id, lambda limit: SharedClock(limit, progress))

    return run_in_child


def worker_runner_of(parts: Mapping[str, Any]) -> Callable[..., Any]:
    """Return what runs a trial in a worker of an executor.

    Args:
        parts: What was sent.
    """
    run = _runner_of(parts)
    return lambda trial_id: run(trial_id, TrialClock)


def _runner_of(parts: Mapping[str, Any]) -> Callable[..., Any]:
    study: optuna.Study = parts["the study"]
    objective: Any = parts["the objective"]
    options: dict[str, Any] = parts["the arguments of optimize"]
    # One seed in several processes would propose the same points in each.
    study.sampler.reseed_rng()
    wait_for_locks(study)

    def run(trial_id: int, make_clock: Callable[[float | None], TrialClock]) -> Any:
        """Run a trial that exists; return whether the study is to stop, and what was raised."""
        stored = StoredTrial(study, trial_id).frozen()
        if stored.state.is_finished():  # and its answer was lost with its worker
            return False, None
        if stored_record(stored) is not None:
            raise RuntimeError("its engine gave the trial to another worker")
        # An attribute of the instance: Optuna's loop asks for its one trial by it.
        study.ask = lambda *args: optuna.Trial(study, trial_id)  # type: ignore[method-assign]
        objective.make_clock = make_clock
        try:
            study.optimize(objective, n_trials=1, **options)
        except Exception as error:
            return False, error
        return was_stopped(study), None

    return run


def settings_here() -> Callable[[], None]:
    """Return a function that makes another process log as this one does, and Keras work so."""
    keras = None
    if "keras" in sys.modules and "tensorflow" in sys.modules:
        from robusttune._isolation.keras_settings import keras_settings

        keras = keras_settings(quiet=True)
    return _Settings(optuna.logging.get_verbosity(), keras)


class _Settings:
    """A class and not a closure, so that it can be sent by name."""

    def __init__(self, verbosity: int, keras: Callable[[], None] | None) -> None:
        self._verbosity = verbosity
        self._keras = keras

    def __call__(self) -> None:
        optuna.logging.set_verbosity(self._verbosity)
        # What is logged reaches the search's own process by the root logger.
        optuna.logging.disable_default_handler()
        optuna.logging.enable_propagation()
        if self._keras is not None:
            self._keras()
