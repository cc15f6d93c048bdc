"""Reading Keras Tuner project folders: watched or not, running, broken and hostile ones."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from robusttune import Report, TrialRecord


def write_trial(root, trial_id, *, status="COMPLETED", score=0.5, message=None, values=None):
    """Write a trial as Keras Tuner does."""
    folder = root / f"trial_{trial_id}"
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "trial_id": trial_id,
        "hyperparameters": {"space": [], "values": values or {}},
        "metrics": {"metrics": {}},
        "score": score,
        "best_step": 0,
        "status": status,
        "message": message,
    }
    (folder / "trial.json").write_text(json.dumps(body))
    return folder


def write_oracle(root, order=()):
    """Write an oracle.json."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "oracle.json").write_text(json.dumps({"start_order": list(order)}))


def test_project_of_keras_tuner_is_read(tmp_path):
    """A project that never saw robusttune: numbers, values, parameters and errors are there."""
    kt = pytest.importorskip("keras_tuner")

    class Tuner(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            rate = trial.hyperparameters.get("lr")
            if rate > 0.01:
                raise KeyError("boom")
            return rate

    space = kt.HyperParameters()
    space.Float("lr", 1e-4, 1.0, sampling="log")
    space.Choice("opt", ["sgd", "adam"])
    with space.conditional_scope("opt", ["sgd"]):
        space.Float("momentum", 0.0, 0.9)
    tuner = Tuner(
        hypermodel=lambda hp: None,
        objective=kt.Objective("rate", "min"),
        hyperparameters=space,
        max_trials=12,
        directory=tmp_path,
        project_name="p",
        seed=1,
        max_consecutive_failed_trials=99,
    )
    tuner.search(verbose=0)
    trials = Report.from_tuner(tuner).trials
    assert trials.number.tolist() == list(range(12))
    assert ((trials.status == "failed") == (trials.params_lr > 0.01)).all()
    assert trials[trials.status == "failed"].error.str.startswith("KeyError: 'boom'").all()
    assert trials[trials.status == "failed"].cause.unique().tolist() == ["code_error"]
    healthy = trials[trials.status == "completed"]
    assert (healthy.value == healthy.params_lr).all()
    assert (trials.params_momentum.isna() == (trials.params_opt == "adam")).all()


def test_order_of_start_gives_the_numbers(tmp_path):
    """The number of a trial is its place in oracle.json, not in the folder."""
    for name in ("b", "a"):
        write_trial(tmp_path, name)
    write_oracle(tmp_path, ["b", "a"])
    assert Report.from_directory(tmp_path).trials.trial_id.tolist() == ["b", "a"]


def test_trials_without_an_order_are_sorted_as_numbers(tmp_path):
    """Without oracle.json, trial 2 comes before trial 10."""
    for name in ("10", "2"):
        write_trial(tmp_path, name)
    assert Report.from_directory(tmp_path).trials.trial_id.tolist() == ["2", "10"]


@pytest.mark.parametrize(
    ("recorded", "status", "score", "expected"),
    [
        ("running", "FAILED", None, ("failed", True, "unknown", None)),
        ("running", "COMPLETED", 0.25, ("completed", False, None, 0.25)),
        ("failed", "RUNNING", None, ("failed", True, "unsafe_loss", None)),
        ("failed", "COMPLETED", 0.25, ("completed", True, "unsafe_loss", 0.25)),
        ("completed", "FAILED", None, ("failed", True, "unknown", None)),
        (None, "RUNNING", None, ("running", False, None, None)),
        (None, "INVALID", None, ("failed", True, "unknown", None)),
        (None, "COMPLETED", float("inf"), ("failed", True, "unknown", None)),
    ],
)
def test_status_is_that_of_the_trial_file_where_it_knows_more(
    tmp_path, recorded, status, score, expected
):
    """An end that Keras Tuner has stored overrides what the record said before."""
    write_oracle(tmp_path)
    folder = write_trial(tmp_path, "0", status=status, score=score)
    if recorded:
        bad = recorded == "failed"
        record = TrialRecord(
            trial_id="0",
            status=recorded,
            unstable=bad,
            cause="unsafe_loss" if bad else None,
            value=1.0 if recorded == "completed" else None,
        )
        (folder / "robusttune.json").write_text(record.to_json())
    merged = Report.from_directory(tmp_path).records[0]
    assert (merged.status, merged.unstable, merged.cause, merged.value) == expected


def test_bookkeeping_of_hyperband_is_no_hyperparameter(tmp_path):
    """tuner/epochs and the like are not reported as hyperparameters."""
    write_trial(tmp_path, "0", values={"lr": 0.1, "tuner/epochs": 3, "tuner/trial_id": "0001"})
    assert "lr" in Report.from_directory(tmp_path).records[0].params
    assert len(Report.from_directory(tmp_path).records[0].params) == 1


def test_adjustments_of_the_project_are_read(tmp_path):
    """What the sanitizer stored in the project folder is in the report."""
    write_oracle(tmp_path)
    entry = {"parameter": "lr", "field": "sampling", "before": "linear", "after": "log"}
    (tmp_path / "robusttune.json").write_text(json.dumps({"adjustments": [entry]}))
    assert Report.from_directory(tmp_path).adjustments.parameter.tolist() == ["lr"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"trial_id": 3}',
        b'{"trial_id": "0", "status": "odd"}',
        b"[" * 100_000,
    ],
)
def test_malformed_files_are_named_and_never_fatal(tmp_path, content):
    """A file that is no record is counted under problems; the trial file still counts."""
    write_oracle(tmp_path)
    folder = write_trial(tmp_path, "0")
    (folder / "robusttune.json").write_bytes(content)
    report = Report.from_directory(tmp_path)
    assert report.trials.status.tolist() == ["completed"]
    assert len(report.problems) == 1
    assert report.problems[0].startswith("trial_0/robusttune.json: ".replace("/", os.sep))
    assert "Not read: trial_0" in report.summary()


