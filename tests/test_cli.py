"""The command line: output, exit codes, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

from robusttune import TrialRecord
from robusttune.cli import main


@pytest.fixture
def project(tmp_path):
    """A project folder of 40 trials, of which those with a high learning rate failed."""
    root = tmp_path / "project"
    for number in range(40):
        bad = number >= 28
        record = TrialRecord(
            trial_id=str(number),
            number=number,
            status="failed" if bad else "completed",
            unstable=bad,
            cause="divergent_learning_rate" if bad else None,
            value=None if bad else 0.1,
            params={"lr": 10 ** (number / 10 - 4)},
        )
        folder = root / f"trial_{number}"
        folder.mkdir(parents=True)
        folder.joinpath("robusttune.json").write_text(record.to_json())
        folder.joinpath("trial.json").write_text('{"status": "RUNNING"}')
    root.joinpath("oracle.json").write_text("{}")
    return root


def test_report_prints_the_verdict_and_writes_csv(project, tmp_path, capsys):
    """The report of a folder is printed, and the tables are written where --csv says."""
    assert main(["report", str(project), "--csv", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("12 of 40 trials failed")
    assert "divergent_learning_rate" in printed
    assert str(tmp_path / "out" / "failures.csv") in printed


@pytest.mark.parametrize("source", ["/no/such/folder", "."])
def test_bad_source_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, source):
    """A source that is no search ends with one clear line, no traceback, and exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", source]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("robusttune: ")
    assert captured.err.count("\n") == 1


def test_command_loads_no_tensorflow(project):
    """`robusttune report` on a project folder loads neither TensorFlow nor a tuner."""
    code = (
        "import sys; from robusttune.cli import main; main(sys.argv[1:]);"
        "sys.exit(any(n in sys.modules for n in ('tensorflow', 'keras', 'keras_tuner', 'optuna')))"
    )
    run = subprocess.run([sys.executable, "-c", code, "report", str(project)], check=False)
    assert run.returncode == 0
