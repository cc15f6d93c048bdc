"""Bad input: every public argument that is wrong gets one error with its name, rule and value."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest

import robusttune
from robusttune import DataError, Policy, Report, TrialRecord, check_data, diagnose, visualization
from robusttune.cli import main
from robusttune.optuna import (
    CrashAwareSampler,
    FailureReportCallback,
    TrialGuard,
    publish_to_dashboard,
    records_of,
    robust,
    sanitize_trial,
)

X, Y = np.ones((8, 2)), np.ones((8, 1))
TUNERS = ("BayesianOptimization", "GridSearch", "Hyperband", "RandomSearch", "SklearnTuner")


class _BadRepr:
    """Somebody's class whose repr does not work, as that of a closed file may."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written in spite of a bad path is not written here."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What the calls of the tables need: a report, a study, a trial and a folder."""
    records = [
        TrialRecord(trial_id=str(i), status="completed", value=0.1, params={"lr": 0.1, "units": i})
        for i in range(4)
    ]
    study = optuna.create_study()
    return SimpleNamespace(
        report=Report.from_records(records),
        study=study,
        trial=study.ask(),
        folder=tmp_path_factory.mktemp("bad"),
    )


@pytest.fixture(scope="module")
def model() -> Any:
    """A compiled Keras model."""
    import keras

    built = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    built.compile("sgd", "mse")
    return built


# Argument, error, call.
Row = tuple[str, type[Exception], Callable[[Any], Any]]

REPORTS: list[Row] = [
    ("search", TypeError, lambda at: Report([])),  # type: ignore[arg-type]
    ("records", TypeError, lambda at: Report.from_records(5)),  # type: ignore[arg-type]
    ("records", TypeError, lambda at: Report.from_records("trials")),  # type: ignore[arg-type]
    ("records", TypeError, lambda at: Report.from_records([{"lr": 1}])),  # type: ignore[list-item]
    ("records", TypeError, lambda at: Report.from_records(None)),  # type: ignore[arg-type]
    ("adjustments", TypeError, lambda at: Report.from_records([], adjustments=3)),  # type: ignore[arg-type]
    ("adjustments", TypeError, lambda at: Report.from_records([], adjustments="lr")),  # type: ignore[arg-type]
    ("name", TypeError, lambda at: Report.from_records([], name=None)),  # type: ignore[arg-type]
    ("directory", TypeError, lambda at: Report.from_directory(None)),  # type: ignore[arg-type]
    ("directory", TypeError, lambda at: Report.from_directory(b"x")),  # type: ignore[arg-type]
    ("directory", ValueError, lambda at: Report.from_directory("")),
    ("directory", ValueError, lambda at: Report.from_directory("a\0b")),
    ("tuner", TypeError, lambda at: Report.from_tuner(None)),
    ("tuner", TypeError, lambda at: Report.from_tuner(at.study)),
    ("study", TypeError, lambda at: Report.from_study(None)),  # type: ignore[arg-type]
    ("study", TypeError, lambda at: Report.from_study("study")),  # type: ignore[arg-type]
    ("storage", TypeError, lambda at: Report.from_storage(None)),  # type: ignore[arg-type]
    ("storage", TypeError, lambda at: Report.from_storage(5)),  # type: ignore[arg-type]
    ("storage", ValueError, lambda at: Report.from_storage("")),
    ("study_name", TypeError, lambda at: Report.from_storage(at.study._storage, 3)),  # type: ignore[arg-type]
    ("of", ValueError, lambda at: at.report.find_regions("failed")),
    ("of", ValueError, lambda at: at.report.find_regions(None)),
    ("of", ValueError, lambda at: at.report.find_regions([])),
    ("directory", TypeError, lambda at: at.report.to_csv(None)),
    ("directory", ValueError, lambda at: at.report.to_csv("")),
    ("directory", TypeError, lambda at: at.report.to_parquet(3)),
    ("path", TypeError, lambda at: at.report.to_html(None)),
    ("path", ValueError, lambda at: at.report.to_html("")),
    ("width", ValueError, lambda at: at.report.summary(width=0)),
    ("width", ValueError, lambda at: at.report.summary(width="wide")),
    ("color", ValueError, lambda at: at.report.summary(color="red")),
    ("embedded", ValueError, lambda at: at.report.html(embedded="yes")),
    ("report", TypeError, lambda at: visualization.plot_regions(at.study)),
    ("report", TypeError, lambda at: visualization.plot_marginals(None)),  # type: ignore[arg-type]
    ("report", TypeError, lambda at: visualization.plot_timeline([])),  # type: ignore[arg-type]
    ("report", TypeError, lambda at: visualization.plot_causes("r")),  # type: ignore[arg-type]
    ("parameters", ValueError, lambda at: visualization.plot_regions(at.report, "lr")),
    ("parameters", ValueError, lambda at: visualization.plot_regions(at.report, ["lr"])),
    ("parameters", ValueError, lambda at: visualization.plot_regions(at.report, ["lr", "depth"])),
    ("parameters", ValueError, lambda at: visualization.plot_regions(at.report, [1, 2])),  # type: ignore[list-item]
    ("parameters", ValueError, lambda at: visualization.plot_marginals(at.report, "lr")),
    ("parameters", ValueError, lambda at: visualization.plot_marginals(at.report, ["depth"])),
    ("parameters", ValueError, lambda at: visualization.plot_marginals(at.report, 7)),  # type: ignore[arg-type]
]

