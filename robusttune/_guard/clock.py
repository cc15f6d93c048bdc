"""TrialClock: the time of one trial against its limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from robusttune._causes import FailureCause, Symptom
from robusttune._findings import Findings
from robusttune.errors import TrialFailure


class TrialClock:
    """Runs from its creation, and stands still during a diagnosis.

    Args:
        limit: Seconds that the trial may take (> 0); None: no limit.

    Attributes:
        wants_ticks: Whether it has to be told of each step.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.wants_ticks = limit is not None
        self._began = time.monotonic()
        self._paused = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the trial began, without those of its diagnoses."""
        return time.monotonic() - self._began - self._paused

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self.limit is not None and self.seconds > self.limit

    def tick(self, epoch: int, step: int) -> bool:
        """Note a training step that is done; return whether the time is over.

        Args:
            epoch: Its epoch, from 0.
            step: Its number in the fit, from 0.
        """
        return self.expired

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for a block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._paused += time.monotonic() - began

    def require_time(self) -> None:
        """Refuse to begin another fit when the time is over.

        Raises:
            TrialFailure: It is; with the findings of that.
        """
        if self.expired:
            found = Findings(
                symptom=Symptom.TIMEOUT,
                cause=FailureCause.TIMEOUT,
                confidence=0.99,
                evidence={"trial_seconds": self.seconds, "limit_seconds": self.limit},
            )
            raise TrialFailure(f"the trial's {self.limit:g} seconds are over", findings=found)


class FitClock(TrialClock):
    """The clock of a fit with a limit of its own, within the time of its trial.

    Args:
        limit: Seconds that the fit may take (> 0).
        trial: The clock of the trial.
    """

    def __init__(self, limit: float, trial: TrialClock) -> None:
        super().__init__(limit)
        self._trial = trial

    @property
    def expired(self) -> bool:
        """Whether the time of the fit or of the trial is over."""
        return super().expired or self._trial.expired

    def tick(self, epoch: int, step: int) -> bool:
        """Note a training step that is done; return whether the time is over."""
        return self._trial.tick(epoch, step) or super().tick(epoch, step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop both clocks for a block."""
        with super().paused(), self._trial.paused():
            yield

    def require_time(self) -> None:
        """Refuse to begin when the time of the trial is over."""
        self._trial.require_time()
