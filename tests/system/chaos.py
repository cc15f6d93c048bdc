"""kill -9 at random moments, resume, and count what was lost.

Each round begins a search in a process of its own, kills it, resumes it in a new process until it
ends, and compares the project with a log that the trials themselves wrote. Half of the kills come
after a random time, spread over the time that the search takes; the other half come at the n-th
operation on a file, among these in the middle of a write. Every third search is killed once more
while it resumes. All moments are drawn from the seed. What is killed is in `kills/searches.py`, and
how in `kills/processes.py`.

    python -m tests.system.chaos [--kills 25] [--seed 0] [--only RandomSearch,sqlite] [--ours]
    python -m tests.system.chaos --jobs 3    # robusttune's tuners with three trials at once

With `--jobs` the time counts from the first trial's begin, not from the start of the processes.

Columns: trials lost (ended before the kill and not completed with that score in the end, or never
run at all), run twice (run again though they had ended, under whatever name), wrong score, crashes
and hangs on resume (which cost the whole search, and are not counted as lost trials as well). A
trial has ended when the tuner or the study has gone on from it; one that was killed before that is
run again, and is no loss.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.system.kills.log import Log
from tests.system.kills.processes import Ended, run
from tests.system.kills.searches import TUNERS, optimize, tune
from tests.system.kills.storages import postgresql, storages


@dataclass
class Counts:
    """What one kind of search went through."""

    kills: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    crashes: int = 0
    examples: list[str] = field(default_factory=list)


def chaos(work: Callable[[Path], Any], root: Path, kills: int, rng: random.Random) -> Counts:
    """Kill and resume a search `kills` times at least."""
    calm_folder = _fresh(root / "calm")
    calm = run(lambda: work(calm_folder), begun=lambda: _lines(calm_folder) > 0)
    if calm.result is None:
        raise RuntimeError(f"The search does not even run undisturbed: {calm.error}")
    expected = sum(status == "COMPLETED" for _, status, _ in calm.result.values())
    counts = Counts()
    number = 0
    while counts.kills < kills:
        folder = _fresh(root / f"round{number}")
        again = 2 if number % 3 == 2 else 1
        for _ in range(again):
            after, operation = None, 0
            if number % 2:
                operation = rng.randint(1, calm.operations) if calm.operations else 0
            if not operation:
                after = rng.uniform(0.0, calm.seconds)
            lines = _lines(folder)
            ended = run(
                lambda f=folder: work(f),
                after=after,
                operation=operation,
                begun=lambda f=folder, n=lines: _lines(f) > n,
            )
            counts.kills += ended.killed
            if ended.error:
                break
        last = run(lambda f=folder: work(f)) if not ended.error else ended
        _diagnose(counts, last, folder, expected)
        number += 1
        shutil.rmtree(folder, ignore_errors=True)
    return counts


def _lines(folder: Path) -> int:
    """Return how much the trials have logged so far, in bytes."""
    try:
        return (folder / "log").stat().st_size
    except FileNotFoundError:
        return 0


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _diagnose(counts: Counts, last: Ended, folder: Path, expected: int) -> None:
    log_path = folder / "log"
    lines = Log.read(log_path) if log_path.exists() else []
    done: set[str] = set()
    scores: dict[str, float | None] = {}
    for what, key, value in lines:
        if what == "start" and key in done:
            counts.twice += 1
        elif what == "end":
            scores[key] = value
        elif what == "done":
            done.add(key)
    if last.result is None:
        counts.crashes += 1
        counts.examples.append(last.error.strip().splitlines()[-1] if last.error else "?")
        return
    completed = {key: score for key, status, score in last.result.values() if status == "COMPLETED"}
    lost = sum(key not in completed for key in done)
    counts.wrong += sum(
        key in completed and abs(completed[key] - score) > 1e-12
        for key, score in scores.items()
        if score is not None
    )
    counts.lost += max(lost, expected - len(completed))


def main() -> int:
    """Print the table; the exit status says whether robusttune lost anything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="kills of each kind of search")
    parser.add_argument("--seed", type=int, default=0, help="what the moments are drawn from")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--jobs", type=int, help="trials of a tuner at once, in child processes")
    parser.add_argument("--ours", action="store_true", help="leave out the plain libraries")
    arguments = parser.parse_args()
    only = set(arguments.only.split(",")) - {""}
    began = time.perf_counter()
    print(f"{'search':22} {'by':12} kills  lost  twice  wrong  crashes on resume")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, postgresql() as url:
        jobs: list[tuple[str, str, Callable[[Path], Any]]] = []
        if arguments.jobs is not None:
            for kind in TUNERS:
                n = arguments.jobs
                jobs.append((kind, "robusttune", lambda f, k=kind, n=n: tune(k, True, f, n)))
        for kind in TUNERS if arguments.jobs is None else ():
            for ours, by in ((True, "robusttune"), (False, "keras-tuner")):
                jobs.append((kind, by, lambda f, k=kind, o=ours: tune(k, o, f)))
        for kind, storage in storages(url).items() if arguments.jobs is None else ():
            for ours, by in ((True, "robusttune"), (False, "optuna")):
                jobs.append((kind, by, lambda f, s=storage, o=ours: optimize(s, o, f)))
        for kind, by, work in jobs:
            if (only and kind not in only) or (arguments.ours and by != "robusttune"):
                continue
            root = Path(name) / f"{kind}-{by}"
            counts = chaos(work, root, arguments.kills, random.Random(arguments.seed))
            why = Counter(counts.examples).most_common(1)
            print(
                f"{kind:22} {by:12} {counts.kills:5} {counts.lost:5} {counts.twice:6}"
                f" {counts.wrong:6} {counts.crashes:8}   {why[0][0][:60] if why else ''}",
                flush=True,
            )
            if by == "robusttune":
                total["bad"] += counts.lost + counts.twice + counts.wrong + counts.crashes
    print(f"\n{time.perf_counter() - began:.0f} s, seed {arguments.seed}")
    if "postgresql" not in storages(url):
        print("postgresql: its server programs are not installed here")
    return 1 if total["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
