"""Privacy: no data values, paths, host names or environment variables leave the machine.

A text that somebody wrote cannot be searched for secrets. So nothing is searched: what is known to
say nothing of these is kept, and the rest is left out.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from robusttune._records import COMPLETED_EPOCHS, TrialRecord

LEFT_OUT = "(left out)"

# Evidence that is numbers of the training, of replays and of the search, or words of robusttune.
# What is measured on the data (scales, columns, labels, shapes, predictions) is not among it, nor
# are texts of exceptions, the process and its machine.
EVIDENCE = frozenset(
    {
        COMPLETED_EPOCHS,
        "as_trial",
        "clipped_steps",
        "dead_share",
        "dead_share_at_start",
        "exit_code",
        "first_step",
        "fix",
        "gradient_norms",
        "gradient_ratio_first_to_last_layer",
        "grounds",
        "learning_rate",
        "limit_bytes",
        "limit_seconds",
        "losses",
        "memory_bytes",
        "ordinary_learning_rate",
        "out_of_memory_kills",
        "replays",
        "search",
        "signal",
        "start_loss",
        "trial_seconds",
        "values",
    }
)

# The class of an exception at the beginning of what it says.
_CLASS = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Failure|Interrupt|Exit))(?=:|$)")
# A choice such as "relu", "adam_w" or "he-normal"; no path, address or sentence looks like that.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,39}")

_OURS = re.compile(r"[a-z][a-z_]{0,39}")
# Fields whose content is a word or a number of our own making.
_OUTLINE = (
    "number",
    "status",
    "unstable",
    "symptom",
    "cause",
    "other_causes",
    "confidence",
    "epoch",
    "step",
    "seconds",
    "seconds_saved",
    "fix_verified",
)


def shareable(record: TrialRecord) -> TrialRecord:
    """Return the part of a record that may be sent to others.

    Verdict, numbers of the training and hyperparameters stay. Of an exception its class stays, of
    the advice what is said to everybody with that cause. A text among the hyperparameter values
    stays where it is one word, such as "relu", and names neither this machine nor its user.

    Args:
        record: Of any trial.

    Example:
        >>> record = TrialRecord(trial_id="7", status="failed", cause="code_error",
        ...     error="ValueError: could not convert 'Jane Doe'", params={"file": "/home/jane/x"})
        >>> shareable(record).error, shareable(record).params
        ('ValueError', {'file': '(left out)'})
    """
    evidence = {key: value for key, value in record.evidence.items() if key in EVIDENCE}
    return record.replace(
        advice=_advice(record),
        error=_class_of(record.error),
        evidence=evidence,
        params={name: _value(value) for name, value in record.params.items()},
    )


def outline(record: TrialRecord) -> dict[str, Any]:
    """Return what of a record tells nothing of its user's data, code and machine.

    Left out are the error, the advice (which quotes numbers and errors), the objective, the trial's
    id, the values of hyperparameters and of the evidence; of the evidence the kinds stay.
    """
    kept = {name: getattr(record, name) for name in _OUTLINE}
    has = {"error": record.error is not None, "value": record.value is not None}
    # A name that is not of our making may be anything.
    named = {name: value for name, value in record.evidence.items() if _OURS.fullmatch(str(name))}
    evidence = {name: type(value).__name__ for name, value in named.items()}
    return {**kept, "has": has, "evidence_types": evidence, "params": len(record.params)}


def _advice(record: TrialRecord) -> str | None:
    if record.cause is None:
        return None
    fix = record.evidence.get("fix")
    change = fix.get("change") if record.fix_verified and isinstance(fix, Mapping) else None
    if not isinstance(change, str):  # `diagnosis.changes.Change` in words
        return record.cause.advice
    return f"{record.cause.advice} The same trial learns with: {change}."


def _class_of(error: str | None) -> str | None:
    found = None if error is None else _CLASS.match(error)
    return None if found is None else found[1]


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value if _is_word(value) else LEFT_OUT
    if isinstance(value, Mapping):
        return {key if _is_word(key) else LEFT_OUT: _value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item) for item in value]
    return value


def _is_word(text: str) -> bool:
    lowered = text.lower()
    return bool(_NAME.fullmatch(text)) and not any(
        own in lowered for own in _names_of_this_machine()
    )


@cache
def _names_of_this_machine() -> frozenset[str]:
    """Return its full and its short name; a very short one is part of other words too."""
    node = platform.node().lower()
    return frozenset(name for name in (node, node.partition(".")[0]) if len(name) >= 4)
