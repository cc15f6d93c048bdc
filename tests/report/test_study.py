"""Reports on Optuna studies, from memory, SQLite and journal files, and on what is none."""

from __future__ import annotations

import json
import sqlite3

import optuna
import pandas as pd
import pytest
from optuna.storages.journal import JournalFileBackend

from robusttune import Report, TrialRecord
from robusttune.cli import main
from robusttune.optuna import _study_reader

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    """Fail at high learning rates, as a study without robusttune does."""
    rate = trial.suggest_float("lr", 1e-5, 10.0, log=True)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", None])
    if optimizer == "sgd":
        trial.suggest_float("momentum", 0.0, 0.9)
    trial.suggest_int("units", 8, 64, step=8)
    return float("nan") if rate > 0.1 else rate


def run(storage=None, trials=40, name="study"):
    """Run a random search."""
    study = optuna.create_study(
        storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(seed=1)
    )
    study.optimize(objective, n_trials=trials)
    return study


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory):
    """A study in an SQLite file."""
    url = f"sqlite:///{tmp_path_factory.mktemp('db') / 'study.db'}"
    run(url)
    return url


def test_study_that_never_saw_robusttune_is_reported(sqlite_url):
    """A plain study's failures, parameters and region are there."""
    report = Report.from_storage(sqlite_url)
    trials = report.trials
    assert report.name == "study"
    assert trials.number.tolist() == list(range(40))
    assert ((trials.status == "failed") == (trials.params_lr > 0.1)).all()
    assert (trials.params_momentum.notna() == (trials.params_optimizer == "sgd")).all()
    (region,) = report.find_regions()
    assert [condition.name for condition in region.conditions] == ["lr"]
    assert report.failures.cause.unique().tolist() == ["unknown"]


def test_axes_are_those_of_the_distributions(sqlite_url):
    """AxisScale, bounds, step and choices are the study's own."""
    axes = Report.from_storage(sqlite_url).axes
    assert (axes["lr"].log, axes["lr"].low, axes["lr"].high) == (True, 1e-5, 10.0)
    assert (axes["units"].kind, axes["units"].step) == ("int", 8.0)
    assert axes["optimizer"].choices == ("sgd", "adam", None)


def test_none_among_the_choices_is_a_value_like_the_others(tmp_path):
    """Not to clip may be what fails: it has a region, a bin, a suggestion and a picture."""

    def objective(trial):
        clip = trial.suggest_categorical("clipnorm", [None, 1.0, 5.0])
        if clip is not None:
            trial.suggest_categorical("by", [None, "value"])
        rate = trial.suggest_float("lr", 1e-5, 1.0, log=True)
        return float("nan") if clip is None else rate

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=60)
    report = Report.from_study(study)
    (region,) = report.find_regions()
    assert region.rule == "clipnorm == None"
    assert region.trials == region.failures == len(report.failures)
    assert region.contains({"clipnorm": None})
    assert not region.contains({})
    assert report.regions["clipnorm_values"].tolist() == ["[null]"]
    assert report.suggest_space()[0].text == "Let clipnorm be 1.0, 5.0 only."
    report.to_csv(tmp_path)
    bins = pd.read_csv(tmp_path / "marginals.csv").groupby("parameter")
    assert set(bins.get_group("clipnorm")["bin"]) == {"(None)", "1.0", "5.0"}
    assert bins.get_group("by")["trials"].sum() == 60 - region.trials
    page = report.html()
    assert ">None</text>" in page
    assert "trials without clipnorm" not in page


def test_study_in_memory_is_reported():
    """A study object is enough."""
    assert len(Report.from_study(run(trials=5)).trials) == 5


def test_sqlite_file_and_journal_file_are_recognized(sqlite_url, tmp_path):
    """The path of an SQLite or journal file is a source like a URL."""
    assert len(Report.from_storage(sqlite_url.removeprefix("sqlite:///")).trials) == 40
    path = tmp_path / "journal.log"
    run(optuna.storages.JournalStorage(JournalFileBackend(str(path))), trials=3)
    assert len(Report.from_storage(str(path)).trials) == 3


def test_records_and_adjustments_of_a_study_are_read():
    """What was stored with trials and study is in the report; what is broken is named."""
    study = run(trials=3)
    storage, ids = study._storage, [trial._trial_id for trial in study.trials]
    study.set_user_attr("robusttune:adjustments", json.dumps([{"parameter": "lr", "field": "log"}]))
    study.enqueue_trial({"lr": 1.0})

    def recorded(trial):
        record = TrialRecord(
            trial_id="3", number=3, status="failed", unstable=True, cause="unsafe_loss"
        )
        trial.set_user_attr("robusttune:record", record.to_json())
        return float("nan")

    def broken(trial):
        trial.set_user_attr("robusttune:record", "{")
        return 1.0

    study.optimize(recorded, n_trials=1)
    study.optimize(broken, n_trials=1)
    report = Report.from_study(study)
    assert len(ids) == 3
    assert storage is study._storage
    assert report.adjustments.parameter.tolist() == ["lr"]
    assert report.trials.cause.tolist()[3] == "unsafe_loss"
    assert len(report.problems) == 1
    assert report.problems[0].startswith("trial 4: Not a trial record")


