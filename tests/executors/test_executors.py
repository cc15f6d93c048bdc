"""executor=: the same search on Dask, Ray, submitit and loky, and one of their workers killed."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import keras_tuner
import pytest

import robusttune
from robusttune import Policy
from robusttune._compat.dask import client_of
from robusttune._isolation.transport import pack
from robusttune._version import __version__
from robusttune.errors import RobustTuneError, TrialFailure
from robusttune.executors._handed_out import result_of
from robusttune.executors._worker import Order, run_on_worker
from tests import ROOT
from tests.keras_tuner import cheap_search
from tests.keras_tuner.test_parallel import cheap, proposals

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="tested on POSIX"),
    pytest.mark.filterwarnings("ignore::robusttune.SearchSpaceWarning"),
]
full = pytest.mark.full


@contextmanager
def dask(folder: Path) -> Iterator[Any]:
    """Two workers of Dask, each a process."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    cluster = distributed.LocalCluster(**options, local_directory=str(folder))
    with cluster, distributed.Client(cluster) as client:
        yield client.get_executor()


@contextmanager
def ray(folder: Path) -> Iterator[Any]:
    """Two cores of a Ray of our own."""
    module = pytest.importorskip("ray", reason="Ray is not installed")
    from robusttune.executors import RayExecutor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=40)
    try:
        yield RayExecutor(num_cpus=1)
    finally:
        module.shutdown()


@contextmanager
def slurm(folder: Path) -> Iterator[Any]:
    """Submitit's local executor: a process a job."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    from robusttune.executors import SlurmExecutor

    yield SlurmExecutor(folder / "jobs", cluster="local", timeout_min=10)
    assert not list((folder / "jobs").glob("robusttune-*"))


@contextmanager
def loky(folder: Path) -> Iterator[Any]:
    """Two processes of loky."""
    pytest.importorskip("loky", reason="loky is not installed")
    from robusttune.executors import LokyExecutor

    executor = LokyExecutor(2)
    yield executor
    executor.shutdown()


def die(trial: Any) -> None:
    """Take the worker down in one of the trials."""
    if trial.trial_id == "05":
        os.kill(os.getpid(), signal.SIGKILL)


@full
@pytest.mark.parametrize("engine", [dask, ray, slurm, loky], ids=lambda engine: engine.__name__)
def test_the_same_search_on_every_engine_with_a_worker_killed(engine: Any, tmp_path: Path) -> None:
    """The trials and scores of a search in process, but for the trial whose worker has died."""
    options = {"max_trials": 12, "policy": Policy(n_jobs=2, avoid_unstable=False)}
    calm = {**options, "policy": Policy()}
    expected = proposals(cheap_search.search(cheap("RandomSearch", tmp_path / "c", None, **calm)))
    with engine(tmp_path) as executor:
        tuner = cheap("RandomSearch", tmp_path, 2, die, executor=executor, **options)
        found = proposals(cheap_search.search(tuner))
    assert [trial[:2] for trial in found] == [trial[:2] for trial in expected]
    assert [t for t in found if t[0] != "05"] == [t for t in expected if t[0] != "05"]
    trials = tuner.report().trials.set_index("trial_id")
    assert dict(trials.cause.dropna()) == {"05": "crashed"}
    assert "its worker has ended" in trials.error["05"]
    workers = trials.evidence.map(json.loads).map(lambda evidence: evidence["worker"])
    assert {worker["host"] for worker in workers} == {platform.node()}
    assert os.getpid() not in {worker["pid"] for worker in workers}
    left = {path.name for path in (tmp_path / "project").rglob("*") if path.is_file()}
    assert left <= {"oracle.json", "tuner0.json", "robusttune.json", "trial.json"}


class Reports(keras_tuner.RandomSearch):
    """Reports as people did before Keras Tuner 1.1, and asks for more than there is."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        x = trial.hyperparameters.Float("x", 0, 1)
        assert os.environ["MARKED_WORKER"] == str(os.getpid())
        if trial.trial_id == "2":
            raise ValueError(f"{self.oracle.end_order}")
        self.oracle.update_trial(trial.trial_id, {"score": x})


