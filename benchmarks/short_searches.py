"""Short searches beside hardened peers: how many fits are bad, and how soon is a good one found?

30 trials of 6 epochs on four small tables of scikit-learn (`peers/short_problems.py`), in spaces as
they are written first; in one of them nothing fails. The peers are Keras Tuner's random search,
Bayesian optimization and Hyperband with TerminateOnNaN and no limit of failures, and Optuna's TPE
with TerminateOnNaN and the median pruner; beside each, the same with robusttune. All get the same
space, data, seeds, trials and epochs. A fit is *bad* where its last epoch has a loss that is not
finite, or a validation loss above that of the best constant prediction, or where it has no epoch;
one that a pruner ended early is bad only where its loss is not finite.
Seconds are CPU seconds of the process; what a host does between two trials counts.

    python -m benchmarks.short_searches --csv FILE [--contenders peer] [--seeds 1]
    python -m benchmarks.short_searches --csv FILE --table

Searches that the file has already are not run again, so that it can be made in small pieces.
Keras's backend is that of KERAS_BACKEND: PyTorch, which traces nothing, is the quickest for such
short fits.
"""

from __future__ import annotations

import argparse
import csv
import gc
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.update(OMP_NUM_THREADS="1", TF_NUM_INTRAOP_THREADS="1")

import keras_tuner
import numpy as np
from optuna_integration import KerasPruningCallback

import robusttune
from benchmarks.peers.contenders import (
    Budget,
    Contender,
    hardened,
    keras_tuner_search,
    optuna_search,
    run,
)
from benchmarks.peers.log import SearchLog
from benchmarks.peers.short_problems import SHORT_PROBLEMS, SOUND
from robusttune.optuna import TrialGuard

TRIALS, EPOCHS, SEEDS = 30, 6, (1, 2, 3)
NAMES = tuple(problem.name for problem in SHORT_PROBLEMS)
_RESAMPLED = 2000


def limited(hyperband: Any) -> Any:
    """Return a class of Hyperband that ends after so many trials, as the other tuners do."""

    class Limited(hyperband):  # type: ignore[misc]
        def __init__(self, *args: Any, max_trials: int, **options: Any) -> None:
            super().__init__(*args, max_epochs=EPOCHS, factor=3, hyperband_iterations=3, **options)
            self.oracle.max_trials = max_trials

    return Limited


TUNERS = {
    "random": (keras_tuner.RandomSearch, robusttune.RandomSearch),
    "bayesian": (keras_tuner.BayesianOptimization, robusttune.BayesianOptimization),
    "hyperband": (limited(keras_tuner.Hyperband), limited(robusttune.Hyperband)),
    "tpe": None,
}


def way_of(tuner: str, contender: str, diagnosis: str) -> Callable[..., None]:
    """Return how a contender searches."""
    policy = robusttune.Policy(diagnosis=diagnosis)
    classes = TUNERS[tuner]
    if classes is not None:
        if contender != "peer":
            return keras_tuner_search(classes[1], policy=policy)
        return keras_tuner_search(classes[0], hardened, max_consecutive_failed_trials=None)
    if contender != "peer":
        return optuna_search(
            lambda trial, name: [TrialGuard(trial), KerasPruningCallback(trial, name)],
            prunes=True,
            crash_aware=True,
            policy=policy,
        )
    return optuna_search(
        lambda trial, name: [*hardened(), KerasPruningCallback(trial, name)], prunes=True
    )


CONTENDERS = ("peer", "ours")


@dataclass(frozen=True, slots=True)
class Row:
    """One trial; seconds since the search began."""

    problem: str
    seed: int
    tuner: str
    contender: str
    trial: int
    start: float
    end: float
    epochs: int
    value: float  # objective; NaN: none
    pruned: int
    bad: int


def rows_of(
    log: SearchLog, constant: float, problem: str, seed: int, tuner: str, contender: str
) -> list[Row]:
    """Return the rows of one search."""
    rows = []
    for number, trial in enumerate(log.trials):
        last = trial.epochs[-1] if trial.epochs else None
        good = last is not None and math.isfinite(last.loss) and math.isfinite(last.value)
        if last is not None and not trial.pruned:
            good = good and last.value <= constant
        value = math.nan if trial.value is None else trial.value
        rows.append(
            Row(
                problem,
                seed,
                tuner,
                contender,
                number,
                round(trial.start.cpu, 3),
                round(trial.end.cpu, 3),
                len(trial.epochs),
                value,
                int(trial.pruned),
                int(not good),
            )
        )
    return rows


Key = tuple[str, int, str, str]


def read(path: Path) -> dict[Key, list[Row]]:
    """Return the searches of a file; without the file, none."""
    found: dict[Key, list[Row]] = {}
    if not path.exists():
        return found
    kinds: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
    with path.open(newline="", encoding="utf-8") as file:
        for cells in csv.DictReader(file):
            row = Row(
                **{each.name: kinds[str(each.type)](cells[each.name]) for each in fields(Row)}
            )
            found.setdefault((row.problem, row.seed, row.tuner, row.contender), []).append(row)
    return found


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add a search to a file."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)])
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def search(
    problem: Any, seed: int, tuner: str, contender: str, trials: int, diagnosis: str
) -> list[Row]:
    """Run one search."""
    way = way_of(tuner, contender, diagnosis)
    result = run(Contender(tuner, "", way), problem, seed, Budget(trials, EPOCHS))
    constant = problem.constant(problem.data(seed).y)
    return rows_of(result.log, constant, problem.name, seed, tuner, contender)


