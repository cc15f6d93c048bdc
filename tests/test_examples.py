"""The examples run as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str) -> str:
    """Run an example and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_example_drop_in() -> None:
    """The swapped tuner survives and names causes."""
    shown = run("drop_in.py")
    assert "8 trials" in shown
    assert "unscaled_data" in shown


def test_example_plain_fit() -> None:
    """A plain fit is ended with finite weights and a cause."""
    shown = run("plain_fit.py")
    assert "divergent_learning_rate" in shown
    assert "weights finite: True" in shown


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
    shown = run("review_failures.py", str(tmp_path))
    assert "unsafe_loss" in shown
    assert len(pd.read_csv(tmp_path / "failures.csv")) == 3
