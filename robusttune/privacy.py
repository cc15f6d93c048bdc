"""Privacy: what of a record can be shown to strangers."""

from __future__ import annotations

import re
from typing import Any

from robusttune.records import TrialRecord

_OURS = re.compile(r"[a-z][a-z_]{0,39}")
# Fields whose content is a word or a number of our own making.
_FIELDS = (
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


def shareable(record: TrialRecord) -> dict[str, Any]:
    """Return what of a record tells nothing of its user's data, code and machine.

    Left out are the error, the advice (which quotes numbers and errors), the objective, the trial's
    id, the values of hyperparameters and of the evidence; of the evidence the kinds stay.
    """
    kept = {name: getattr(record, name) for name in _FIELDS}
    has = {"error": record.error is not None, "value": record.value is not None}
    # A name that is not of our making may be anything.
    named = {name: value for name, value in record.evidence.items() if _OURS.fullmatch(str(name))}
    evidence = {name: type(value).__name__ for name, value in named.items()}
    return {**kept, "has": has, "evidence_types": evidence, "params": len(record.params)}
