"""Where trials run side by side: what a search asks of such places, and child processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any, Protocol

from robusttune.isolation.child import PARCEL
from robusttune.isolation.ending import KernelKills
from robusttune.isolation.process import POLL_SECONDS, ChildProcess
from robusttune.isolation.transport import pack
from robusttune.jobs import jobs_here
from robusttune.machine import share_of, visible_gpus
from robusttune.tuners.child import DistantOracle, runner_of
from robusttune.tuners.host import TunerTrial
from robusttune.tuners.isolation import answers_for, parts_of
from robusttune.tuners.outcome import Outcome


class Place(Protocol):
    """Runs one trial at a time, somewhere else."""

    tuner_id: str  # by which the oracle knows who runs a trial

    @property
    def is_free(self) -> bool:
        """Whether a trial can begin here now."""

    def begin(self, host: TunerTrial, seed: int) -> None:
        """Begin a trial.

        Args:
            host: The trial.
            seed: Of all random generators.
        """

    def outcome(self) -> Outcome | None:
        """Return how the trial has ended, None while it has not; does not wait.

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
        tuner: The tuner that searches.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
        most: How many places are of use (>= 1).

    Raises:
        TypeError: The tuner or the data cannot be sent to another process.
        ValueError: There are fewer GPUs than `policy.n_jobs` asks for.
    """

    def __init__(
        self, tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any], most: int
    ) -> None:
        self._tuner = tuner
        self._parts = parts_of(tuner, fit_args, fit_kwargs, runner_of, quiet=True)
        self._gpus = visible_gpus()
        self._jobs = jobs_here(tuner.robust_policy.n_jobs, self._gpus)
        self._used = min(self._jobs, most)
        self.places: list[_ChildPlace] = []

    def __enter__(self) -> ChildPlaces:
        self._folder = tempfile.TemporaryDirectory(prefix="robusttune-")
        folder, policy, kills = self._folder.name, self._tuner.robust_policy, KernelKills()
        try:
            pack(
                os.path.join(folder, PARCEL),
                self._parts,
                (self._tuner.oracle, DistantOracle),
                who="policy.n_jobs",
            )
            self._parts = {}
            for number in range(self._used):
                share = share_of(number, self._jobs, self._gpus)
                place = _ChildPlace(self._tuner, number)
                place.child = ChildProcess(
                    folder, policy, kills, number=number, environment=share, write=place.write
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

    def __init__(self, tuner: Any, number: int) -> None:
        self.tuner_id = f"job{number}"
        self._tuner = tuner
        self._host: TunerTrial | None = None
        self._said = {"stdout": "", "stderr": ""}  # since the last end of a line

    @property
    def is_free(self) -> bool:
        return self._host is None and self.child.is_ready

    def begin(self, host: TunerTrial, seed: int) -> None:
        self._host = host
        self.child.begin((host.trial, seed), answers_for(self._tuner, host))

    def outcome(self) -> Outcome | None:
        self.child.start()  # where it was replaced
        try:
            outcome: Outcome | None = self.child.poll()
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
        self._host = None

    def _write_line(self, name: str, line: str) -> None:
        whose = "" if self._host is None else f"trial {self._host.trial_id}: "
        getattr(sys, name).write(f"{whose}{line}\n")
