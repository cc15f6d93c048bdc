"""The example runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import ROOT

EXAMPLE = ROOT / "examples" / "optuna_keras.py"


@pytest.mark.full
def test_the_keras_example_runs_and_reports(tmp_path):
    """A few trials, the failure file and the HTML report."""
    html = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "4", str(html)],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "best accuracy" in done.stdout
    assert (tmp_path / "failures.csv").read_text().startswith("trial_id,number,status")
    assert html.stat().st_size > 10_000
