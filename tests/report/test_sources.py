"""The table of hosts: who reads a source, who writes code, and how a further host joins."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import robusttune
from robusttune import Report, TrialRecord
from robusttune._report import sources
from robusttune._report.search_data import Search
from robusttune._space import Float
from robusttune.cli import main

# A host as its author writes it: how its searches are read, and how its space is written.
HOST = """
import json
from pathlib import Path
from robusttune import TrialRecord
from robusttune._report.search_data import Search
from robusttune._report.space_change import Narrowing
from robusttune._space import Float

def read(source, study=None):
    body = json.loads(Path(source).read_text())[study or "first"]
    records = [TrialRecord.from_json(json.dumps(record)) for record in body]
    space = {"rate": Float("rate", 0.0, 1.0)}
    return Search.of(records, name=study or "first", space=space, host="loop")

def lines(change):
    if isinstance(change.by, Narrowing):
        return f"rate up to {change.by.narrowed.high:g}"
    return "skip"
"""


def trials():
    """Return a search that fails above a rate of 0.5."""
    return [
        TrialRecord(
            trial_id=str(n),
            number=n,
            status="failed" if n > 30 else "completed",
            unstable=n > 30,
            cause="divergent_learning_rate" if n > 30 else None,
            params={"rate": n / 60},
        )
        for n in range(60)
    ]


@pytest.fixture
def loop_host(tmp_path, monkeypatch):
    """A further host, registered as its package would do it."""
    (tmp_path / "loop_host.py").write_text(HOST)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "_HOSTS", dict(sources._HOSTS))
    host = sources.Host(
        name="loop",
        title="The Loop",
        reader="loop_host",
        code="loop_host",
        reads=lambda source: source.endswith(".loop"),
        has_studies=True,
    )
    sources.register(host)
    yield host
    sys.modules.pop("loop_host", None)


def test_a_further_host_is_read_and_gets_its_own_code(loop_host, tmp_path, capsys):
    """Its source is a source of the command line; the page and the text have its lines only."""
    path = tmp_path / "search.loop"
    path.write_text(f'{{"first": [{",".join(record.to_json() for record in trials())}]}}')
    assert main(["report", str(path), "--html", str(tmp_path / "page.html")]) == 0
    said = capsys.readouterr().out
    assert "\nrate up to 0.5" in said
    assert "trial.suggest" not in said + (tmp_path / "page.html").read_text()
    assert ">The Loop</p>" in (tmp_path / "page.html").read_text()


def test_suggestions_have_the_code_of_every_host(loop_host):
    """Where it is not known who ran a search, there are lines for all of them."""
    report = Report(Search.of(trials(), space={"rate": Float("rate", 0.0, 1.0)}))
    (suggestion,) = report.suggest_space()
    assert suggestion.further == {"loop": suggestion.code["loop"]}
    assert suggestion.code["loop"].startswith("rate up to 0.5")
    assert suggestion.code["keras_tuner"] == suggestion.keras_tuner
    assert suggestion.code["optuna"] == suggestion.optuna
    assert hash(suggestion) == hash(report.suggest_space()[0])
    page = report.html()
    assert all(title in page for title in (">Keras Tuner<", ">Optuna<", ">The Loop<"))
    assert suggestion.keras_tuner in report.summary()


def test_a_host_that_is_not_registered_is_reported_like_an_unknown_one():
    """Its searches have the code of all known hosts."""
    report = Report(Search.of(trials(), host="elsewhere"))
    assert ">Keras Tuner<" in report.html()
    assert ">Optuna<" in report.html()
    assert "hp.Float" in report.summary()


def test_study_is_for_hosts_that_have_them(loop_host, tmp_path):
    """The error names who has several searches in one place."""
    with pytest.raises(ValueError, match="--study is for Optuna or The Loop storages"):
        sources.read(str(tmp_path), "second")


def test_register_takes_hosts_only():
    """What is none is named in the error."""
    with pytest.raises(TypeError, match="host must be a Host"):
        sources.register("optuna")  # type: ignore[arg-type]


def test_reverse_logarithms_stay_what_they_are():
    """A range that lies densest at its upper end keeps doing so in the lines for Keras Tuner."""
    rate = Float("rate", 0.01, 1.0, log=True, reverse=True)
    (suggestion,) = Report(Search.of(trials()[1:], space={"rate": rate})).suggest_space()
    assert suggestion.keras_tuner.endswith('sampling="reverse_log")')
    assert suggestion.keras_tuner.startswith("rate = hp.Float('rate', 0.01, 0.5")
    assert "log" not in suggestion.optuna
    grid = Float("rate", 0.01, 1.0, log=True, step=10.0, reverse=True)
    (refused,) = Report(Search.of(trials()[1:], space={"rate": grid})).suggest_space()
    assert refused.keras_tuner.startswith("if rate > 0.5")


def test_suggestions_need_no_host_installed():
    """The lines for Keras Tuner and Optuna are written where neither is there."""
    code = """
import sys
from importlib.machinery import PathFinder
find, none = PathFinder.find_spec, ("keras", "keras_tuner", "tensorflow", "optuna")
PathFinder.find_spec = lambda name, *more: None if name in none else find(name, *more)
from robusttune import Report, TrialRecord
good = dict(status="completed")
bad = dict(status="failed", unstable=True, cause="divergent_learning_rate")
(suggestion,) = Report.from_records(
    TrialRecord(trial_id=str(n), params={"rate": n / 60}, **(bad if n > 30 else good))
    for n in range(60)
).suggest_space()
assert "hp.Float" in suggestion.keras_tuner
assert "trial.suggest_float" in suggestion.optuna
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


CORE = ("_learning", "_records.py", "_regions", "_report", "_space", "cli.py", "visualization.py")


def test_the_core_imports_no_host():
    """Neither at the top nor in a function nor for the type checker: modules are named as text."""
    root = Path(robusttune.__file__).parent
    files = [file for name in CORE for file in (root / name).rglob("*.py")] + [
        root / name for name in CORE if name.endswith(".py")
    ]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{a.name}" for a in node.names)]
            for name in names:
                parts = name.split(".")
                assert parts[0] not in ("keras_tuner", "optuna"), f"{file.name}: {name}"
                assert parts[:2] != ["robusttune", "_keras_tuner"], f"{file.name}: {name}"
                assert parts[:2] != ["robusttune", "optuna"], f"{file.name}: {name}"
