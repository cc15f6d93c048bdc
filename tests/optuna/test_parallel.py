"""robusttune.optuna.optimize: the trials of a study in processes that may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from robusttune import Policy
from robusttune._compat.optuna import StoredTrial, is_in_memory
from robusttune.errors import HopelessSearchError
from robusttune.optuna import _optimize, optimize, records_of, robust
from tests import ROOT
from tests.executors.test_executors import dask, loky, ray, slurm
from tests.optuna.test_storages import grpc, open_storage

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="tested on POSIX"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]
full = pytest.mark.full
_GRPC: dict[str, int] = {}  # where the server listens


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def journal(folder: Path) -> Any:
    """A journal in a file."""
    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def sqlite(folder: Path) -> Any:
    """A database in a file."""
    return RDBStorage(f"sqlite:///{folder}/study.db")


def grpc_proxy(folder: Path) -> Any:
    """What a server that has a database in a file is reached by."""
    return open_storage("grpc", _GRPC["port"])


def made(folder: Path, storage: Any = journal, **options: Any) -> optuna.Study:
    """Return a study."""
    options = {"sampler": optuna.samplers.TPESampler(seed=0, n_startup_trials=5), **options}
    return optuna.create_study(storage=storage(folder), study_name="one", **options)


@full
@pytest.mark.parametrize(
    "storage", [journal, sqlite, grpc_proxy], ids=lambda storage: storage.__name__
)
def test_trials_run_in_processes_and_one_that_dies_is_one_failed_trial(
    storage: Any, tmp_path: Path
) -> None:
    """n_trials counts in total, no two processes propose the same, a lambda will do."""
    if storage is grpc_proxy:
        with grpc(tmp_path) as (_, port):
            _GRPC["port"] = int(port)
            check_trials_in_processes(made(tmp_path, storage), tmp_path)
    else:
        check_trials_in_processes(made(tmp_path, storage), tmp_path)


def check_trials_in_processes(study: optuna.Study, folder: Path) -> None:
    """Optimize a study in two processes, one of which dies once."""
    here = os.getpid()
    seen = []

    def run(trial: optuna.Trial) -> float:
        (folder / f"began-{trial.number}").touch()
        while trial.number == 0 and not (folder / "began-1").exists():
            time.sleep(0.01)  # two run at once, however long a process takes to start
        if trial.number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        trial.set_user_attr("pid", os.getpid())
        return trial.suggest_float("x", -1, 1) ** 2

    optimize(
        study,
        lambda trial: run(trial),
        n_trials=12,
        n_jobs=2,
        callbacks=[lambda study, trial: seen.append((trial.number, os.getpid()))],
    )
    records = records_of(study)
    assert [record.number for record in records] == list(range(12))
    assert [record.number for record in records if record.status == "failed"] == [3]
    assert (records[3].cause, records[3].evidence["signal"]) == ("crashed", "SIGKILL")
    done = study.get_trials(states=[TrialState.COMPLETE])
    assert len(done) == 11
    assert len({trial.params["x"] for trial in done}) == 11
    pids = {trial.user_attrs["pid"] for trial in done}
    assert here not in pids
    assert len(pids) >= 2
    assert sorted(seen) == [(number, here) for number in range(12)]


_HOLD_THE_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(7)
"""