def test_one_of_several_studies_has_to_be_named(sqlite_url, tmp_path):
    """With several studies in a storage, the error names them."""
    url = f"sqlite:///{tmp_path / 'two.db'}"
    run(url, trials=1, name="first")
    run(url, trials=2, name="second")
    with pytest.raises(ValueError, match="Name the study: the storage has 'first', 'second'"):
        Report.from_storage(url)
    assert len(Report.from_storage(url, "second").trials) == 2
    with pytest.raises(ValueError, match="There is no study 'third'"):
        Report.from_storage(url, "third")


def test_sqlite_uri_is_a_file(sqlite_url):
    """SQLite's own kind of URL, which can open a database for reading only."""
    path = sqlite_url.removeprefix("sqlite:///")
    report = Report.from_storage(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert len(report.trials) == 40


@pytest.mark.parametrize("name", ["run#1.db", "a%20b.db", "a b.db", "ü;x.db"])
def test_names_of_database_files_are_what_optuna_makes_of_them(name, tmp_path):
    """What begins a fragment or an escape on the web need not do so in the URL of a database."""
    url = f"sqlite:///{tmp_path / name}"
    run(url, trials=2)
    (path,) = tmp_path.iterdir()
    assert len(Report.from_storage(url).trials) == 2
    assert len(Report.from_storage(path).trials) == 2
    assert list(tmp_path.iterdir()) == [path]
    named = path.rename(tmp_path / name)
    assert len(Report.from_storage(named).trials) == 2
    assert list(tmp_path.iterdir()) == [named]


def test_password_is_not_told(capsys):
    """What the command prints ends up in logs."""
    assert main(["report", "nonsense://user:s3cret@host/db"]) == 2
    error = capsys.readouterr().err
    assert "nonsense://user:***@host/db" in error
    assert "s3cret" not in error


@pytest.mark.parametrize(
    "text", ['{"op_code": 99}\n', '{"op_code": 1, "worker_id": "a"}\n', "{}\n{}\n"]
)
def test_foreign_journal_is_no_storage(tmp_path, text):
    """A file of JSON lines that is not Optuna's is named in the error."""
    path = tmp_path / "lines.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"lines\.jsonl"):
        Report.from_storage(path)


def test_missing_database_is_not_created(tmp_path):
    """A file that is not there stays away."""
    path = tmp_path / "missing.db"
    with pytest.raises(FileNotFoundError, match="missing"):
        Report.from_storage(f"sqlite:///{path}")
    assert not path.exists()


def test_foreign_database_is_left_alone(tmp_path):
    """A database that is not Optuna's is refused, and no table is written into it."""
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.commit()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="it has no table 'studies'"):
        Report.from_storage(f"sqlite:///{path}")
    connection.close()
    assert path.read_bytes() == before


def test_command_reports_on_a_storage(sqlite_url, tmp_path, capsys):
    """`robusttune report URL` prints lines for Optuna and writes the page."""
    page = tmp_path / "report.html"
    assert main(["report", sqlite_url, "--html", str(page), "--study", "study"]) == 0
    printed = capsys.readouterr().out
    assert "trial.suggest_float('lr', 1e-05, " in printed
    assert "hp.Float" not in printed
    assert "Optuna" in page.read_text()


@pytest.mark.parametrize(
    "source", ["sqlite:////no/such/dir/x.db", "nonsense://x/y", "redis://localhost/0", __file__]
)
def test_command_refuses_bad_storages_in_one_line(source, capsys):
    """A storage that cannot be read ends with one line and exit code 2."""
    assert main(["report", source]) == 2
    error = capsys.readouterr().err
    assert error.startswith("robusttune: ")
    assert error.count("\n") == 1


def test_the_objectives_importance_of_many_trials_is_that_of_a_sample(monkeypatch):
    """Every n-th completed trial is asked, and the study keeps them all."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(
        lambda trial: trial.suggest_float("a", 0, 1) ** 2 + 0.01 * trial.suggest_float("b", 0, 1),
        n_trials=400,
    )
    whole = _study_reader._importance(study)
    asked = []
    evaluator = optuna.importance.PedAnovaImportanceEvaluator
    evaluate = evaluator.evaluate

    def counted(self, study, *args, **kwargs):
        asked.append(len(study.get_trials(deepcopy=False)))
        return evaluate(self, study, *args, **kwargs)

    monkeypatch.setattr(evaluator, "evaluate", counted)
    monkeypatch.setattr(_study_reader, "_MOST_TRIALS", 150)
    some = _study_reader._importance(study)
    assert asked == [134]
    assert len(study.trials) == 400
    assert some["a"] == pytest.approx(whole["a"], abs=0.1)
    assert some["a"] > 0.8
