"""Isolation: trials in a child process, whose end by whatever reason is one failed trial."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import cloudpickle

from robusttune._isolation.child import TRANSPORT_FILE
from robusttune._isolation.keras_settings import keras_settings
from robusttune._isolation.process import POLL_SECONDS, ChildProcess
from robusttune._isolation.transport import pack
from robusttune._keras_tuner.host import TunerTrial
from robusttune._keras_tuner.isolation.child import OracleProxy, runner_of
from robusttune._keras_tuner.isolation.run_result import RunResult
from robusttune._random_states import capture_random_states, restore_random_states
from robusttune._trial_run import TrialRun


class Isolation:
    """The child process of one search; a context manager, inside of which trials can be run.

    Args:
        tuner: The tuner that searches.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.

    Raises:
        RobustTuneError: The system cannot do it.
        TypeError: The tuner or the data cannot be sent to another process.
    """

    def __init__(self, tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
        self._tuner = tuner
        self._policy = tuner.robust_policy
        self._parts = parts_of(tuner, fit_args, fit_kwargs, runner_of)

    def __enter__(self) -> Isolation:
        self._folder = tempfile.TemporaryDirectory(prefix="robusttune-")
        self._child: ChildProcess | None = None
        try:
            transport_file, oracle = (
                os.path.join(self._folder.name, TRANSPORT_FILE),
                self._tuner.oracle,
            )
            pack(transport_file, self._parts, (oracle, OracleProxy))
            self._parts = {}
            self._child = ChildProcess(self._folder.name, self._policy)
            self._child.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._child is not None:
            self._child.end()
        self._folder.cleanup()

    def run(self, host: TunerTrial) -> RunResult:
        """Run a trial in the child, and return how that ended.

        Raises:
            TrialFailure: The child has ended, or had to be ended; the findings say why.
        """
        assert self._child is not None
        self._child.wait_until_ready()
        self._child.begin((host.trial, capture_random_states()), answers_for(self._tuner, host))
        outcome: RunResult | None = None
        while outcome is None:
            outcome = self._child.poll(POLL_SECONDS)
        restore_random_states(outcome.random_states)
        return outcome


def parts_of(
    tuner: Any,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
    runner: Callable[..., Any],
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Return what another process needs to run trials of a search.

    Args:
        tuner: The tuner that searches.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
        runner: Makes what runs a trial there.
        quiet: Whether Keras shows no progress there: several bars on one terminal are none.
    """
    return {
        "the settings": keras_settings(quiet=quiet),
        "the initializer": tuner._robust_initializer,
        "the runner": runner,
        "the tuner": tuner,
        "the data": fit_args,
        "the arguments of search": fit_kwargs,
    }


def answers_for(tuner: Any, host: TunerTrial) -> Callable[[str, list[Any]], Any]:
    """Return what answers the questions of a trial in a child process."""

    def answer(kind: str, content: list[Any]) -> Any:
        if kind == "related_trials":
            return host.related_trials()
        value = getattr(tuner.oracle, content[0])
        if kind == "call":
            _, args, kwargs = content
            return value(*args, **kwargs)
        return (True, None) if callable(value) else (False, value)

    return answer


def run_isolated(
    isolation: Any, host: TunerTrial, run: TrialRun, trial: Any, *args: Any, **kwargs: Any
) -> Any:
    """Run a trial in another process, where its `run_trial` is watched; return what that returned.

    Args:
        isolation: Its `run(host)` returns how that ended.
        host: The trial.
        run: Gets what was found there.
        trial: Gets its hyperparameters, with those that were declared there.
        args: Positional arguments of `search`, which the other process has already.
        kwargs: Keyword arguments of `search`, likewise.
    """
    outcome = isolation.run(host)
    run.found, run.skill = outcome.findings, outcome.skill
    run.clipped_steps, run.why_not = outcome.clipped_steps, outcome.why_not
    host.asked, host.isolated_scores = outcome.asked, outcome.scores
    trial.hyperparameters = outcome.hyperparameters
    known = host._tuner._robust_space.adjustments
    known.extend(made for made in outcome.adjustments if made not in known)
    if outcome.error is not None:
        raise outcome.error from ChildTraceback(outcome.traceback)
    assert outcome.results is not None
    host.results = cloudpickle.loads(outcome.results)
    return host.results


class ChildTraceback(Exception):  # noqa: N818 - it is shown above the error that it belongs to
    """The traceback of an error in the child, as the cause of the error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"
