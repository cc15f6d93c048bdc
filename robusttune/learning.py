"""What a search may learn from its failures: which of them the hyperparameters caused, and where.

A sampler that treats every failure as a bad outcome is misled by failures that strike at random;
one that forgets failures proposes the same cliff again. So failures are told apart first: by their
cause where it is known, and by a test of dependence where it is not. What is left is a map: the
outcomes of the nearest trials, measured along the hyperparameters that failing depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune.causes import FailureCause
from robusttune.regions.axes import Axis, axis_of
from robusttune.space.parameters import Parameter

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

# So many of the last failures, and of the last other outcomes, are looked at: a bound on what a
# proposal costs in a long search.
_WINDOW = 300
# Chance that failures which strike at random are taken for dependent ones, for one search of a
# given length. benchmarks/trap.py shows what that costs (control with 10 % random failures).
_ALPHA = 0.02
_PERMUTATIONS = 99
# Fewer failures than this of an undetermined kind show no pattern.
_MIN_FAILURES = 3
# So many nearest trials must have failed, without exception, for a place to be clearly unstable.
_CLEAR = 3
# So many nearest trials are asked whether an undetermined failure lies among failures.
_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one finished trial ended.

    Args:
        params: Hyperparameter values by name; inactive ones are absent.
        failed: Whether the trial has no usable objective.
        cause: Why it failed; None: nothing is known. Ignored where it did not fail.
    """

    params: Mapping[str, Any]
    failed: bool
    cause: FailureCause | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a search learned from its outcomes.

    Args:
        caused: For each outcome, in order, whether it is a failure that its hyperparameters
            caused. Shape (n,).
    """

    caused: Bools
    _space: _Space
    _points: Floats  # the outcomes that count: caused failures and the others, shape (m, axes)
    _failed: Bools  # shape (m,)
    _weights: Floats  # shape (axes,)

    @property
    def taught(self) -> bool:
        """Whether any failure was caused by hyperparameters."""
        return bool(self.caused.any())

    def risk(self, params: Mapping[str, Any]) -> float:
        """Return the share of failures among the nearest trials, 0..1.

        1 where all of the three nearest trials failed, or where exactly these values failed
        before; 0 where fewer failures than that are known.
        """
        if not self.taught:
            return 0.0
        point = self._space.encode([params])[0]
        every = np.ones_like(self._weights)
        same = _distances(point, self._points, every, self._space.nominal) == 0.0
        if np.any(same & self._failed):
            return float(self._failed[same].mean())
        if int(self._failed.sum()) < _CLEAR or len(self._failed) <= _CLEAR:
            return 0.0
        distances = _distances(point, self._points, self._weights, self._space.nominal)
        nearest = np.argpartition(distances, _CLEAR - 1)[:_CLEAR]
        return float(self._failed[nearest].mean())

    def is_unstable(self, params: Mapping[str, Any]) -> bool:
        """Whether most of the nearest trials failed."""
        return self.risk(params) > 0.5


def learn(space: Iterable[Parameter], outcomes: Sequence[Outcome]) -> Lesson:
    """Tell the failures that hyperparameters caused from the others, and map them.

    A failure counts as caused by hyperparameters where its cause says so
    (`FailureCause.depends_on_parameters`). Failures whose cause does not settle it (unknown, out of
    memory, timeout) count where failing of that kind depends on a hyperparameter, by a permutation
    test at the level of 2 %, and where most of the nearest trials failed as well. Only the last 300
    failures and the last 300 other outcomes are looked at.

    Args:
        space: The hyperparameters to look along. Values of others are not looked at.
        outcomes: Finished trials, oldest first.
    """
    kept = recent([outcome.failed for outcome in outcomes])
    looked_at = [outcomes[index] for index in kept]
    columns = _Space.of([axis_of(parameter) for parameter in space], looked_at)
    failed = np.array([outcome.failed for outcome in looked_at], dtype=bool)
    points = _reached(columns.encode([outcome.params for outcome in looked_at]), failed)
    caused = np.array([_settled(outcome) is True for outcome in looked_at], dtype=bool)
    for kind in _undetermined_kinds(looked_at):
        group = np.array([_is_kind(outcome, kind) for outcome in looked_at], dtype=bool)
        caused |= _dependent(points, group, ~failed | group, columns.nominal)
    counts = ~failed | caused
    points, failed = points[counts], caused[counts]
    everywhere = np.zeros(len(outcomes), dtype=bool)
    everywhere[kept] = caused
    weights = _weights(_strengths(points, failed, columns.nominal), len(points))
    return Lesson(everywhere, columns, points, failed, weights)


def recent(failed: Sequence[bool]) -> list[int]:
    """Return the positions of the last 300 failures and of the last 300 others, in order."""
    failures = [index for index, bad in enumerate(failed) if bad]
    others = [index for index, bad in enumerate(failed) if not bad]
    return sorted(failures[-_WINDOW:] + others[-_WINDOW:])


def is_free(number: int, share: float) -> bool:
    """Whether proposal `number` (from 0) is one of the share that no lesson may turn away.

    The free ones are spread evenly, so that a search can be repeated and workers need not agree.
    """
    return int((number + 1) * share) > int(number * share)


def _settled(outcome: Outcome) -> bool | None:
    if not outcome.failed:
        return False
    return None if outcome.cause is None else outcome.cause.depends_on_parameters


def _kind(outcome: Outcome) -> FailureCause:
    return outcome.cause or FailureCause.UNKNOWN


def _is_kind(outcome: Outcome, kind: FailureCause) -> bool:
    return outcome.failed and _kind(outcome) is kind


def _undetermined_kinds(outcomes: Sequence[Outcome]) -> list[FailureCause]:
    return sorted({_kind(outcome) for outcome in outcomes if _settled(outcome) is None})


@dataclass(frozen=True, slots=True, eq=False)
class _Space:
    """Hyperparameters as columns: 0..1 on the axis' own scale, or the number of a choice."""

    axes: tuple[Axis, ...]
    lows: tuple[float, ...]
    spans: tuple[float, ...]
    codes: tuple[dict[str, float], ...]
    nominal: Bools

    @classmethod
    def of(cls, axes: Sequence[Axis], outcomes: Sequence[Outcome]) -> _Space:
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
                ends = axis.scale(np.array([*map(_number, values), *declared], dtype=float))
                ends = ends[np.isfinite(ends)]
                low, high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 1.0)
                codes.append({})
                lows.append(low)
                spans.append(high - low or 1.0)
        nominal = np.array([axis.kind == "choice" for axis in axes], dtype=bool)
        return cls(tuple(axes), tuple(lows), tuple(spans), tuple(codes), nominal)

    def encode(self, params: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the points, shape (len(params), axes); NaN where a hyperparameter is absent."""
        points = np.full((len(params), len(self.axes)), np.nan)
        for column, axis in enumerate(self.axes):
            if axis.kind == "choice":
                for row, values in enumerate(params):
                    if axis.name in values:
                        codes = self.codes[column]
                        points[row, column] = codes.get(repr(values[axis.name]), -1.0)
            else:
                raw = np.array([_number(values.get(axis.name)) for values in params], dtype=float)
                points[:, column] = (axis.scale(raw) - self.lows[column]) / self.spans[column]
        return points


def _reached(points: Floats, failed: Bools) -> Floats:
    """Return the points with inf for what a trial did not come to ask for before it failed.

    That is what it lacks and all others have. It says nothing of why the trial failed, unlike the
    absence of a parameter that only some have.
    """
    if failed.all():
        return points
    usual = ~np.isnan(points[~failed]).any(axis=0)
    return np.where(failed[:, None] & usual & np.isnan(points), np.inf, points)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _distances(point: Floats, points: Floats, weights: Floats, nominal: Bools) -> Floats:
    """Weighted squared distances, shape (m,).

    Choices and absences differ by 1 or not at all; what was not reached may be anything.
    """
    with np.errstate(invalid="ignore"):
        gaps = np.where(nominal, (points != point).astype(float), np.abs(points - point))
    absent, here_absent = np.isnan(points), np.isnan(point)
    gaps = np.where(absent & here_absent, 0.0, np.where(absent ^ here_absent, 1.0, gaps))
    gaps = np.where(np.isinf(points) | np.isinf(point), 0.0, gaps)
    distances: Floats = (weights * gaps**2).sum(axis=1)
    return distances


def _dependent(points: Floats, group: Bools, shown: Bools, nominal: Bools) -> Bools:
    """Return which failures of a group lie where failing depends on the hyperparameters.

    Args:
        points: All outcomes, shape (n, axes).
        group: Failures of one undetermined kind, shape (n,).
        shown: These and the successes, which they are compared with, shape (n,).
        nominal: Which axes are choices, shape (axes,).
    """
    dependent = np.zeros(len(group), dtype=bool)
    failures = int(group.sum())
    if failures < _MIN_FAILURES or failures == int(shown.sum()):
        return dependent
    among, labels = points[shown], group[shown]
    strengths = _strengths(among, labels, nominal)
    rng = np.random.default_rng(0)
    shuffled = np.array([rng.permutation(labels) for _ in range(_PERMUTATIONS)])
    by_chance = _split_gains(among, shuffled, nominal).max(axis=1, initial=0.0)
    p_value = (1 + int((by_chance >= strengths.max(initial=0.0)).sum())) / (1 + _PERMUTATIONS)
    if p_value > _ALPHA:
        return dependent
    weights = _weights(strengths, len(among))
    k = min(_NEIGHBOURS, failures - 1)
    for row in np.flatnonzero(group):
        distances = _distances(points[row], among, weights, nominal)
        distances[np.flatnonzero(np.flatnonzero(shown) == row)] = np.inf
        nearest = np.argpartition(distances, k - 1)[:k]
        dependent[row] = labels[nearest].mean() >= 0.5
    return dependent


def _strengths(points: Floats, labels: Bools, nominal: Bools) -> Floats:
    strengths: Floats = _split_gains(points, labels[None, :], nominal)[0]
    return strengths


def _weights(strengths: Floats, n: int) -> Floats:
    """Return how much each axis counts for distances, 0..1; 1 each where none stands out.

    An axis counts by what its best cut gains above log n, which is what the Bayesian information
    criterion asks of two more parameters (where the cut is, and a second failure rate).
    """
    excess = np.maximum(strengths - np.log(max(n, 2)), 0.0)
    strongest = excess.max(initial=0.0)
    weights: Floats = excess / strongest if strongest > 0 else np.ones_like(strengths)
    return weights


def _split_gains(points: Floats, labels: Bools, nominal: Bools) -> Floats:
    """Return how well one cut of each axis separates the labels: a log-likelihood ratio.

    Args:
        points: Shape (n, axes).
        labels: Sets of labels, shape (sets, n).
        nominal: Which axes are choices (one value against the rest), shape (axes,).

    Returns:
        The best cut's gain in nats, shape (sets, axes).
    """
    gains = np.zeros((len(labels), points.shape[1]))
    for column in range(points.shape[1]):
        reached = ~np.isinf(points[:, column])
        hits, trials = _cuts(labels[:, reached], points[reached, column], bool(nominal[column]))
        if len(trials):
            total = labels[:, reached].sum(axis=1, keepdims=True)
            gains[:, column] = _gain(hits, trials, total, int(reached.sum())).max(axis=1)
    return gains


def _cuts(labels: Bools, values: Floats, nominal: bool) -> tuple[Ints, Ints]:
    """Return the true labels and the trials on one side of every cut, shapes (sets, cuts), (cuts,).

    Of a choice a cut is one value against the rest. Absent values of a number are above all others,
    so that absent against present is a cut as well.
    """
    order = np.argsort(values, kind="stable")  # absent ones last
    present = values[order][: int((~np.isnan(values)).sum())]
    # How many trials are up to the end of each value.
    ends = 1 + np.flatnonzero(present[:-1] != present[1:])
    ends = np.append(ends, len(present)) if len(present) else ends
    hits = labels[:, order].cumsum(axis=1)[:, ends - 1]
    if nominal:
        return np.diff(hits, axis=1, prepend=0), np.diff(ends, prepend=0)
    within = ends < len(values)
    return hits[:, within], ends[within]


def _gain(hits: Ints, inside: Ints, total: Ints, n: int) -> Floats:
    """Log-likelihood ratio of two failure rates against one; shape (sets, cuts)."""
    gain: Floats = (
        _log_likelihood(hits, inside)
        + _log_likelihood(total - hits, n - inside)
        - _log_likelihood(total, np.full_like(total, n))
    )
    return gain


def _log_likelihood(hits: Ints, trials: Ints) -> Floats:
    """Log-likelihood of `hits` in `trials` at its maximum."""
    value: Floats = _x_log_x(hits) + _x_log_x(trials - hits) - _x_log_x(trials)
    return value


def _x_log_x(x: Ints) -> Floats:
    real = x.astype(float)
    value: Floats = real * np.log(np.maximum(real, 1.0))
    return value
