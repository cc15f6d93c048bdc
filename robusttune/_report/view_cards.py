"""Failing trials up close, as plain data: one card for each cause or message."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robusttune._records import TrialRecord
from robusttune._report.close_charts import change_of, replays_of
from robusttune._report.kinds import Kind, Kinds, signature, spoken
from robusttune._report.svg import shortened
from robusttune._report.view_table import shown_cell

# Cards that are open at first, and cards at all; trials beside the one of a card.
_MOST_OPEN, _MOST_CARDS, _MOST_OTHERS = 4, 16, 6
_MOST_REPLAYS, _MOST_COMPARED = 12, 5
_MOST_TEXT = 400


@dataclass(frozen=True, slots=True)
class Card:
    """One failing trial, and those that failed like it.

    Args:
        record: The trial that tells most.
        key: Its name within the page.
        kind: Its kind of failure.
        facts: Names and values.
        replays: What each replay did, with how it ended.
        columns: Headings of the comparison with others of its kind.
        others: Key and cells of each trial in that, the card's own first.
        left: How many more there are.
        alike: Keys of all trials that the card stands for.
    """

    record: TrialRecord
    key: str
    kind: Kind
    facts: list[tuple[str, str]]
    replays: list[str]
    columns: list[str]
    others: list[tuple[str, list[str]]]
    left: int
    alike: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cards:
    """The cards of a page.

    Args:
        open: Those that are open at first.
        folded: The others.
        note: How many trials there are beside.
    """

    open: list[Card] = field(default_factory=list)
    folded: list[Card] = field(default_factory=list)
    note: str = ""

    def of_trials(self) -> dict[str, str]:
        """Return the key of the card that stands for each failing trial."""
        return {key: card.key for card in [*self.open, *self.folded] for key in card.alike}


def cards_of(records: Sequence[TrialRecord], kinds: Kinds, keys: Mapping[int, str]) -> Cards:
    """Return one card for each cause and message, those of most trials first.

    Args:
        records: All trials.
        kinds: Their kinds of failure.
        keys: The name of each trial within the page, by the `id` of its record.
    """
    groups: dict[tuple[Kind, str], list[TrialRecord]] = defaultdict(list)
    for record in records:
        kind = kinds.of(record)
        if kind is not None and kind.cause is not None:
            groups[kind, signature(record.error)].append(record)
    ranked = sorted(groups, key=lambda group: -len(groups[group]))
    cards = [_card(group[0], groups[group], keys) for group in ranked[:_MOST_CARDS]]
    left = sum(len(groups[group]) for group in ranked[_MOST_CARDS:])
    note = f"{left} trials of {len(ranked) - _MOST_CARDS} rarer messages have none." if left else ""
    return Cards(cards[:_MOST_OPEN], cards[_MOST_OPEN:], note)


def _card(kind: Kind, alike: Sequence[TrialRecord], keys: Mapping[int, str]) -> Card:
    telling = sorted(
        alike,
        key=lambda record: (
            "replays" not in record.evidence,
            "losses" not in record.evidence,
            -(record.confidence or 0.0),
        ),
    )
    record = telling[0]
    compared = telling[: _MOST_OTHERS + 1] if len(alike) > 1 else []
    columns, rows = _comparison(compared)
    return Card(
        record=record,
        key=keys[id(record)],
        kind=kind,
        facts=_facts(record),
        replays=[_replay(replay) for replay in replays_of(record.evidence)[:_MOST_REPLAYS]],
        columns=columns,
        others=[(keys[id(r)], row) for r, row in zip(compared, rows, strict=True)],
        left=len(alike) - len(compared) if compared else 0,
        alike=frozenset(keys[id(other)] for other in alike),
    )


def _facts(record: TrialRecord) -> list[tuple[str, str]]:
    sure = f"{record.confidence:.0%} sure" if record.confidence else ""
    step = "" if record.step is None else f"step {record.step}"
    epoch = "" if record.epoch is None else f"epoch {record.epoch}"
    params = ", ".join(f"{n} = {shown_cell(v) or repr(v)}" for n, v in record.params.items())
    happened = ", ".join(filter(None, (spoken(record.symptom or ""), epoch, step, sure)))
    skill = getattr(record, "skill", None)
    facts = [
        ("What happened", happened),
        ("Also possible", ", ".join(map(spoken, record.other_causes))),
        ("Error", shortened(record.error or "", _MOST_TEXT)),
        ("Skill", "" if skill is None else shown_cell(skill)),
        ("Hyperparameters", shortened(params, _MOST_TEXT)),
        ("What to do", record.advice or ""),
    ]
    return [(name, value) for name, value in facts if value]


def _comparison(records: Sequence[TrialRecord]) -> tuple[list[str], list[list[str]]]:
    """Return what differs among some trials, hyperparameters last: headings, and cells of each."""
    columns: dict[str, list[str]] = {
        "symptom": [spoken(record.symptom or "") for record in records],
        "epoch": [shown_cell(record.epoch) for record in records],
        "step": [shown_cell(record.step) for record in records],
    }
    names = dict.fromkeys(name for record in records for name in record.params)
    for name in names:
        columns[name] = [shown_cell(record.params.get(name)) for record in records]
    differing = {name: cells for name, cells in columns.items() if len(set(cells)) > 1}
    kept = list(differing)[:_MOST_COMPARED]
    return kept, [[differing[name][row] for name in kept] for row in range(len(records))]


def _replay(replay: Mapping[str, Any]) -> str:
    cured = replay.get("cured")
    outcome = "cured" if cured is True else "not cured" if cured is False else "not clear"
    return f"{shortened(change_of(replay), 80)}: {outcome}"
