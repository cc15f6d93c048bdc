"""Shared by all tests: what makes them quick and repeatable, and data that train in a moment."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The tests' matrices are small: more threads only wait for each other, for long on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest

# The same examples in each run; `--hypothesis-profile=default` looks for others.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections.

    Tracing a graph sets off many, and each went through half a million objects of the libraries:
    half of the tests' time.
    """
    gc.collect()
    gc.freeze()


# What a skipped test wants, by a word of its reason, and how to get it.
_WAYS = {
    "Chromium": "install Chromium or Google Chrome, e.g. `apt-get install chromium`",
    "PostgreSQL": "install PostgreSQL's server, e.g. `apt-get install postgresql`",
    "AutoKeras": "pip install autokeras",
    "playwright": "pip install playwright",
    "could not import": "pip install --constraint constraints.txt '.[dev]'",
    "is not installed": "pip install --constraint constraints.txt '.[dev]'",
}


def skipped_lines(reasons: Iterable[str]) -> list[str]:
    """Return what to say of skipped tests: how many for each reason, and how to have them run."""
    counted = Counter(reason.removeprefix("Skipped: ") for reason in reasons)
    lines = []
    for reason, number in sorted(counted.items()):
        way = next((way for word, way in _WAYS.items() if word in reason), None)
        tests = "1 test" if number == 1 else f"{number} tests"
        lines.append(f"{tests}: {reason}" + (f": {way}" if way else ""))
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say last which tests were skipped, why, and how to get them."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [r.longrepr[2] if isinstance(r.longrepr, tuple) else "" for r in skipped]
    if reasons:
        terminalreporter.section("skipped")
        for line in skipped_lines(reasons):
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Draw the same weights in a test whichever tests ran before it in its process."""
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(1)


@pytest.fixture(scope="session")
def regression() -> tuple[np.ndarray, np.ndarray]:
    """Scaled inputs (320, 10) and linear targets (320, 1), float32."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 10)).astype("float32")
    y = (x @ rng.normal(size=(10, 1))).astype("float32")
    return x, y


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium is installed on this system")
    with playwright.sync_playwright() as api:
        started = api.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield started
        started.close()
