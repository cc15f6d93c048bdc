"""A search whose trials run side by side, in child processes or wherever an executor has them.

All of it happens in the thread that called `search`: it gives trials out, waits, and takes what
they have come to, one at a time. So hooks of the user's (`on_trial_begin`), record callbacks and
the oracle see no more threads than in any other search, and Ctrl-C, a full disk or a hopeless
search ends it at once, wherever the trials are.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras_tuner.engine.trial import TrialStatus

from robusttune._isolation.places import Place
from robusttune._keras_tuner.host import TunerTrial
from robusttune._keras_tuner.isolation.run_result import RunResult
from robusttune._keras_tuner.parallel.line_display import one_line_a_trial
from robusttune._keras_tuner.parallel.placement import Placement
from robusttune._trial_run import TrialRun
from robusttune.errors import TrialFailure


class _SearchEnded(BaseException):
    """Ends the runs of trials that are no more at fault than with Ctrl-C."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A trial that runs in a place."""

    host: TunerTrial
    run: TrialRun
    noted: AbstractContextManager[None]  # that it runs


@dataclass(frozen=True, slots=True)
class ArrivedResult:
    """Stands where a trial would be run: what has come of it already."""

    what: RunResult | TrialFailure

    def run(self, host: TunerTrial) -> RunResult:
        """Return the outcome, or raise the failure."""
        if isinstance(self.what, TrialFailure):
            raise self.what
        return self.what


def search_in_places(
    tuner: Any, placement: Placement, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
) -> None:
    """Search as Keras Tuner's `search` does, with as many trials at once as there are places.

    Args:
        tuner: The tuner.
        placement: Where the trials run.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
    """
    if "verbose" in fit_kwargs:
        tuner.oracle.verbose = fit_kwargs["verbose"]
    tuner.on_search_begin()
    with one_line_a_trial(tuner.oracle), placement.places:
        _Search(tuner, placement, fit_args, fit_kwargs).run()
    tuner.on_search_end()


def most_trials_at_once(oracle: Any) -> int:
    """Return how many trials a search has left at most, retries aside (>= 1)."""
    remaining = oracle.remaining_trials()
    if remaining is None:
        return 2**31
    return max(1, int(remaining) + len(oracle._retry_queue))


class _Search:
    def __init__(
        self,
        tuner: Any,
        placement: Placement,
        fit_args: tuple[Any, ...],
        fit_kwargs: dict[str, Any],
    ) -> None:
        self._tuner = tuner
        self._placement = placement
        self._places = placement.places
        self._fit_args = fit_args
        self._fit_kwargs = fit_kwargs
        self._running: dict[Place, _Running] = {}

    def run(self) -> None:
        """Run the trials."""
        answer = TrialStatus.RUNNING  # the oracle's last one
        try:
            while True:
                for place in self._places.places:
                    if place.is_free and answer == TrialStatus.RUNNING:
                        answer = self._begin_next(place)
                if not self._running and answer == TrialStatus.STOPPED:
                    return
                self._places.wait()
                # What the oracle waits for is the end of a trial, also one that is tried again.
                if self._take_ended() or not self._running:
                    answer = TrialStatus.RUNNING
        finally:
            self._withdraw()

    def _withdraw(self) -> None:
        """Let the trials that run wait to be run again, the oldest first."""
        oracle = self._tuner.oracle
        for place, running in reversed(self._running.items()):
            with suppress(_SearchEnded, OSError):
                running.noted.__exit__(_SearchEnded, _SearchEnded(), None)
            if oracle.ongoing_trials.pop(place.name, None) is not None:
                oracle._retry_queue.append(running.host.trial_id)

    def _begin_next(self, place: Place) -> Any:
        """Begin the next trial in a place; return the oracle's answer."""
        tuner = self._tuner
        tuner.pre_create_trial()
        trial = tuner.oracle.create_trial(place.name)
        if trial.status in (TrialStatus.STOPPED, TrialStatus.IDLE):
            return trial.status
        tuner.on_trial_begin(trial)
        host = TunerTrial(tuner, trial)
        run = TrialRun(host, tuner.robust_policy)
        noted = tuner._run_noted(run)
        noted.__enter__()
        self._running[place] = _Running(host, run, noted)
        place.begin(self._placement.job(host, seed_of(tuner.oracle, host)))
        return TrialStatus.RUNNING

    def _take_ended(self) -> bool:
        """Take what trials have come to; return whether one has ended."""
        any_ended = False
        for place in self._places.places:
            try:
                returned = place.outcome()
            except TrialFailure as failure:
                returned = failure
            if returned is None:
                continue
            any_ended = True
            if not isinstance(returned, TrialFailure):
                returned = self._placement.outcome(self._running[place].host, returned)
            self._end(place, returned)
        return any_ended

    def _end(self, place: Place, what: RunResult | TrialFailure) -> None:
        tuner, running = self._tuner, self._running[place]
        tuner._robust_isolation = ArrivedResult(what)
        try:
            tuner._robust_attempt(
                running.host, running.run, nullcontext(), *self._fit_args, **self._fit_kwargs
            )
        finally:
            tuner._robust_isolation = None
        del self._running[place]
        running.noted.__exit__(None, None, None)
        tuner.on_trial_end(running.host.trial)


def seed_of(oracle: Any, host: TunerTrial) -> int:
    """Return the seed of a trial: the same on every place, another one when it is tried again."""
    runs = oracle._run_times[host.trial_id]
    entropy = (abs(int(oracle.seed)), host.number or 0, runs)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
