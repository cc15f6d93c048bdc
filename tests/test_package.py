"""The package as others get it: the wheel, and what happens where an extra is not installed."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import robusttune
from tests import ROOT

PAGE = ("report.html.jinja", "style.css", "page.js")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_has_all_that_is_needed(wheel: Path) -> None:
    """Every module, the types marker, the page's parts and the licence, and nothing else."""
    info = f"robusttune-{robusttune.__version__}.dist-info"
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "robusttune").rglob("*.py")}
    page = {f"robusttune/_report/page/{name}" for name in PAGE}
    assert modules | page | {"robusttune/py.typed", f"{info}/licenses/LICENSE"} <= names
    assert {name.split("/")[0] for name in names} == {"robusttune", info}
    assert not any(name.endswith((".pyc", ".csv")) for name in names)


def test_wheel_says_what_it_is(wheel: Path) -> None:
    """Name, version, extras and command are those of the project."""
    archive = zipfile.ZipFile(wheel)
    info = f"robusttune-{robusttune.__version__}.dist-info"
    metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    assert metadata["Version"] == robusttune.__version__
    assert {"plot", "parquet", "dashboard", "tensorboard", "mlflow", "wandb"} <= set(
        metadata.get_all("Provides-Extra", [])
    )
    assert b"robusttune = robusttune.cli:main" in archive.read(f"{info}/entry_points.txt")


def test_wheel_works_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Unpacked far from the checkout, it reads a project and writes its page."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    project = tmp_path / "project"
    project.mkdir()
    (project / "oracle.json").write_text("{}")
    code = (
        "import sys, robusttune; from robusttune.cli import main;"
        f"assert robusttune.__file__.startswith({str(site)!r}), robusttune.__file__;"
        "sys.exit(main(['report', 'project', '--html', 'page.html', '--csv', 'tables']))"
    )
    done = _python(code, tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert len(list((tmp_path / "tables").glob("*.csv"))) == 6


# Python that does not find some packages.
WITHOUT = """\
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name in {} else find(name, *more)
"""
# Package that is missing, what is done, what it prints last or raises.
MISSING = [
    (
        "plotly",
        "from robusttune import Report, visualization as v; v.plot_causes(Report.from_records([]))",
        "ImportError: robusttune.visualization needs plotly: pip install 'robusttune[plot]'.",
    ),
    (
        "pyarrow",
        "from robusttune import Report; Report.from_records([]).to_parquet('tables')",
        "ImportError: to_parquet needs pyarrow: pip install 'robusttune[parquet]'.",
    ),
    (
        "optuna_dashboard",
        "import optuna; from robusttune.optuna import publish_to_dashboard as publish;"
        " print(publish(optuna.create_study()))",
        "False",
    ),
    (
        "tensorflow,keras,keras_tuner",
        "from robusttune import Report; import robusttune.optuna as o; o.CrashAwareSampler;"
        " print(Report.from_records([]).verdict)",
        "The search has no trials yet.",
    ),
    (
        "optuna,tensorflow,keras,keras_tuner",
        "from robusttune import Report, check_data, Policy;"
        " print(len(check_data([[1.0, float('nan')]])), Report.from_records([]).html()[:15])",
        "1 <!doctype html>",
    ),
]


@pytest.mark.parametrize(("missing", "code", "ends"), MISSING, ids=[row[0] for row in MISSING])
def test_what_is_not_installed(missing: str, code: str, ends: str, tmp_path: Path) -> None:
    """What needs a missing package names its extra; what does not need it works."""
    done = _python(WITHOUT.format(missing.split(",")) + code, tmp_path)
    said = done.stderr if done.returncode else done.stdout
    assert said.strip().splitlines()[-1] == ends


def _python(code: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **more},
        capture_output=True,
        text=True,
        timeout=120,
    )
