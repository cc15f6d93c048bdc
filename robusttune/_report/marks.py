"""Marks and colours of a report's charts: the same on its page and in plotly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robusttune._causes import FailureCause
from robusttune._records import TrialRecord
from robusttune._regions import Axis, Condition
from robusttune._regions.axes import is_number
from robusttune._report.kinds import Kind, Kinds, spoken
from robusttune._report.search_data import has_ended, objective_of
from robusttune._report.svg import fitted, number

# Colours that colour-blind people can tell apart; a shape goes with each cause's, for print.
LIGHT = {
    "paper": "#ffffff",
    "panel": "#f6f7f9",
    "ink": "#1b1f24",
    "soft": "#57606a",
    "rule": "#d5dae0",
    "healthy": "#7d9db8",
    "running": "#57606a",
    "pruned": "#57606a",
    "best": "#8a6500",
    "bar": "#5b7f9e",
    "region": "rgba(213, 94, 0, 0.13)",
    "edge": "rgba(213, 94, 0, 0.55)",
    "shadow": "rgba(0, 0, 0, 0.2)",
    "accent": "#0b62a3",
    "good": "#00765a",
    "k0": "#c44e00",
    "k1": "#6a3fa0",
    "k2": "#00765a",
    "k3": "#b0338a",
    "k4": "#8a6500",
    "k5": "#444c56",
}
DARK = {
    "paper": "#12161b",
    "panel": "#1b2027",
    "ink": "#e8ebef",
    "soft": "#a3adb8",
    "rule": "#353d47",
    "healthy": "#7ba4c6",
    "running": "#a3adb8",
    "pruned": "#a3adb8",
    "best": "#e0b93c",
    "bar": "#6f9cc2",
    "region": "rgba(255, 140, 60, 0.16)",
    "edge": "rgba(255, 150, 80, 0.6)",
    "shadow": "rgba(0, 0, 0, 0.6)",
    "accent": "#6cb6f5",
    "good": "#3fc59b",
    "k0": "#ff8c3c",
    "k1": "#b48cf0",
    "k2": "#3fc59b",
    "k3": "#f07ac8",
    "k4": "#e0b93c",
    "k5": "#b9c2cc",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """How a trial is drawn.

    Args:
        kind: The name of its colour, and its class in the style sheet.
        outline: Its shape around the origin, as an SVG path; "" is a dot.
        symbol: Its shape, as plotly calls it.
    """

    kind: str
    outline: str
    symbol: str

    @property
    def colour(self) -> str:
        """Its colour on white paper."""
        return LIGHT[self.kind]


HEALTHY = Mark("healthy", "", "circle")
PRUNED = Mark("pruned", "m-3.5 0h7", "line-ew-open")
RUNNING = Mark("running", "m3 0a3 3 0 1 1-6 0a3 3 0 1 1 6 0", "circle-open")
BEST = Mark("best", "m0-7l2 4.6 5 .5-3.8 3.3 1.1 4.9-4.3-2.6-4.3 2.6 1.1-4.9-3.8-3.3 5-.5z", "star")
# The most frequent causes get their own, all others and trials of no cause the last.
OF_CAUSES = (
    Mark("k0", "m-3.5-3.5l7 7m0-7l-7 7", "x"),
    Mark("k1", "m0-4.5l4.2 7.5h-8.4z", "triangle-up"),
    Mark("k2", "m-3.3-3.3h6.6v6.6h-6.6z", "square"),
    Mark("k3", "m0-4.6l4.6 4.6-4.6 4.6-4.6-4.6z", "diamond"),
    Mark("k4", "m0-4.5v9m-4.5-4.5h9", "cross"),
    Mark("k5", "m0 4.5l4.2-7.5h-8.4z", "triangle-down"),
)


@dataclass(frozen=True)
class Marks:
    """Which mark stands for which kind of failure, the most frequent one first.

    Args:
        order: The kinds.
        kinds: Tells the kind of a trial; None: its cause is its kind.
    """

    order: tuple[Kind, ...]
    kinds: Kinds | None = None

    @classmethod
    def ranked(cls, causes: Iterable[str]) -> Marks:
        """Return the marks of causes in the order of their frequency."""
        return cls(tuple(Kind(FailureCause(cause), spoken(cause)) for cause in causes))

    @classmethod
    def of_kinds(cls, kinds: Kinds) -> Marks:
        """Return the marks of the kinds of failure of a search."""
        return cls(kinds.order, kinds)

    def kind_of(self, record: TrialRecord) -> Kind | None:
        """Return the kind of failure of a trial; None where it did not fail."""
        return Kind.plain(record) if self.kinds is None else self.kinds.of(record)

    def of(self, failure: Kind | FailureCause | None) -> Mark:
        """Return the mark of a kind, or of the first kind of a cause; None has the last of them."""
        last = len(OF_CAUSES) - 1
        for index, kind in enumerate(self.order[:last]):
            if failure in (kind, kind.cause) and failure is not None:
                return OF_CAUSES[index]
        return OF_CAUSES[last]

    def of_trial(self, record: TrialRecord) -> Mark:
        """Return the mark of a failing trial."""
        return self.of(self.kind_of(record))

    def legend(self) -> list[tuple[Mark, str]]:
        """Return each mark with the kinds that it stands for."""
        own = len(OF_CAUSES) - 1
        entries = [(self.of(kind), kind.label) for kind in self.order[:own]]
        others = self.order[own:]
        if others:
            entries.append((self.of(others[0]), ", ".join(kind.label for kind in others)))
        return entries


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that are drawn alike.

    Args:
        name: What a legend calls them.
        mark: How they are drawn.
        records: The trials, in their order.
    """

    name: str
    mark: Mark
    records: list[TrialRecord]


