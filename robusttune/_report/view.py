"""View: what the page of a report shows, as plain data; `html` turns it into a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from robusttune._records import TrialRecord
from robusttune._report.charts import MOST_IN_SLICE
from robusttune._report.close_charts import numbers_of
from robusttune._report.importance import Importance
from robusttune._report.kinds import Kind
from robusttune._report.marks import marginals_of
from robusttune._report.priorities import Priority
from robusttune._report.search_data import has_failed, objective_of, state_of
from robusttune._report.sources import hosts
from robusttune._report.svg import number
from robusttune._report.view_cards import Cards, cards_of
from robusttune._report.view_regions import RegionView, note_of, regions_of
from robusttune._report.view_table import TrialTable, rows_of, shown_cell, table_of
from robusttune._report.words import (
    below_constant,
    clipping_note,
    counted,
    duration,
    values_note,
    verdict,
)

if TYPE_CHECKING:
    from robusttune._report.contents import Contents

# What a page shows at most; the tables have all of it.
MOST_PARAMETERS = 12
_MOST_SLICES = 6
_MOST_OPEN_ADJUSTMENTS = 8


@dataclass(frozen=True, slots=True)
class BestView:
    """The best trial, for people.

    Args:
        key: Its name within the page.
        trial: What the table calls it.
        value: Its objective.
        objective: The name of the objective.
        direction: "least" or "most".
        params: Its hyperparameters.
        went_wrong: Its kind of failure, where it was unstable later on; else "".
    """

    key: str
    trial: str
    value: str
    objective: str
    direction: str
    params: list[tuple[str, str]]
    went_wrong: str


@dataclass(frozen=True, slots=True)
class KindView:
    """One row of the table of causes.

    Args:
        kind: The kind of failure.
        trials: How many.
        share: Of all that failed.
        lost: Time lost; "" for none.
        where: The rule of where most of them are; "" where that is not known.
        those: How many of them are there.
        advice: What to do.
    """

    kind: Kind
    trials: int
    share: str
    lost: str
    where: str
    those: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a page shows.

    Args:
        name: Of the search.
        count: How many trials, in words.
        embedded: Whether it is a part of another page.
        headline: How many trials failed, in one sentence.
        verdict: What happened, and what to do.
        priorities: What to fix, the most important first.
        facts: Names and values of the tiles.
        notes: What else has to be known of the trials, a sentence each.
        about: Where the search comes from, one line each.
        next_step: What to do where there are no trials yet: a sentence and a line of code.
        best: The best trial; None where there is none.
        keys: The name of each trial within the page, by the `id` of its record.
        regions: Where trials fail.
        region_note: Why there are no regions; "" where there are.
        kinds: Why trials fail.
        has_scale: Whether any trial has an objective.
        failing: How much each hyperparameter explains of failing.
        objective: What it explains of the objective.
        slices: Hyperparameters that get a picture each, of the objective over them.
        sampled_slices: Whether those pictures have a sample of the trials only.
        marginals: Bins of each hyperparameter with their failure rates.
        marginals_left: How many hyperparameters have no picture of that.
        baseline: The failure rate of the whole search.
        cards: Failing trials up close.
        adjustments: What the sanitizer changed: columns and rows; None: nothing.
        table: All trials; None where there are none.
        problems: What could not be read.
    """

    name: str
    count: str
    embedded: bool
    headline: str
    verdict: tuple[str, str]
    priorities: list[Priority]
    facts: list[tuple[str, str]]
    notes: list[str]
    about: list[tuple[str, str]]
    next_step: tuple[str, str] | None
    best: BestView | None
    keys: dict[int, str]
    regions: list[RegionView]
    region_note: str
    kinds: list[KindView]
    has_scale: bool
    failing: dict[str, Importance]
    objective: dict[str, float]
    slices: list[str]
    sampled_slices: bool
    marginals: list[list[Any]]
    marginals_left: int
    baseline: float
    cards: Cards
    adjustments: dict[str, Any] | None
    table: TrialTable | None
    problems: Sequence[str] = field(default=())

    @property
    def drawn(self) -> bool:
        """Whether any card has a picture."""
        cards = [*self.cards.open, *self.cards.folded]
        return any(numbers_of(card.record.evidence.get("losses")) or card.replays for card in cards)

    @property
    def sections(self) -> list[tuple[str, str]]:
        """The anchors and headings of the sections that there are."""
        sections = [
            ("best", "Best result", self.best),
            ("where", "Where trials fail", self.regions or self.region_note),
            ("why", "Why trials fail", self.kinds),
            ("search", "The search", self.keys),
            ("decide", "Which hyperparameters decide", self.failing or self.objective),
            ("rates", "Failure rate by hyperparameter", self.marginals),
            ("close", "Failing trials up close", self.cards.open),
            ("adjusted", "What was adjusted in the search space", self.adjustments),
            ("all", "All trials", self.table),
            ("unread", "What could not be read", self.problems),
        ]
        return [(anchor, title) for anchor, title, there in sections if there]


