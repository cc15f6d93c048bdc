"""The command line: output, exit codes, and what it does not load."""

from __future__ import annotations

import os
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


def test_report_writes_the_page(project, tmp_path, capsys):
    """--html writes the report as one page and prints its path."""
    page = tmp_path / "out" / "report.html"
    assert main(["report", str(project), "--html", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    assert "12 of 40 trials failed" in page.read_text()


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("failure_rate>0.29", 1),
        ("failure_rate > 0.3", 0),
        ("failure_rate>=0.3", 1),
        ("trials<50", 1),
        ("failed==12", 1),
        ("unstable<=11", 0),
        ("regions>0", 1),
        ("seconds_lost>1", 0),
    ],
)
def test_gate_fails_where_its_condition_holds(project, capsys, condition, code):
    """--fail-on makes the command exit with 1, and says which number did it."""
    assert main(["report", str(project), "--fail-on", condition]) == code
    captured = capsys.readouterr()
    assert captured.out.startswith("12 of 40 trials failed")
    assert (condition in captured.err) is bool(code)


def test_gates_add_up(project):
    """Of several conditions, one that holds is enough."""
    gates = ["--fail-on", "trials>1000", "--fail-on", "failed>3"]
    assert main(["report", str(project), *gates]) == 1


@pytest.mark.parametrize("condition", ["", "rate>1", "failed>many", "failed", "failed=3"])
def test_gate_that_is_none_is_refused(project, condition, capsys):
    """A condition that cannot be read ends with the usage and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(["report", str(project), "--fail-on", condition])
    assert ended.value.code == 2
    assert "over failure_rate, trials, failed" in capsys.readouterr().err


def test_running_search_is_reported(project, capsys):
    """A search that still runs is reported on, with what is known so far."""
    folder = project / "trial_40"
    folder.mkdir()
    record = TrialRecord(trial_id="40", number=40, params={"lr": 0.1})
    folder.joinpath("robusttune.json").write_text(record.to_json())
    folder.joinpath("trial.json").write_text('{"status": "RUNN')
    assert main(["report", str(project)]) == 0
    printed = capsys.readouterr().out
    assert "1 still running" in printed
    assert "trial_40" in printed


def test_control_characters_do_not_reach_the_terminal(project, capsys):
    """Names of hyperparameters cannot steer the terminal, nor be taken for markup."""
    for number in range(40):
        path = project / f"trial_{number}" / "robusttune.json"
        record = TrialRecord.from_json(path.read_text())
        params = {"\x1b[2J[bold]lr": record.params["lr"]}
        path.write_text(record.replace(params=params).to_json())
    main(["report", str(project)])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]lr" in printed


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes of POSIX")
def test_reader_may_stop_early(project):
    """A reader that closes the pipe, as `head` does, gets no traceback."""
    command = [sys.executable, "-u", "-m", "robusttune", "report", str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 0


def test_study_is_for_storages(project, capsys):
    """--study with a project folder is refused."""
    assert main(["report", str(project), "--study", "x"]) == 2
    assert "--study is for Optuna storages" in capsys.readouterr().err


def test_names_that_the_terminal_cannot_write_are_replaced(tmp_path):
    """Where the encoding is an old one, as in a pipe on Windows, the report is printed too."""
    root = tmp_path / "学習"
    root.mkdir()
    root.joinpath("oracle.json").write_text('{"start_order": "学"}', encoding="utf-8")
    command = [sys.executable, "-m", "robusttune", "report", str(root), "--csv", str(root)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    run = subprocess.run(command, check=False, capture_output=True, env=environment)
    assert run.returncode == 0
    assert b"\\u5b66\\u7fd2" in run.stdout


def test_module_is_the_command(project):
    """`python -m robusttune` is the same command."""
    command = [sys.executable, "-m", "robusttune", "report", str(project)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0
    assert run.stdout.startswith("12 of 40 trials failed")


def test_command_loads_no_tensorflow(project):
    """`robusttune report` on a project folder loads neither TensorFlow nor a tuner."""
    code = (
        "import sys; from robusttune.cli import main; main(sys.argv[1:]);"
        "sys.exit(any(n in sys.modules for n in ('tensorflow', 'keras', 'keras_tuner', 'optuna')))"
    )
    run = subprocess.run([sys.executable, "-c", code, "report", str(project)], check=False)
    assert run.returncode == 0


def test_help_of_the_demo_says_how_many_trials_it_runs(capsys):
    """As many as it runs."""
    from robusttune._demo import TRIALS

    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert f"number of trials (default: {TRIALS})" in capsys.readouterr().out
