"""TrialHost: what a trial run asks of whoever chooses the hyperparameters and keeps the trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol

from robusttune._records import TrialRecord


class TrialHost(Protocol):
    """One trial, as its host knows it. A host translates; `TrialRun` decides."""

    @property
    def trial(self) -> Any:
        """The host's own object of the trial, for record callbacks; None where it has none."""

    @property
    def trial_id(self) -> str:
        """The host's name of the trial."""

    @property
    def number(self) -> int | None:
        """Position in the search, from 0; None where unknown."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Values of the hyperparameters, by name, without the host's bookkeeping."""

    @property
    def asked(self) -> Set[str] | None:
        """Names of the hyperparameters that the trial asked for so far; None or empty: all.

        The others had no part in what happened, and are not in its record.
        """

    @property
    def unwatched_advice(self) -> str | None:
        """Advice for a non-finite objective of a trial without a guarded fit.

        None: the general advice.
        """

    def related_trials(self) -> Sequence[TrialRecord]:
        """Return records of the other trials of the search that this process knows of."""

    def clip_norm(self) -> float | None:
        """Return the global clip norm that the search chose for `Policy(clip="tune")`, or None.

        Called at most once a fit, and only for that policy: it may add a hyperparameter.
        """

    def value(self, result: Any) -> float | None:
        """Return the objective's value of a result; None where it is not one number.

        Raises:
            NoObjectiveError: It is not finite.
            Exception: It is nothing that the host takes.
        """

    def error_text(self, error: Exception) -> str:
        """Return what an exception says, on one line."""

    def read(self) -> TrialRecord | None:
        """Return what is stored of this trial already; None where nothing is."""

    def write(self, record: TrialRecord) -> None:
        """Store a record with the trial."""
