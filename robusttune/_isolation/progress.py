"""How far a trial has got, in a file that the search's process and the child map."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from robusttune._guard.clock import TrialClock

# epoch and step of the last training step (-1: none), seconds of diagnoses, when the one began that
# runs now (0: none does).
_ROW = struct.Struct("<qqdd")


class SharedProgress:
    """A few numbers in a file that both processes map: they outlive the child.

    Args:
        path: The file; it is made where there is none.
    """

    def __init__(self, path: str) -> None:
        with open(path, "a+b") as file:
            file.truncate(_ROW.size)
            self._view = mmap.mmap(file.fileno(), _ROW.size)

    def clear(self) -> None:
        """Begin a trial."""
        _ROW.pack_into(self._view, 0, -1, -1, 0.0, 0.0)

    def note_step(self, epoch: int, step: int) -> None:
        """Note a training step that is done."""
        struct.pack_into("<qq", self._view, 0, epoch, step)

    def note_pause(self, seconds: float, since: float) -> None:
        """Note what diagnoses took so far, and when one began that runs (0: none)."""
        struct.pack_into("<dd", self._view, 16, seconds, since)

    def last_step(self) -> tuple[int, int] | None:
        """Return epoch and step of the last training step; None: there was none."""
        epoch, step, _, _ = _ROW.unpack_from(self._view)
        return None if step < 0 else (epoch, step)

    def paused(self) -> float:
        """Return the seconds that diagnoses took so far."""
        _, _, seconds, since = _ROW.unpack_from(self._view)
        return float(seconds + (time.monotonic() - since if since else 0.0))


class SharedClock(TrialClock):
    """A trial's clock that the search's process can read."""

    def __init__(self, limit: float | None, progress: SharedProgress) -> None:
        super().__init__(limit)
        self.wants_ticks = True
        self._progress = progress

    def tick(self, epoch: int, step: int) -> bool:
        """Note a training step that is done; return whether the time is over."""
        self._progress.note_step(epoch, step)
        return super().tick(epoch, step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for a block."""
        self._progress.note_pause(self._paused, time.monotonic())
        try:
            with super().paused():
                yield
        finally:
            self._progress.note_pause(self._paused, 0.0)
