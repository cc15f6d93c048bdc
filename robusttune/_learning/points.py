"""Hyperparameters as points, and what makes some of them inactive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._learning.outcomes import Outcome
from robusttune._regions.axes import Axis

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Hyperparameters as columns: 0..1 on the axis' own scale, or the number of a choice.

    NaN stands for one that is inactive, inf for one whose value is not known: a trial failed before
    it asked for it, or a proposal does not have it yet.

    Args:
        axes: The hyperparameters to look along.
        lows: Smallest value of each on its scale.
        spans: Distance to the largest.
        codes: Numbers of the values of each choice, by their repr.
        always: Whether all trials that did not fail have it, shape (axes,).
        parents: For what only some have, the column that decides, and the values of that column
            for which it is active and for which it is not.
    """

    axes: tuple[Axis, ...]
    lows: tuple[float, ...]
    spans: tuple[float, ...]
    codes: tuple[dict[str, float], ...]
    always: Bools
    parents: Mapping[int, tuple[int, Mapping[float, bool]]]

    @classmethod
    def of(cls, axes: Sequence[Axis], outcomes: Sequence[Outcome]) -> Points:
        """Return the columns of axes, as wide as they are declared or were tried."""
        lows, spans, codes = [], [], []
        for axis in axes:
            values = [o.params[axis.name] for o in outcomes if axis.name in o.params]
            if axis.kind == "choice":
                known = dict.fromkeys(repr(value) for value in (*axis.choices, *values))
                codes.append({name: float(code) for code, name in enumerate(known)})
                lows.append(0.0)
                spans.append(1.0)
            else:
                declared = [bound for bound in (axis.low, axis.high) if bound is not None]
                declared += axis.choices
                ends = axis.scale(np.array([*map(_number, values), *declared], dtype=float))
                ends = ends[np.isfinite(ends)]
                low, high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 1.0)
                codes.append({})
                lows.append(low)
                spans.append(high - low or 1.0)
        bare = cls(
            tuple(axes),
            tuple(lows),
            tuple(spans),
            tuple(codes),
            np.zeros(len(axes), dtype=bool),
            {},
        )
        points = bare._encode([outcome.params for outcome in outcomes])
        sound = np.array([not outcome.failed for outcome in outcomes], dtype=bool)
        always = ~np.isnan(points[sound]).any(axis=0) & bool(sound.any())
        parents = _parents(points, sound, always)
        return cls(bare.axes, bare.lows, bare.spans, bare.codes, always, parents)

    @property
    def nominal(self) -> Bools:
        """Which axes are choices without an order, shape (axes,)."""
        return np.array([axis.kind == "choice" for axis in self.axes], dtype=bool)

    def encode(self, params: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the points, shape (len(params), axes)."""
        points = self._encode(params)
        points[np.isnan(points) & self.always] = np.inf
        for column, (parent, active) in self.parents.items():
            for row in np.flatnonzero(np.isnan(points[:, column])):
                if active.get(float(points[row, parent]), False):
                    points[row, column] = np.inf
        return points

    def _encode(self, params: Sequence[Mapping[str, Any]]) -> Floats:
        points = np.full((len(params), len(self.axes)), np.nan)
        for column, axis in enumerate(self.axes):
            if axis.kind == "choice":
                codes = self.codes[column]
                for row, values in enumerate(params):
                    if axis.name in values:
                        points[row, column] = codes.get(repr(values[axis.name]), -1.0)
            else:
                raw = np.array([_number(values.get(axis.name)) for values in params], dtype=float)
                points[:, column] = (axis.scale(raw) - self.lows[column]) / self.spans[column]
        return points


def filled(points: Floats) -> Floats:
    """Return the points with values of other points for what is not known.

    Their mean would tell the points apart for which it is not known; these do not.

    Args:
        points: Shape (n, axes); NaN is inactive, inf not known.
    """
    unknown = np.isinf(points)
    if not unknown.any():
        return points
    rng = np.random.default_rng(0)
    result = points.copy()
    for column in np.flatnonzero(unknown.any(axis=0)):
        known = points[~unknown[:, column], column]
        if len(known):
            result[unknown[:, column], column] = rng.choice(known, int(unknown[:, column].sum()))
    return result


def _parents(
    points: Floats, sound: Bools, always: Bools
) -> dict[int, tuple[int, Mapping[float, bool]]]:
    """Return what decides whether a hyperparameter that only some trials have is active.

    That is one that all sound trials have, and whose value says so in each of them; of several, the
    one with the fewest values. A value that only failed trials have makes active what any of them
    has, since those may have ended before they came to ask for it.
    """
    seen = ~np.isnan(points)
    candidates = sorted(
        (len(np.unique(points[seen[:, column], column])), int(column))
        for column in np.flatnonzero(always)
    )
    parents: dict[int, tuple[int, Mapping[float, bool]]] = {}
    for column in np.flatnonzero(~always & seen.any(axis=0)):
        for values, parent in candidates:
            if values > max(len(points) // 2, 2):
                break  # then each value was seen about once, which says nothing
            active = _active(points[:, parent], seen[:, column], sound)
            if active is not None:
                parents[int(column)] = (parent, active)
                break
    return parents


def _active(parent: Floats, seen: Bools, sound: Bools) -> dict[float, bool] | None:
    """Return for each value of a parent whether a child is active; None where it does not say."""
    active = {}
    for value in np.unique(parent[np.isfinite(parent)]).tolist():
        of_value = parent == value
        known = seen[of_value & sound]
        if len(known) and known.any() != known.all():
            return None
        active[value] = bool(known.all() if len(known) else seen[of_value].any())
    return active


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
