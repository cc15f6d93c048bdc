"""MLflow and Weights & Biases, both offline and real: what each has of a search."""

from __future__ import annotations

import contextlib
import os
import pickle
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robusttune import FailureCause, TrialRecord
from robusttune._trial_run import notify_callbacks, notify_search_end
from robusttune.trackers import MLflowTracker, WandbTracker
from robusttune.trackers._contents import numbers, texts
from tests import ROOT

mlflow = pytest.importorskip("mlflow")
wandb = pytest.importorskip("wandb")

EXAMPLE = ROOT / "examples" / "trackers.py"
SECRET = "swordfish"

HEALTHY = TrialRecord(
    trial_id="0", number=0, status="completed", value=0.5, seconds=2.0, params={"rate": 0.1}
)
FAILED = TrialRecord(
    trial_id="1",
    number=1,
    status="failed",
    unstable=True,
    cause="divergent_learning_rate",
    symptom="diverged",
    confidence=0.9,
    epoch=0,
    step=5,
    seconds=1.0,
    error=f"ValueError: {SECRET}",
    params={"rate": 1e6, "kind": "sgd", "file": f"/home/{SECRET}/x.csv"},
)
PRUNED = TrialRecord(trial_id="2", number=2, status="pruned", seconds=0.1)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An MLflow database of its own, which is MLflow's setting; W&B is offline, and here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    # What set_experiment leaves in a process.
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):  # set by MLflow itself, too
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    mlflow.MlflowClient()  # makes the tables, which may replace the root's log handlers
    yield uri
    mlflow.set_tracking_uri(before)


def mlflow_runs(uri: str, parent: str | None) -> dict[str, Any]:
    """Return the runs under a parent by their names, as MLflow's client reads them."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    assert parent is not None
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return {run.info.run_name: run for run in found}


def wandb_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return name -> config, summary, tags, group and exit code, from the files of offline runs."""
    import json

    wandb.teardown()  # the process that writes the files ends when it has written all
    messages_of = runpy.run_path(str(EXAMPLE), run_name="example")["wandb_messages"]
    runs = {}
    for path in (folder / "wandb").glob("offline-run-*/run-*.wandb"):
        messages = list(messages_of(path))
        by_kind: dict[str, list[Any]] = {}
        for message in messages:
            kind = message.WhichOneof("record_type")
            by_kind.setdefault(kind, []).append(getattr(message, kind))
        (run,) = by_kind["run"]
        updates = [item for summary in by_kind.get("summary", []) for item in summary.update]
        runs[run.display_name] = {
            "group": run.run_group,
            "tags": set(run.tags),
            "config": {item.key: json.loads(item.value_json) for item in run.config.update},
            "summary": {item.key: json.loads(item.value_json) for item in updates if item.key},
            "exit": by_kind["exit"][0].exit_code,
        }
    return runs


def test_mlflow_has_a_run_for_each_trial_under_one_for_the_search(store: str) -> None:
    """State, params, metrics and tags; the report is an artifact of the search."""
    tracker = MLflowTracker(experiment="digits")
    assert tracker.parent_run_id is None
    for record in (HEALTHY, FAILED, PRUNED):
        tracker(None, record)
    client = mlflow.MlflowClient(tracking_uri=store)
    parent = tracker.parent_run_id
    assert client.get_run(parent).info.status == "RUNNING"
    tracker.search_ended([HEALTHY, FAILED, PRUNED])
    runs = mlflow_runs(store, parent)
    assert {name: run.info.status for name, run in runs.items()} == {
        "trial 0": "FINISHED",
        "trial 1": "FAILED",
        "trial 2": "KILLED",
    }
    failed = runs["trial 1"]
    assert failed.data.tags["robusttune.cause"] == "divergent_learning_rate"
    assert failed.data.tags["robusttune.symptom"] == "diverged"
    advice = FailureCause.DIVERGENT_LEARNING_RATE.advice
    assert failed.data.tags["robusttune.advice"] == advice
    assert failed.data.metrics["robusttune.confidence"] == 0.9
    assert failed.data.metrics["robusttune.step"] == 5
    assert "value" not in failed.data.metrics
    assert failed.data.params == {"rate": "1000000.0", "kind": "sgd", "file": "(left out)"}
    assert failed.info.end_time - failed.info.start_time == 1000
    healthy = runs["trial 0"].data
    assert healthy.metrics["value"] == 0.5
    assert "robusttune.cause" not in healthy.tags
    search = client.get_run(parent)
    assert search.info.status == "FINISHED"
    assert search.data.metrics == {
        "robusttune.trials": 3,
        "robusttune.failed": 1,
        "robusttune.unstable": 1,
    }
    assert client.get_experiment(search.info.experiment_id).name == "digits"
    assert [file.path for file in client.list_artifacts(parent)] == ["report.html"]
    page = mlflow.artifacts.load_text(f"{search.info.artifact_uri}/report.html")
    assert "divergent learning rate" in page
    assert SECRET not in page


