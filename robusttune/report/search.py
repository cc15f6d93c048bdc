"""Search: everything that a report is made from, as plain data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from robusttune.causes import FailureCause, Symptom
from robusttune.findings import Findings
from robusttune.records import Status, TrialRecord, one_line
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
    cause, confidence, error = read_message(message)
    if error is not None:
        symptom: Symptom | None = Symptom.EXCEPTION
    else:
        symptom = Symptom.NON_FINITE_OBJECTIVE if non_finite else None
    found = Findings(symptom=symptom, cause=cause, confidence=confidence, error=error)
    return TrialRecord.of(found, status="failed", **known)


def read_message(message: str | None) -> tuple[FailureCause, float | None, str | None]:
    """Return the cause that a host's message shows, the confidence, and its last line.

    Only an exception that says itself what it is about is trusted: exhausted memory, shapes that
    do not fit, and Python's own exceptions from code that is wrong for whatever values. One that
    speaks of NaN names a symptom, so its cause stays unknown.

    Args:
        message: A traceback or another text; None where the host kept nothing.
    """
    if message is None or not message.strip():
        return FailureCause.UNKNOWN, None, None
    error = _last_line_of_traceback(message)
    kind, _, text = error.partition(":")
    name = kind.strip().rpartition(".")[2]
    told = text.lower()
    if name in _MEMORY or any(mark in told for mark in _MEMORY_MARKS):
        return FailureCause.OUT_OF_MEMORY, 0.95, error
    if name in _SHAPES and any(mark in told for mark in _SHAPE_MARKS):
        return FailureCause.INVALID_MODEL, 0.8, error
    if name in _CODE and not _NON_FINITE.search(told):
        return FailureCause.CODE_ERROR, 0.8, error
    return FailureCause.UNKNOWN, None, error


_MEMORY = frozenset({"MemoryError", "ResourceExhaustedError", "_ArrayMemoryError"})
_MEMORY_MARKS = ("oom when allocating", "out of memory", "out-of-memory", "resource_exhausted")
_SHAPES = frozenset({"ValueError", "InvalidArgumentError", "FailedTrialError"})
_SHAPE_MARKS = (
    "incompatible with the layer",
    "incompatible shapes",
    "negative dimension",
    "oversized model",
    "shape must be",
    "shapes must be",
)
_NON_FINITE = re.compile(r"\b(nan|inf|infinity|finite)\b")
_CODE = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "FileNotFoundError",
        "ImportError",
        "IndexError",
        "KeyError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "RecursionError",
        "RuntimeError",
        "TypeError",
        "UnboundLocalError",
        "ValueError",
        "ZeroDivisionError",
    }
)


def _last_line_of_traceback(message: str) -> str:
    """Return "Kind: text" of a traceback, whose text may have several lines."""
    lines = message.strip().splitlines()
    frames = [i for i, line in enumerate(lines) if line.startswith("  ")]
    after = lines[frames[-1] + 1 :] if frames and lines[0].startswith("Traceback") else lines
    return one_line(" ".join(after) or lines[-1])
