"""One line for each trial that ends: where several run, Keras Tuner's tables would interleave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from robusttune._compat.keras_tuner import Display


class LineDisplay(Display):  # type: ignore[misc,unused-ignore]
    """Writes a line where a trial ends; an existing display becomes one."""

    robust_best: Any = None  # score of the best trial that has ended

    def on_trial_begin(self, trial: Any) -> None:
        """Note when a trial began."""
        if self.verbose < 1:
            return
        now = datetime.now()
        if self.search_start is None:
            self.search_start: Any = now
        self.trial_start[trial.trial_id] = now
        self.trial_number.setdefault(trial.trial_id, len(self.oracle.trials))

    def on_trial_end(self, trial: Any) -> None:
        """Write how a trial has ended, how the best one did, and how many run."""
        if self.verbose < 1:
            return
        objective = self.oracle.objective
        took = self.format_duration(datetime.now() - self.trial_start[trial.trial_id])
        if trial.status == "COMPLETED":
            state = f"{objective.name}: {self.format_value(trial.score)}"
            if self.robust_best is None or self._is_better(trial.score):
                self.robust_best = trial.score
        elif trial.status == "FAILED":
            state = "failed"
        else:
            state = "is tried again"
        best = "none" if self.robust_best is None else self.format_value(self.robust_best)
        others = len(self.oracle.ongoing_trials) - 1
        # Keras Tuner's display prints, and this stands for it.
        sys.stdout.write(
            f"Trial {self.trial_number[trial.trial_id]} [{took}] {state}"
            f"  (best: {best}, {others} running)\n"
        )

    def _is_better(self, score: float) -> bool:
        lower = self.oracle.objective.direction == "min"
        return bool(score < self.robust_best if lower else score > self.robust_best)


@contextmanager
def one_line_a_trial(oracle: Any) -> Iterator[None]:
    """Let an oracle's trials be shown by a line each inside a block."""
    display = oracle._display
    before = display.__class__
    if before is Display:  # else it is somebody's own
        display.__class__ = LineDisplay
        best = oracle.get_best_trials() if oracle.end_order else []
        display.robust_best = best[0].score if best else None
    try:
        yield
    finally:
        display.__class__ = before
        display.__dict__.pop("robust_best", None)