@pytest.mark.full
def test_mlflow_a_further_search_has_a_run_of_its_own(store: str) -> None:
    """One tracker serves two searches, one after the other."""
    tracker = MLflowTracker()
    parents = []
    for record in (HEALTHY, FAILED):
        tracker(None, record)
        tracker.search_ended([record])
        parents.append(tracker.parent_run_id)
    assert parents[0] != parents[1]
    assert [set(mlflow_runs(store, p)) for p in parents] == [{"trial 0"}, {"trial 1"}]
    tracker.close()  # nothing is open
    assert len(mlflow.search_runs(search_all_experiments=True)) == 4


@pytest.mark.full
def test_mlflow_the_active_run_is_that_of_the_search_and_stays_open(store: str) -> None:
    """It is the user's: trials are nested in it, and its end is not ours."""
    mlflow.set_experiment("mine")
    with mlflow.start_run() as mine:
        with MLflowTracker() as tracker:
            tracker(None, HEALTHY)
        assert tracker.parent_run_id == mine.info.run_id
        assert mlflow.get_run(mine.info.run_id).info.status == "RUNNING"
    assert set(mlflow_runs(store, mine.info.run_id)) == {"trial 0"}
    experiment = mlflow.get_experiment_by_name("mine")
    with MLflowTracker() as tracker:  # no run is active, and an experiment is
        tracker(None, HEALTHY)
    assert tracker.parent_run_id is not None
    assert mlflow.get_run(tracker.parent_run_id).info.experiment_id == experiment.experiment_id


@pytest.mark.full
def test_mlflow_processes_share_the_run_that_they_are_given(store: str) -> None:
    """A tracker can be sent to a worker; the run of the search stays whose it is."""
    parent = mlflow.MlflowClient().create_run("0").info.run_id
    tracker = MLflowTracker(parent_run_id=parent)
    for sent, record in zip(range(2), (HEALTHY, FAILED), strict=True):
        copy = pickle.loads(pickle.dumps(tracker))
        copy(sent, record)
        copy.close()
    assert set(mlflow_runs(store, parent)) == {"trial 0", "trial 1"}
    assert mlflow.get_run(parent).info.status == "RUNNING"


def test_mlflow_another_store_than_the_active_one(store: str, tmp_path: Path) -> None:
    """The active experiment is none of its: its default one is meant."""
    mlflow.set_experiment("mine")
    other = f"sqlite:///{tmp_path}/other.db"
    with MLflowTracker(tracking_uri=other) as tracker:
        tracker(None, HEALTHY)
    assert set(mlflow_runs(other, tracker.parent_run_id)) == {"trial 0"}


@pytest.mark.full
def test_mlflow_takes_any_name_and_number_of_hyperparameters(store: str) -> None:
    """Names that MLflow refuses are changed, and long texts cut."""
    params = {f"p{n}": n for n in range(250)}
    odd = {"a/b": 1, "läge (log)": 2, "../x": 3, "x" * 400: "y" * 10_000}
    tracker = MLflowTracker(include_private=True)
    tracker(None, HEALTHY.replace(params={**params, **odd}))
    found = mlflow_runs(store, tracker.parent_run_id)["trial 0"].data.params
    tracker.close()
    assert len(found) == 254
    assert (found["a_b"], found["läge _log_"], found["_x"]) == ("1", "2", "3")
    assert len(found["x" * 250]) == 500


