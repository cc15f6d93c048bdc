"""Search: everything that a report is made from, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from robusttune.causes import FailureCause, Symptom
from robusttune.diagnosis.confidence import Grounds
from robusttune.exception_causes import classify_message
from robusttune.findings import Findings
from robusttune.records import Status, TrialRecord
from robusttune.space.parameters import Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search for hyperparameters, read from wherever it was stored.

    Args:
        name: What the report calls the search.
        records: One per trial.
        adjustments: What the sanitizer changed: dicts with parameter, field, before, after, reason.
        space: The declared hyperparameters, by name; others are inferred from the values.
        problems: One line for each thing that could not be read.
        host: Where the search space is to be changed, by its name in `report.sources`:
            "keras_tuner", "optuna" or that of a further host; None: unknown.
    """

    name: str = "search"
    records: tuple[TrialRecord, ...] = ()
    adjustments: tuple[Mapping[str, Any], ...] = ()
    space: Mapping[str, Parameter] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    host: str | None = None

    @classmethod
    def of(cls, records: Iterable[TrialRecord], **more: Any) -> Search:
        """Return a search with its trials in order: numbered ones first, then as they came."""
        ordered = sorted(records, key=lambda record: (record.number is None, record.number or 0))
        taken = {record.number for record in ordered}
        free = (number for number in range(2 * len(ordered)) if number not in taken)
        numbered = tuple(
            record if record.number is not None else replace(record, number=next(free))
            for record in ordered
        )
        return cls(records=numbered, **more)


def has_failed(record: TrialRecord) -> bool:
    """Whether a trial counts as unstable: it went wrong at some time, or it failed."""
    return record.unstable or record.status == "failed"


def has_ended(record: TrialRecord) -> bool:
    """Whether a trial says something about its hyperparameters: not while it still runs well."""
    return record.status != "running" or record.unstable


def without_record(
    *,
    trial_id: str,
    number: int | None,
    status: Status,
    score: float | None,
    message: str | None,
    params: Mapping[str, Any],
    non_finite: bool = False,
) -> TrialRecord:
    """Return the record of a trial that robusttune did not watch.

    Args:
        trial_id: The host's name of the trial.
        number: Position in the search, from 0; None where unknown.
        status: "completed", "failed", "pruned" or "running".
        score: The objective; None or non-finite where there is none.
        message: What the host kept of the reason for failing, as a rule a traceback.
        params: Hyperparameter values by name.
        non_finite: Whether the host measured an objective that is NaN or infinite.
    """
    known = {"trial_id": trial_id, "number": number, "params": params}
    if status != "failed" and not non_finite:
        return TrialRecord.of(None, status=status, value=score, **known)
    said = classify_message(message)
    if said.error:
        symptom: Symptom | None = Symptom.EXCEPTION
    else:
        symptom = Symptom.NON_FINITE_OBJECTIVE if non_finite else None
    conclusive = said.cause is not FailureCause.UNKNOWN
    found = Findings(
        symptom=symptom,
        cause=said.cause,
        confidence=Grounds.EXCEPTION.confidence if conclusive else None,
        error=said.error or None,
    )
    return TrialRecord.of(found, status="failed", **known)