def test_halves_of_surrogate_pairs_are_replaced(tmp_path, capsys):
    """Text that JSON can hold and UTF-8 cannot gets through to every output."""
    write_oracle(tmp_path)
    for number in range(40):
        bad = number >= 30
        folder = write_trial(tmp_path, str(number), status="FAILED" if bad else "COMPLETED")
        body = json.loads((folder / "trial.json").read_text())
        body["message"] = "KeyError: \ud800" if bad else None
        body["hyperparameters"]["values"] = {"l\udfffr": number, "text": "\ud800x"}
        (folder / "trial.json").write_text(json.dumps(body))
    report = Report.from_directory(tmp_path)
    assert report.trials.error.dropna().tolist() == ["KeyError: ?"] * 10
    assert report.trials["params_l?r"].tolist() == list(range(40))
    assert len(report.find_regions()) == 1
    report.to_csv(tmp_path / "csv")
    report.to_html(tmp_path / "report.html")
    print(report.summary())
    assert "10 of 40" in capsys.readouterr().out


def test_malformed_trial_files_leave_the_others(tmp_path):
    """Broken trial files do not hide the trials that are whole."""
    write_oracle(tmp_path)
    write_trial(tmp_path, "0")
    (write_trial(tmp_path, "1") / "trial.json").write_text("{")
    (tmp_path / "trial_2").mkdir()
    report = Report.from_directory(tmp_path)
    assert report.trials.trial_id.tolist() == ["0"]
    assert len(report.problems) == 2


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_links_out_of_the_project_are_not_followed(tmp_path):
    """A linked folder or file is named as a problem, and its content is not read."""
    secret = write_trial(tmp_path / "elsewhere", "9", values={"secret": 1})
    root = tmp_path / "project"
    write_oracle(root)
    (root / "trial_9").symlink_to(secret, target_is_directory=True)
    folder = write_trial(root, "0")
    (folder / "trial.json").unlink()
    (folder / "trial.json").symlink_to(secret / "trial.json")
    report = Report.from_directory(root)
    assert len(report.trials) == 0
    assert len(report.problems) == 2
    assert all("symbolic link" in problem for problem in report.problems)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.timeout(20)
