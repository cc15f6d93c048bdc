"""Search: everything that a report is made from, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.shared_causes import with_shared_causes
from robusttune._exception_causes import classify_message
from robusttune._findings import Findings
from robusttune._records import Status, TrialRecord
from robusttune._space.parameters import Parameter


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
        objective: What the host calls the objective; None: unknown, or several objectives.
        direction: Whether less or more of it is better; None: unknown, or several objectives.
        sampler: Class of the sampler or tuner; None: unknown.
        storage: Where the search is stored, without a password; None: in memory, or unknown.
        began: When the first trial began; None: unknown.
        ended: When the last trial ended; None: unknown.
        planned: How many trials the search is to have; None: unknown.
        policy: The policy of the search, as JSON; {}: unknown.
        objective_importance: Returns the share of each hyperparameter in how the objective varies,
            by name, as the host tells it; None: it does not.
    """

    name: str = "search"
    records: tuple[TrialRecord, ...] = ()
    adjustments: tuple[Mapping[str, Any], ...] = ()
    space: Mapping[str, Parameter] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    host: str | None = None
    objective: str | None = None
    direction: Literal["min", "max"] | None = None
    sampler: str | None = None
    storage: str | None = None
    began: datetime | None = None
    ended: datetime | None = None
    planned: int | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    objective_importance: Callable[[], Mapping[str, float]] | None = field(
        default=None, compare=False
    )

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
        return cls(records=with_shared_causes(numbered), **more)


State = Literal["failed", "unstable", "healthy", "pruned", "running"]


def state_of(record: TrialRecord) -> State:
    """Return the one word for how a trial went; "unstable": it went wrong and did not fail."""
    if record.status == "failed":
        return "failed"
    if record.unstable:
        return "unstable"
    return "healthy" if record.status == "completed" else record.status


def objective_of(record: TrialRecord) -> float | None:
    """Return what a trial scored; None: it has no score, or one of before it was pruned."""
    return None if record.status == "pruned" else record.value


def has_failed(record: TrialRecord) -> bool:
    """Whether a trial failed, or went wrong at some time: its state is failed or unstable."""
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
