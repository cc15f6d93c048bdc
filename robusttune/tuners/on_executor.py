"""A search's trials on an executor: what is sent to its workers, and what comes back."""

from __future__ import annotations

import dataclasses
import os
import platform
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import cloudpickle

from robusttune._version import __version__
from robusttune.errors import RobustTuneError
from robusttune.executors.handed_out import forget_claim, result_of
from robusttune.executors.interface import Future, TrialExecutor, trial_executor
from robusttune.executors.worker import Order, run_on_worker, this_worker
from robusttune.guard.clock import TrialClock
from robusttune.isolation.transport import pack
from robusttune.jobs import jobs_on_executor
from robusttune.tuners.files import is_remote, write_atomically
from robusttune.tuners.host import TunerTrial
from robusttune.tuners.isolation import parts_of
from robusttune.tuners.outcome import Outcome, run_for_outcome
from robusttune.tuners.snapshot import SnapshotOracle, StoredRecords, snapshot_of

# Between two looks at the trials that run: at first, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.005, 0.1
_CLAIM_FILE = "robusttune-worker.json"


class ExecutorPlaces:
    """Places of a search on an executor.

    Args:
        tuner: The tuner that searches.
        executor: The user's.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
        most: How many places are of use (>= 1).

    Raises:
        TypeError: It is no executor, or the tuner or the data cannot be sent to one.
        ValueError: Trials cannot run on it.
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
        self._executor = trial_executor(executor)
        self._parts = parts_of(tuner, fit_args, fit_kwargs, runner_of, quiet=True)
        self._jobs = min(jobs_on_executor(tuner.robust_policy.n_jobs), most)
        self._sent: Sent | None = None
        self.places: list[_ExecutorPlace] = []
        self._seconds = _FIRST_WAIT

    def __enter__(self) -> ExecutorPlaces:
        project = self._tuner.project_dir
        directory = str(self._tuner.directory)
        self._parts["the directory"] = directory if is_remote(directory) else _absolute(directory)
        self._sent = Sent(self._executor, self._parts, (self._tuner.oracle, SnapshotOracle))
        self._parts = {}
        if not is_remote(project):
            self._sent.prove(_absolute(project))
        self.places = [
            _ExecutorPlace(self._tuner, self._sent, number) for number in range(self._jobs)
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for place in self.places:
            place.withdraw()
        if self._sent is not None:
            self._sent.forget()

    def wait(self) -> None:
        """Wait a moment, a longer one the longer nothing has happened."""
        if any(place.has_ended for place in self.places):
            self._seconds = _FIRST_WAIT
            return
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, _LONGEST_WAIT)


class Sent:
    """What all workers of an executor get of a search, once.

    Args:
        executor: The executor.
        parts: What a worker needs.
        stays: What stays here, and the class of what stands for it there.

    Raises:
        TypeError: A part cannot be sent.
    """

    def __init__(self, executor: TrialExecutor, parts: Mapping[str, Any], stays: Any) -> None:
        self._executor = executor
        self._key = secrets.token_hex(16)
        self._proof: str | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="robusttune-")
        try:
            path = os.path.join(self._folder.name, "parcel")
            pack(path, parts, stays, who="executor")
            self._shared = executor.share(path)
        except BaseException:
            self._folder.cleanup()
            raise

    def prove(self, folder: str) -> None:
        """Make a file that shows whether a worker sees a folder."""
        self._proof = os.path.join(folder, f".seen-{self._key}")
        write_atomically(self._proof, "", durable=False)

    def submit(self, content: Any, claim: str | None) -> Future:
        """Hand a trial over.

        Args:
            content: For the runner.
            claim: The file that its worker makes.

        Raises:
            RobustTuneError: The executor takes no more.
        """
        order = Order(
            key=self._key,
            parent=(platform.node(), os.getpid()),
            proof=self._proof,
            claim=claim,
            content=content,
        )
        data = bytes(cloudpickle.dumps(order))
        try:
            return self._executor.submit(run_on_worker, self._shared, __version__, data)
        except Exception as error:
            raise RobustTuneError(f"The executor takes no trial: {error!r}") from error

    def forget(self) -> None:
        """Remove all of it."""
        if self._proof is not None:
            forget_claim(self._proof)
        with suppress(Exception):  # its cluster may be gone
            self._executor.unshare(self._shared)
        self._folder.cleanup()


class _ExecutorPlace:
    """One trial at a time on an executor."""

    def __init__(self, tuner: Any, sent: Sent, number: int) -> None:
        self.tuner_id = f"job{number}"
        self._tuner = tuner
        self._sent = sent
        self._future: Future | None = None
        self._host: TunerTrial | None = None
        self._claim: str | None = None

    @property
    def is_free(self) -> bool:
        return self._future is None

    @property
    def has_ended(self) -> bool:
        """Whether the trial that runs here has ended."""
        return self._future is not None and self._future.done()

    def begin(self, host: TunerTrial, seed: int) -> None:
        if not is_remote(self._tuner.project_dir):
            folder = _absolute(self._tuner.get_trial_dir(host.trial_id))
            self._claim = os.path.join(folder, _CLAIM_FILE)
            forget_claim(self._claim)  # of a search that was killed
        oracle = self._tuner.oracle
        content = (host.trial, seed, snapshot_of(oracle, host.trial))
        self._host = host
        self._future = self._sent.submit(content, self._claim)

    def outcome(self) -> Outcome | None:
        future, host = self._future, self._host
        if future is None or host is None or not future.done():
            return None
        try:
            outcome, reports, worker = result_of(future, self._claim)
        finally:
            self._rest()
        for trial_id, metrics, step in reports:
            if trial_id == host.trial_id:
                self._tuner.oracle.update_trial(trial_id, metrics, step=step)
        returned: Outcome = dataclasses.replace(outcome, scores={**outcome.scores, **worker})
        return returned

    def withdraw(self) -> None:
        """End what runs here, where the engine can."""
        cancel = getattr(self._future, "cancel", None)
        if cancel is not None:
            with suppress(Exception):  # its cluster may be gone
                cancel()
        self._rest()

    def _rest(self) -> None:
        if self._claim is not None:
            forget_claim(self._claim)
        self._future = self._host = self._claim = None


def runner_of(parts: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return what runs a trial in a worker of an executor.

    Args:
        parts: What was sent.
    """
    tuner = parts["the tuner"]
    tuner.directory = parts["the directory"]

    def run(content: Any) -> Any:
        trial, seed, snapshot = content
        oracle: SnapshotOracle = tuner.oracle
        oracle.show(snapshot)
        outcome = run_for_outcome(
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


def _absolute(path: str) -> str:
    return os.path.abspath(path)