def groups_of(records: Iterable[TrialRecord], marks: Marks) -> list[Group]:
    """Return the trials in groups, those to be drawn below the others first.

    Healthy trials come first, then pruned and running ones, then the failing ones by their kinds.
    """
    healthy = Group("healthy", HEALTHY, [])
    pruned, running = Group("pruned", PRUNED, []), Group("running", RUNNING, [])
    failing = {kind: Group(kind.label, marks.of(kind), []) for kind in marks.order}
    for record in records:
        kind = marks.kind_of(record)
        if kind is not None:
            new = Group(kind.label, marks.of(kind), [])
            failing.setdefault(kind, new).records.append(record)
        elif not has_ended(record):
            running.records.append(record)
        else:
            (pruned if record.status == "pruned" else healthy).records.append(record)
    groups = (healthy, pruned, running, *failing.values())
    return [group for group in groups if group.records]


def is_wide(values: Sequence[float], factor: float) -> bool:
    """Whether a scale of these values is logarithmic: all are positive, and far apart."""
    return bool(values) and min(values) > 0 and max(values) > factor * min(values)


# Objectives whose largest is this many times the smallest are drawn on a logarithmic scale.
_WIDE = 30.0


def objectives_are_wide(records: Iterable[TrialRecord]) -> bool:
    """Whether the objectives of a search are drawn on a logarithmic scale."""
    return is_wide([v for record in records if (v := objective_of(record)) is not None], _WIDE)


def plane_of(
    conditions: Iterable[Condition], records: Sequence[TrialRecord], axes: Mapping[str, Axis]
) -> list[str]:
    """Return the two hyperparameters to draw trials over, or as many as there are.

    Those of the conditions come first, of products before all, then numbers that all trials have.
    """
    ordered = sorted(conditions, key=lambda condition: -len(condition.factors))
    ruled = list(dict.fromkeys(name for c in ordered for name, _ in c.factors))

    def key(name: str) -> tuple[bool, int]:
        missing = sum(not axes[name].active_in(record.params) for record in records)
        return axes[name].kind == "choice", missing

    further = sorted((name for name in axes if name not in ruled), key=key)
    return (ruled + further)[:2]


def in_plane(
    conditions: Iterable[Condition], names: Sequence[str]
) -> tuple[list[Condition], list[Condition]]:
    """Return the conditions that show in the plane of some hyperparameters, and the others."""
    drawn: list[Condition] = []
    others: list[Condition] = []
    for condition in conditions:
        shows = all(name in names for name, _ in condition.factors)
        (drawn if shows else others).append(condition)
    return drawn, others


def slanted_area(
    condition: Condition, x: Sequence[float], y: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return the corners of the area in which a product of two hyperparameters satisfies a rule.

    Args:
        condition: With the hyperparameter along `x` as its first factor.
        x: Values along the first axis, in order.
        y: Both ends of the second axis.

    Returns:
        (x, y) of each corner, all within the axes; [] where there is no such area.
    """
    exponent = condition.factors[1][1]
    below, above = [], []
    for value in x:
        ends = []
        for end, otherwise in ((condition.low, 0.0), (condition.high, math.inf)):
            bound = otherwise if end is None else end
            over, under = (bound, value) if exponent > 0 else (value, bound)
            ends.append(over / under if under else math.inf)
        low, high = sorted(ends)
        if low >= y[1] or high <= y[0]:
            continue
        below.append((value, min(max(low, y[0]), y[1])))
        above.append((value, min(max(high, y[0]), y[1])))
    return [*below, *reversed(above)]


def marginals_of(
    rows: Iterable[Mapping[Any, Any]], baseline: float
) -> dict[str, list[Mapping[Any, Any]]]:
    """Return the bins of each hyperparameter, those that matter most first.

    Args:
        rows: Of Report.marginals.
        baseline: Failure rate of the whole search, 0..1.
    """
    groups: dict[str, list[Mapping[Any, Any]]] = {}
    for row in rows:
        groups.setdefault(row["parameter"], []).append(row)
    order = sorted(groups, key=lambda name: -_distance(groups[name], baseline))
    return {name: groups[name] for name in order}


def bin_labels(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Return labels and where they are, in bins: at the edges of ranges, under single values.

    Args:
        rows: The bins of one hyperparameter, of Report.marginals.
    """
    count = len(rows)
    first, last = rows[0]["low"], rows[-1]["high"]
    if is_number(first) and first != rows[0]["high"]:
        edges = [*(row["low"] for row in rows), last]
        every = math.ceil(count / 4)
        return [(index, number(edges[index], 2)) for index in range(0, count + 1, every)]
    every = math.ceil(count / 6)
    room = max(4, int(42 / count) * every)
    names = [number(r["low"], 3) if is_number(r["low"]) else str(r["bin"]) for r in rows]
    return [(i + 0.5, fitted(names[i], room)) for i in range(0, count, every)]


def _distance(rows: Sequence[Mapping[Any, Any]], baseline: float) -> float:
    """Return how far the rates of some bins are from the whole search's, in standard errors."""
    spread = math.sqrt(max(baseline * (1 - baseline), 1e-9))
    errors = [abs(r["failure_rate"] - baseline) * math.sqrt(r["trials"]) / spread for r in rows]
    return float(sum(errors)) / len(errors)
