"""TrialRecord: all that is kept of one trial, and its JSON.

The JSON is strict: no NaN tokens, so that any parser and any database takes it. Numbers that JSON
does not have are the strings "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from robusttune.causes import FailureCause, Symptom

Status = Literal["completed", "failed", "pruned", "running"]

SCHEMA = 1
MAX_BYTES = 64_000
_MAX_ERROR = 2_000

# The columns of Report.trials, in order; params_<name> follow.
COLUMNS = (
    "trial_id",
    "number",
    "status",
    "unstable",
    "symptom",
    "cause",
    "other_causes",
    "confidence",
    "epoch",
    "step",
    "value",
    "seconds",
    "seconds_saved",
    "advice",
    "fix_verified",
    "error",
    "evidence",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """What is known of one trial.

    Args:
        trial_id: The host's name of the trial.
        number: Position in the search, from 0; None where the writer could not know it.
        status: "completed", "failed", "pruned" or "running".
        unstable: Whether training went wrong at any time, even if an earlier epoch still counts.
        symptom: How it showed; None on a stable trial.
        cause: Why; None on a stable trial.
        other_causes: Further causes, the likeliest first.
        confidence: Probability that `cause` is right, 0..1; None without a cause.
        epoch: Epoch of the failure, from 0; None where it was not in an epoch.
        step: Training step of the failure, from 0, counted over the whole trial.
        value: Objective value; None: the trial has no usable objective.
        seconds: Wall time of the trial, diagnosis included.
        seconds_saved: Estimate, epochs not run x seconds an epoch.
        advice: One line that says what to do.
        fix_verified: Whether the advised change was replayed and cured the failure;
            None: not tried.
        error: One line; None without an exception.
        evidence: Numbers behind the verdict, JSON-like.
        params: Hyperparameter values by name.

    Example:
        >>> record = TrialRecord(trial_id="7", status="failed", unstable=True, cause="unsafe_loss")
        >>> TrialRecord.from_json(record.to_json()) == record
        True
    """

    trial_id: str
    number: int | None = None
    status: Status = "running"
    unstable: bool = False
    symptom: Symptom | None = None
    cause: FailureCause | None = None
    other_causes: tuple[FailureCause, ...] = ()
    confidence: float | None = None
    epoch: int | None = None
    step: int | None = None
    value: float | None = None
    seconds: float | None = None
    seconds_saved: float | None = None
    advice: str | None = None
    fix_verified: bool | None = None
    error: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"status must be one of {get_args(Status)}, got {self.status!r}.")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence must be in 0..1, got {self.confidence!r}.")
        put = object.__setattr__
        put(self, "symptom", None if self.symptom is None else Symptom(self.symptom))
        put(self, "cause", None if self.cause is None else FailureCause(self.cause))
        put(self, "other_causes", tuple(FailureCause(cause) for cause in self.other_causes))
        value = self.value
        put(self, "value", None if value is None or not math.isfinite(value) else float(value))
        put(self, "error", None if self.error is None else one_line(self.error))
        put(self, "evidence", plain(self.evidence))
        put(self, "params", plain(self.params))

    def replace(self, **changes: Any) -> TrialRecord:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def message(self) -> str:
        """Return one line for people: symptom, place, cause and advice."""
        where = "" if self.epoch is None else f" in epoch {self.epoch}"
        where += "" if self.step is None else f" at step {self.step}"
        return one_line(f"{self.symptom}{where}: {self.cause}. {self.advice or ''}")

    def to_json(self, max_bytes: int = MAX_BYTES) -> str:
        """Return the record as strict JSON of at most `max_bytes` bytes.

        Evidence that does not fit is left out, the largest item first, and named under
        "left_out"; then the longest parameter values are shortened.
        """
        body = {"schema": SCHEMA, **{f.name: getattr(self, f.name) for f in fields(self)}}
        text = _dump(body)
        if len(text.encode()) <= max_bytes:
            return text
        for key in ("evidence", "params"):
            items = dict(body[key])
            left_out: list[str] = []
            while items and len(text.encode()) > max_bytes:
                largest = max(items, key=lambda name: len(_dump(items[name])))
                del items[largest]
                left_out.append(largest)
                body[key] = {**items, "left_out": left_out[:20]} if key == "evidence" else items
                text = _dump(body)
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> TrialRecord:
        """Read a record back; unknown fields, from a later version, are ignored.

        Raises:
            ValueError: The text is not a record; the message says why.
        """
        try:
            body = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Not a trial record: {one_line(str(error))}") from error
        if not isinstance(body, dict) or not isinstance(body.get("trial_id"), str):
            raise ValueError("Not a trial record: expected a JSON object with a trial_id.")
        known = {f.name: body[f.name] for f in fields(cls) if f.name in body}
        for name, kinds in _TYPES.items():
            value = known.get(name)
            if value is not None and (
                not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)
            ):
                raise ValueError(f"Not a trial record: {name} is {one_line(repr(value), 80)}.")
        try:
            return cls(**{name: value for name, value in known.items() if value is not None})
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"Not a trial record: {one_line(str(error))}") from error


_NUMBER = (int, float)
_TYPES: dict[str, Any] = {
    "number": int,
    "status": str,
    "unstable": bool,
    "symptom": str,
    "cause": str,
    "other_causes": list,
    "confidence": _NUMBER,
    "epoch": int,
    "step": int,
    "value": _NUMBER,
    "seconds": _NUMBER,
    "seconds_saved": _NUMBER,
    "advice": str,
    "fix_verified": bool,
    "error": str,
    "evidence": dict,
    "params": dict,
}


def one_line(text: str, limit: int = _MAX_ERROR) -> str:
    """Return the text with its white space folded into single spaces, cut to `limit` characters."""
    folded = " ".join(text.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def plain(value: Any) -> Any:
    """Return the value as what strict JSON has: dict, list, str, int, float, bool, None.

    NumPy scalars and arrays become numbers and lists, non-finite floats the strings "nan", "inf"
    and "-inf", tuples and sets lists, anything else its `str`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {_utf8(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(item) for item in value]
    return _utf8(one_line(str(value)))


def _utf8(text: str) -> str:
    """UTF-8 has no lone surrogates, which file names may have."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _dump(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
