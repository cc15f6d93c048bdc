"""The last lines of a run of the tests: what was skipped, and how to get it."""

from __future__ import annotations

from tests.conftest import skipped_lines


def test_skipped_tests_are_counted_with_the_way_to_run_them() -> None:
    """On a machine without a browser and a database."""
    reasons = ["Skipped: no Chromium is installed on this system"] * 11
    reasons.append("Skipped: PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    database, browser = skipped_lines(reasons)
    assert browser.startswith("11 tests: no Chromium")
    assert database.startswith("1 test: PostgreSQL")
    assert "`apt-get install chromium`" in browser + database
    assert "`apt-get install postgresql`" in browser + database


def test_what_a_backend_or_system_skips_has_no_way() -> None:
    """It is told, and that is all."""
    assert skipped_lines(["Skipped: of JAX", "Skipped: of JAX"]) == ["2 tests: of JAX"]


def test_missing_package_names_the_extra() -> None:
    """pytest.importorskip has words of its own."""
    (line,) = skipped_lines(["Skipped: could not import 'plotly': No module named 'plotly'"])
    assert line.endswith("pip install --constraint constraints.txt '.[dev]'")