@full
def test_a_database_file_that_is_locked_for_long_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself gives up after 5 s, and the trial's value would be lost."""
    database = str(tmp_path / "study.db")

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        command = [sys.executable, "-c", _HOLD_THE_LOCK, database]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        return x

    study = made(tmp_path, sqlite)
    optimize(study, objective, n_trials=1, n_jobs=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"]


@full
@pytest.mark.parametrize("engine", [dask, ray, slurm, loky], ids=lambda engine: engine.__name__)
def test_a_study_on_every_engine_with_a_worker_killed(engine: Any, tmp_path: Path) -> None:
    """One failed trial, and none lost."""
    study = made(tmp_path)

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return trial.suggest_float("x", -1, 1) ** 2

    with engine(tmp_path) as executor:
        optimize(study, objective, n_trials=6, n_jobs=2, executor=executor)
    records = records_of(study)
    assert [record.status for record in records].count("completed") == 5
    assert (records[2].status, records[2].cause) == ("failed", "crashed")


@full
def test_a_trial_that_hangs_or_takes_too_much_is_ended(tmp_path: Path) -> None:
    """By the limits of the policy."""
    import numpy as np

    study = made(tmp_path)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        if trial.number == 0:
            time.sleep(600)
        if trial.number == 1:
            taken = np.ones(1_500_000_000, np.uint8)
            time.sleep(600)
            assert taken.all()
        return x

    policy = Policy(n_jobs=2, trial_seconds=3.0, memory_limit=1_000_000_000)
    optimize(study, objective, n_trials=4, policy=policy)
    assert [record.cause for record in records_of(study)] == [
        "timeout",
        "out_of_memory",
        None,
        None,
    ]


@full
def test_pruning_stopping_and_failures_are_as_in_optuna(tmp_path: Path) -> None:
    """Also where the objective calls `study.stop()`, or is robust already."""
    study = made(tmp_path)
    study.enqueue_trial({"x": 0.25})

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        if trial.number == 1:
            raise optuna.TrialPruned
        if trial.number == 2:
            raise KeyError("b")
        if trial.number == 5:
            trial.study.stop()
        return x

    optimize(study, robust(objective), n_trials=100, timeout=500.0, n_jobs=1)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert study.trials[0].params == {"x": 0.25}
    assert records_of(study)[2].error == "KeyError: 'b'"


@full
def test_callbacks_can_stop_the_study(tmp_path: Path) -> None:
    """In the process that optimizes, whose study they get."""
    study = made(tmp_path)
    stop = optuna.study.MaxTrialsCallback(3, states=(TrialState.COMPLETE,))
    optimize(study, lambda trial: trial.suggest_float("x", 0, 1), n_jobs=1, callbacks=[stop])
    assert len(study.trials) == 3
    optimize(study, lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert len(study.trials) == 5


@full
def test_a_hopeless_study_ends(tmp_path: Path) -> None:
    """With the error; trials that ran have ended."""
    study = made(tmp_path)

    def fails(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        raise TypeError("no such thing")

    with pytest.raises(HopelessSearchError, match="no such thing"):
        optimize(study, fails, n_trials=50, n_jobs=2, policy=Policy(hopeless_after=2))
    assert 4 <= len(study.trials) < 10
    assert all(trial.state is TrialState.FAIL for trial in study.trials)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("storage", [journal, sqlite])
def test_a_result_told_while_the_study_is_given_up_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: Any, written: bool
) -> None:
    """A trial's process may tell it at any moment: before its end is written, or told."""
    study = made(tmp_path, storage)

    def runs_on(trial: optuna.Trial) -> float:
        threading.Event().wait()
        return 0.0

    def told_in_between(self: StoredTrial, record: Any) -> None:
        if written:
            write_record(self, record)
        study.tell(self.number, 1.0)
        if not written:
            write_record(self, record)

    def interrupt(self: Any) -> None:
        take_ended(self)
        if self._running:
            raise KeyboardInterrupt

    write_record = _optimize.write_record
    take_ended = _optimize._Loop._take_ended
    monkeypatch.setattr(_optimize, "write_record", told_in_between)
    monkeypatch.setattr(_optimize._Loop, "_take_ended", interrupt)
    with pytest.raises(KeyboardInterrupt):
        optimize(study, runs_on, n_trials=1, n_jobs=1)
    assert [trial.value for trial in study.trials] == [1.0]


_KILLED = """
import sys, time
from pathlib import Path
from tests.optuna import test_parallel as tests
folder = Path(sys.argv[1])

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    (folder / f"runs-{trial.number}").touch()
    while trial.number and not (folder / "go").exists():
        time.sleep(0.01)
    return x

tests.optimize(tests.made(folder, tests.sqlite), objective, n_trials=8, n_jobs=2)
"""


@full
def test_a_study_whose_process_was_killed_goes_on(tmp_path: Path) -> None:
    """Kill -9: what had ended stays, what ran has crashed in the records, the rest is run."""
    arguments = [sys.executable, "-c", _KILLED, tmp_path]
    parent = subprocess.Popen(arguments, cwd=ROOT)
    while not ((tmp_path / "runs-1").exists() and (tmp_path / "runs-2").exists()):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    study = optuna.load_study(study_name="one", storage=sqlite(tmp_path))
    optimize(study, lambda trial: trial.suggest_float("x", 0, 1), n_trials=5, n_jobs=2)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "RUNNING", "RUNNING", *["COMPLETE"] * 5]  # as Optuna leaves them
    deadline = time.monotonic() + 60  # until the children have noticed
    while [r.cause for r in records_of(study)[:3]] != [None, "crashed", "crashed"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("storage", [None, "sqlite://", "sqlite:///:memory:"])
def test_a_study_in_memory_gets_a_clear_error(storage: Any) -> None:
    """With the way out."""
    study = optuna.create_study(storage=storage)
    assert is_in_memory(study)
    with pytest.raises(ValueError, match="study must be one whose storage other"):
        optimize(study, lambda trial: 0.0, n_trials=1)


def test_arguments_that_do_not_suit_get_clear_errors(tmp_path: Path) -> None:
    """Before any process is started."""
    study = made(tmp_path)
    for options, match in (
        ({"n_jobs": 0}, "n_jobs must be an int >= 1"),
        ({"n_trials": -1}, "n_trials must be an int >= 0"),
        ({"timeout": "x"}, "timeout must be"),
        ({"executor": 3}, "executor must be an object whose submit"),
    ):
        with pytest.raises((TypeError, ValueError), match=match):
            optimize(study, lambda trial: 0.0, **{"n_trials": 1, **options})
    assert not study.trials