@pytest.mark.full
def test_mlflow_a_run_whose_trial_cannot_be_logged_is_not_left_running(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, and the search goes on."""
    tracker = MLflowTracker()
    with monkeypatch.context() as broken:

        def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
            raise ConnectionError("no server")

        broken.setattr(mlflow.MlflowClient, "log_batch", refuse)
        notify_callbacks([tracker], None, FAILED)
    assert "ConnectionError: no server" in caplog.text
    notify_callbacks([tracker], None, HEALTHY)
    runs = mlflow_runs(store, tracker.parent_run_id)
    assert {run.info.status for run in runs.values()} == {"FAILED", "FINISHED"}
    tracker.close()


@pytest.mark.full
def test_mlflow_a_long_search_has_its_report_before_the_end(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written again now and then, so that a search that is killed has one."""
    from robusttune.trackers import _mlflow as module

    monkeypatch.setattr(module, "_REPORT_SECONDS", 0.0)
    tracker = MLflowTracker()
    tracker(None, FAILED)
    client = mlflow.MlflowClient()
    assert [file.path for file in client.list_artifacts(tracker.parent_run_id)] == ["report.html"]
    written = tracker._next_report
    tracker(None, HEALTHY)
    assert tracker._next_report == written  # not with every trial
    tracker.close()


def test_wandb_has_a_run_for_each_trial_in_one_group(store: str, tmp_path: Path) -> None:
    """Config, summary and tags; a failed trial's run has failed."""
    tracker = WandbTracker(project="digits", directory=str(tmp_path))
    for record in (HEALTHY, FAILED):
        tracker(None, record)
    runs = wandb_runs(tmp_path)
    healthy, failed = runs["trial 0"], runs["trial 1"]
    assert healthy["group"] == failed["group"] == tracker.group
    assert (healthy["exit"], failed["exit"]) == (0, 1)
    assert healthy["tags"] == {"completed"}
    assert failed["tags"] == {"failed", "diverged", "divergent_learning_rate"}
    assert healthy["summary"]["value"] == 0.5
    assert failed["summary"]["robusttune/cause"] == "divergent_learning_rate"
    assert failed["summary"]["robusttune/symptom"] == "diverged"
    assert failed["summary"]["robusttune/advice"]
    assert failed["summary"]["robusttune/confidence"] == 0.9
    assert (failed["config"]["rate"], failed["config"]["file"]) == (1e6, "(left out)")


@pytest.mark.full
def test_wandb_a_run_of_the_users_stays_open(store: str, tmp_path: Path) -> None:
    """The trial's run is beside it."""
    quietly = wandb.Settings(silent=True)
    with wandb.init(project="mine", dir=str(tmp_path), settings=quietly) as mine:
        WandbTracker(project="digits", directory=str(tmp_path))(None, HEALTHY)
        assert wandb.run is mine
        mine.summary["own"] = 1
    assert len(wandb_runs(tmp_path)) == 2


def test_private_parts_are_sent_where_that_is_asked_for(store: str, tmp_path: Path) -> None:
    """By one argument of each tracker."""
    with MLflowTracker(include_private=True) as tracker:
        tracker(None, FAILED)
    WandbTracker(directory=str(tmp_path), include_private=True)(None, FAILED)
    run = mlflow_runs(store, tracker.parent_run_id)["trial 1"].data
    assert run.params["file"] == f"/home/{SECRET}/x.csv"
    assert run.tags["robusttune.error"] == f"ValueError: {SECRET}"
    sent = wandb_runs(tmp_path)["trial 1"]
    assert sent["config"]["file"] == f"/home/{SECRET}/x.csv"


def test_every_number_of_a_record_is_told() -> None:
    """Also one that is 0, and none that is unknown."""
    assert numbers(FAILED) == {"confidence": 0.9, "epoch": 0.0, "step": 5.0, "seconds": 1.0}
    assert texts(HEALTHY) == {"status": "completed"}
    both = FAILED.replace(other_causes=("unscaled_data", "dead_relu"))
    assert texts(both)["other_causes"] == "unscaled_data;dead_relu"


def test_callbacks_are_told_of_the_end_of_a_search(caplog: pytest.LogCaptureFixture) -> None:
    """Those that want to know; one that raises is logged."""

    class Asks:
        seen: Any = None

        def __call__(self, trial: Any, record: TrialRecord) -> None:
            """Take a trial."""

        def search_ended(self, records: Any) -> None:
            self.seen = records
            raise ConnectionError("no server")

    first, second = Asks(), Asks()
    notify_search_end([first, lambda trial, record: None, second], [HEALTHY])
    assert first.seen == second.seen == [HEALTHY]
    assert caplog.text.count("ConnectionError: no server") == 2


@pytest.mark.parametrize(
    ("tracker", "given"),
    [
        (MLflowTracker, {"experiment": 1}),
        (MLflowTracker, {"include_private": "no"}),
        (WandbTracker, {"project": 1}),
        (WandbTracker, {"include_private": None}),
    ],
)
def test_wrong_arguments_get_a_clear_error(tracker: Any, given: dict[str, Any]) -> None:
    """Argument, rule and value are named."""
    with pytest.raises((TypeError, ValueError), match=next(iter(given))):
        tracker(**given)


def test_trackers_are_imported_when_they_are_touched() -> None:
    """Neither the package nor the classes load a tracker; without its package one says so."""
    code = """
import sys
from robusttune.trackers import MLflowTracker, WandbTracker
assert not {"mlflow", "wandb", "tensorflow", "keras"} & set(sys.modules)
sys.modules["mlflow"] = sys.modules["wandb"] = None
for tracker in (MLflowTracker, WandbTracker):
    try:
        tracker()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "MLflowTracker needs MLflow: pip install 'robusttune[mlflow]'.",
        "WandbTracker needs W&B: pip install 'robusttune[wandb]'.",
    ], done.stderr


PLANTED = """
import os, platform, socket, sys
secret, store, private = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
platform.node = socket.gethostname = lambda: f"{secret}.example.org"
import keras
import numpy as np
import robusttune
from mlflow import MlflowClient
from robusttune.trackers import MLflowTracker, WandbTracker

def build(hp):
    kind = hp.Choice("kind", ["unscaled", "raises"])
    if hp.Choice("file", [f"/data/{secret}/customers.csv"]) and kind == "raises":
        raise ValueError(f"{secret} is no customer of {os.getcwd()}")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model

uri = f"sqlite:///{store}/mlflow.db"
# Without a server MLflow keeps artifacts in the current folder, by default, and notes its path.
MlflowClient(uri).create_experiment("digits", artifact_location=f"file://{store}/artifacts")
x = np.full((256, 4), 987654.25, "float32")
x[::2] *= -1
tuner = robusttune.GridSearch(build, "loss", directory=secret, record_callbacks=[
    MLflowTracker(experiment="digits", tracking_uri=uri, include_private=private),
    WandbTracker(project="digits", directory=store, include_private=private),
])
tuner.search(x, x[:, :1], epochs=2, verbose=0)
print([record.error for record in tuner.report().records], tuner.report().records[0].advice)
"""


def content_of(path: Path) -> bytes:
    """Return what is in a file; of MLflow's database without where MLflow itself keeps files."""
    if path.suffix != ".db":
        return path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = [
            row for row in database.iterdump() if not row.startswith('INSERT INTO "experiments"')
        ]
    return "\n".join(rows).encode()


@pytest.mark.full
@pytest.mark.parametrize("private", [False, True])
def test_a_planted_secret_is_nowhere(private: bool, tmp_path: Path) -> None:
    """In data, paths, exception, host name and environment: nothing of it is in what is sent.

    Of W&B that is what `wandb sync` sends; its debug logs stay here.
    """
    work, store = tmp_path / SECRET, Path(tempfile.mkdtemp(prefix="store-"))
    work.mkdir()
    script = work / f"{SECRET}.py"
    script.write_text(PLANTED)
    env = {**os.environ, "WANDB_MODE": "offline", "API_TOKEN": SECRET, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [sys.executable, str(script), SECRET, str(store), str(private)],
            cwd=work,
            env=env,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert SECRET in done.stdout  # the search's own report has it
        assert "9.88e+05" in done.stdout
        sent = [path for path in store.rglob("*") if path.is_file() and "logs" not in path.parts]
        assert {path.suffix for path in sent} >= {".db", ".wandb", ".html"}
        everything = b"".join(map(content_of, sent))
    finally:
        shutil.rmtree(store)
    assert b"code_error" in everything
    planted = (SECRET.encode(), b"987654", b"9.88e+05", sys.executable.encode())
    found = [text for text in planted if text in everything]
    if private:
        assert set(found) >= {SECRET.encode(), b"9.88e+05"}
    else:
        assert found == []


AUTOLOG = """
import keras, mlflow, numpy as np, sys
import robusttune
where, uri = sys.argv[1], "sqlite:///mlflow.db"

def log():
    mlflow.set_tracking_uri(uri)
    mlflow.tensorflow.autolog(log_models=False)

def build(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1])), "mse")
    return model

if where == "program":
    log()
initializer = log if where.startswith("initializer") else None
x = np.ones((64, 4), "float32")
policy = robusttune.Policy(isolate=where != "initializer in process")
tuner = robusttune.GridSearch(
    build, "loss", directory="search", policy=policy, initializer=initializer
)
tuner.search(x, x[:, :1], epochs=1, verbose=0)
mlflow.set_tracking_uri(uri)
print("runs", len(mlflow.search_runs(search_all_experiments=True)))
"""


@pytest.mark.full
@pytest.mark.skipif(os.name != "posix", reason="isolation needs POSIX")
@pytest.mark.parametrize(
    ("where", "runs"), [("initializer", 1), ("initializer in process", 1), ("program", 0)]
)
def test_mlflow_autolog_with_isolated_trials(where: str, runs: int, tmp_path: Path) -> None:
    """It has to be called in the process that trains, which is what initializer= is for."""
    done = subprocess.run(
        [sys.executable, "-c", AUTOLOG, where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == f"runs {runs}"
