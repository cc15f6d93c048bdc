"""The demo, as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest


@pytest.mark.full
def test_demo_names_the_three_headline_causes(tmp_path: Path) -> None:
    """All three occur early, each right for its trial's values, and the report is written."""
    done = subprocess.run(
        [sys.executable, "-m", "robusttune", "demo", "--trials", "6", str(tmp_path)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "trial 5  normalize=" in done.stdout
    assert str(tmp_path / "report.html") in done.stdout.replace("\n", "")
    failures = pd.read_csv(tmp_path / "failures.csv")
    by_cause = dict(iter(failures.groupby("cause")))
    assert {"divergent_learning_rate", "unscaled_data", "unsafe_loss"} <= set(by_cause)
    assert (by_cause["unsafe_loss"].params_loss == "percentage_error").all()
    assert (~by_cause["unscaled_data"].params_normalize).all()
    assert (by_cause["divergent_learning_rate"].params_learning_rate > 0.1).all()
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 6
