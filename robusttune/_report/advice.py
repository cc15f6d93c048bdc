"""Advice: one text for each trial, in the words of the host that ran it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from robusttune._causes import FailureCause
from robusttune._records import TrialRecord
from robusttune._report.sources import hosts

# How the table of causes says that user code refuses hyperparameters, whoever the host is.
_REFUSE = "exclude it from the search space"
# What a verdict that was taken over from another trial begins with.
_AS_ANOTHER = re.compile(r"^As trial \S+: ")
# Of a trial that the user's own code ended, the cause is what its message says.
_TOLD = (
    "The code itself raised this error: exclude such hyperparameters from the search space, or fix"
    " what the error names."
)


def in_words_of(text: str, host: str | None) -> str:
    """Return an advice as it reads on a host; None: on any, as the causes have it."""
    known = hosts()
    refusal = known[host].refusal if host in known else ""
    return text.replace(_REFUSE, f"{refusal} instead") if refusal else text


def advised(record: TrialRecord, host: str | None) -> TrialRecord:
    """Return a record with the one text that a report has for what to do."""
    if record.cause is None:
        return record
    advice = record.advice or record.cause.advice
    if record.cause is FailureCause.UNKNOWN and record.error and advice == record.cause.advice:
        advice = _TOLD
    advice = in_words_of(advice, host)
    return record if advice == record.advice else record.replace(advice=advice)


def common_advice(
    records: Iterable[TrialRecord], cause: FailureCause | None, host: str | None
) -> str:
    """Return what to do about several trials of one cause: their own text where it is the same."""
    texts = Counter(_AS_ANOTHER.sub("", r.advice) for r in records if r.advice)
    if len(texts) == 1:
        return str(next(iter(texts)))
    return "" if cause is None else in_words_of(cause.advice, host)