@full
def test_a_trial_on_an_executor_reports_and_is_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """oracle.update_trial reaches the search, initializer= every worker; the rest is said."""
    monkeypatch.delenv("MARKED_WORKER", raising=False)
    with loky(tmp_path) as executor:
        tuner = robusttune.robust(Reports)(
            lambda hp: hp.Float("x", 0, 1),
            keras_tuner.Objective("score", "max"),
            max_trials=3,
            seed=1,
            directory=str(tmp_path),
            policy=Policy(n_jobs=2),
            executor=executor,
            initializer=lambda: os.environ.update(MARKED_WORKER=str(os.getpid())),
        )
        with pytest.warns(DeprecationWarning, match="update_trial"):
            tuner.search(verbose=0)
    trials = tuner.report().trials
    assert list(trials.status) == ["completed", "completed", "failed"]
    assert "oracle.end_order is not available in a worker of an executor" in trials.error[2]
    assert "MARKED_WORKER" not in os.environ
    assert trials.value[0] == tuner.oracle.trials["0"].hyperparameters.get("x")


@full
def test_a_search_on_an_executor_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    """What ran is withdrawn and is run again; what had ended is not."""

    class Ends(keras_tuner.RandomSearch):
        interrupted = False

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return float(trial.hyperparameters.Float("x", 0, 1))

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            if self.interrupted:
                raise KeyboardInterrupt

    def opened(executor: Any) -> Any:
        return robusttune.robust(Ends)(
            lambda hp: hp.Float("x", 0, 1),
            max_trials=4,
            seed=1,
            directory=str(tmp_path),
            policy=Policy(n_jobs=2, interruptions=1),
            executor=executor,
        )

    with loky(tmp_path) as executor:
        tuner = opened(executor)
        tuner.interrupted = True
        with pytest.raises(KeyboardInterrupt):
            tuner.search(verbose=0)
        tuner = opened(executor)
        assert len(tuner.oracle.end_order) == 1
        tuner.search(verbose=0)
    assert sorted(tuner.oracle.end_order) == list("0123")
    assert list(tuner.report().trials.status) == ["completed"] * 4


_KILLED = """
import sys
from pathlib import Path
from tests.executors import test_executors
from tests.keras_tuner import cheap_search, test_parallel
folder = Path(sys.argv[1])
if __name__ == "__main__":
    with getattr(test_executors, sys.argv[2])(folder / "engine") as executor:
        waits = test_parallel.waits(folder)
        tuner = test_parallel.cheap("RandomSearch", folder, 2, waits, executor=executor)
        cheap_search.search(tuner)
"""


@full
@pytest.mark.parametrize("engine", [dask, ray, slurm, loky], ids=lambda engine: engine.__name__)
def test_a_killed_search_on_an_engine_is_resumed(engine: Any, tmp_path: Path) -> None:
    """Kill -9 of the process that searches: what had ended counts once, what ran runs again."""
    (tmp_path / "engine").mkdir()
    command = [sys.executable, "-c", _KILLED, str(tmp_path), engine.__name__]
    parent = subprocess.Popen(command, cwd=ROOT)
    while not ((tmp_path / "runs-1").exists() and (tmp_path / "runs-2").exists()):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    (tmp_path / "go").touch()  # a worker that outlives the search has nobody to tell
    (tmp_path / "again").mkdir()
    ran = []
    with engine(tmp_path / "again") as executor:
        tuner = cheap("RandomSearch", tmp_path, 2, executor=executor)
        tuner.oracle.record_callbacks = [lambda trial, record: ran.append(trial.trial_id)]
        ended = list(tuner.oracle.end_order)
        cheap_search.search(tuner)
    assert ended == ["0"]
    assert sorted(tuner.oracle.end_order) == [str(n) for n in range(8)]
    assert list(tuner.report().trials.status) == ["completed"] * 8
    assert sorted(ran) == [str(n) for n in range(8)]


@full
def test_a_pool_of_lokys_own_is_refused(tmp_path: Path) -> None:
    """It breaks with one of its workers."""
    pool = pytest.importorskip("loky", reason="loky is not installed").ProcessPoolExecutor(1)
    with pytest.raises(ValueError, match="LokyExecutor replaces a worker"):
        cheap("RandomSearch", tmp_path, 2, executor=pool)


