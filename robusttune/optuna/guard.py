"""TrialGuard: the guard of a Keras fit inside an Optuna trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import BaseTrial

from robusttune.arguments import instance
from robusttune.errors import TrialFailure
from robusttune.guard import Guard
from robusttune.optuna.session import TrialSession
from robusttune.policy import Policy


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
        instance("trial", trial, BaseTrial, "an Optuna trial")
        session = TrialSession.of(trial)
        super().__init__(session.policy if policy is None and session else policy)
        self.trial = trial
        self._session = session

    def __deepcopy__(self, memo: dict[int, Any]) -> TrialGuard:
        """Return a fresh guard of the same trial."""
        return type(self)(self.trial, self.policy)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Open a session with the trial where `robust` has not, and instrument the model."""
        self._session = TrialSession.of(self.trial)
        if self._session is None:
            self._session = TrialSession(self.trial, self.policy, returns=False)
            self._session.open()
        self._session.guard = self
        if self._session.clock.limit is not None:
            self.clock = self._session.clock
        self.trial_params = self.trial.params
        super().on_train_begin(logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Store the record of a failing fit."""
        session = self._session
        assert session is not None
        if self.failed:
            self.siblings = session.siblings()
        super().on_train_end(logs)
        failed = self.record is not None and self.record.status == "failed"
        if self.record is not None and self.record.unstable:
            self.record = session.note(self.record)
        if session.returns:
            return
        session.close()
        if failed and self.record is not None:
            raise TrialFailure(
                f"Trial {self.trial.number} failed: {self.record.cause}. {self.record.advice}",
                self.record,
            )
