"""Optuna workers on one storage, with one command; one worker is killed.

`python examples/distributed/optuna_workers.py` starts three workers on one journal file, kills one
of them in its trial, and prints the report. They share failures.csv too. It takes some seconds:

    worker 0 was killed
    5 of 32 trials failed; 4 of them where rate > 1: unknown. Lower the upper bound of rate to 1.
    killed with their worker: 1

On a cluster, start `python optuna_workers.py --role STORAGE CSV` once for each process (a
Kubernetes Job with `parallelism`, a Slurm array), with one STORAGE for all. `create_study` comes
before them, once:

- `postgresql+psycopg2://user@host/db` (or MySQL): create it as
  `RDBStorage(url, heartbeat_interval=60, grace_period=120)`, and Optuna itself marks the trials of
  dead workers as failed; with its `heartbeat_stale_trial_callback` (`failed_trial_callback` before
  4.9) it runs them again. robusttune reports the lost runs as crashed.
- a path to a journal file on a file system that all see (NFS), as here: no server is needed, and no
  heart beats. A report that is made on the machine of a dead worker says that its trial has
  crashed; elsewhere it counts as running.
- `grpc://host:port`, where `optuna.storages.run_grpc_proxy_server` stands before a database: for
  hundreds of workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

from robusttune import Report
from robusttune.optuna import CrashAwareSampler, FailureReportCallback, robust

WORKERS = 3
TRIALS = 30
NAME = "shared"


def open_storage(place: str) -> optuna.storages.BaseStorage:
    """Open what STORAGE names."""
    if place.startswith("grpc://"):
        host, _, port = place.removeprefix("grpc://").partition(":")
        return optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    if "://" in place:
        return optuna.storages.RDBStorage(place, heartbeat_interval=60, grace_period=120)
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(place))


def objective(trial: optuna.Trial) -> float:
    """Gradient descent on a parabola of random steepness: high rates diverge."""
    rate = trial.suggest_float("rate", 1e-3, 1e1, log=True)
    x = 1.0
    for _ in range(1000):
        x -= rate * 2 * x
    return x * x if abs(x) < 1e100 else float("nan")


def work(place: str, csv: str) -> None:
    """What each worker runs: an ordinary study, loaded from the storage."""
    study = optuna.load_study(
        study_name=NAME, storage=open_storage(place), sampler=CrashAwareSampler()
    )
    dies = os.environ.get("DIES_IN_ITS_TRIAL")

    def run(trial: optuna.Trial) -> float:
        if dies is not None:
            Path(dies).touch()
            time.sleep(600)
        return objective(trial)

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)
    enough = optuna.study.MaxTrialsCallback(TRIALS, states=states)
    study.optimize(robust(run), callbacks=[FailureReportCallback(csv), enough])


def main() -> None:
    """Start all on this machine, kill one worker, and show what is known."""
    folder = Path(tempfile.mkdtemp())
    place, csv, started = str(folder / "journal.log"), str(folder / "failures.csv"), folder / "on"
    study = optuna.create_study(study_name=NAME, storage=open_storage(place))

    def start(**variables: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, __file__, "--role", place, csv]
        return subprocess.Popen(command, env={**os.environ, **variables})

    victim = start(DIES_IN_ITS_TRIAL=str(started))
    workers = [start() for _ in range(WORKERS - 1)]
    while not started.exists():
        time.sleep(0.05)
    victim.kill()
    victim.wait()
    print("worker 0 was killed")
    for worker in workers:
        if worker.wait() != 0:
            sys.exit(f"a worker ended with {worker.returncode}")
    report = Report.from_study(study)
    print(report.summary())
    print("killed with their worker:", (report.failures.cause == "crashed").sum())


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "--role" in sys.argv:
        work(*sys.argv[-2:])
    else:
        main()