@full
def test_options_of_a_dask_executor_hold() -> None:
    """Those that `get_executor` was given, by names that are Dask's own."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    from distributed.cfexecutor import ClientExecutor

    client = distributed.Client.__new__(distributed.Client)
    executor = ClientExecutor.__new__(ClientExecutor)
    executor._client, executor._kwargs = client, {"priority": 3}
    assert client_of(executor) == (client, {"priority": 3})


def told(order: Order, version: str = __version__) -> Any:
    """Return the word and the content of a worker's answer."""
    return cloudpickle.loads(run_on_worker(b"", version, cloudpickle.dumps(order)))


@pytest.mark.parametrize(
    ("order", "version", "why"),
    [
        (Order(key="a", parent=("elsewhere", 1)), "0.0.1", "and the search 0.0.1: install the"),
        (
            Order(key="a", parent=(platform.node(), os.getpid())),
            __version__,
            "is a thread of the search's own process",
        ),
        (
            Order(key="a", parent=("elsewhere", 1), proof="/nowhere/project/.seen-1"),
            __version__,
            "does not see the project folder '/nowhere/project'",
        ),
        (Order(key="a", parent=("elsewhere", 1)), __version__, "cannot load what it was sent"),
    ],
)
def test_a_worker_says_why_no_trial_can_run_there(order: Order, version: str, why: str) -> None:
    """And which worker it is; the search ends with that."""
    word, content = told(order, version)
    assert word in ("refused", "cannot")
    assert why in content
    assert f"{platform.node()}, process {os.getpid()}" in content


class Done:
    """A future that has ended."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.mark.parametrize(
    ("what", "error", "match"),
    [
        (cloudpickle.dumps(("refused", "It has 0.1.")), RobustTuneError, "It has 0.1."),
        (ModuleNotFoundError("No module named 'robusttune'"), RobustTuneError, "install it there"),
        (ValueError("worker killed"), TrialFailure, "ValueError: worker killed"),
    ],
)
def test_what_an_engine_raises_is_the_trials_or_the_searchs(
    what: Any, error: Any, match: str
) -> None:
    """A worker that has died costs its trial; one that cannot run any ends the search."""
    with pytest.raises(error, match=match) as caught:
        result_of(Done(what))
    assert isinstance(caught.value, TrialFailure) is (error is TrialFailure)


def test_a_worker_that_ran_out_of_memory_is_told_apart() -> None:
    """By what its engine says."""
    with pytest.raises(TrialFailure) as caught:
        result_of(Done(MemoryError("Task was killed due to the node running Out of Memory")))
    assert caught.value.findings is not None
    assert caught.value.findings.cause == "out_of_memory"


def test_a_trial_that_an_engine_gives_out_again_is_not_run_again(tmp_path: Path) -> None:
    """Dask and Slurm may do so; the first worker has left a note, which the record has."""
    note = tmp_path / "note"
    note.write_text(json.dumps({"host": "node7", "pid": 12, "ended": False}))
    order = Order(key="a", parent=("elsewhere", 1), note=str(note))
    with pytest.raises(TrialFailure, match="its engine gave the trial to another one") as caught:
        result_of(Done(run_on_worker(b"", __version__, cloudpickle.dumps(order))), str(note))
    assert caught.value.findings is not None
    assert caught.value.findings.evidence["worker"] == {"host": "node7", "pid": 12}


def test_a_trial_whose_result_was_lost_with_its_worker_is_run_again(tmp_path: Path) -> None:
    """It had ended before another trial took the worker down: it is not the one that failed."""
    note, transport_file = tmp_path / "note", tmp_path / "transport_file"
    parts = {"the settings": None, "the initializer": None, "the runner": doubling}
    pack(str(transport_file), parts)
    order = Order(key="b", parent=("elsewhere", 1), note=str(note), content=cloudpickle.dumps(21))
    for _ in range(2):
        answer = run_on_worker(str(transport_file), __version__, cloudpickle.dumps(order))
        assert result_of(Done(answer), str(note)) == 42
        assert json.loads(note.read_text())["ended"] is True
    note.write_text("")
    assert told(order)[0] == "died"


def doubling(parts: Any) -> Any:
    """Return what runs the trials of a search that doubles."""
    return lambda number: 2 * number
