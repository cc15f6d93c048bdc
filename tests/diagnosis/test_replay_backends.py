"""Replays, diagnosis and curvature on each of Keras's backends, in a process of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).parent / "replay_checks.py"


@pytest.mark.full
@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_replays_are_right_on(backend):
    """An intervention is the fit that it stands for, failures are cured, nothing is changed."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CHECKS)]
    env = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
