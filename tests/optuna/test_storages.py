"""Records in real storages, with two worker processes, killed workers and heartbeats."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from robusttune import FailureCause, Report
from robusttune.optuna import records_of, robust
from tests import ROOT

N_TRIALS = 12

WORKER = """
import math, sys
import optuna
from robusttune.optuna import CrashAwareSampler, robust
from tests.optuna.test_storages import open_storage

optuna.logging.set_verbosity(optuna.logging.CRITICAL)

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    kind = trial.number % 4
    if kind == 1:
        raise KeyError("a")
    if kind == 2:
        raise MemoryError("Unable to allocate 8 GiB")
    return math.nan if kind == 3 else x

storage = open_storage(*sys.argv[1:3])
study = optuna.load_study(study_name="two", storage=storage, sampler=CrashAwareSampler())
stop = optuna.study.MaxTrialsCallback(int(sys.argv[3]), states=None)
study.optimize(robust(objective), callbacks=[stop])
"""

EXPECTED = {0: "none", 1: "code_error", 2: "out_of_memory", 3: "unknown"}


pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def open_storage(kind, place):
    """Return a storage, as each worker process opens it."""
    if kind == "rdb":
        return RDBStorage(place)
    if kind == "journal":
        return JournalStorage(JournalFileBackend(place))
    proxy = optuna.storages.GrpcStorageProxy(host="localhost", port=int(place))
    proxy.wait_server_ready(timeout=60)
    return proxy


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@contextmanager
def sqlite(folder):
    """An SQLite file."""
    yield "rdb", f"sqlite:///{folder}/study.db"


@contextmanager
def journal(folder):
    """A journal file."""
    yield "journal", str(folder / "journal.log")


@contextmanager
def grpc(folder):
    """A gRPC proxy before an SQLite file."""
    pytest.importorskip("grpc")
    pytest.importorskip(
        "google.protobuf.runtime_version",
        reason="Optuna's messages need protobuf 5.26 or newer, which TensorFlow 2.16 refuses",
    )
    port = free_port()
    code = (
        "import sys, optuna;"
        "optuna.storages.run_grpc_proxy_server("
        "optuna.storages.RDBStorage(sys.argv[1]), host='localhost', port=int(sys.argv[2]))"
    )
    url = f"sqlite:///{folder}/behind.db"
    server = subprocess.Popen([sys.executable, "-c", code, url, str(port)])
    try:
        yield "grpc", str(port)
    finally:
        server.terminate()
        server.wait(30)


def postgres_programs():
    """Return the folder of PostgreSQL's server programs; skip the test where there is none."""
    pytest.importorskip("psycopg2")
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if on_path is None and not installed:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    return Path(on_path).parent if on_path else installed[-1].parent


@contextmanager
def postgresql(folder):
    """A throw-away PostgreSQL cluster; its server refuses to run as root."""
    programs, port = postgres_programs(), free_port()
    server = {}
    if os.geteuid() == 0:
        server = {"user": "postgres", "group": "postgres", "extra_groups": []}
        folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "cluster"

    def run(program, *arguments):
        subprocess.run(
            [programs / program, *map(str, arguments)],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            **server,
        )

    run("initdb", "-D", data, "-U", "tuner", "--auth=trust", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=localhost -c fsync=off"
    run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield "rdb", f"postgresql+psycopg2://tuner@localhost:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def start_worker(code, *arguments):
    """Start a process that can import this module."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )


@pytest.mark.full
@pytest.mark.parametrize("place", [sqlite, journal, grpc, postgresql])
def test_two_workers_lose_no_trial_and_no_cause(place, tmp_path):
    """Two processes, one study: every trial is in the report, every failure with its cause."""
    with place(tmp_path) as (kind, where):
        storage = open_storage(kind, where)
        study = optuna.create_study(study_name="two", storage=storage)
        workers = [start_worker(WORKER, kind, where, N_TRIALS) for _ in range(2)]
        for worker in workers:
            worker.communicate(timeout=120)
        assert [worker.returncode for worker in workers] == [0, 0]
        trials = Report.from_study(study).trials
        again = Report.from_storage(storage, "two").failures
        storage.remove_session()
        if kind == "rdb":
            storage.engine.dispose()
    assert trials["number"].tolist() == list(range(len(trials)))
    assert len(trials) >= N_TRIALS
    causes = trials["cause"].fillna("none").tolist()
    assert causes == [EXPECTED[number % 4] for number in trials["number"]]
    assert set(again["cause"]) == {"code_error", "out_of_memory", "unknown"}


SLEEPER = """
import sys, time
import optuna
from robusttune.optuna import robust

storage = optuna.storages.RDBStorage(sys.argv[1], heartbeat_interval=int(sys.argv[2]) or None,
                                     grace_period=2 if int(sys.argv[2]) else None)
study = optuna.load_study(study_name="killed", storage=storage)

def objective(trial):
    trial.suggest_float("x", 0, 1)
    if int(sys.argv[2]):
        storage.record_heartbeat(trial._trial_id)  # a worker that was never heard is not missed
    print("started", flush=True)
    time.sleep(600)

study.optimize(robust(objective), n_trials=1)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process with a POSIX signal")
@pytest.mark.parametrize("heartbeat", [0, 1])
def test_a_killed_workers_trial_has_crashed(heartbeat, tmp_path):
    """With a heartbeat Optuna fails the trial, without one the breadcrumb tells."""
    url = f"sqlite:///{tmp_path}/study.db"
    storage = RDBStorage(url)
    study = optuna.create_study(study_name="killed", storage=storage)
    worker = start_worker(SLEEPER, url, heartbeat)
    assert worker.stdout.readline() == b"started\n"
    assert records_of(study)[0].status == "running"
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    if heartbeat:
        beating = RDBStorage(url, heartbeat_interval=1, grace_period=2)
        watching = optuna.load_study(study_name="killed", storage=beating)
        deadline = time.monotonic() + 60
        while study.trials[0].state is TrialState.RUNNING and time.monotonic() < deadline:
            optuna.storages.fail_stale_trials(watching)
            threading.Event().wait(0.2)
        assert study.trials[0].state is TrialState.FAIL
    (record,) = records_of(study)
    assert (record.status, record.cause) == ("failed", FailureCause.CRASHED)
    study.optimize(robust(lambda trial: trial.suggest_float("x", 0, 1)), n_trials=1)
    assert [r.status for r in records_of(study)] == ["failed", "completed"]


def test_large_records_are_stored(tmp_path):
    """A long exception text with characters of all kinds goes into a database and back."""

    def objective(trial):
        raise RuntimeError("„é\x00" * 50_000)

    for kind, where in (("rdb", f"sqlite:///{tmp_path}/s.db"), ("journal", f"{tmp_path}/j.log")):
        study = optuna.create_study(storage=open_storage(kind, where))
        study.optimize(robust(objective), n_trials=1)
        assert records_of(study)[0].error.startswith("RuntimeError: „é")
