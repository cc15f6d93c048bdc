"""Where trials run side by side: what a search asks of such places, and child processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Protocol

from robusttune._isolation.child import TRANSPORT_FILE
from robusttune._isolation.ending import KernelKills
from robusttune._isolation.process import POLL_SECONDS, Answer, ChildProcess
from robusttune._isolation.transport import Stays, pack
from robusttune._jobs import jobs_here
from robusttune._machine import share_of, visible_gpus
from robusttune._policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A trial for a place.

    Args:
        name: Of the trial.
        order: What runs it there gets this.
        answer: Answers its questions, where the place can ask any; None: nothing does.
        folder: Where a worker that begins it leaves a note; None: nowhere.
    """

    name: str
    order: Any
    answer: Answer | None = None
    folder: str | None = None


class Place(Protocol):
    """Runs one trial at a time, somewhere else."""

    name: str

    @property
    def is_free(self) -> bool:
        """Whether a trial can begin here now."""

    def begin(self, job: Job) -> None:
        """Begin a trial."""

    def outcome(self) -> Any:
        """Return what has come of the trial, None while that is to come; does not wait.

        Raises:
            TrialFailure: Its process has ended.
            RobustTuneError: No trial can run here.
        """


class Places(Protocol):
    """All places of a search; a context manager, which ends what runs in them."""

    @property
    def places(self) -> Sequence[Place]:
        """The places."""

    def __enter__(self) -> Any:
        """Make the places."""

    def __exit__(self, *exception: object) -> None:
        """End what runs in them."""

    def wait(self) -> None:
        """Wait until something may have happened in one of them, for a moment at most."""


class ChildPlaces:
    """Child processes of this machine, all of which open the one file that was packed.

    Args:
        parts: What each of them needs (see `robusttune._isolation.transport.pack`).
        stays: What stays here, and the class of what stands for it there.
        policy: Limits of time and memory.
        n_jobs: As `Policy.n_jobs`; not None.
        most: How many places are of use (>= 1).

    Raises:
        ValueError: There are fewer GPUs than `n_jobs` asks for.
    """

    def __init__(
        self, parts: Mapping[str, Any], stays: Stays, policy: Policy, *, n_jobs: Any, most: int
    ) -> None:
        self._parts, self._stays = parts, stays
        self._policy = policy
        self._gpus = visible_gpus()
        self._jobs = jobs_here(n_jobs, self._gpus)
        self._used = min(self._jobs, most)
        self.places: list[_ChildPlace] = []

    def __enter__(self) -> ChildPlaces:
        self._folder = tempfile.TemporaryDirectory(prefix="robusttune-")
        folder, kills = self._folder.name, KernelKills()
        try:
            pack(os.path.join(folder, TRANSPORT_FILE), self._parts, self._stays, who="n_jobs")
            self._parts = {}
            for number in range(self._used):
                share = share_of(number, self._jobs, self._gpus)
                place = _ChildPlace(number)
                place.child = ChildProcess(
                    folder, self._policy, kills, number=number, environment=share, write=place.write
                )
                self.places.append(place)
                place.child.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for place in self.places:
            place.child.end()
        self._folder.cleanup()

    def wait(self) -> None:
        """Wait until a child has said something."""
        wait([p.child.connection for p in self.places if p.child.connection], POLL_SECONDS)


class _ChildPlace:
    """One child process."""

    child: ChildProcess

    def __init__(self, number: int) -> None:
        self.name = f"job{number}"
        self._job: Job | None = None
        self._said = {"stdout": "", "stderr": ""}  # since the last end of a line

    @property
    def is_free(self) -> bool:
        return self._job is None and self.child.is_ready

    def begin(self, job: Job) -> None:
        self._job = job
        self.child.begin(job.order, job.answer or _no_answer)

    def outcome(self) -> Any:
        self.child.start()  # where it was replaced
        try:
            outcome = self.child.poll()
        except BaseException:
            self._end_of_trial()
            raise
        if outcome is not None:
            self._end_of_trial()
        return outcome

    def write(self, name: str, text: str) -> None:
        """Write whole lines, and whose they are."""
        *lines, self._said[name] = (self._said[name] + text).split("\n")
        for line in lines:
            self._write_line(name, line)

    def _end_of_trial(self) -> None:
        for name, rest in self._said.items():
            if rest:
                self._write_line(name, rest)
            self._said[name] = ""
        self._job = None

    def _write_line(self, name: str, line: str) -> None:
        whose = "" if self._job is None else f"trial {self._job.name}: "
        getattr(sys, name).write(f"{whose}{line}\n")


def _no_answer(kind: str, content: list[Any]) -> Any:
    raise LookupError(kind)
