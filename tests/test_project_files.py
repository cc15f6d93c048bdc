"""The files by which a stranger joins: what they name exists, and agrees with the project."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

import robusttune
from tests import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def read(path: Path) -> Any:
    """Return what a YAML file has."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(workflow: Path) -> list[str]:
    """Return the commands of a workflow, one a line."""
    jobs = read(workflow)["jobs"].values()
    return [
        line
        for job in jobs
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
        if line
    ]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_runs_what_is_there(workflow: Path) -> None:
    """Targets of make, extras of the package and files of tests."""
    assert commands(workflow)
    for line in commands(workflow):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert set(words[1:]) <= TARGETS, line
        for extra in re.findall(r"\.\[(\w+)\]", line):
            assert extra in PROJECT["optional-dependencies"], line
        for word in words:
            if word.startswith("tests/") or word.endswith((".txt", ".toml")):
                assert (ROOT / word).exists(), line


def test_workflows_cover_systems_versions_and_backends() -> None:
    """Linux, macOS and Windows, every Python that is supported, oldest versions, backends."""
    jobs = read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    newest = jobs["newest"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in newest["os"]} == {"ubuntu", "macos", "windows"}
    supported = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert newest["python"] == jobs["full"]["strategy"]["matrix"]["python"] == supported
    assert jobs["backends"]["strategy"]["matrix"]["backend"] == ["tensorflow", "torch", "jax"]
    assert "make test-oldest" in commands(ROOT / ".github" / "workflows" / "tests.yml")


def test_citation_is_of_this_version() -> None:
    """Name, version and licence of the package."""
    cited = read(ROOT / "CITATION.cff")
    assert cited["version"] == robusttune.__version__
    assert cited["license"] == PROJECT["license"]
    assert cited["keywords"] == PROJECT["keywords"]
    assert cited["title"].startswith("robusttune")


def test_bug_report_asks_for_the_bundle() -> None:
    """And the command that makes it is one."""
    form = read(ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml")
    bundle = next(item for item in form["body"] if item.get("id") == "bundle")
    assert bundle["validations"]["required"]
    assert "robusttune report SOURCE --bundle bug.zip" in bundle["attributes"]["description"]
    assert hasattr(robusttune.TrialRecord, "without_data_values")


def test_hooks_are_tools_of_the_environment() -> None:
    """So that a commit is checked with the versions of constraints.txt."""
    (repo,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    lint = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in repo["hooks"]:
        assert hook["language"] == "system"
        program, *arguments = hook["entry"].split()
        if program.endswith("/python"):
            assert (ROOT / arguments[0]).exists()
        else:
            assert f"$(BIN)/{Path(program).name}" in lint


PROMISES = ["no code runs", "127.0.0.1", "--bundle", "content-security-policy", "nothing is sent"]


@pytest.mark.parametrize("promise", PROMISES)
def test_security_page_has_its_promises(promise: str) -> None:
    """What tests/keras_tuner/test_security.py and others hold."""
    assert promise in (ROOT / "SECURITY.md").read_text(encoding="utf-8").lower()


def test_contributing_names_what_exists() -> None:
    """Folders, files and commands of the page."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)", text):
        assert target in TARGETS
    for path in re.findall(
        r"`((?:robusttune|tests|docs|benchmarks|evaluation|examples)/[\w/.]*)`", text
    ):
        assert (ROOT / path).exists(), path
