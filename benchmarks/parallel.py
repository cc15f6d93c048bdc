"""Several trials at once: how much faster, at what cost a trial, with how much memory.

Each row is one search in a process of its own. "start" is what passes until the first trial begins:
child processes import TensorFlow. "trials" is the rest. The speed-up is that of the trials, and in
brackets of the whole search, against one child at a time.

    python -m benchmarks.parallel [--only sleep,training,cost,many] [--quick]

- sleep: trials that sleep, so that cores do not matter;
- training: trials that train a small network on the cores that there are;
- cost: what a trial takes beyond its training, by 1,000 that train nothing, one at a time;
- many: 10,000 of these on 4 jobs, a row for each thousand: neither cost nor memory may grow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SLEEP = {"trials": 80, "seconds": 2.0, "jobs": (None, 1, 2, 4)}
TRAINING = {"trials": 12, "epochs": 8, "jobs": (None, 1, 2)}
QUICK = {"trials": 8, "seconds": 0.5, "epochs": 2, "cost": 50, "many": 400}


def search(what: str, n_jobs: int | None, trials: int, amount: float) -> dict[str, Any]:
    """Run one search in this process, and return what was measured.

    Args:
        what: "sleep", "training" or "nothing".
        n_jobs: Policy.n_jobs.
        trials: Of the search.
        amount: Seconds that a trial sleeps, or epochs that it trains.
    """
    import keras
    import keras_tuner
    import numpy as np
    import psutil

    import robusttune
    from robusttune._processes import own_memory

    began = time.perf_counter()
    started: list[float] = []
    thousands: list[tuple[float, int]] = []
    children: list[int] = []
    cpu: list[float] = []  # at the first trial's begin and at the last one's end

    def used() -> float:
        """Return the CPU time of this process and its children, in seconds."""
        here = psutil.Process()
        times = [each.cpu_times() for each in (here, *here.children())]
        return sum(each.user + each.system for each in times)

    def build(hp: Any) -> keras.Model:
        rate, units = hp.Float("rate", 1e-4, 1e-2, sampling="log"), hp.Int("units", 32, 64)
        layers = [keras.layers.Dense(units, activation="relu") for _ in range(2)]
        model = keras.Sequential([keras.Input((20,)), *layers, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(rate), "mse")
        return model

    class Measured(keras_tuner.RandomSearch):
        def on_trial_begin(self, trial: Any) -> None:
            started.append(time.perf_counter())
            if len(started) == 1:
                cpu.append(used())
            super().on_trial_begin(trial)

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            if what == "training":
                return super().run_trial(trial, *args, **kwargs)
            values = [trial.hyperparameters.get(name) for name in ("rate", "units")]
            time.sleep(amount if what == "sleep" else 0)
            return {"val_loss": values[0] * values[1]}

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            ended = len(self.oracle.end_order)
            if ended % (max(trials // 10, 1)) == 0:
                thousands.append((time.perf_counter(), own_memory(os.getpid()) or 0))
            if ended == trials:
                cpu.append(used())
            if ended == trials - trials // 4:
                found = psutil.Process().children()
                children.extend(own_memory(child.pid) or 0 for child in found)

    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 20)).astype("float32")
    y = (x @ rng.normal(size=(20, 1))).astype("float32")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = robusttune.robust(Measured)(
            build,
            keras_tuner.Objective("val_loss", "min"),
            max_trials=trials,
            seed=1,
            policy=robusttune.Policy(n_jobs=n_jobs, sanitize="off"),
            directory=folder,
        )
        epochs = int(amount) if what == "training" else 1
        tuner.search(x, y, epochs=epochs, validation_split=0.2, verbose=0)
        ended = time.perf_counter()
        proposed = [t.hyperparameters.values for _, t in sorted(tuner.oracle.trials.items())]
        failed = sum(t.status != "COMPLETED" for t in tuner.oracle.trials.values())
    digest = hashlib.sha256(json.dumps(proposed, sort_keys=True).encode()).hexdigest()
    return {
        "start": started[0] - began,
        "trials": ended - started[0],
        "proposals": digest[:8],
        "failed": failed,
        "children": children,
        "cpu": cpu[-1] - cpu[0],
        "thousands": [(moment - started[0], memory) for moment, memory in thousands],
    }


def measured(what: str, n_jobs: int | None, trials: int, amount: float) -> dict[str, Any]:
    """Return what `search` returns, in a process of its own."""
    call = "import json; from benchmarks import parallel; "
    call += f"print(json.dumps(parallel.search({what!r}, {n_jobs}, {trials}, {amount})))"
    done = subprocess.run(
        [sys.executable, "-c", call],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(title: str, what: str, jobs: Any, trials: int, amount: float) -> None:
    """Print a table of one search with several numbers of jobs."""
    print(f"\n{title}")
    print(
        f"{'n_jobs':>8} {'start':>8} {'trials':>8}  {'speed-up':14} {'MB a child':>11}  proposals"
    )
    base: dict[str, Any] | None = None
    for n_jobs in jobs:
        found = measured(what, n_jobs, trials, amount)
        base = found if n_jobs == 1 else base
        speed = ""
        if base is not None:
            whole = (base["start"] + base["trials"]) / (found["start"] + found["trials"])
            speed = f"{base['trials'] / found['trials']:.2f} ({whole:.2f})"
        memory = max(found["children"], default=0) / 1e6
        print(
            f"{n_jobs!s:>8} {found['start']:7.1f}s {found['trials']:7.1f}s  {speed:14}"
            f" {memory if memory else float('nan'):11.0f}  {found['proposals']}"
            + (f"  {found['failed']} FAILED" if found["failed"] else ""),
            flush=True,
        )


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="sleep,training,cost,many", help="parts, with commas")
    parser.add_argument("--quick", action="store_true", help="a look at the form, not at the size")
    arguments = parser.parse_args()
    only, quick = set(arguments.only.split(",")), arguments.quick
    print(f"{os.cpu_count()} cores, load {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    if "sleep" in only:
        trials, seconds = SLEEP["trials"], SLEEP["seconds"]
        if quick:
            trials, seconds = QUICK["trials"], QUICK["seconds"]
        title = f"{trials} trials that sleep for {seconds:g} s"
        compare(title, "sleep", SLEEP["jobs"], trials, seconds)
    if "training" in only:
        trials = QUICK["trials"] if quick else TRAINING["trials"]
        epochs = QUICK["epochs"] if quick else TRAINING["epochs"]
        title = f"{trials} trials that train for {epochs} epochs"
        compare(title, "training", TRAINING["jobs"], trials, epochs)
    if "cost" in only:
        trials = QUICK["cost"] if quick else 1000
        for n_jobs in (None, 1):
            found = measured("nothing", n_jobs, trials, 0)
            each = found["trials"] / trials * 1000
            cpu = found["cpu"] / trials * 1000
            print(f"\n{trials} trials that train nothing, n_jobs={n_jobs}:", end=" ")
            print(f"{each:.1f} ms a trial, {cpu:.1f} ms of CPU time", flush=True)
    if "many" in only:
        trials = QUICK["many"] if quick else 10_000
        print(f"\n{trials} trials that train nothing, n_jobs=4\n  trials  ms a trial  MB here")
        found, before = measured("nothing", 4, trials, 0), 0.0
        for number, (moment, memory) in enumerate(found["thousands"], 1):
            each = (moment - before) / (trials / 10) * 1000
            print(f"{number * trials // 10:8} {each:11.1f} {memory / 1e6:8.0f}")
            before = moment
    print(f"\nload {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
