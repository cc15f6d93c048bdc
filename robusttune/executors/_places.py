"""Places of a search on an executor: what is sent to its workers once, and each trial."""

from __future__ import annotations

import os
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import cloudpickle

from robusttune._isolation.places import Job
from robusttune._isolation.transport import Stays, pack
from robusttune._version import __version__
from robusttune.errors import RobustTuneError
from robusttune.executors._handed_out import forget_note, result_of
from robusttune.executors._interface import Future, trial_executor
from robusttune.executors._worker import Order, run_on_worker

# Between two looks at the trials that run: at first, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.005, 0.1
_NOTE_FILE = "robusttune-worker.json"


class ExecutorPlaces:
    """Places of a search on an executor.

    Args:
        executor: The user's.
        parts: What each worker needs (see `robusttune._isolation.transport.pack`).
        stays: What stays here, and the class of what stands for it there.
        jobs: Trials that are handed over at once (>= 1).
        folder: A folder that all workers must see, or None.

    Raises:
        TypeError: It is no executor.
        ValueError: Trials cannot run on it.
    """

    def __init__(
        self,
        executor: Any,
        parts: Mapping[str, Any],
        stays: Stays,
        *,
        jobs: int,
        folder: str | None = None,
    ) -> None:
        self._executor = trial_executor(executor)
        self._parts, self._stays = parts, stays
        self._seen = folder
        self._key = secrets.token_hex(16)
        self._proof: str | None = None
        self._shared: Any = None
        self.places = [_ExecutorPlace(self, number) for number in range(jobs)]
        self._seconds = _FIRST_WAIT

    def __enter__(self) -> ExecutorPlaces:
        self._folder = tempfile.TemporaryDirectory(prefix="robusttune-")
        try:
            path = os.path.join(self._folder.name, "transport_file")
            pack(path, self._parts, self._stays, who="executor")
            self._parts = {}
            self._shared = self._executor.share(path)
            if self._seen is not None:
                self._proof = os.path.join(os.path.abspath(self._seen), f".seen-{self._key}")
                with open(self._proof, "x", encoding="utf-8"):
                    pass
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for place in self.places:
            place.withdraw()
        if self._proof is not None:
            forget_note(self._proof)
        with suppress(Exception):  # its cluster may be gone
            self._executor.unshare(self._shared)
        self._folder.cleanup()

    def wait(self) -> None:
        """Wait a moment, a longer one the longer nothing has happened."""
        if any(place.has_ended for place in self.places):
            self._seconds = _FIRST_WAIT
            return
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, _LONGEST_WAIT)

    def submit(self, content: Any, note: str | None) -> Future:
        """Hand a trial over.

        Args:
            content: For the runner.
            note: The file that its worker makes.

        Raises:
            RobustTuneError: The executor takes no more.
        """
        parent = (platform.node(), os.getpid())
        order = Order(
            key=self._key,
            parent=parent,
            proof=self._proof,
            note=note,
            path=tuple(os.path.abspath(entry) for entry in sys.path),
            content=cloudpickle.dumps(content),
        )
        data = bytes(cloudpickle.dumps(order))
        try:
            return self._executor.submit(run_on_worker, self._shared, __version__, data)
        except Exception as error:
            raise RobustTuneError(f"The executor takes no trial: {error!r}") from error


class _ExecutorPlace:
    """One trial at a time on an executor."""

    def __init__(self, places: ExecutorPlaces, number: int) -> None:
        self.name = f"job{number}"
        self._places = places
        self._future: Future | None = None
        self._note: str | None = None

    @property
    def is_free(self) -> bool:
        return self._future is None

    @property
    def has_ended(self) -> bool:
        """Whether the trial that runs here has ended."""
        return self._future is not None and self._future.done()

    def begin(self, job: Job) -> None:
        if job.folder is not None:
            self._note = os.path.join(os.path.abspath(job.folder), _NOTE_FILE)
            forget_note(self._note)  # of a search that was killed
        self._future = self._places.submit(job.order, self._note)

    def outcome(self) -> Any:
        if self._future is None or not self._future.done():
            return None
        try:
            return result_of(self._future, self._note)
        finally:
            self._rest()

    def withdraw(self) -> None:
        """End what runs here, where the engine can."""
        cancel = getattr(self._future, "cancel", None)
        if cancel is not None:
            with suppress(Exception):  # its cluster may be gone
                cancel()
        self._rest()

    def _rest(self) -> None:
        if self._note is not None:
            forget_note(self._note)
        self._future = self._note = None