RECORDS: list[Row] = [
    ("trial_id", TypeError, lambda at: TrialRecord(trial_id=7)),  # type: ignore[arg-type]
    ("number", TypeError, lambda at: TrialRecord(trial_id="0", number="one")),  # type: ignore[arg-type]
    ("number", ValueError, lambda at: TrialRecord(trial_id="0", number=-1)),
    ("status", ValueError, lambda at: TrialRecord(trial_id="0", status="done")),  # type: ignore[arg-type]
    ("status", ValueError, lambda at: TrialRecord(trial_id="0", status=None)),  # type: ignore[arg-type]
    ("unstable", TypeError, lambda at: TrialRecord(trial_id="0", unstable="no")),  # type: ignore[arg-type]
    ("symptom", ValueError, lambda at: TrialRecord(trial_id="0", symptom="nan")),  # type: ignore[arg-type]
    ("cause", ValueError, lambda at: TrialRecord(trial_id="0", cause="bad luck")),  # type: ignore[arg-type]
    ("other_causes", TypeError, lambda at: TrialRecord(trial_id="0", other_causes="timeout")),  # type: ignore[arg-type]
    ("other_causes", ValueError, lambda at: TrialRecord(trial_id="0", other_causes=("luck",))),  # type: ignore[arg-type]
    ("confidence", ValueError, lambda at: TrialRecord(trial_id="0", confidence=2.0)),
    ("confidence", TypeError, lambda at: TrialRecord(trial_id="0", confidence="high")),  # type: ignore[arg-type]
    ("value", TypeError, lambda at: TrialRecord(trial_id="0", value="low")),  # type: ignore[arg-type]
    ("error", TypeError, lambda at: TrialRecord(trial_id="0", error=ValueError("x"))),  # type: ignore[arg-type]
    ("evidence", TypeError, lambda at: TrialRecord(trial_id="0", evidence=[1])),  # type: ignore[arg-type]
    ("params", TypeError, lambda at: TrialRecord(trial_id="0", params=["lr"])),  # type: ignore[arg-type]
    ("text", TypeError, lambda at: TrialRecord.from_json(None)),  # type: ignore[arg-type]
    ("text", TypeError, lambda at: TrialRecord.from_json({"trial_id": "0"})),  # type: ignore[arg-type]
]