@dataclass(frozen=True, slots=True)
class Pair:
    """One search beside its peer."""

    problem: str
    tuner: str
    bad: int
    peer_bad: int
    seconds: float  # / the peer's
    to_best: float  # seconds to the peer's best / the peer's seconds to it; inf: it never came
    to_best_of_whole: float  # the same / the peer's seconds of the whole search
    best: float  # best value / the peer's


def pair_of(mine: Sequence[Row], theirs: Sequence[Row]) -> Pair:
    """Compare a search with its peer's; all objectives are losses."""
    bests = [np.nanmin([row.value for row in rows]) for rows in (mine, theirs)]
    target = bests[1]
    reached = [
        min((row.end for row in rows if row.value <= target), default=math.inf)
        for rows in (mine, theirs)
    ]
    return Pair(
        problem=mine[0].problem,
        tuner=mine[0].tuner,
        bad=sum(row.bad for row in mine),
        peer_bad=sum(row.bad for row in theirs),
        seconds=mine[-1].end / theirs[-1].end,
        to_best=reached[0] / reached[1],
        to_best_of_whole=reached[0] / theirs[-1].end,
        best=float(bests[0] / bests[1]),
    )


def interval(
    pairs: Sequence[Pair], statistic: Callable[[Sequence[Pair]], float]
) -> tuple[float, float, float]:
    """Return a statistic of the pairs with its 95 % interval, by a bootstrap over the pairs."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(pairs), size=(_RESAMPLED, len(pairs)))
    values = [statistic([pairs[i] for i in rows]) for rows in drawn]
    low, high = np.quantile(values, (0.025, 0.975), method="nearest")
    return statistic(pairs), float(low), float(high)


def _bad(pairs: Sequence[Pair]) -> float:
    theirs = sum(pair.peer_bad for pair in pairs)
    return sum(pair.bad for pair in pairs) / theirs if theirs else math.nan


def _median(name: str) -> Callable[[Sequence[Pair]], float]:
    return lambda pairs: float(np.quantile([getattr(p, name) for p in pairs], 0.5, method="higher"))


STATISTICS: dict[str, Callable[[Sequence[Pair]], float]] = {
    "bad fits": _bad,
    "seconds": _median("seconds"),
    "to peer's best": _median("to_best"),
    "of whole": _median("to_best_of_whole"),
    "best value": _median("best"),
}


def table(searches: dict[Key, list[Row]], contender: str) -> list[str]:
    """Return the lines of the table of one contender."""
    pairs = [
        pair_of(rows, searches[(problem, seed, tuner, "peer")])
        for (problem, seed, tuner, who), rows in searches.items()
        if who == contender and (problem, seed, tuner, "peer") in searches
    ]
    if not pairs:
        return []
    lines = [
        f"{contender} beside its peer: ratios, medians but for bad fits, with 95 % intervals;"
        " worse: pairs with a worse best value",
        f"{'':24}{'pairs':>6}{'bad':>10}{'worse':>8}" + "".join(f"{n:>22}" for n in STATISTICS),
    ]
    groups: list[tuple[str, Iterable[Pair]]] = [
        ("all but the sound one", [p for p in pairs if p.problem != SOUND]),
        *((name, [p for p in pairs if p.problem == name]) for name in NAMES),
        *(
            (tuner, [p for p in pairs if p.tuner == tuner and p.problem != SOUND])
            for tuner in TUNERS
        ),
    ]
    for name, chosen in groups:
        some = list(chosen)
        if not some:
            continue
        bad = f"{sum(p.bad for p in some)}/{sum(p.peer_bad for p in some)}"
        worse = sum(p.best > 1 for p in some)
        cells = [interval(some, statistic) for statistic in STATISTICS.values()]
        lines.append(
            f"{name:24}{len(some):6d}{bad:>10}{worse:8d}"
            + "".join(f"{f'{value:.2f} ({low:.2f}-{high:.2f})':>22}" for value, low, high in cells)
        )
    return lines


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True, help="results; more are added to it")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=["peer", "ours"])
    parser.add_argument("--problems", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--tuners", nargs="+", choices=TUNERS, default=list(TUNERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument(
        "--diagnosis", choices=("trial_end", "search_end", "off"), default="trial_end"
    )
    parser.add_argument("--table", action="store_true", help="print the tables and run nothing")
    options = parser.parse_args()
    if not options.table:
        warm = set()
        for seed in options.seeds:
            for problem in (p for p in SHORT_PROBLEMS if p.name in options.problems):
                for tuner in options.tuners:
                    for contender in options.contenders:
                        if (problem.name, seed, tuner, contender) in read(options.csv):
                            continue
                        if (tuner, contender) not in warm:  # what a process does only once
                            warm.add((tuner, contender))
                            search(problem, 0, tuner, contender, 1, options.diagnosis)
                            # Keras Tuner collects garbage after each trial, and would go through
                            # what the imports of both hosts have left.
                            gc.collect()
                            gc.freeze()
                        rows = search(
                            problem, seed, tuner, contender, options.trials, options.diagnosis
                        )
                        append(options.csv, rows)
                        bad, best = sum(r.bad for r in rows), np.nanmin([r.value for r in rows])
                        shown = (
                            f"{len(rows)} trials, {bad} bad, best {best:.4g}, {rows[-1].end:.0f} s"
                        )
                        print(
                            f"{problem.name}, seed {seed}, {tuner}, {contender}: {shown}",
                            flush=True,
                        )
    searches = read(options.csv)
    for contender in CONTENDERS[1:]:
        print(*table(searches, contender), sep="\n")


if __name__ == "__main__":
    main()
