"""Old names: they work, and say what the new ones are and when the old ones go."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from robusttune import Report, RobustTuneWarning, TrialRecord
from robusttune._deprecation import moved, renamed_argument
from robusttune._moved import MOVED_MODULES, MOVED_NAMES
from robusttune.errors import RobustTuneDeprecationWarning


@pytest.fixture
def report() -> Report:
    """Of one failed trial."""
    failed = TrialRecord(trial_id="0", number=0, status="failed", unstable=True, cause="unknown")
    return Report.from_records([failed])


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """An old module; tests give it what is left in it."""
    module = types.ModuleType("robusttune_old")
    monkeypatch.setitem(sys.modules, "robusttune_old", module)
    return module


def test_summary_takes_colour_and_warns(report: Report) -> None:
    """The old argument does what the new one does; the new one does not warn."""
    warned = pytest.warns(RobustTuneDeprecationWarning, match=r"summary\(colour=\) is now color=")
    with warned as caught:
        old = report.summary(colour=True)  # type: ignore[call-arg]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert report.summary(color=True) == old != report.summary(color=False)


def test_summary_under_its_old_name_is_checked_as_ever(report: Report) -> None:
    """A value that does not fit is named by the argument that is documented."""
    with pytest.warns(RobustTuneDeprecationWarning), pytest.raises(ValueError, match="color must"):
        report.summary(colour="red")  # type: ignore[call-arg]


def test_both_names_of_an_argument_are_an_error(report: Report) -> None:
    """Which of them should hold?"""
    with pytest.raises(TypeError, match="'color' and 'colour'"):
        report.summary(color=True, colour=False)  # type: ignore[call-arg]


def test_renamed_argument_keeps_the_function() -> None:
    """Its name, its docstring, its signature and its other errors."""

    @renamed_argument("a", "b", until="0.3")
    def twice(b: int) -> int:
        """Double it."""
        return 2 * b

    assert (twice.__name__, twice.__doc__, twice(2), twice(b=3)) == ("twice", "Double it.", 4, 6)
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        twice(c=1)  # type: ignore[call-arg]


def test_guard_trace_has_moved() -> None:
    """Every old way to import from it works, and says where the new place is."""
    from robusttune._diagnosis import trace

    old: Any = importlib.import_module("robusttune.guard.trace")
    text = r"\.guard\.trace\.FitTrace is now robusttune\._diagnosis\.trace\.FitTrace; .* 0\.3"
    with pytest.warns(RobustTuneDeprecationWarning, match=text) as caught:
        from robusttune.guard.trace import FitTrace
    assert FitTrace is trace.FitTrace
    assert caught[0].filename == __file__
    with pytest.warns(RobustTuneDeprecationWarning):
        assert old.Batch is trace.Batch
    with pytest.raises(AttributeError, match=r"robusttune\.guard\.trace.* no attribute 'NoSuch'"):
        _ = old.NoSuch


# Modules that need an extra, and so cannot be imported everywhere.
EXTRAS = ("executors.", "trackers.", "optuna.dashboard")


@pytest.mark.parametrize("old", sorted(MOVED_MODULES))
def test_modules_of_old_names_are_those_of_the_new_ones(old: str) -> None:
    """What the new module defines has the old name too, with a warning that says where it is."""
    new = f"robusttune.{MOVED_MODULES[old]}"
    if old.startswith(EXTRAS):
        assert importlib.util.find_spec(new) is not None
        assert importlib.util.find_spec(f"robusttune.{old}") is not None
        return
    home = importlib.import_module(new)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module: Any = importlib.import_module(f"robusttune.{old}")
    name = next((name for name in dir(home) if not name.startswith("__")), None)
    if name is None:  # a package with nothing but modules in it
        assert home.__path__
        return
    with pytest.warns(RobustTuneDeprecationWarning, match=rf"\.{old}\.{name} is now .*\.{name};"):
        assert getattr(module, name) is getattr(home, name)


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("policy", "Policy", "robusttune.Policy"),
        ("tuners", "RandomSearch", "robusttune.RandomSearch"),
        ("tuners.adapter", "robust", "robusttune.robust"),
        ("guard", "Guard", "robusttune.Guard"),
        ("report.report", "Report", "robusttune.Report"),
        ("optuna.sampler", "CrashAwareSampler", "robusttune.optuna.CrashAwareSampler"),
        *(
            (module, name, full)
            for module, names in MOVED_NAMES.items()
            for name, full in names.items()
        ),
    ],
)
def test_a_public_name_is_told_where_there_is_one(old: str, name: str, new: str) -> None:
    """Rather than the private module that defines it."""
    module: Any = importlib.import_module(f"robusttune.{old}")
    home, _, public = new.rpartition(".")
    with pytest.warns(RobustTuneDeprecationWarning, match=rf"{old}\.{name} is now {new};"):
        assert getattr(module, name) is getattr(importlib.import_module(home), public)


def test_modules_that_never_were_are_not_found() -> None:
    """As any others."""
    for name in ("robusttune.no_such", "robusttune.diagnosis.no_such", "robusttune.tuners.a.b"):
        with pytest.raises(ImportError, match="No module named"):
            importlib.import_module(name)


def test_what_was_pickled_by_an_old_name_is_read() -> None:
    """Samplers are kept so between the runs of a study."""
    from robusttune.optuna import CrashAwareSampler

    with pytest.warns(RobustTuneDeprecationWarning):
        read = pickle.loads(b"crobusttune.optuna.sampler\nCrashAwareSampler\n.")
    assert read is CrashAwareSampler


def test_star_import_of_a_moved_module_works(old: types.ModuleType) -> None:
    """It gets what the new module would give."""
    old.__dict__["__getattr__"] = moved(old.__name__, to="robusttune.errors", until="0.3")
    got: dict[str, Any] = {}
    with pytest.warns(RobustTuneDeprecationWarning):
        exec("from robusttune_old import *", got)
    from robusttune import errors

    assert got["StoreError"] is errors.StoreError


def test_names_move_out_of_a_module_that_stays(old: types.ModuleType) -> None:
    """To wherever each is said to be, under another name too; a module's other names go on."""
    old.__dict__["__getattr__"] = moved(
        old.__name__,
        {"Failure": "robusttune.errors.TrialFailure", "faults": "robusttune.errors"},
        until="0.3",
        others={"lazy": 7}.__getitem__,
    )
    from robusttune import errors

    with pytest.warns(RobustTuneDeprecationWarning, match=r"_old\.Failure is now robust.*ialFail"):
        assert old.Failure is errors.TrialFailure
    with pytest.warns(RobustTuneDeprecationWarning, match=r"_old\.faults is now robusttune\.err"):
        assert old.faults is errors
    assert old.lazy == 7


def test_unknown_names_and_dunders_of_a_moved_module_are_errors(old: types.ModuleType) -> None:
    """As those of any module, without a warning."""
    old.__dict__["__getattr__"] = moved(old.__name__, {"a": "robusttune.no.such"}, until="0.3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("b", "__path__"):
            with pytest.raises(AttributeError, match=f"'robusttune_old' has no attribute '{name}'"):
                getattr(old, name)


def test_users_see_the_warning_of_an_import_deep_in_their_code(tmp_path: Path) -> None:
    """Python hides a DeprecationWarning outside of the main script; this one it shows."""
    (tmp_path / "their_code.py").write_text("from robusttune.guard.trace import FitTrace\n")
    ran = subprocess.run(
        [sys.executable, "-c", "import their_code"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "their_code.py:1: RobustTuneDeprecationWarning" in ran.stderr
    assert issubclass(RobustTuneDeprecationWarning, RobustTuneWarning)