OPTUNA: list[Row] = [
    ("objective", TypeError, lambda at: robust(None)),  # type: ignore[arg-type]
    ("objective", TypeError, lambda at: robust(at.study)),
    ("policy", TypeError, lambda at: robust(len, policy={"clip": 1.0})),  # type: ignore[arg-type]
    ("policy", TypeError, lambda at: robust(len, policy=0)),  # type: ignore[arg-type]
    ("base", TypeError, lambda at: CrashAwareSampler("tpe")),  # type: ignore[arg-type]
    ("base", TypeError, lambda at: CrashAwareSampler(optuna.samplers.TPESampler)),  # type: ignore[arg-type]
    ("policy", TypeError, lambda at: CrashAwareSampler(policy=1.0)),  # type: ignore[arg-type]
    ("policy", TypeError, lambda at: CrashAwareSampler(policy=Policy)),  # type: ignore[arg-type]
    ("path", TypeError, lambda at: FailureReportCallback(None)),  # type: ignore[arg-type]
    ("path", TypeError, lambda at: FailureReportCallback(at.study)),
    ("path", ValueError, lambda at: FailureReportCallback("")),
    ("path", ValueError, lambda at: FailureReportCallback(at.folder)),
    ("trial", TypeError, lambda at: sanitize_trial(5)),  # type: ignore[type-var]
    ("trial", TypeError, lambda at: sanitize_trial(at.study)),
    ("policy", TypeError, lambda at: sanitize_trial(at.trial, "fix")),
    ("trial", TypeError, lambda at: TrialGuard(None)),  # type: ignore[arg-type]
    ("trial", TypeError, lambda at: TrialGuard(Policy())),  # type: ignore[arg-type]
    ("policy", TypeError, lambda at: TrialGuard(at.trial, 1.0)),  # type: ignore[arg-type]
    ("policy", TypeError, lambda at: TrialGuard(at.trial, False)),  # type: ignore[arg-type]
    ("study", TypeError, lambda at: publish_to_dashboard(None)),  # type: ignore[arg-type]
    ("study", TypeError, lambda at: records_of("study")),  # type: ignore[arg-type]
]

TRAINING: list[Row] = [
    ("policy", TypeError, lambda model: robusttune.Guard("auto")),  # type: ignore[arg-type]
    ("policy", TypeError, lambda model: robusttune.Guard(0)),  # type: ignore[arg-type]
    ("policy", TypeError, lambda model: robusttune.Guard(_BadRepr())),  # type: ignore[arg-type]
    ("tuner_class", TypeError, lambda model: robusttune.robust(dict)),
    ("tuner_class", TypeError, lambda model: robusttune.robust("RandomSearch")),  # type: ignore[type-var]
    ("model", TypeError, lambda model: diagnose(None, X, Y)),  # type: ignore[arg-type]
    ("model", TypeError, lambda model: diagnose("model.keras", X, Y)),  # type: ignore[arg-type]
    ("x", TypeError, lambda model: diagnose(model, None)),
    ("model", ValueError, lambda model: diagnose(model.__class__([]), X, Y)),
    ("x", DataError, lambda model: diagnose(model, [])),
    ("x", DataError, lambda model: diagnose(model, 5, 5)),
    ("x", DataError, lambda model: diagnose(model, np.ones((0, 2)), np.ones((0, 1)))),
    ("x", DataError, lambda model: diagnose(model, iter(()))),
    ("x", DataError, lambda model: diagnose(model, [X, X[:4]], Y)),
    ("y", ValueError, lambda model: diagnose(model, iter([(X, Y)]), Y)),
    ("y", DataError, lambda model: diagnose(model, X, [1.0, 2.0])),
    ("y", DataError, lambda model: diagnose(model, X, Y[:5])),
    ("sample_weight", DataError, lambda model: diagnose(model, X, Y, sample_weight=np.ones(3))),
    ("batch_size", ValueError, lambda model: diagnose(model, X, Y, batch_size=0)),
    ("batch_size", ValueError, lambda model: diagnose(model, X, Y, batch_size=1.5)),  # type: ignore[arg-type]
    ("batch_size", ValueError, lambda model: diagnose(model, X, Y, batch_size="all")),  # type: ignore[arg-type]
    ("policy", TypeError, lambda model: diagnose(model, X, Y, policy="strict")),  # type: ignore[arg-type]
    ("x", TypeError, lambda model: check_data(None)),
    ("x", DataError, lambda model: check_data([[1.0, 2.0], [3.0]])),
    ("x", TypeError, lambda model: check_data(object())),
    ("x", TypeError, lambda model: check_data({"a": X, "b": object()})),
    ("y", TypeError, lambda model: check_data(X, len)),
    ("x", TypeError, lambda model: check_data("data.csv")),
    ("x", TypeError, lambda model: check_data(b"1,2")),
    ("x", TypeError, lambda model: check_data(float("nan"))),
]


