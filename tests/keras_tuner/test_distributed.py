"""Keras Tuner's chief and workers as real processes: failures, and killed ones of both kinds."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

import robusttune
from robusttune import Policy, Report, TrialRecord
from robusttune._keras_tuner.distributed.chief import WorkerHeartbeats
from tests.docs.test_examples import run as run_example

if os.name != "posix":
    pytest.skip("forks processes and kills them", allow_module_level=True)

# A server that has imported TensorFlow, and forks each chief and worker in a moment.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "keras_tuner",
        "robusttune._keras_tuner",
        "robusttune._keras_tuner.distributed.chief",
        "robusttune._keras_tuner.distributed.worker",
    ]
)
SILENCE = 4.0  # seconds after which these workers count as dead
WAIT = 120.0  # seconds after which a test gives up


def until(condition: Callable[[], Any]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        threading.Event().wait(0.05)


class Team:
    """A chief and its workers, on a folder of their own."""

    def __init__(self, folder: Path, kind: str, **policy: Any) -> None:
        self.folder, self.kind, self.policy = folder, kind, policy
        self.project = folder / "untitled_project"
        self.processes: list[Any] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self, name: str) -> Any:
        """Start the chief or a worker."""
        arguments = (name, self.port, str(self.folder), self.kind, self.policy)
        process = FORKS.Process(target=serve_or_work, args=arguments)
        process.start()
        self.processes.append(process)
        return process

    def done(self, process: Any) -> dict[str, Any]:
        """Wait until a process has ended, and return what it says of itself."""
        process.join(WAIT)
        assert process.exitcode == 0
        said: dict[str, Any] = json.loads((self.folder / f"{process.pid}.json").read_text())
        return said

    def trials(self) -> Any:
        """Return the trials by number, as the report on the project folder has them."""
        return Report.from_directory(self.project).trials.set_index("number")


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Callable[..., Team]]:
    """Makes a team, of which nobody is left at the end."""
    made: list[Team] = []

    def make(kind: str, **policy: Any) -> Team:
        made.append(Team(tmp_path, kind, **policy))
        return made[-1]

    yield make
    for process in [process for team in made for process in team.processes]:
        process.kill()
        process.join()


def serve_or_work(name: str, port: int, folder: str, kind: str, policy: dict[str, Any]) -> None:
    """What each process does."""
    os.environ |= {
        "KERASTUNER_TUNER_ID": name,
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
    }
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Keras Tuner prints
    logging.disable()
    here = Path(folder)

    class Mine(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            number = int(trial.trial_id)
            with open(here / "runs", "a") as file:
                file.write(f"{name} {number}\n")
            return float(_RUNS[kind](name, number, here))

    space = keras_tuner.HyperParameters()
    space.Float("x", 0, 1)
    limit = {"max_consecutive_failed_trials": 2} if kind == "limit" else {}
    settings = {"worker_silence": SILENCE, "hopeless_after": 2, **policy}
    said: dict[str, Any] = {"error": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", robusttune.RobustTuneWarning)
        try:
            tuner = robusttune.robust(Mine)(
                max_trials=6,
                hyperparameters=space,
                directory=folder,
                policy=Policy(**settings),
                **limit,
            )
            tuner.search(verbose=0)
        except Exception as error:
            said["error"] = f"{type(error).__name__}: {error}"
    said["warnings"] = [str(warned.message) for warned in caught]
    (here / f"{os.getpid()}.json").write_text(json.dumps(said))


def _fails(name: str, number: int, here: Path) -> float:
    if number % 3 == 1:
        raise MemoryError("Unable to allocate 8 GiB")
    return math.nan if number % 3 == 2 else number


def _sticks(name: str, number: int, here: Path) -> float:
    """Worker a comes to no end in its first trial; the others run on when it is over with a."""
    if name == "a" and not (here / "a is over").exists():
        (here / "stuck").write_text(str(number))
        while not (here / "go on").exists():
            time.sleep(0.05)
    while not (here / "stuck").exists():
        time.sleep(0.05)
    while name != "a" and not (here / "a is over").exists():
        time.sleep(0.05)
    return number


def _lost(name: str, number: int, here: Path) -> float:
    if name == "a":
        os._exit(1)
    while "a" not in (here / "runs").read_text():
        time.sleep(0.05)
    return number


def _dies(name: str, number: int, here: Path) -> float:
    if number == 1:
        os._exit(9)
    return number


def _hopeless(name: str, number: int, here: Path) -> float:
    raise ValueError("Input X contains NaN.")


def _nan(name: str, number: int, here: Path) -> float:
    return math.nan


_RUNS = {
    "fails": _fails,
    "sticks": _sticks,
    "lost": _lost,
    "dies": _dies,
    "hopeless": _hopeless,
    "limit": _nan,
    "quick": lambda name, number, here: number,
}


def test_failures_stop_no_worker_and_reach_the_chief(team: Any) -> None:
    """Exceptions and NaN in the workers: all trials run, and the chief has every cause."""
    search = team("fails")
    processes = [search.start(name) for name in ("chief", "a", "b")]
    assert [search.done(process)["error"] for process in processes] == [None] * 3
    trials = search.trials()
    assert list(trials.status) == ["completed", "failed", "failed"] * 2
    assert list(trials.cause.fillna("")) == ["", "out_of_memory", "unknown"] * 2
    stored = json.loads((search.project / "trial_1" / "trial.json").read_text())
    assert "8 GiB" in stored["message"]


@pytest.mark.full
@pytest.mark.parametrize("restart", [False, True])
def test_a_killed_workers_trial_is_run_again(restart: bool, team: Any) -> None:
    """By another worker, or by the same one that was started again; once, and the chief exits."""
    search = team("sticks")
    chief, a, b = (search.start(name) for name in ("chief", "a", "b"))
    until((search.folder / "stuck").exists)
    lost = (search.folder / "stuck").read_text()
    os.kill(a.pid, signal.SIGKILL)
    a.join()
    (search.folder / "a is over").touch()
    workers = [b, search.start("a")] if restart else [b]
    assert [search.done(process)["error"] for process in (chief, *workers)] == [None] * (
        1 + len(workers)
    )
    trials = search.trials()
    assert list(trials.status) == ["completed"] * 6
    assert list(trials.value) == list(range(6))
    runs = (search.folder / "runs").read_text().splitlines()
    again = [run.split()[0] for run in runs if run.split()[1] == lost]
    assert len(again) == 2
    assert len(runs) == 7
    oracle = json.loads((search.project / "oracle.json").read_text())
    assert sorted(oracle["end_order"]) == sorted(oracle["start_order"])
    assert not oracle["ongoing_trials"]


@pytest.mark.full
def test_a_trial_that_ends_its_workers_has_crashed(team: Any) -> None:
    """After policy.interruptions workers it is given to no more of them."""
    search = team("lost", interruptions=1)
    chief, a, b = (search.start(name) for name in ("chief", "a", "b"))
    assert search.done(chief)["error"] is None
    assert search.done(b)["error"] is None
    a.join(WAIT)
    assert a.exitcode == 1
    trials = search.trials()
    assert sorted(trials.status) == ["completed"] * 5 + ["failed"]
    assert list(trials.cause.dropna()) == ["crashed"]


@pytest.mark.full
def test_a_result_that_comes_too_late_is_not_counted_twice(team: Any) -> None:
    """A worker that stood still finds its trial run by another one, and goes on with the next."""
    search = team("sticks")
    chief, a, b = (search.start(name) for name in ("chief", "a", "b"))
    until((search.folder / "stuck").exists)
    lost = (search.folder / "stuck").read_text()
    os.kill(a.pid, signal.SIGSTOP)
    (search.folder / "a is over").touch()
    until(lambda: f"b {lost}" in (search.folder / "runs").read_text())
    (search.folder / "go on").touch()
    os.kill(a.pid, signal.SIGCONT)
    assert [search.done(process)["error"] for process in (chief, b)] == [None] * 2
    assert search.done(a)["error"] is None
    assert list(search.trials().status) == ["completed"] * 6
    oracle = json.loads((search.project / "oracle.json").read_text())
    assert len(oracle["end_order"]) == len(set(oracle["end_order"])) == 6


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("hopeless", "HopelessSearchError: All .* non_finite_data"),
        ("limit", "RuntimeError: Number of consecutive failures exceeded the limit of 2"),
    ],
)
def test_what_ends_a_search_ends_it_for_all(kind: str, error: str, team: Any) -> None:
    """The chief raises it, and the workers leave in peace."""
    import re

    search = team(kind)
    chief, *workers = (search.start(name) for name in ("chief", "a", "b"))
    assert [search.done(worker)["error"] for worker in workers] == [None] * 2
    assert re.match(error, search.done(chief)["error"])
    assert len(search.trials()) < 6


@pytest.mark.full
def test_a_worker_that_comes_too_late_is_told_so(team: Any) -> None:
    """After an ended chief it warns and leaves; after a killed one it raises."""
    search = team("quick")
    chief, a = search.start("chief"), search.start("a")
    search.done(chief)
    search.done(a)
    late = search.done(search.start("b"))
    assert late["error"] is None
    assert ["nothing left to do" in text for text in late["warnings"]] == [True]
    note = search.project / "chief.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "ended": False}))
    assert "was killed" in search.done(search.start("b"))["error"]


def test_a_chief_that_is_started_again_goes_on_with_its_workers(team: Any) -> None:
    """The worker waits for it, and its result counts."""
    search = team("sticks", worker_silence=60.0)  # which is how long it waits for a killed chief
    chief, a = search.start("chief"), search.start("a")
    until((search.folder / "stuck").exists)
    os.kill(chief.pid, signal.SIGKILL)
    chief.join()
    chief = search.start("chief")
    (search.folder / "a is over").touch()
    (search.folder / "go on").touch()
    assert [search.done(process)["error"] for process in (chief, a)] == [None] * 2
    assert list(search.trials().status) == ["completed"] * 6
    runs = (search.folder / "runs").read_text().split()
    assert len(runs) == 12  # name and number: none was run twice


def test_leases_forgive_when_the_chief_itself_stood_still(monkeypatch: Any) -> None:
    """A chief that could not hear takes nobody for dead."""
    now = [100.0]
    monkeypatch.setattr("robusttune._keras_tuner.distributed.chief.time.monotonic", lambda: now[0])
    heartbeats = WorkerHeartbeats(6.0)
    heartbeats.renew("a")
    heartbeats.renew("b")
    heartbeats.renew("c", begin=False)
    for _ in range(5):
        now[0] += 1.0
        heartbeats.renew("b")
        assert heartbeats.silent() == []
    assert not heartbeats.all_heard_since(104.0, besides="b")
    assert heartbeats.all_heard_since(104.0, besides="a")
    now[0] += 1.5
    assert heartbeats.silent() == ["a"]
    heartbeats.forget("a")
    now[0] += 1000.0
    assert heartbeats.silent() == []


@pytest.mark.full
def test_a_worker_may_isolate_its_trials(team: Any) -> None:
    """A trial that takes its process down leaves the worker alone, and the chief has the cause."""
    search = team("dies", isolate=True)
    processes = [search.start(name) for name in ("chief", "a")]
    assert [search.done(process)["error"] for process in processes] == [None] * 2
    trials = search.trials()
    assert list(trials.status) == ["completed", "failed", *["completed"] * 4]
    assert trials.cause[1] == "crashed"
    assert "exit code 9" in trials.error[1]


def test_records_of_workers_are_whole(team: Any) -> None:
    """Each record in the folder reads back."""
    search = team("fails")
    processes = [search.start(name) for name in ("chief", "a")]
    for process in processes:
        search.done(process)
    paths = sorted(search.project.glob("trial_*/robusttune.json"))
    assert [TrialRecord.from_json(p.read_text()).status for p in paths][:2] == [
        "completed",
        "failed",
    ]


@pytest.mark.full
def test_example_keras_tuner_workers(tmp_path: Path) -> None:
    """The script starts chief and workers, kills one, and the search ends well."""
    shown = run_example("distributed/keras_tuner_workers.py", tmp_path)
    assert "worker-0 was killed" in shown
    assert "3 of 6 trials failed" in shown
    assert "every trial has ended: True" in shown
