"""TrialRecord: all that is kept of one trial, and its JSON.

The JSON is strict: no NaN tokens, so that any parser and any database takes it. Numbers that JSON
does not have are the strings "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, get_args

from robusttune._causes import FailureCause, Symptom
from robusttune._findings import Findings
from robusttune._notebook import table
from robusttune._validation import check_choice, check_fraction, check_int, check_type, require

Status = Literal["completed", "failed", "pruned", "running"]

SCHEMA = 1
EXECUTIONS = "execution_scores"  # in the evidence: the objective's value of each execution
DATA_VALUES = "data_values"  # in the evidence: values of the user's data that a text quotes
COMPLETED_EPOCHS = "completed_epochs"  # in the evidence: of the fit that went wrong
MAX_BYTES = 64_000
_MAX_LINE = 2_000

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
    "skill",
    "clipped_steps",
    "execution",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """Record of one trial.

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
        step: Training step of the failure, from 0, counted over the whole trial, or over the
            execution where a trial has several.
        value: Objective value; None: the trial has no usable objective.
        seconds: Wall time of the trial, diagnosis included.
        seconds_saved: Estimate, epochs not run x seconds an epoch.
        advice: One line that says what to do.
        fix_verified: Whether the advised change was replayed and cured the failure;
            None: not tried.
        error: One line; None without an exception.
        evidence: Numbers behind the verdict, JSON-like.
        skill: 1 - mean training loss of the last epoch, without penalties / loss of the best
            constant prediction: 0 is no better than a constant, negative is worse. None where that
            loss is not positive, not finite or not known.
        clipped_steps: Steps whose gradients the guard clipped; None: no fit was watched.
        execution: The failing execution, from 0; None where a trial has one.
        params: Hyperparameter values by name.

    Raises:
        TypeError: A field is of another type; the message names it.
        ValueError: A field's value is none of those it may have.

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
    skill: float | None = None
    clipped_steps: int | None = None
    execution: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check(_NAMES)

    def _check(self, names: Iterable[str]) -> None:
        """Refuse what a record cannot have in these fields, and store it as JSON has it."""
        for name in names:
            value = getattr(self, name)
            if value is None and name not in _NEVER_NONE:
                continue
            if name in _TYPES and type(value) is not _EXACT.get(name):
                _check_type(name, value, _TYPES[name])
            if name in _MADE:
                object.__setattr__(self, name, _MADE[name](name, value))

    @classmethod
    def of(cls, found: Findings | None, **trial: Any) -> TrialRecord:
        """Return the record of a trial: what was found in it, and what its host knows of it.

        Nothing else makes records, but for `from_json`.

        Args:
            found: What went wrong; None where nothing did.
            trial: The fields that findings do not have: trial_id, number, status, value, seconds,
                skill, params; and evidence, which is added to that of the findings.
        """
        if found is None:
            return cls(**trial)
        return cls(unstable=True, **_of_findings(found, trial.pop("evidence", {})), **trial)

    @property
    def findings(self) -> Findings | None:
        """The failure; None on a stable trial."""
        if self.cause is None:
            return None
        shared = {f.name: getattr(self, f.name) for f in fields(Findings) if f.name in _TYPES}
        failed = self.status == "failed"
        return Findings(**shared, cut_short=failed and not self.evidence.get(COMPLETED_EPOCHS))

    def replace(self, **changes: Any) -> TrialRecord:
        """Return a copy with some fields changed."""
        unknown = changes.keys() - set(_NAMES)
        if unknown:
            raise TypeError(f"A record has no field {sorted(unknown)[0]!r}.")
        copy = object.__new__(type(self))
        for name in _NAMES:
            value = changes[name] if name in changes else getattr(self, name)
            object.__setattr__(copy, name, value)
        copy._check(changes)
        return copy

    def having(self, found: Findings, **changes: Any) -> TrialRecord:
        """Return the record of the same trial with other findings, its evidence kept."""
        return self.replace(unstable=True, **_of_findings(found, self.evidence), **changes)

    def without_data_values(self) -> TrialRecord:
        """Return the record without values of the user's data, as for what is sent elsewhere.

        They are listed in the evidence, under "data_values", where the advice or the error quotes
        any: a text that is no number, say.
        """
        quoted = self.evidence.get(DATA_VALUES)
        if not isinstance(quoted, list):
            return self
        kept = {name: item for name, item in self.evidence.items() if name != DATA_VALUES}
        texts = _dump({"advice": self.advice, "error": self.error, "evidence": kept})
        for value in sorted(map(str, quoted), key=len, reverse=True):
            texts = texts.replace(_dump(value)[1:-1], "(a value of the data)")
        return self.replace(**json.loads(texts))

    def message(self) -> str:
        """Return one line for people: symptom, place, cause and advice."""
        where = "" if self.execution is None else f" in execution {self.execution + 1}"
        of = self.evidence.get(EXECUTIONS)
        where += f" of {len(of)}," if where and isinstance(of, list) else "," * bool(where)
        where += "" if self.epoch is None else f" in epoch {self.epoch}"
        where += "" if self.step is None else f" at step {self.step}"
        return one_line(f"{self.symptom}{where}: {self.cause}. {self.advice or ''}")

    def _repr_html_(self) -> str:
        told = {
            name: value for name, value in self._fields().items() if value not in (None, (), {})
        }
        for name in ("other_causes", "evidence", "params"):
            if name in told:
                told[name] = _dump(told[name])
        return table(f"Trial {self.trial_id}", told, frozenset({"cause", "advice"}))

    def to_json(self, max_bytes: int = MAX_BYTES) -> str:
        """Return the record as strict JSON of at most `max_bytes` bytes.

        Evidence that does not fit is left out, the largest item first, and named under
        "left_out"; then the longest parameter values are left out.
        """
        return _fitted({"schema": SCHEMA, **self._fields()}, max_bytes)

    def to_stored_json(self, max_bytes: int = MAX_BYTES) -> str:
        """Return what a host stores with the trial: as `to_json`, in as few bytes as it takes.

        The status is left out, since the host's own state says it and may change; so is what a
        record has without being told.
        """
        told = self._fields()
        del told["status"]
        told = {name: value for name, value in told.items() if value != _UNTOLD.get(name)}
        return _fitted({"schema": SCHEMA, **told}, max_bytes)

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_json(cls, text: str | bytes) -> TrialRecord:
        """Read a record back, also one of a later version.

        Unknown fields are ignored. An unknown cause or symptom becomes `FailureCause.UNKNOWN` or
        None, and its text is kept in the evidence, under "later_version". A status that was not
        stored is what the record shows: "failed" where it has a cause, no value and no
        completed epoch, "completed" where it has a duration, else "running".

        Raises:
            TypeError: It is no text.
            ValueError: The text is not a record; the message says why.
        """
        check_type("text", text, (str, bytes), "the JSON of a record, as str or bytes")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Not a trial record: {one_line(str(error))}") from error
        if not isinstance(body, dict) or not isinstance(body.get("trial_id"), str):
            raise ValueError("Not a trial record: expected a JSON object with a trial_id.")
        known = {name: body[name] for name in _NAMES if body.get(name) is not None}
        try:
            return cls(**{"status": _status_shown(known), **_understood(known)})
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"Not a trial record: {one_line(str(error))}") from error


