"""`optimize`: Study.optimize with its trials in other processes, of this machine or anywhere."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from robusttune._compat.optuna import (
    StoredTrial,
    begin_trial,
    is_in_memory,
    optimizing,
    progress_bar,
    wait_for_locks,
    was_stopped,
)
from robusttune._findings import Findings
from robusttune._isolation.places import ChildPlaces, Job, Place, Places
from robusttune._jobs import jobs_on_executor
from robusttune._policy import Policy
from robusttune._records import TrialRecord
from robusttune._validation import check_int, check_number, check_type, require
from robusttune.errors import TrialFailure
from robusttune.executors._interface import trial_executor
from robusttune.executors._places import ExecutorPlaces
from robusttune.optuna._objective import Objective, robust
from robusttune.optuna._records import write_record
from robusttune.optuna._study_runner import (
    child_runner_of,
    settings_here,
    worker_runner_of,
)

_log = logging.getLogger("robusttune.optuna")

StudyCallback: TypeAlias = Callable[[Study, FrozenTrial], None]


def optimize(
    study: Study,
    objective: Objective,
    n_trials: int | None = None,
    timeout: float | None = None,
    n_jobs: Any = None,
    executor: Any = None,
    catch: Iterable[type[Exception]] | type[Exception] = (),
    callbacks: Iterable[StudyCallback] | None = None,
    gc_after_trial: bool = False,
    show_progress_bar: bool = False,
    policy: Policy | None = None,
) -> None:
    """Optimize a study with its trials in other processes, which may die.

    The arguments are those of `Study.optimize`, and mean the same but where it says so. Trials run
    in child processes, or on an executor, which open the study's storage by themselves. A trial
    whose process dies has failed, and its record says how; the study goes on. The objective is that
    of `robust`, and may be a lambda or live in a notebook. Callbacks are called in this process,
    one at a time. The sampler of each process has a seed of its own.

    Args:
        study: Its storage can be opened by other processes: a JournalStorage, an RDBStorage, or
            that of a gRPC server.
        objective: Takes a trial and returns a number, or one for each objective of the study.
        n_trials: Trials of all processes together that are begun by this call; None: no limit.
        timeout: Seconds after which no trial is begun; those that run come to their end. None: no
            limit.
        n_jobs: Trials at once, as `Policy.n_jobs`; None: the policy's, else 1. Here they are
            processes, and in `Study.optimize` threads.
        executor: Where trials run, as of a tuner; None: on this machine.
        catch: Exceptions that do not end the study. Of an objective's own none does.
        callbacks: Each is called as `callback(study, trial)` after a trial has ended.
        gc_after_trial: Whether garbage is collected after each trial, where it ran.
        show_progress_bar: Whether a progress bar is shown.
        policy: Limits of time and memory, and what `robust` looks at; None: that of an objective
            that is robust already, else Policy().

    Raises:
        HopelessSearchError: No parameter changes why trials fail.
        RobustTuneError: Trials cannot run there.
        TypeError: The objective, the sampler or the storage cannot be sent to another process.
        ValueError: The study lies in memory, or an argument does not suit.

    Example:
        >>> import optuna
        >>> from robusttune.optuna import optimize
        >>> study = optuna.create_study(storage="sqlite:///study.db")  # doctest: +SKIP
        >>> optimize(study, lambda t: t.suggest_float("x", -1, 1) ** 2, 20, n_jobs=2)
        ... # doctest: +SKIP
    """
    check_type("study", study, Study, "an Optuna study")
    if n_trials is not None:
        check_int("n_trials", n_trials, least=0, way_out="None means no limit.")
    if timeout is not None:
        check_number("timeout", timeout, above=-1.0, way_out="None means no limit.")
    require(
        not is_in_memory(study),
        "study",
        "one whose storage other processes can open: JournalStorage, RDBStorage or gRPC",
        study,
        'optuna.create_study(storage="sqlite:///trials.db") makes one.',
    )
    wrapped: Any = robust(objective, policy=policy)
    policy = wrapped.policy
    n_jobs = policy.n_jobs if n_jobs is None else Policy(n_jobs=n_jobs).n_jobs
    caught = (catch,) if isinstance(catch, type) else tuple(catch)
    options = {"catch": caught, "gc_after_trial": gc_after_trial}
    parts = {
        "the settings": settings_here(),
        "the initializer": None,
        "the runner": child_runner_of if executor is None else worker_runner_of,
        "the study": study,
        "the objective": wrapped,
        "the arguments of optimize": options,
    }
    places: Places
    if executor is None:
        most = 2**31 if n_trials is None else max(1, n_trials)
        jobs = 1 if n_jobs is None else n_jobs
        places = ChildPlaces(parts, None, policy, n_jobs=jobs, most=most)
    else:
        require(
            policy.memory_limit is None,
            "memory_limit",
            "None with executor=, whose workers this process cannot watch",
            policy.memory_limit,
            "Set the engine's own.",
        )
        trial_executor(executor)
        places = ExecutorPlaces(executor, parts, None, jobs=jobs_on_executor(n_jobs))
    wait_for_locks(study)
    bar = progress_bar(show_progress_bar, n_trials, timeout)
    try:
        with optimizing(study), places:
            _Loop(study, places, policy, n_trials, timeout, callbacks or (), bar).run()
    finally:
        bar.close()


class _Loop:
    """Gives trials out, and takes what they have come to."""

    def __init__(
        self,
        study: Study,
        places: Places,
        policy: Policy,
        n_trials: int | None,
        timeout: float | None,
        callbacks: Iterable[StudyCallback],
        bar: Any,
    ) -> None:
        self._study = study
        self._places = places
        self._policy = policy
        self._left = n_trials
        self._timeout = timeout
        self._callbacks = list(callbacks)
        self._bar = bar
        self._began = time.monotonic()
        self._running: dict[Place, StoredTrial] = {}

    def run(self) -> None:
        """Run the trials.

        Raises:
            Exception: What ends the study.
        """
        try:
            while self._running or self._may_begin():
                for place in self._places.places:
                    if place.is_free and self._may_begin():
                        self._begin(place)
                self._places.wait()
                self._take_ended()
        except BaseException as error:
            for trial in self._running.values():
                self._fail(trial, _interrupted(error))
            raise

    def _may_begin(self) -> bool:
        over = self._timeout is not None and time.monotonic() - self._began >= self._timeout
        return not over and self._left != 0 and not was_stopped(self._study)

    def _begin(self, place: Place) -> None:
        trial = begin_trial(self._study)
        self._running[place] = trial
        self._left = None if self._left is None else self._left - 1
        place.begin(Job(name=str(trial.number), order=trial.trial_id))

    def _take_ended(self) -> None:
        for place in self._places.places:
            try:
                returned = place.outcome()
            except TrialFailure as failure:
                self._fail(self._running[place], failure.findings)
                returned = False, None
            if returned is not None:
                self._end(self._running.pop(place), *returned)

    def _end(self, trial: StoredTrial, stops: bool, error: Exception | None) -> None:
        if error is not None:
            raise error
        if stops:
            self._study.stop()
        for callback in self._callbacks:
            callback(self._study, copy.deepcopy(trial.frozen()))
        self._bar.update(time.monotonic() - self._began, self._study)

    def _fail(self, trial: StoredTrial, found: Findings | None) -> None:
        """End a trial whose process has ended, unless it has told its result before."""
        if trial.frozen().state.is_finished():
            return
        record = TrialRecord.of(
            found, trial_id=str(trial.number), number=trial.number, status="failed"
        )
        try:
            write_record(trial, record)  # type: ignore[arg-type]
            self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        except UpdateFinishedTrialError:  # its process has told its result in this moment
            return
        _log.warning("Trial %d failed (%s): %s", trial.number, record.cause, record.advice)


def _interrupted(error: BaseException) -> Findings:
    return Findings.crashed(advice="Interrupted: run the trial again.", error=repr(error))
