"""The examples run as they are, and print what their docstrings say."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import ROOT

EXAMPLES = ROOT / "examples"

# What is the same on every machine of what an example prints.
PHRASES = {
    "dask_cluster.py": ("6 trials completed, on 1 machine", "val_loss below 0.9: True"),
    "parallel.py": (
        "1 of 8 trials failed: crashed.",
        "trial 2: failed, The trial's process: it ended with exit code 139.",
        "the search's own was none of them: True",
    ),
    "ray_cluster.py": ("6 trials completed, on 1 machine", "val_loss below 0.9: True"),
    "custom_tuner.py": ("failed  divergent_learning_rate", "best: {'units': "),
    "drop_in.py": ("trials failed", "unscaled_data", "params_rate"),
    "plain_fit.py": ("at step 5: divergent_learning_rate", "weights finite: True"),
    "trackers.py": (
        "MLflow: the search is FINISHED, with report.html; 8 trials, 3 failed",
        "trial 0001: FAILED, divergent_learning_rate, diverged, confidence 0.",
        "W&B: one group, 8 runs",
        "trial 0001: exit code 1, tags diverged divergent_learning_rate failed",
    ),
    "report_gate.py": ("exits with 1:", "failure_rate is 0.", "trials failed"),
}
NEEDS = {"dask_cluster.py": "distributed", "ray_cluster.py": "ray"}
SLOW = {
    "custom_tuner.py",
    "dask_cluster.py",
    "drop_in.py",
    "parallel.py",
    "ray_cluster.py",
    "trackers.py",
}


def run(name: str, folder: Path, *arguments: str) -> str:
    """Run an example in a folder and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def output_in_docstring(name: str) -> str:
    """Return the part of an example's docstring that begins where it says what it prints."""
    described = ast.get_docstring(ast.parse((EXAMPLES / name).read_text(encoding="utf-8")))
    assert described is not None
    return described.partition("prints:")[2]


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.full) if n in SLOW else n for n in sorted(PHRASES)],
)
def test_example_prints_what_it_says(name: str, tmp_path: Path) -> None:
    """An example runs, and its docstring shows such an output."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    shown, documented = run(name, tmp_path), output_in_docstring(name)
    for phrase in PHRASES[name]:
        assert phrase in shown
        assert phrase in documented


@pytest.mark.full
def test_example_trackers_under_optuna(tmp_path: Path) -> None:
    """The same trackers, the same runs."""
    shown = run("trackers.py", tmp_path, "optuna")
    assert "MLflow: the search is FINISHED, with report.html; 8 trials, 3 failed" in shown
    assert shown.count(": FAILED, divergent_learning_rate, diverged, confidence 0.") == 3
    assert "W&B: one group, 8 runs" in shown
    assert shown.count("exit code 1, tags diverged divergent_learning_rate failed") == 3


@pytest.mark.full
def test_example_autokeras(tmp_path: Path) -> None:
    """AutoKeras's tuner made robust, with a policy, where AutoKeras is installed."""
    if importlib.util.find_spec("autokeras") is None:
        pytest.skip("AutoKeras is not installed: examples/autokeras_search.py was not run")
    shown = run("autokeras_search.py", tmp_path)
    assert "3 trials, " in shown
    for line in ("trial 0: ", "trial 1: ", "trial 2: ", "completed, no cause", "failed, "):
        assert line in shown


def test_example_review_failures(tmp_path: Path) -> None:
    """The CSV of a report is reviewed with pandas."""
    from robusttune import Report, TrialRecord

    records = [
        TrialRecord(
            trial_id=str(n),
            status="failed" if n % 2 else "completed",
            unstable=bool(n % 2),
            cause="unsafe_loss" if n % 2 else None,
            confidence=0.9 if n % 2 else None,
            seconds=1.5,
            evidence={"losses": [1, 2]},
            params={"rate": 0.1 * n},
        )
        for n in range(6)
    ]
    Report.from_records(records).to_csv(tmp_path)
    shown = run("review_failures.py", tmp_path, str(tmp_path))
    for phrase in ("Failures by cause:", "unsafe_loss", "The least certain verdicts first:"):
        assert phrase in shown
        assert phrase in output_in_docstring("review_failures.py")
    assert len(pd.read_csv(tmp_path / "failures.csv")) == 3