def _of_findings(found: Findings, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record that findings fill in."""
    shared = {f.name: getattr(found, f.name) for f in fields(Findings) if f.name in _TYPES}
    advice = found.cause.advice if found.advice is None else found.advice
    return {**shared, "advice": advice, "evidence": {**evidence, **found.evidence}}


_TYPES: dict[str, tuple[Any, str]] = {
    "trial_id": (str, "a str"),
    "number": (Integral, "an int"),
    "unstable": (bool, "True or False"),
    "symptom": (str, "a Symptom"),
    "cause": (str, "a FailureCause"),
    "other_causes": ((list, tuple), "a tuple of FailureCause"),
    "confidence": (Real, "a number"),
    "epoch": (Integral, "an int"),
    "step": (Integral, "an int"),
    "value": (Real, "a number"),
    "seconds": (Real, "a number"),
    "seconds_saved": (Real, "a number"),
    "advice": (str, "a str"),
    "fix_verified": (bool, "True or False"),
    "error": (str, "a str"),
    "evidence": (Mapping, "a mapping"),
    "skill": (Real, "a number"),
    "clipped_steps": (Integral, "an int"),
    "execution": (Integral, "an int"),
    "params": (Mapping, "a mapping"),
}
# The class that values of a field nearly always have: the abstract ones are slow to ask.
_CONCRETE: dict[Any, type] = {Integral: int, Real: float, Mapping: dict}
_EXACT = {name: _CONCRETE.get(kind, kind) for name, (kind, _) in _TYPES.items()}
# What a record has where nothing was told.
_UNTOLD = {"unstable": False, "other_causes": (), "evidence": {}, "params": {}}
_NEVER_NONE = frozenset({"trial_id", "status", "unstable", "other_causes", "evidence", "params"})
_NAMES = tuple(f.name for f in fields(TrialRecord))
_SYMPTOMS, _CAUSES = frozenset(Symptom), frozenset(FailureCause)

_Member = TypeVar("_Member", bound=StrEnum)


def _status_shown(told: Mapping[str, Any]) -> Status:
    """Return the status of a stored record by what else is in it."""
    if "cause" not in told:
        return "completed" if "seconds" in told else "running"
    evidence = told.get("evidence")
    epochs = evidence.get(COMPLETED_EPOCHS) if isinstance(evidence, Mapping) else None
    return "completed" if "value" in told or epochs else "failed"


def _understood(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record with what only a later version knows moved to the evidence."""
    known, later = dict(told), {}
    symptom, cause = told.get("symptom"), told.get("cause")
    if isinstance(symptom, str) and symptom not in _SYMPTOMS:
        later["symptom"] = known.pop("symptom")
    if isinstance(cause, str) and cause not in _CAUSES:
        later["cause"], known["cause"] = cause, FailureCause.UNKNOWN
    others = told.get("other_causes")
    if isinstance(others, list) and all(isinstance(other, str) for other in others):
        unknown = [other for other in others if other not in _CAUSES]
        if unknown:
            later["other_causes"] = unknown
            known["other_causes"] = [other for other in others if other not in unknown]
    if later and isinstance(told.get("evidence", {}), Mapping):
        known["evidence"] = {**told.get("evidence", {}), "later_version": later}
    return known


def _check_type(name: str, value: Any, kind: tuple[Any, str]) -> None:
    classes, rule = kind
    if not isinstance(value, classes) or (classes is not bool and isinstance(value, bool)):
        rule += "" if name in _NEVER_NONE else " or None"
        require(False, name, rule, value, error=TypeError)


def _member(kind: type[_Member]) -> Callable[[str, Any], _Member]:
    known = frozenset(kind)

    def member(name: str, value: Any) -> _Member:
        rule, way_out = f"a {kind.__name__}", f"list({kind.__name__}) helps."
        require(value in known, name, rule, value, way_out)
        return kind(value)

    return member


_STATUSES = get_args(Status)


def _status(name: str, value: Any) -> Any:
    check_choice(name, value, _STATUSES)
    return value


def _count(name: str, value: Any) -> Any:
    check_int(name, value, least=0)
    return value


def _fraction(name: str, value: Any) -> Any:
    check_fraction(name, value)
    return value


def _number(name: str, value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


_cause = _member(FailureCause)

# What a field's value is made into, or refused by.
_MADE: dict[str, Callable[[str, Any], Any]] = {
    "status": _status,
    **dict.fromkeys(("number", "clipped_steps", "execution"), _count),
    "confidence": _fraction,
    "symptom": _member(Symptom),
    "cause": _cause,
    "other_causes": lambda name, value: tuple(_cause(name, cause) for cause in value),
    **dict.fromkeys(("value", "seconds", "seconds_saved", "skill"), _number),
    "advice": lambda name, value: one_line(value),
    "error": lambda name, value: error_line(value),
    **dict.fromkeys(("evidence", "params"), lambda name, value: plain(value)),
}


# What error_line leaves out of a text with folded white space. A match never reaches past the place
# where another one can begin: the time grows with the length of the text, not with its square.
_NOISE = (
    re.compile(r"\x1b\[[0-9;]*m"),  # Keras's colours
    re.compile(r"[\x00-\x1f\x7f-\x9f]"),  # other control characters
    re.compile(  # TensorFlow's stack
        r" ?Detected at node \S+ defined at \(most recent call last\):"
        r"( File \"[^\"]*\", line \d+, in \S+)+"
    ),
    re.compile(r" ?\[\[\{\{node [^\[\]]*\]\]( \[Op:[^\[\]]*\])?"),  # its node
)


def one_line(text: str, limit: int = _MAX_LINE) -> str:
    """Return the text with its white space folded into single spaces, cut to `limit` characters."""
    folded = " ".join(text.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def text_of(error: BaseException) -> str:
    """Return an exception's class and message, or the class alone where telling it raises."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # the user's own class: an attribute that was never set, say
        return name


def error_line(text: str) -> str:
    """Return an exception's text on one line, without what is noise or cannot be shown.

    That is Keras's colours, other control characters, and TensorFlow's stack, which is longer than
    what is kept, and what happened comes after it.
    """
    line = " ".join(text.split())
    for noise in _NOISE:
        line = noise.sub("", line)
    return one_line(line)


def plain(value: Any) -> Any:
    """Return the value as what strict JSON has: dict, list, str, int, float, bool, None.

    NumPy scalars and arrays become numbers and lists, non-finite floats the strings "nan", "inf"
    and "-inf", tuples and sets lists, anything else its `str`.
    """
    kind = type(value)
    if value is None or kind is int or kind is bool:
        return value
    if kind is float and math.isfinite(value):
        return value
    if kind is dict:
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if kind is list or kind is tuple:
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(item) for item in value]
    return _utf8(one_line(str(value)))


def _key(key: Any) -> str:
    return key if type(key) is str and key.isascii() else _utf8(str(key))


def _utf8(text: str) -> str:
    """UTF-8 has no lone surrogates, which file names may have."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _fitted(body: dict[str, Any], max_bytes: int) -> str:
    """Return JSON of at most so many bytes; the largest evidence and parameters are left out."""
    text = _dump(body)
    for key in ("evidence", "params"):
        items = dict(body.get(key, {}))
        left_out: list[str] = []
        while items and len(text.encode()) > max_bytes:
            largest = max(items, key=lambda name: len(_dump(items[name])))
            del items[largest]
            left_out.append(largest)
            body[key] = {**items, "left_out": left_out[:20]} if key == "evidence" else items
            text = _dump(body)
    return text


def _dump(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
