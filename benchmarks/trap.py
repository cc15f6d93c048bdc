"""Do samplers walk away from a region where trials fail, without losing the optimum beside it?

Each study searches a space of which a part fails: with NaN, or in the spaces of trap_raising.py
with an exception. Printed are, for the sampler alone and inside CrashAwareSampler: the share of the
proposals of the second half that lie in the failing part, and the best value (its distance to the
optimum, 0 is perfect), as means over the seeds with their standard errors, and the ratio of the
latter with its 95 % interval (bootstrap over the seeds). In the controls nothing fails, or one
trial in ten fails wherever it is: with NaN ("random"), or with an exception ("stray").

Usage: python -m benchmarks.trap [--seeds N] [--trials N] [--samplers tpe,gp] [--shapes third,none]
       [--dimensions 2,6] [--causes] [--csv FILE]

--causes gives the trials that fail with NaN a record with their cause, as a guarded Keras fit does;
without it only NaN is known, and the sampler has to find out that failing depends on the
parameters. GP needs PyTorch, CMA-ES the package cmaes; they are left out where these are missing.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import logging
import math
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import optuna

from benchmarks.trap_raising import RAISING
from robusttune import FailureCause, TrialRecord
from robusttune.optuna import CrashAwareSampler, robust

LOW, HIGH = 1e-5, 1.0  # the learning rate's range; u is its position on the log scale, 0..1
RANDOM_FAILURES = 0.1
BASE = np.array([0.35, 0.3, 0.6, 0.45, 0.7, 0.5])


@dataclass(frozen=True)
class Shape:
    """A failing part of the space, and where the optimum lies (u; the others are as in BASE)."""

    fails: Callable[[float, list[float], str], bool]
    optimum: float = 0.35
    category: bool = False
    random: bool = False


SHAPES = {
    "third": Shape(lambda u, v, c: u > 2 / 3),
    "beside": Shape(lambda u, v, c: u > 2 / 3, optimum=0.64),
    "diagonal": Shape(lambda u, v, c: u + v[0] > 2 - math.sqrt(2 / 3)),
    "category": Shape(
        lambda u, v, c: u > {"adam": 1.0, "rmsprop": 2 / 3, "sgd": 1 / 3}[c], category=True
    ),
    "small": Shape(lambda u, v, c: u > 0.92, optimum=0.8),
    "large": Shape(lambda u, v, c: u > 1 / 3, optimum=0.25),
    "none": Shape(lambda u, v, c: False),
    "random": Shape(lambda u, v, c: False, random=True),
    "stray": Shape(lambda u, v, c: False, random=True),
}


def grid(n_parameters: int) -> dict[str, list[float | str]]:
    """Return the grid that the exhaustive samplers visit."""
    rates: list[float | str] = [float(x) for x in np.geomspace(LOW, HIGH, 10)]
    cells: list[float | str] = [float(x) for x in np.linspace(0, 1, 10)]
    return {"rate": rates, **{f"x{i}": cells for i in range(1, n_parameters)}}


SAMPLERS: dict[str, Callable[[int, int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed, n: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed, n: optuna.samplers.TPESampler(seed=seed),
    "tpe-uni": lambda seed, n: optuna.samplers.TPESampler(seed=seed, multivariate=False),
    "gp": lambda seed, n: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed, n: optuna.samplers.CmaEsSampler(seed=seed),
    "nsga2": lambda seed, n: optuna.samplers.NSGAIISampler(seed=seed, population_size=20),
    "grid": lambda seed, n: optuna.samplers.GridSampler(grid(n), seed=seed),
    "brute": lambda seed, n: optuna.samplers.BruteForceSampler(seed=seed),
}
NEEDS = {"gp": "torch", "cmaes": "cmaes"}
STEPPED = ("brute",)
# A study of GPSampler takes long.
FEWER_TRIALS = {"gp": 50}
COLUMNS = [
    "sampler",
    "shape",
    "parameters",
    "trials",
    "seed",
    "crash_aware",
    "bad",
    "best",
    "seconds",
]
HEADING = (
    f"{'sampler':8} {'shape':9} {'n':>1} {'trials':>6} | {'bad':>11} {'ours':>11}"
    f" | {'best':>17} {'ours':>17} {'ratio':>18} | seconds a study"
)


@dataclass(frozen=True)
class Result:
    """What one study came to."""

    bad: float
    best: float
    seconds: float


def run(
    sampler: str, shape_name: str, n: int, trials: int, seed: int, ours: bool, causes: bool
) -> Result:
    """Run one study and return what it came to."""
    base = SAMPLERS[sampler](seed, n)
    raising = RAISING.get(shape_name)
    study = optuna.create_study(
        sampler=CrashAwareSampler(base) if ours else base,
        direction=raising.direction if raising else "minimize",
    )
    bad: list[bool] = []
    if raising:
        objective = raising.objective
    else:
        objective = artificial(sampler, shape_name, n, trials, seed, causes, bad)
    start = time.perf_counter()
    study.optimize(robust(objective) if ours else objective, n_trials=trials, catch=(Exception,))
    seconds = time.perf_counter() - start
    if raising:
        bad = [trial.state is optuna.trial.TrialState.FAIL for trial in study.trials]
    optimum = raising.optimum if raising else 0.0
    values = [abs(t.value - optimum) for t in study.trials if t.value is not None]
    late = bad[len(bad) // 2 :]
    return Result(float(np.mean(late)), min(values, default=math.nan), seconds)


def artificial(
    sampler: str, shape_name: str, n: int, trials: int, seed: int, causes: bool, bad: list[bool]
) -> Callable[[optuna.Trial], float]:
    """Return an objective with a failing part; `bad` takes whether each proposal lies there."""
    shape = SHAPES[shape_name]
    chance = np.random.default_rng(zlib.crc32(f"{shape_name} {n} {seed}".encode()))
    strikes = chance.random(trials) < RANDOM_FAILURES
    targets = np.array([shape.optimum, *BASE[1:n]])

    def objective(trial: optuna.Trial) -> float:
        if sampler in STEPPED:
            cell = trial.suggest_int("rate", 0, 9)
            u, others = cell / 9, [trial.suggest_int(f"x{i}", 0, 9) / 9 for i in range(1, n)]
        else:
            rate = trial.suggest_float("rate", LOW, HIGH, log=True)
            u = math.log(rate / LOW) / math.log(HIGH / LOW)
            others = [trial.suggest_float(f"x{i}", 0, 1) for i in range(1, n)]
        choice = (
            trial.suggest_categorical("c", ["sgd", "adam", "rmsprop"]) if shape.category else ""
        )
        fails = shape.fails(u, others, choice)
        bad.append(fails)
        if shape_name == "stray" and strikes[trial.number]:
            raise ConnectionError("the data server did not answer")
        if fails or (shape.random and strikes[trial.number]):
            if causes and fails:
                cause = FailureCause.DIVERGENT_LEARNING_RATE
                record = TrialRecord(
                    trial_id=str(trial.number), number=trial.number, status="failed", cause=cause
                )
                trial.set_user_attr("robusttune:record", record.to_json())
            return math.nan
        return float(((np.array([u, *others]) - targets) ** 2).sum())

    return objective


def cases(
    samplers: list[str], shapes: list[str], dimensions: list[int]
) -> Iterator[tuple[str, str, int]]:
    """Return the combinations that make sense.

    CMA-ES and the grid here have no category, and a grid of what always raises has nothing to
    learn. The spaces that raise have dimensions of their own.
    """
    for sampler, shape in product(samplers, shapes):
        exhaustive = sampler in ("grid", "brute")
        if shape in RAISING:
            if not exhaustive and not (sampler == "cmaes" and RAISING[shape].category):
                yield sampler, shape, RAISING[shape].dimensions
            continue
        if SHAPES[shape].category and sampler in ("cmaes", "grid"):
            continue
        yield from ((sampler, shape, n) for n in dimensions if n <= 2 or not exhaustive)


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--shapes", default=",".join([*RAISING, *SHAPES]))
    parser.add_argument("--dimensions", default="2,6")
    parser.add_argument("--causes", action="store_true")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    rows = []
    print(f"{options.seeds} seeds; bad: % of the proposals of the second half that fail")
    print(HEADING)
    dimensions = [int(n) for n in options.dimensions.split(",")]
    samplers, shapes = options.samplers.split(","), options.shapes.split(",")
    for sampler, shape, n in cases(samplers, shapes, dimensions):
        if sampler in NEEDS and importlib.util.find_spec(NEEDS[sampler]) is None:
            continue
        trials = min(options.trials, FEWER_TRIALS.get(sampler, options.trials))
        results = {
            ours: [
                run(sampler, shape, n, trials, seed, ours, options.causes)
                for seed in range(options.seeds)
            ]
            for ours in (False, True)
        }
        print(f"{sampler:8} {shape:9} {n} {trials:6d} | {line(results)}", flush=True)
        for ours, runs in results.items():
            for seed, r in enumerate(runs):
                rows.append([sampler, shape, n, trials, seed, ours, r.bad, r.best, r.seconds])
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([COLUMNS, *rows])


def line(results: dict[bool, list[Result]]) -> str:
    """Return the numbers of one row of the table, without and with CrashAwareSampler."""
    bad = [cell([100 * r.bad for r in runs], 1) for runs in results.values()]
    best = [cell([r.best for r in runs], 5) for runs in results.values()]
    seconds = [f"{np.mean([r.seconds for r in runs]):.1f}" for runs in results.values()]
    return f"{' '.join(bad)} | {' '.join(best)} {ratio(results)} | {' '.join(seconds)}"


def ratio(results: dict[bool, list[Result]]) -> str:
    """Return how much farther from the optimum the crash-aware studies end, with an interval."""
    best = np.array([[r.best for r in results[ours]] for ours in (True, False)])
    resampled = np.random.default_rng(0).integers(best.shape[1], size=(2000, best.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        (ours, plain), means = best[:, resampled].mean(axis=2), best.mean(axis=1)
        low, high = np.nanquantile(ours / plain, (0.025, 0.975))
        return f"{means[0] / means[1]:6.2f} ({low:4.2f}-{high:4.2f})"


def cell(values: list[float], digits: int) -> str:
    """Return "mean +- standard error"."""
    error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{np.mean(values):{digits + 4}.{digits}f}±{error:<{digits + 3}.{digits}f}"


if __name__ == "__main__":
    main()
