"""Do samplers walk away from a region where trials fail, without losing the optimum beside it?

Each study searches a space of which a part fails with NaN. Printed are, for the sampler alone and
inside CrashAwareSampler: the share of proposals in the failing part after the first 20 trials, and
the best value (its distance to the optimum, 0 is perfect), as means over the seeds with their
standard errors. In the controls nothing fails, or one trial in ten fails wherever it is.

Usage: python benchmarks/trap.py [--seeds N] [--trials N] [--samplers tpe,gp] [--shapes third,none]
       [--causes] [--csv FILE]

--causes gives the failing trials a record with their cause, as a guarded Keras fit does; without it
only NaN is known, and the sampler has to find out that failing depends on the parameters.
GP needs PyTorch, CMA-ES the package cmaes; they are left out where these are missing.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
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

from robusttune import FailureCause, TrialRecord
from robusttune.optuna import CrashAwareSampler

LOW, HIGH = 1e-5, 1.0  # the learning rate's range; u is its position on the log scale, 0..1
STARTUP = 20  # trials before the proposals are counted
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
    f" | {'best':>17} {'ours':>17} {'ratio':>6} | seconds a study"
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
    shape = SHAPES[shape_name]
    base = SAMPLERS[sampler](seed, n)
    study = optuna.create_study(sampler=CrashAwareSampler(base) if ours else base)
    chance = np.random.default_rng(zlib.crc32(f"{shape_name} {n} {seed}".encode()))
    strikes = chance.random(trials) < RANDOM_FAILURES
    bad: list[bool] = []
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
        if fails or (shape.random and strikes[trial.number]):
            if causes and fails:
                cause = FailureCause.DIVERGENT_LEARNING_RATE
                record = TrialRecord(
                    trial_id=str(trial.number), number=trial.number, status="failed", cause=cause
                )
                trial.set_user_attr("robusttune:record", record.to_json())
            return math.nan
        return float(((np.array([u, *others]) - targets) ** 2).sum())

    start = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    seconds = time.perf_counter() - start
    values = [t.value for t in study.trials if t.value is not None]
    return Result(float(np.mean(bad[STARTUP:])), min(values, default=math.nan), seconds)


def cases(samplers: list[str], shapes: list[str]) -> Iterator[tuple[str, str, int]]:
    """Return the combinations that make sense: CMA-ES and the grid here have no category."""
    for sampler, shape, n in product(samplers, shapes, (2, 6)):
        exhaustive = sampler in ("grid", "brute")
        if SHAPES[shape].category and sampler in ("cmaes", "grid"):
            continue
        if exhaustive and n > 2:
            continue
        yield sampler, shape, n


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--causes", action="store_true")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)

    rows = []
    print(f"{options.seeds} seeds; bad: % of proposals after the first {STARTUP} that fail")
    print(HEADING)
    for sampler, shape, n in cases(options.samplers.split(","), options.shapes.split(",")):
        if sampler in NEEDS and importlib.util.find_spec(NEEDS[sampler]) is None:
            continue
        trials = min(options.trials, 50) if sampler == "gp" else options.trials
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
    means = {ours: np.mean([r.best for r in runs]) for ours, runs in results.items()}
    seconds = [f"{np.mean([r.seconds for r in runs]):.1f}" for runs in results.values()]
    ratio = f"{means[True] / means[False]:6.2f}"
    return f"{' '.join(bad)} | {' '.join(best)} {ratio} | {' '.join(seconds)}"


def cell(values: list[float], digits: int) -> str:
    """Return "mean +- standard error"."""
    error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{np.mean(values):{digits + 4}.{digits}f}±{error:<{digits + 3}.{digits}f}"


if __name__ == "__main__":
    main()
