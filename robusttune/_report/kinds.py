"""Kinds: failures that a reader takes for one and the same, each with the name people give it.

A cause is a kind. Trials of unknown cause are told apart by what is known of them: the message that
the user's code ended them with, else the symptom.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from robusttune._causes import FailureCause
from robusttune._records import TrialRecord, one_line
from robusttune._report.search_data import has_failed

# More messages than these are not told apart: one that names a file or an address is never twice
# the same.
_MOST_MESSAGES = 8
_MOST_LETTERS = 80
_OTHERS = "other errors"
# What says only that a trial failed, and not why.
_BARE = re.compile(r"^(?:\w+\.)*(?:TrialFailure|FailedTrialError|RuntimeError|Exception): ")
_VARYING = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of failure.

    Args:
        cause: The cause of all its trials; None: a trial failed and has no cause.
        label: What people call it.
    """

    cause: FailureCause | None
    label: str

    @classmethod
    def plain(cls, record: TrialRecord) -> Kind | None:
        """Return the kind of a trial by its cause alone; None where it did not fail."""
        if not has_failed(record):
            return None
        if record.cause is None:
            return cls(None, "no cause")
        return cls(record.cause, spoken(record.cause))

    @property
    def name(self) -> str:
        """As a terminal has it: the cause as the tables have it, or the label."""
        plain = self.cause is not None and self.label == spoken(self.cause)
        return self.cause.value if plain and self.cause else self.label


class Kinds:
    """The kinds of failure of a search, the most frequent first.

    Args:
        records: The trials.
    """

    def __init__(self, records: Iterable[TrialRecord]) -> None:
        failing = [record for record in records if has_failed(record)]
        labels = _labels_of_messages(failing)
        members: dict[Kind, list[TrialRecord]] = defaultdict(list)
        self._of: dict[int, Kind] = {}
        for record in failing:
            kind = Kind.plain(record)
            assert kind is not None
            if record.cause is FailureCause.UNKNOWN:
                kind = Kind(record.cause, _label(record, labels))
            self._of[id(record)] = kind
            members[kind].append(record)
        ranked = sorted(members, key=lambda kind: (-len(members[kind]), kind.label))
        self.members: dict[Kind, Sequence[TrialRecord]] = {kind: members[kind] for kind in ranked}
        # A record is known by its identity, so that it must not go before this does.
        self._kept = failing

    @property
    def order(self) -> tuple[Kind, ...]:
        """All kinds, the most frequent first."""
        return tuple(self.members)

    def of(self, record: TrialRecord) -> Kind | None:
        """Return the kind of a trial; None where it did not fail."""
        return self._of.get(id(record)) or Kind.plain(record)


def spoken(name: str) -> str:
    """Return a cause or symptom as people say it."""
    return str(name).replace("_", " ")


def signature(error: str | None) -> str:
    """Return an error without its numbers and addresses, which differ from trial to trial."""
    return "" if error is None else _VARYING.sub("…", error)


def _label(record: TrialRecord, labels: dict[str, str]) -> str:
    if record.error:
        return labels.get(signature(record.error), _OTHERS)
    if record.symptom:
        return f"{spoken(record.symptom)}, cause unknown"
    return spoken(FailureCause.UNKNOWN)


def _labels_of_messages(failing: Iterable[TrialRecord]) -> dict[str, str]:
    """Return a label for each signature of the errors of trials of unknown cause."""
    errors: dict[str, list[str]] = defaultdict(list)
    for record in failing:
        if record.cause is FailureCause.UNKNOWN and record.error:
            errors[signature(record.error)].append(record.error)
    frequent = sorted(errors, key=lambda sign: -len(errors[sign]))[:_MOST_MESSAGES]
    labels = {}
    for sign in frequent:
        text = errors[sign][0] if len(set(errors[sign])) == 1 else sign
        told = _BARE.sub("", text).strip().rstrip(".") or text
        labels[sign] = one_line(told, _MOST_LETTERS)
    return labels
