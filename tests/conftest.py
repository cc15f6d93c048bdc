"""Shared by all tests: quiet TensorFlow, and small data that train in a moment."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest


@pytest.fixture(scope="session")
def regression() -> tuple[np.ndarray, np.ndarray]:
    """Scaled inputs (320, 10) and linear targets (320, 1), float32."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 10)).astype("float32")
    y = (x @ rng.normal(size=(10, 1))).astype("float32")
    return x, y