def test_pipes_do_not_block(tmp_path):
    """A named pipe in place of a file is refused instead of waited for."""
    write_oracle(tmp_path)
    os.mkfifo(write_trial(tmp_path, "0") / "robusttune.json")
    assert "not a regular file" in Report.from_directory(tmp_path).problems[0]


def test_folder_above_the_project_is_refused_with_a_hint(tmp_path):
    """The error for a folder that only contains a project names that project."""
    write_oracle(tmp_path / "my_project")
    with pytest.raises(ValueError, match=r"Did you mean .*my_project"):
        Report.from_directory(tmp_path)


def test_missing_folder_is_refused(tmp_path):
    """A folder that does not exist is named in the error."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Report.from_directory(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("begun", "alive", "expected"),
    [
        (1, False, ("failed", True, "crashed")),
        (1, True, ("running", False, None)),
        (0, False, ("running", False, None)),  # Ctrl-C: the search goes on with it
    ],
)
def test_a_dead_process_is_told_from_a_running_one(tmp_path, begun, alive, expected):
    """The note that a run began says which process it is in."""
    write_oracle(tmp_path)
    folder = write_trial(tmp_path, "0", status="RUNNING", score=None, values={"lr": 0.1})
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    note = {"host": platform.node(), "pid": process.pid, "begun": begun}
    if not alive:
        process.communicate()
    record = TrialRecord(trial_id="0", number=0, evidence=note)
    (folder / "robusttune.json").write_text(record.to_stored_json())
    read = Report.from_directory(tmp_path).records[0]
    if alive:
        process.communicate()
    assert (read.status, read.unstable, read.cause) == expected
    assert read.params == {"lr": 0.1}


@pytest.mark.parametrize("told", [True, False])
def test_objective_of_a_project_is_known(tmp_path, told):
    """As a robust tuner stored it, or from the metric whose best value is the score."""
    for number, losses in enumerate(([0.5, 0.3], [0.4, 0.45])):
        folder = tmp_path / f"trial_{number}"
        folder.mkdir()
        metrics = {
            "loss": {"direction": "min", "observations": [{"value": [0.1], "step": 0}]},
            "val_loss": {
                "direction": "min",
                "observations": [{"value": [v], "step": s} for s, v in enumerate(losses)],
            },
        }
        body = {"trial_id": str(number), "status": "COMPLETED", "score": min(losses)}
        body["metrics"] = {"metrics": metrics}
        (folder / "trial.json").write_text(json.dumps(body))
    (tmp_path / "oracle.json").write_text("{}")
    if told:
        search = {"objective": "loss", "direction": "max", "max_trials": 9, "tuner": "Hyperband"}
        (tmp_path / "robusttune.json").write_text(json.dumps({"adjustments": [], "search": search}))
    report = Report.from_directory(tmp_path)
    found = report.search.objective, report.search.direction, report.search.planned
    assert found == (("loss", "max", 9) if told else ("val_loss", "min", None))
    assert report.best.trial_id == ("1" if told else "0")


@pytest.mark.parametrize(
    "search", [None, 3, [], {"objective": 1, "direction": "up", "max_trials": -1, "policy": []}]
)
def test_what_is_told_of_a_search_may_be_anything(tmp_path, search):
    """A project folder may be anybody's."""
    folder = tmp_path / "trial_0"
    folder.mkdir()
    body = {"trial_id": "0", "status": "COMPLETED", "score": 1.0, "metrics": {"metrics": {"a": 1}}}
    (folder / "trial.json").write_text(json.dumps(body))
    (tmp_path / "oracle.json").write_text("{}")
    (tmp_path / "robusttune.json").write_text(json.dumps({"adjustments": [], "search": search}))
    report = Report.from_directory(tmp_path)
    assert (report.search.direction, report.search.planned) == (None, None)
    assert report.best is None
    assert report.html()
