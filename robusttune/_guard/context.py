"""Protocols between a guard and the trial that its fit belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from robusttune._diagnosis.fit_input import FitInput
from robusttune._diagnosis.postponed import FitDiagnosis
from robusttune._diagnosis.trace import FitTrace
from robusttune._findings import Findings
from robusttune._guard.clock import TrialClock
from robusttune._policy import Policy
from robusttune._records import TrialRecord


class FitGuardLike(Protocol):
    """The guard of a fit, as its trial sees it."""

    @property
    def trace(self) -> FitTrace | None:
        """The trace of the fit; None before it."""

    @property
    def findings(self) -> Findings | None:
        """Findings of the fit; None where nothing went wrong or it has not ended."""

    @property
    def fitted(self) -> Any:
        """The model of the fit; None before it."""

    @property
    def broke_off(self) -> bool:
        """Whether the fit has begun, and raised before its end."""

    def release(self) -> None:
        """Take the instrumentation off the model."""


class FitContext(Protocol):
    """The trial of a fit, as its guard sees it."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The trial's hyperparameter values."""

    @property
    def related_trials(self) -> Sequence[TrialRecord]:
        """Records of the other trials of the search."""

    def clock_of(self, policy: Policy) -> TrialClock:
        """Return the clock of a fit whose guard has this policy."""

    def wants_diagnosis(self, *, cut_short: bool) -> bool:
        """Whether a fit that fails is worth a diagnosis."""

    def postpone(self, diagnosis: FitDiagnosis) -> bool:
        """Keep a diagnosis for the end of the search; False where it has to be made now."""

    def fit_begins(self, guard: FitGuardLike) -> None:
        """Take note of a fit."""

    def fit_refused(self, given: FitInput) -> None:
        """Take note of a fit that has raised before it began."""

    def fit_ended(self, guard: FitGuardLike) -> None:
        """Take note of what a fit has shown."""
