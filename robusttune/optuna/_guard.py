"""TrialGuard: the guard of a Keras fit inside an Optuna trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import BaseTrial

from robusttune._plain_fit import Guard
from robusttune._policy import Policy
from robusttune._validation import check_type
from robusttune.errors import TrialFailure
from robusttune.optuna._host import StudyRun


class TrialGuard(Guard):
    """Watches the Keras fits of a trial, and stores the record of a failing one with the trial.

    Put it first in the list of callbacks. A failing epoch is not reported to pruners: the trial has
    failed, it was not pruned. Under `robust` the objective goes on after a failing fit, and what it
    returns counts where at least one epoch was completed; without it TrialFailure is raised at the
    end of a fit that completed none, and ends the study unless `study.optimize(catch=...)` has it.

    Args:
        trial: The trial.
        policy: Thresholds and switches; None: those of `robust`, or Policy().

    Raises:
        TrialFailure: From `fit`, as above.

    Example:
        >>> def objective(trial):
        ...     model = build(trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True))
        ...     history = model.fit(x, y, epochs=5, callbacks=[TrialGuard(trial)])
        ...     return history.history["loss"][-1]
    """

    def __init__(self, trial: BaseTrial, policy: Policy | None = None) -> None:
        check_type("trial", trial, BaseTrial, "an Optuna trial")
        run = StudyRun.of(trial)
        super().__init__(run.policy if policy is None and run else policy)
        self.trial = trial
        self._study_run = run

    def __deepcopy__(self, memo: dict[int, Any]) -> TrialGuard:
        """Return a fresh guard of the same trial."""
        return type(self)(self.trial, self.policy)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Open a run of the trial where `robust` has not, and instrument the model."""
        run = StudyRun.of(self.trial)
        if run is None:
            run = StudyRun(self.trial, self.policy, whole=False)
            run.open()
        self.context = self._study_run = run
        super().on_train_begin(logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Store the record of a failing fit."""
        run = self._study_run
        assert run is not None
        super().on_train_end(logs)
        failed = self.findings is not None and self.findings.cut_short
        if self.findings is not None and run.found is not None:
            # At once: the process may not come to the end of the trial.
            self.record = run.store(run.found, "failed" if run.found.cut_short else "completed")
        if run.whole:
            return
        if run.found is None and run.skill is not None:
            run.begin(recorded=False)  # again, with the skill: nobody stores this trial's end
        run.close()
        if failed and self.record is not None:
            raise TrialFailure(
                f"Trial {self.trial.number} failed: {self.record.cause}. {self.record.advice}",
                self.record,
            )