def view_of(report: Contents, *, embedded: bool = False) -> View:
    """Return what the page of a report shows."""
    records = report.records
    keys = _keys(records)
    failing = {} if embedded else report.importance
    objective = {} if embedded else report.objective_importance
    baseline = report.failure_rate
    groups = marginals_of(report.marginals.to_dict("records"), baseline)
    rated = [rows for rows in groups.values() if len(rows) > 1 and baseline not in (0, 1)]
    ranked = list(dict.fromkeys([*failing, *objective]))
    return View(
        name=report.name,
        count=counted(len(records)),
        embedded=embedded,
        headline=verdict(records, [])[0],
        verdict=report.verdict_sentences,
        priorities=report.priorities,
        facts=_facts(records),
        notes=list(
            filter(None, (note(records) for note in (below_constant, values_note, clipping_note)))
        ),
        about=_about(report),
        next_step=None if records else _next_step(report.host),
        best=_best(report, keys),
        keys=keys,
        regions=regions_of(report),
        region_note=note_of(report),
        kinds=_kinds(report),
        has_scale=any(objective_of(record) is not None for record in records),
        failing=failing,
        objective=objective,
        slices=ranked[:_MOST_SLICES] if report.best is not None else [],
        sampled_slices=len(records) > MOST_IN_SLICE,
        marginals=rated[:MOST_PARAMETERS],
        marginals_left=max(len(rated) - MOST_PARAMETERS, 0),
        baseline=baseline,
        cards=Cards() if embedded else cards_of(records, report.kinds, keys),
        adjustments=_adjustments(report),
        table=None if embedded or not records else table_of(report, keys),
        problems=report.problems,
    )


def _keys(records: Sequence[TrialRecord]) -> dict[int, str]:
    """Return a name for each trial: its number, or its place where numbers are not distinct."""
    numbers = {record.number for record in records}
    distinct = len(numbers) == len(records) and None not in numbers
    return {id(r): str(r.number if distinct else place) for place, r in enumerate(records)}


def _facts(records: Sequence[TrialRecord]) -> list[tuple[str, str]]:
    states = [state_of(record) for record in records]
    lost = sum(record.seconds or 0.0 for record in records if has_failed(record))
    saved = sum(record.seconds_saved or 0.0 for record in records)
    facts = [("trials", f"{len(records):,}"), ("failed", f"{states.count('failed'):,}")]
    named = {"unstable": "completed but unstable"}
    for state in ("unstable", "healthy", "pruned", "running"):
        count = states.count(state)
        facts += [(named.get(state, state), f"{count:,}")] * bool(count)
    facts += [("lost to failures", duration(lost))] * bool(lost)
    facts += [("saved by stopping early", duration(saved))] * bool(saved)
    return facts


def _about(report: Contents) -> list[tuple[str, str]]:
    search = report.search
    known = hosts()
    total = sum(record.seconds or 0.0 for record in report.records)
    span = None
    if search.began and search.ended:
        span = (search.ended - search.began).total_seconds()
    way = search.direction or ""
    objective = f"{search.objective} ({way})" if search.objective and way else way
    told = [
        ("host", known[search.host].title if search.host in known else search.host or ""),
        ("sampler" if search.host == "optuna" else "tuner", search.sampler or ""),
        ("objective" if search.objective else "direction", objective),
        ("began", _moment(search.began)),
        ("last trial ended", _moment(search.ended)),
        ("took", duration(span) if span else ""),
        ("time in trials", duration(total) if total else ""),
        ("stored in", search.storage or ""),
    ]
    return [(name, value) for name, value in told if value]


def _moment(when: datetime | None) -> str:
    return "" if when is None else f"{when:%Y-%m-%d %H:%M}"


def _next_step(host: str | None) -> tuple[str, str]:
    known = hosts()
    line = known[host].start if host in known else ""
    return "Run the search, and make the report again; it can be made while the search runs.", line


def _best(report: Contents, keys: dict[int, str]) -> BestView | None:
    best, search = report.best, report.search
    if best is None or best.value is None:
        return None
    kind = report.kinds.of(best)
    return BestView(
        key=keys[id(best)],
        trial=best.trial_id,
        value=number(best.value),
        objective=search.objective or "objective",
        direction="least" if search.direction == "min" else "most",
        params=[(name, shown_cell(value) or repr(value)) for name, value in best.params.items()],
        went_wrong=kind.label if kind else "",
    )


def _kinds(report: Contents) -> list[KindView]:
    failing = sum(map(len, report.kinds.members.values()))
    views = []
    for kind, members in report.kinds.members.items():
        region = report.cause_regions.get(kind.cause) if kind.cause else None
        there = sum(region.contains(record.params) for record in members) if region else 0
        lost = sum(record.seconds or 0.0 for record in members)
        located = region is not None and 2 * there >= len(members)
        views.append(
            KindView(
                kind=kind,
                trials=len(members),
                share=f"{len(members) / failing:.0%}",
                lost=duration(lost) if lost else "",
                where=region.rule if region is not None and located else "",
                those=f"{there} of {region.trials} trials there" if region and located else "",
                advice=report.advice_of(kind),
            )
        )
    return views


def _adjustments(report: Contents) -> dict[str, Any] | None:
    frame = report.adjustments
    if not len(frame):
        return None
    rows = [["" if value is None else str(value) for value in row] for row in rows_of(frame)]
    folded = len(rows) > _MOST_OPEN_ADJUSTMENTS
    return {"columns": list(frame.columns), "rows": rows, "folded": folded}
