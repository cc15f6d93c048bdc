"""Contents that every tracker gets of a trial, in builtin types."""

from __future__ import annotations

from dataclasses import fields

from robusttune._records import TrialRecord

# Fields of a record that are numbers, where the record has them.
NUMBERS = (
    "value",
    "skill",
    "confidence",
    "epoch",
    "step",
    "execution",
    "clipped_steps",
    "seconds",
    "seconds_saved",
)
_TEXTS = ("status", "symptom", "cause", "advice", "error")


def numbers(record: TrialRecord) -> dict[str, float]:
    """Return the numbers of a record that are known, by the names of its fields."""
    named = [field.name for field in fields(record) if field.name in NUMBERS]
    told = {name: getattr(record, name) for name in named}
    return {name: float(value) for name, value in told.items() if value is not None}


def texts(record: TrialRecord) -> dict[str, str]:
    """Return status, verdict and advice, by the names of the fields; what is None is left out."""
    told = {name: getattr(record, name) for name in _TEXTS}
    if record.other_causes:
        told["other_causes"] = ";".join(record.other_causes)
    return {name: str(value) for name, value in told.items() if value is not None}
