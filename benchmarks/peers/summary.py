"""From logs to the numbers of the table, by one definition for every contender.

An epoch is *lost* when its training loss or its objective is not finite, or when the objective is
more than ten times worse than that of the best constant prediction. A trial has *failed* when it
gives no usable objective: its host stored none and had not pruned it at a good epoch, or every
epoch was lost. *Wasted* are all seconds of a failed trial, and in another trial those after its
last good epoch where lost ones follow. All that a host does until the next trial begins counts, a
diagnosis too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.peers.log import Epoch, SearchLog, Trial

_FAR_WORSE = 10.0


@dataclass(frozen=True)
class TrialRow:
    """One trial of one search; seconds since the search began."""

    problem: str
    seed: int
    contender: str
    trial: int
    start: float
    end: float
    wall_start: float
    wall_end: float
    epochs: int
    good_epochs: int
    value: float | None
    failed: bool
    wasted: float


@dataclass(frozen=True)
class SearchRow:
    """One search; seconds are CPU seconds of the process.

    Args:
        problem: Its problem.
        seed: Its seed.
        contender: Who searched.
        finished: Whether it ran all its trials.
        trials: Trials that ran.
        failed: Those that gave no usable objective.
        seconds: All of it.
        wall_seconds: All of it by the clock on the wall.
        wasted: Seconds that were wasted.
        best: The best objective; None without one.
    """

    problem: str
    seed: int
    contender: str
    finished: bool
    trials: int
    failed: int
    seconds: float
    wall_seconds: float
    wasted: float
    best: float | None


def trial_rows(
    problem: str, seed: int, contender: str, log: SearchLog, constant: float
) -> list[TrialRow]:
    """Return the rows of a search's trials.

    Args:
        problem: Its problem.
        seed: Its seed.
        contender: Who searched.
        log: What was written down.
        constant: The objective of the best constant prediction.
    """
    rows = []
    for number, trial in enumerate(log.trials):
        lost = [is_lost(epoch, constant) for epoch in trial.epochs]
        failed = all(lost) or (trial.value is None and not (trial.pruned and not lost[-1]))
        rows.append(
            TrialRow(
                problem=problem,
                seed=seed,
                contender=contender,
                trial=number,
                start=trial.start.cpu,
                end=trial.end.cpu,
                wall_start=trial.start.wall,
                wall_end=trial.end.wall,
                epochs=len(lost),
                good_epochs=len(lost) - sum(lost),
                value=None if failed else trial.value,
                failed=failed,
                wasted=_wasted(trial, lost, failed),
            )
        )
    return rows


def is_lost(epoch: Epoch, constant: float) -> bool:
    """Whether nothing that could be used came of an epoch."""
    return not (math.isfinite(epoch.loss) and epoch.value <= _FAR_WORSE * constant)


def _wasted(trial: Trial, lost: Sequence[bool], failed: bool) -> float:
    if failed:
        return trial.end.cpu - trial.start.cpu
    if not lost[-1]:
        return 0.0
    last_good = max(index for index, bad in enumerate(lost) if not bad)
    return trial.end.cpu - trial.epochs[last_good].end.cpu


def search_row(trials: Sequence[TrialRow], finished: bool) -> SearchRow:
    """Return the row of a search from those of its trials, at least one."""
    first, last = trials[0], trials[-1]
    return SearchRow(
        problem=first.problem,
        seed=first.seed,
        contender=first.contender,
        finished=finished,
        trials=len(trials),
        failed=sum(trial.failed for trial in trials),
        seconds=last.end,
        wall_seconds=last.wall_end,
        wasted=sum(trial.wasted for trial in trials),
        best=_best(trials),
    )


def seconds_to(trials: Iterable[TrialRow], target: float) -> float:
    """Return when a search first had an objective as good as the target; inf: never."""
    ends = (t.end for t in trials if t.value is not None and t.value <= target)
    return min(ends, default=math.inf)


@dataclass(frozen=True)
class Comparison:
    """One contender beside a peer, over the same problems and seeds; ratios are medians over them.

    Args:
        contender: Who is compared.
        peer: With whom.
        cases: Problems and seeds for which the peer has a result.
        reached: In how many of those the contender came to the peer's final best.
        time_ratio: Its seconds to that, / those of the peer's whole search; inf where it did not
            come to it in most cases.
        time_ratio_to_own: Its seconds to that, / the seconds after which the peer had it.
        wasted_ratio: Wasted seconds a trial / those of the peer, where the peer wasted any.
    """

    contender: str
    peer: str
    cases: int
    reached: int
    time_ratio: float
    time_ratio_to_own: float
    wasted_ratio: float


def compare(trials: Sequence[TrialRow], contender: str, peer: str) -> Comparison:
    """Compare one contender with a peer."""
    whole = time_ratios(trials, contender, peer)
    mine, theirs = (_by_case(trials, name) for name in (contender, peer))
    own, wasted = [], []
    for case, rows in theirs.items():
        target = _best(rows)
        if target is not None:
            own.append(seconds_to(mine[case], target) / seconds_to(rows, target))
        if _wasted_a_trial(rows):
            wasted.append(_wasted_a_trial(mine[case]) / _wasted_a_trial(rows))
    return Comparison(
        contender=contender,
        peer=peer,
        cases=len(whole),
        reached=sum(map(math.isfinite, whole)),
        time_ratio=_median(whole),
        time_ratio_to_own=_median(own),
        wasted_ratio=_median(wasted),
    )


def time_ratios(trials: Sequence[TrialRow], contender: str, peer: str) -> list[float]:
    """Return seconds to the peer's final best / those of its whole search, one number a case."""
    mine, theirs = (_by_case(trials, name) for name in (contender, peer))
    targets = {case: _best(rows) for case, rows in theirs.items()}
    return [
        seconds_to(mine[case], target) / theirs[case][-1].end
        for case, target in targets.items()
        if target is not None
    ]


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else math.nan


def _best(rows: Sequence[TrialRow]) -> float | None:
    return min((row.value for row in rows if row.value is not None), default=None)


def _wasted_a_trial(rows: Sequence[TrialRow]) -> float:
    return sum(row.wasted for row in rows) / len(rows)


def _by_case(trials: Sequence[TrialRow], contender: str) -> dict[tuple[str, int], list[TrialRow]]:
    cases: dict[tuple[str, int], list[TrialRow]] = {}
    for row in trials:
        if row.contender == contender:
            cases.setdefault((row.problem, row.seed), []).append(row)
    return cases
