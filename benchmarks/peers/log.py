"""What is written down of a search while it runs, in the same way for every contender."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds since the search began."""

    cpu: float
    wall: float


@dataclass(slots=True)
class Epoch:
    """One epoch as Keras reports it."""

    end: Moment
    loss: float
    value: float


@dataclass(slots=True)
class Trial:
    """One trial.

    Args:
        start: Where the trial before it ended: proposing it and building it count.
        end: When the host had stored it; with robusttune that is after the diagnosis.
        epochs: All epochs that Keras reported.
        value: What the host stored as its objective; None: it failed or was pruned.
        pruned: Whether the host ended it as unpromising.
    """

    start: Moment
    end: Moment
    epochs: list[Epoch]
    value: float | None
    pruned: bool


@dataclass(slots=True)
class SearchLog:
    """All trials of one search, in order."""

    objective: str
    trials: list[Trial] = field(default_factory=list)
    _epochs: list[Epoch] = field(default_factory=list)
    _cpu: float = field(default_factory=time.process_time)
    _wall: float = field(default_factory=time.perf_counter)

    def now(self) -> Moment:
        """Return the time since the search began."""
        return Moment(time.process_time() - self._cpu, time.perf_counter() - self._wall)

    def end_epoch(self, logs: Mapping[str, Any]) -> None:
        """Note an epoch of the trial that runs."""
        loss, value = (float(logs.get(name, math.nan)) for name in ("loss", self.objective))
        self._epochs.append(Epoch(self.now(), loss, value))

    def end_trial(self, value: float | None, *, pruned: bool = False) -> None:
        """Note the end of the trial that runs."""
        start = self.trials[-1].end if self.trials else Moment(0.0, 0.0)
        usable = value is not None and math.isfinite(value)
        self.trials.append(
            Trial(start, self.now(), self._epochs, value if usable else None, pruned)
        )
        self._epochs = []


class EpochLog(keras.callbacks.Callback):
    """Writes the epochs of each fit down; the copies that tuners make write into the same log."""

    def __init__(self, log: SearchLog) -> None:
        super().__init__()
        self.log = log

    def __deepcopy__(self, memo: dict[int, Any]) -> EpochLog:
        return EpochLog(self.log)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note the epoch."""
        self.log.end_epoch(logs or {})
