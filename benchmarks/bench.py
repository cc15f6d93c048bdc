"""The same unstable searches with Keras Tuner, with Optuna and with robusttune, side by side.

Real training on four tables of scikit-learn, in search spaces of which a good part does not train
(`peers/problems.py`). All contenders get the same space, data, seeds, trials and epochs, and take
turns in one process (`peers/contenders.py`). What counts as failed and as wasted is defined in
`peers/summary.py`, in the same way for all of them. Seconds are CPU seconds of the process, with
one thread for computing: those of the wall clock on a quiet machine, and still about those on a
busy one.

    python -m benchmarks.bench              # quick
    python -m benchmarks.bench --full       # more seeds, longer trials

Prints the tables and writes trials.csv, searches.csv, comparisons.csv, machine.csv and chart.svg
into benchmarks/results/quick, or benchmarks/results/full.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.update(OMP_NUM_THREADS="1", TF_NUM_INTRAOP_THREADS="1")

from benchmarks.peers.chart import chart
from benchmarks.peers.contenders import CONTENDERS, Budget, run
from benchmarks.peers.problems import PROBLEMS
from benchmarks.peers.summary import (
    Comparison,
    SearchRow,
    TrialRow,
    compare,
    search_row,
    time_ratios,
    trial_rows,
)

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("robusttune", "keras-tuner", "optuna", "optuna-integration", "keras", "tensorflow")
NAMES = tuple(problem.name for problem in PROBLEMS)
ROBUST = "with robusttune"


@dataclass(frozen=True)
class Setting:
    """How much is run."""

    trials: int
    epochs: int
    seeds: int
    problems: tuple[str, ...] = NAMES


QUICK = Setting(trials=12, epochs=25, seeds=1)
FULL = Setting(trials=12, epochs=100, seeds=2)


def run_case(name: str, seed: int, setting: Setting) -> tuple[list[SearchRow], list[TrialRow]]:
    """Let all contenders search one problem in turn; who begins changes from case to case."""
    problem = next(p for p in PROBLEMS if p.name == name)
    constant = problem.constant(problem.data(seed).y)
    run(CONTENDERS[0], problem, seed, Budget(trials=1, epochs=1))  # what a process does only once
    turn = (seed + NAMES.index(name)) % len(CONTENDERS)
    searches, trials = [], []
    for contender in CONTENDERS[turn:] + CONTENDERS[:turn]:
        search = run(contender, problem, seed, Budget(setting.trials, setting.epochs))
        rows = trial_rows(name, seed, contender.name, search.log, constant)
        searches.append(search_row(rows, finished=search.error is None))
        trials += rows
    return searches, trials


def run_all(setting: Setting, jobs: int) -> Iterator[tuple[list[SearchRow], list[TrialRow]]]:
    """Run every problem and seed, each in a process of its own; yield what is done so far."""
    cases = [(name, seed) for seed in range(1, setting.seeds + 1) for name in setting.problems]
    context = multiprocessing.get_context("spawn")
    done: dict[tuple[str, int], tuple[list[SearchRow], list[TrialRow]]] = {}
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        futures = {pool.submit(run_case, *case, setting): case for case in cases}
        for future in as_completed(futures):
            name, seed = case = futures[future]
            done[case] = future.result()
            rows = done[case][0]
            shown = ", ".join(f"{r.contender} {r.wasted:.0f}/{r.seconds:.0f} s" for r in rows)
            print(f"{name}, seed {seed}, wasted: {shown}", flush=True)
            ordered = [done[case] for case in cases if case in done]
            yield [r for rows, _ in ordered for r in rows], [r for _, rows in ordered for r in rows]


def comparisons(trials: Sequence[TrialRow]) -> list[Comparison]:
    """Compare each contender with the peers of its host that are not robusttune."""
    return [
        compare(trials, contender.name, peer.name)
        for contender in CONTENDERS
        for peer in CONTENDERS
        if peer.host == contender.host and peer is not contender and ROBUST not in peer.name
    ]


def show(
    setting: Setting, searches: Sequence[SearchRow], compared: Sequence[Comparison]
) -> list[str]:
    """Return the lines of both tables."""
    problems = setting.problems
    lines = [
        f"{setting.trials} trials of {setting.epochs} epochs, seeds 1 to {setting.seeds};"
        " seconds are CPU seconds, sums over all searches; best: median over the seeds",
        f"{'':28s}{'finished':>9s}{'trials':>8s}{'failed':>8s}{'seconds':>9s}{'wasted':>8s}"
        + "".join(f"{'best ' + name:>20s}" for name in problems),
    ]
    for contender in CONTENDERS:
        rows = [row for row in searches if row.contender == contender.name]
        bests = [_best(rows, name) for name in problems]
        lines.append(
            f"{contender.name:28s}{sum(r.finished for r in rows):>5d}/{len(rows):<3d}"
            f"{sum(r.trials for r in rows):8d}{sum(r.failed for r in rows):8d}"
            f"{sum(r.seconds for r in rows):9.0f}{sum(r.wasted for r in rows):8.0f}"
            + "".join(f"{best:20.4g}" for best in bests)
        )
    lines += [
        "",
        "medians over the cases: seconds to the peer's final best, as a share of the peer's whole",
        "search and of its own seconds to it; seconds wasted a trial, as a share of the peer's",
        f"{'contender':28s}{'peer':24s}{'reached':>9s}{'of whole':>10s}{'of own':>8s}"
        f"{'wasted':>8s}",
    ]
    lines += [
        f"{c.contender:28s}{c.peer:24s}{c.reached:>5d}/{c.cases:<3d}{c.time_ratio:10.2f}"
        f"{c.time_ratio_to_own:8.2f}{c.wasted_ratio:8.2f}"
        for c in compared
    ]
    return lines


def _best(rows: Sequence[SearchRow], problem: str) -> float:
    """Median over the seeds; a search without a result is worse than any with one."""
    bests = [math.inf if r.best is None else r.best for r in rows if r.problem == problem]
    return statistics.median(bests)


def picture(searches: Sequence[SearchRow], trials: Sequence[TrialRow]) -> str:
    """Return the chart: everybody beside the reference of their host."""
    references = {c.host: c for c in CONTENDERS if c.reference}
    ratios = [(c.name, time_ratios(trials, c.name, references[c.host].name)) for c in CONTENDERS]
    named = " and ".join(f"“{reference.name}”" for reference in references.values())
    return chart(ratios, searches, reference=named)


def machine(setting: Setting, seconds: float) -> dict[str, Any]:
    """Return what the numbers depend on."""
    models = [
        line.split(":", 1)[1].strip()
        for line in _read("/proc/cpuinfo").splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        **{name: version(name) for name in PACKAGES},
        **{key: value for key, value in asdict(setting).items() if key != "problems"},
        "load average of 15 minutes at the end": f"{os.getloadavg()[2]:.1f}",
        "wall seconds of the benchmark": f"{seconds:.0f}",
    }


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def write_csv(path: Path, rows: Sequence[Any]) -> None:
    """Write rows (dataclasses) as CSV; None is an empty cell."""
    cells = [asdict(row) for row in rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(cells[0]))
        writer.writeheader()
        for row in cells:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def write(
    directory: Path,
    searches: Sequence[SearchRow],
    trials: Sequence[TrialRow],
    compared: Sequence[Comparison],
    about: dict[str, Any],
) -> None:
    """Write the results into a folder."""
    directory.mkdir(parents=True, exist_ok=True)
    write_csv(directory / "searches.csv", searches)
    write_csv(directory / "trials.csv", trials)
    write_csv(directory / "comparisons.csv", compared)
    with (directory / "machine.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(about.items())
    (directory / "chart.svg").write_text(picture(searches, trials), encoding="utf-8")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="more seeds, longer trials")
    parser.add_argument("--trials", type=int, help="trials a search")
    parser.add_argument("--epochs", type=int, help="epochs a trial")
    parser.add_argument("--seeds", type=int, help="how many seeds")
    parser.add_argument("--problems", nargs="+", choices=NAMES, help="all by default")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--results", type=Path, help="folder for the results")
    options = parser.parse_args()
    given = {
        name: getattr(options, name)
        for name in ("trials", "epochs", "seeds", "problems")
        if getattr(options, name) is not None
    }
    setting = replace(FULL if options.full else QUICK, **given)
    began = time.perf_counter()
    directory = options.results or RESULTS / ("full" if options.full else "quick")
    for searches, trials in run_all(setting, options.jobs):
        compared = comparisons(trials)
        about = machine(setting, time.perf_counter() - began)
        write(directory, searches, trials, compared, about)  # what is done stays, come what may
    print("", *show(setting, searches, compared), "", f"written to {directory}", sep="\n")


if __name__ == "__main__":
    main()
