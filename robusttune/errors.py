"""Exceptions and warning categories.

::

    RobustTuneError
        TrialFailure         one trial failed; the search continues
        HopelessSearchError  no trial can succeed, whatever the hyperparameters
        DataError            the data that was handed over cannot be used
        StoreError           a project folder cannot be written or resumed
            OtherProjectError    it was begun by another kind of tuner
    RobustTuneWarning
        SearchSpaceWarning            the search space was, or should be, changed
        InstabilityWarning            a stored file was damaged; the search continues
        RobustTuneDeprecationWarning  an old name was used, which goes in a coming version
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robusttune._findings import Findings
    from robusttune._records import TrialRecord

__all__ = [
    "DataError",
    "HopelessSearchError",
    "InstabilityWarning",
    "OtherProjectError",
    "RobustTuneDeprecationWarning",
    "RobustTuneError",
    "RobustTuneWarning",
    "SearchSpaceWarning",
    "StoreError",
    "TrialFailure",
]


class RobustTuneError(Exception):
    """Base class of all exceptions that robusttune raises by itself."""


class TrialFailure(RobustTuneError):  # noqa: N818 - the name says what ended, as in the docs
    """One trial failed.

    An objective under `robusttune.optuna.robust` may raise it where its parameters will not do: the
    trial has failed, with the message as its error, and the study goes on.

    Args:
        message: One line that says what happened.
        record: What is known of the failure; None where there is no record yet.
        findings: What is known of it before there is a record; None where nothing is.
    """

    def __init__(
        self,
        message: str,
        record: TrialRecord | None = None,
        *,
        findings: Findings | None = None,
    ) -> None:
        super().__init__(message)
        self.record = record
        self.findings = record.findings if findings is None and record is not None else findings


class HopelessSearchError(RobustTuneError, RuntimeError):
    """Every trial must fail, because the reason does not depend on the hyperparameters.

    Keras Tuner ends a search that fails again and again with a RuntimeError, and so is this.
    """


class DataError(RobustTuneError, ValueError):
    """Arrays or batches that cannot be used as they are: ragged, empty, or of unequal length."""


class StoreError(RobustTuneError, OSError):
    """A search's project folder cannot be written or resumed."""


class OtherProjectError(StoreError, RuntimeError):
    """The project folder belongs to a search by another kind of tuner.

    Keras Tuner raises a RuntimeError there, and so is this.
    """


class RobustTuneWarning(UserWarning):
    """Base class of robusttune's warnings."""


class SearchSpaceWarning(RobustTuneWarning):
    """A search space was changed, or contains values that make trials fail."""


class InstabilityWarning(RobustTuneWarning):
    """A stored file of a search was damaged and set aside; the search continues."""


class RobustTuneDeprecationWarning(RobustTuneWarning, FutureWarning):
    """A name was used that has changed; the message has the new one, and when the old one goes.

    A FutureWarning, as those of pandas, scikit-learn and Optuna are, and no DeprecationWarning:
    Python shows the latter only for lines of the main script, and old imports are in modules.
    """
