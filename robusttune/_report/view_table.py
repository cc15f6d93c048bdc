"""The table of all trials, as plain data: its columns, and its rows, what matters most first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from robusttune._records import TrialRecord, plain
from robusttune._report.kinds import Kind
from robusttune._report.search_data import has_ended, has_failed, objective_of, state_of
from robusttune._report.svg import number, shortened

if TYPE_CHECKING:
    from robusttune._report.contents import Contents

# A page has every trial that failed, and of the others as many as make this many rows.
_MOST_ROWS = 2000
_MOST_PARAMETERS = 12
_MOST_CELL, _MOST_ERROR = 60, 160
_BEST = 20
_STATES = {"unstable": "completed but unstable"}
_TYPES = {"error": "long", "cause": "cause"}
_LATER = (
    ("epoch", "epoch"),
    ("step", "step"),
    ("confidence", "confidence"),
    ("skill", "skill"),
    ("seconds", "seconds"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        name: In the frame of trials.
        label: Its heading.
        kind: "n" for numbers, "long" for long texts, "cause" for the cause, else "".
    """

    name: str
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Row:
    """One trial.

    Args:
        key: Its name within the page.
        state: How it went.
        kind: Its kind of failure; None where it did not fail.
        rank: 1 for the best trial to 20; None for others.
        cells: A text for each column.
    """

    key: str
    state: str
    kind: Kind | None
    rank: int | None
    cells: list[str]


@dataclass(frozen=True, slots=True)
class TrialTable:
    """The table.

    Args:
        columns: Its columns.
        rows: Its rows: the best trial, then those that failed or were unstable, then the others.
        note: What is in it and what is not.
        has_ids: Whether trials go by their ids, which are not their numbers.
    """

    columns: list[Column]
    rows: list[Row]
    note: str
    has_ids: bool


def table_of(report: Contents, keys: Mapping[int, str]) -> TrialTable:
    """Return the table of all trials of a report."""
    frame = report.trials
    ranks = _ranks(report)
    order = _order(report.records, report.best)
    has_ids = any(r.trial_id.lstrip("0") != str(r.number or "") for r in report.records)
    columns, params_left = _columns(report, frame, has_ids)
    values = rows_of(frame[[column.name for column in columns]])
    rows = []
    for place in order[:_MOST_ROWS]:
        record = report.records[place]
        cells = [
            _text(column, value, record)
            for column, value in zip(columns, values[place], strict=True)
        ]
        kind = report.kinds.of(record)
        rows.append(Row(keys[id(record)], state_of(record), kind, ranks.get(id(record)), cells))
    return TrialTable(columns, rows, _note(report, len(rows), params_left), has_ids)


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the rows of a frame as Python values, None where missing."""
    columns = [frame[name].astype(object).where(frame[name].notna(), None) for name in frame]
    return list(zip(*columns, strict=True))


def shown_cell(value: Any) -> str:
    """Return a value as people read it; "" for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value, 3)
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return shortened(text, _MOST_CELL)


def _text(column: Column, value: Any, record: TrialRecord) -> str:
    if column.name == "status":
        state = state_of(record)
        if state == "unstable" and record.status != "completed":
            return f"{record.status}, unstable"
        return _STATES.get(state, state)
    if column.name == "value" and objective_of(record) is None:
        return ""
    if column.name == "error":
        return shortened(value or "", _MOST_ERROR)
    return shown_cell(value)


def _ranks(report: Contents) -> dict[int, int]:
    """Return the ranks of the best trials, by the `id` of their records."""
    sign = -1.0 if report.search.direction == "max" else 1.0
    scored = [r for r in report.records if r.value is not None and r.status == "completed"]
    if report.best is None:
        return {}
    scored.sort(key=lambda record: sign * (record.value or 0.0))
    return {id(record): rank for rank, record in enumerate(scored[:_BEST], start=1)}


def _order(records: Sequence[TrialRecord], best: TrialRecord | None) -> list[int]:
    """Return the places of all records: the best, the failing, the running, then the others.

    Of the others, where not all have room, a regular sample comes first.
    """

    def weight(place: int) -> int:
        record = records[place]
        if record is best:
            return 0
        return 1 if has_failed(record) else 2 if not has_ended(record) else 3

    order = sorted(range(len(records)), key=weight)
    certain = sum(weight(place) < 3 for place in order)
    calm, room = order[certain:], max(_MOST_ROWS - certain, 0)
    if len(calm) > room > 0:
        every = -(-len(calm) // room)
        calm = calm[::every] + [place for index, place in enumerate(calm) if index % every]
        calm = sorted(calm[:room]) + calm[room:]
    return order[:certain] + calm


def _columns(report: Contents, frame: pd.DataFrame, has_ids: bool) -> tuple[list[Column], int]:
    """Return the columns that hold anything, and how many hyperparameters have no room."""
    objective = report.search.objective or "objective"
    first = ("trial_id" if has_ids else "number", "trial")
    wanted = [first, ("status", "status"), ("cause", "cause"), ("error", "error")]
    wanted += [("value", objective)]
    params = [name for name in frame.columns if name.startswith("params_")]
    wanted += [(name, name.removeprefix("params_")) for name in params[:_MOST_PARAMETERS]]
    wanted += _LATER
    columns = []
    for name, label in wanted:
        if name not in frame.columns or not (
            frame[name].notna().any() or name.startswith("params_")
        ):
            continue
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        numeric = numeric and not pd.api.types.is_bool_dtype(frame[name])
        columns.append(Column(name, label, _TYPES.get(name, "n" if numeric else "")))
    return columns, max(len(params) - _MOST_PARAMETERS, 0)


def _note(report: Contents, rows: int, params_left: int) -> str:
    parts = []
    if report.best is not None:
        parts.append("the best trial")
    if any(map(has_failed, report.records)):
        parts.append("those that failed or were unstable")
    parts.append("the others in their order")
    note = f"First {', then '.join(parts)}." if len(parts) > 1 else ""
    trials = len(report.records)
    if rows < trials:
        failing = sum(map(has_failed, report.records))
        whole = "" if failing > rows else ", with every one that failed"
        note += f" {rows:,} of {trials:,} trials{whole}; trials.csv has all."
    if params_left:
        shown = _MOST_PARAMETERS
        note += f" {shown} of {shown + params_left} hyperparameters; trials.csv has all."
    return note.strip()