def _ids(rows: list[Row]) -> list[str]:
    return [f"{row[0]}-{index}" for index, row in enumerate(rows)]


def _one_clear_error(row: Row, at: Any) -> None:
    argument, kind, call = row
    with pytest.raises(kind) as caught:
        call(at)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert re.match(rf"{argument}(\[.*\])? must be .+, got .+\.", message), message
    assert len(message) < 400
    assert "\n" not in message


@pytest.mark.parametrize("row", REPORTS, ids=_ids(REPORTS))
def test_report_arguments(row: Row, at: SimpleNamespace) -> None:
    """Reports and plots say what is wrong with what they get."""
    _one_clear_error(row, at)


@pytest.mark.parametrize("row", RECORDS, ids=_ids(RECORDS))
def test_record_arguments(row: Row, at: SimpleNamespace) -> None:
    """A record refuses what its JSON could not be read back from."""
    _one_clear_error(row, at)


@pytest.mark.parametrize("row", OPTUNA, ids=_ids(OPTUNA))
def test_optuna_arguments(row: Row, at: SimpleNamespace) -> None:
    """What is for Optuna says what is wrong before a study starts."""
    _one_clear_error(row, at)


@pytest.mark.parametrize("row", TRAINING, ids=_ids(TRAINING))
def test_training_arguments(row: Row, model: Any) -> None:
    """Guard, diagnose, check_data and robust say what is wrong before any training."""
    _one_clear_error(row, model)


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("policy", [{"clip": 1.0}, 0, "fix", Policy], ids=repr)
def test_tuner_policy(name: str, policy: Any, tmp_path: Path) -> None:
    """A tuner refuses a policy that is none, before it touches the disk."""
    row: Row = ("policy", TypeError, lambda _: getattr(robusttune, name)(None, policy=policy))
    _one_clear_error(row, None)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", ""], "SOURCE must be"),
        (["report", "nowhere"], "nowhere"),
        (["report", "{file}"], "There is no study in"),
        (["report", "{empty}"], "is not a Keras Tuner project"),
        (["report", "{empty}", "--study", "a"], "--study is for Optuna storages"),
        (["report", "sqlite:///nowhere.db"], "There is no file"),
        (["report", "mysql://nobody"], "Cannot open"),
        (["report", "nonsense://x"], "Cannot open"),
        (["report", "{project}", "--csv", "{file}"], "{file}"),
        (["report", "{project}", "--csv", ""], "--csv must be"),
        (["report", "{project}", "--html", "{empty}"], "{empty}"),
        (["report", "{project}", "--html", ""], "--html must be"),
        (["report", "{project}", "--html", "{file}/report.html"], "{file}"),
        (["demo", "{file}"], "{file}"),
        (["demo", ""], "DIR must be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad argument gives one line and the exit code 2, never a traceback."""
    places = {name: tmp_path / name for name in ("file", "empty", "project")}
    places["file"].write_text("not a storage")
    places["empty"].mkdir()
    places["project"].mkdir()
    (places["project"] / "oracle.json").write_text("{}")
    told = main([argument.format(**places) for argument in arguments])
    error = capsys.readouterr().err
    assert told == 2
    assert error.startswith("robusttune: ")
    assert says.format(**places) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bake"],
        ["report"],
        ["report", "a", "b"],
        ["report", "a", "--fail-on", "failures"],
        ["report", "a", "--fail-on", "failure_rate>many"],
        ["report", "a", "--fail-on", "luck>1"],
        ["report", "a", "--fail-on", "failure_rate>nan"],
        ["demo", "--trials", "0"],
        ["demo", "--trials", "few"],
    ],
    ids=" ".join,
)
def test_command_line_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What the command does not know ends with the usage and the exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: robusttune" in capsys.readouterr().err
