"""Optuna's workers as real processes: several on one CSV file, and one that dies with its lock."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from robusttune import Report
from robusttune.optuna import FailureReportCallback, records_of, robust
from tests.docs.test_examples import run
from tests.optuna.test_storages import start_worker

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
N_EACH = 15

REPORTER = """
import sys
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from robusttune import Policy
from robusttune.optuna import FailureReportCallback, robust

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
study = optuna.load_study(study_name="one", storage=JournalStorage(JournalFileBackend(sys.argv[1])))

def objective(trial):
    trial.suggest_float("x", 0, 1)
    raise KeyError(trial.number)

policy = Policy(hopeless_after=None)  # nothing but failures, on purpose
study.optimize(robust(objective, policy=policy), n_trials=int(sys.argv[3]),
               callbacks=[FailureReportCallback(sys.argv[2])])
"""


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def test_two_reporters_on_one_csv_lose_no_failure(tmp_path: Path) -> None:
    """Every failure of both processes is in the file, and a reader sees whole files only."""
    place, csv = str(tmp_path / "journal.log"), tmp_path / "failures.csv"
    study = optuna.create_study(study_name="one", storage=JournalStorage(JournalFileBackend(place)))
    workers = [start_worker(REPORTER, place, csv, N_EACH) for _ in range(2)]
    seen = []
    while any(worker.poll() is None for worker in workers):
        if csv.exists():
            seen.append(len(pd.read_csv(csv)))
    assert [worker.wait() for worker in workers] == [0, 0]
    assert seen == sorted(seen)
    assert sorted(pd.read_csv(csv).number) == list(range(2 * N_EACH))
    assert len(study.trials) == 2 * N_EACH
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


DIES_WITH_THE_LOCK = """
import sys, time
from robusttune.optuna import _callback as callback

lock = callback.JournalFileOpenLock(sys.argv[1])
lock.acquire()
print("locked", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process with a POSIX signal")
def test_a_reporter_that_died_with_the_lock_holds_nobody_up(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """The lock of a killed process is broken after a while."""
    from robusttune.optuna import _callback as callback

    class Impatient(callback.JournalFileOpenLock):
        def __init__(self, path: str) -> None:
            super().__init__(path, grace_period=3)

    csv = tmp_path / "failures.csv"
    holder = start_worker(DIES_WITH_THE_LOCK, csv)
    assert holder.stdout.readline() == b"locked\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    monkeypatch.setattr(callback, "JournalFileOpenLock", Impatient)
    study = optuna.create_study()

    def fails(trial: optuna.Trial) -> float:
        raise KeyError("a")

    study.optimize(robust(fails), n_trials=1, callbacks=[FailureReportCallback(csv)])
    assert len(pd.read_csv(csv)) == 1


RETRIED = """
import sys, time
import optuna
from optuna.storages import RDBStorage
from robusttune.optuna import robust

study = optuna.load_study(study_name="retried", storage=RDBStorage(
    sys.argv[1], heartbeat_interval=1, grace_period=2))

def objective(trial):
    trial.suggest_float("x", 0, 1)
    study._storage.record_heartbeat(trial._trial_id)  # a worker that was never heard is not missed
    print("started", flush=True)
    time.sleep(600)

study.optimize(robust(objective), n_trials=1)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process with a POSIX signal")
@pytest.mark.filterwarnings("ignore:.*failed_trial_callback.*:FutureWarning")
def test_a_stale_trial_is_reported_and_run_again(tmp_path: Path) -> None:
    """By Optuna's own retry: the lost run has crashed, and the second one counts."""
    retry_class = getattr(
        optuna.storages,
        "RetryHeartbeatStaleTrialCallback",
        getattr(optuna.storages, "RetryFailedTrialCallback", None),
    )
    url = f"sqlite:///{tmp_path}/study.db"
    storage = RDBStorage(
        url, heartbeat_interval=1, grace_period=2, failed_trial_callback=retry_class()
    )
    study = optuna.create_study(study_name="retried", storage=storage)
    worker = start_worker(RETRIED, url)
    assert worker.stdout.readline() == b"started\n"
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    while len(study.trials) < 2:
        optuna.storages.fail_stale_trials(study)
        threading.Event().wait(0.2)
    study.optimize(robust(lambda trial: trial.suggest_float("x", 0, 1)), n_trials=1)
    first, second = records_of(study)
    assert (first.status, first.cause) == ("failed", "crashed")
    assert (second.status, second.cause) == ("completed", None)
    assert second.params == first.params
    failures = Report.from_study(study).failures
    assert list(failures.cause) == ["crashed"]


def test_example_optuna_workers(tmp_path: Path) -> None:
    """The script starts its workers, kills one, and reports."""
    shown = run("distributed/optuna_workers.py", tmp_path)
    assert "of them where rate > " in shown  # workers take turns as they come
    assert "killed with their worker: 1" in shown
