"""A project folder may be anybody's: what lies in it is data, and stays in its place."""

from __future__ import annotations

import ast
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import robusttune
from robusttune import InstabilityWarning, Report
from robusttune._keras_tuner.project.files import write_atomically
from robusttune.errors import StoreError
from tests.keras_tuner.cheap_search import open_tuner, outcome, search

SOURCES = sorted(Path(robusttune.__file__).parent.rglob("*.py"))
# Calls that turn data into code, or a name into a program.
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("marshal", "loads"),
    ("yaml", "load"),
    ("joblib", "load"),
    ("np", "load"),
    ("numpy", "load"),
    ("os", "system"),
    ("os", "popen"),
    ("tempfile", "mktemp"),
    ("pd", "read_pickle"),
}
# Sends a search to processes that run its trials, through an engine's own channel or a file in a
# folder that only this user can open.
PRIVATE = {"transport.py"}


def calls(path: Path) -> list[tuple[int, str]]:
    """Forbidden calls of a module, as (line, name)."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in FORBIDDEN_CALLS:
            found.append((node.lineno, function.id))
        named = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
        if named and (function.value.id, function.attr) in FORBIDDEN_ATTRIBUTES:
            found.append((node.lineno, f"{function.value.id}.{function.attr}"))
        if any(keyword.arg == "shell" for keyword in node.keywords):
            found.append((node.lineno, "shell="))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_that_is_read_is_run(path: Path) -> None:
    """No eval, no pickle, no shell in the package."""
    expected = ["pickle.loads"] * 2 if path.name in PRIVATE else []
    assert [name for _, name in calls(path)] == expected


def test_the_walk_finds_what_it_looks_for(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    path = tmp_path / "bad.py"
    path.write_text("import pickle\npickle.load(f)\neval('1')\nrun('ls', shell=True)\n")
    assert [name for _, name in calls(path)] == ["pickle.load", "eval", "shell="]


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        """What pickle runs."""
        return (os.mkdir, (str(self.mark),))


def test_pickles_in_a_project_are_not_opened(tmp_path: Path) -> None:
    """Neither by the report nor by a tuner that goes on with the project."""
    search(open_tuner("SklearnTuner", tmp_path))
    mark = tmp_path / "exploded"
    project = tmp_path / "project"
    for path in (project / "model.pickle", project / "trial_1" / "model.pickle"):
        path.write_bytes(pickle.dumps(Bomb(mark)))
    (project / "trial_2" / "trial.json").write_bytes(pickle.dumps(Bomb(mark)))
    Report.from_directory(project)
    with pytest.warns(InstabilityWarning):
        open_tuner("SklearnTuner", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("trial_id", ["../../away", "/tmp/away", "a/b", "", "a\0b"])
def test_trial_id_that_leads_out_of_the_project_is_refused(trial_id: str, tmp_path: Path) -> None:
    """In a file it counts as damage; from elsewhere it is an error."""
    tuner = search(open_tuner("RandomSearch", tmp_path))
    for folder_of in (tuner.get_trial_dir, tuner.oracle._get_trial_dir):
        with pytest.raises(StoreError, match="name of a folder"):
            folder_of(trial_id)
    path = tmp_path / "project" / "trial_3" / "trial.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "trial_id": trial_id}))
    state = tmp_path / "project" / "oracle.json"
    body = json.loads(state.read_text())
    state.write_text(json.dumps({**body, "retry_queue": [trial_id]}))
    with pytest.warns(InstabilityWarning, match="trial_id"):
        again = open_tuner("RandomSearch", tmp_path)
    assert sorted(again.oracle.trials) == [str(n) for n in range(8)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project"]


def test_checkpoint_of_a_trial_elsewhere_is_not_loaded(tmp_path: Path) -> None:
    """Hyperband goes on from the weights of a trial that trial.json names."""
    tuner = search(open_tuner("Hyperband", tmp_path))
    with pytest.raises(StoreError, match="name of a folder"):
        tuner._get_checkpoint_fname("../../elsewhere")


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_links_are_replaced_and_not_written_through(tmp_path: Path) -> None:
    """A link in the place of a file, to a file that is not ours."""
    victim, link = tmp_path / "victim", tmp_path / "oracle.json"
    victim.write_text("precious")
    link.symlink_to(victim)
    write_atomically(str(link), "{}")
    assert victim.read_text() == "precious"
    assert link.read_text() == "{}"
    assert not link.is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_temporary_file_never_opens_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever guesses its name and puts a link there gets an error, and no file written."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (tmp_path / ".a.json.guessed.robusttune.tmp").symlink_to(victim)
    with pytest.raises(StoreError):
        write_atomically(str(tmp_path / "a.json"), "{}")
    assert victim.read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_trial_folders_that_are_links_out_of_the_project_are_not_followed(tmp_path: Path) -> None:
    """The trial is lost, what the link leads to is untouched, and links inside are the user's."""
    search(open_tuner("RandomSearch", tmp_path))
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "trial_3").rename(elsewhere)
    (project / "trial_3").symlink_to(elsewhere)
    before = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    (project / "trial_5").rename(project / "big_disk")
    (project / "trial_5").symlink_to(project / "big_disk")
    with pytest.warns(InstabilityWarning, match="trial_3: a link out of the project"):
        tuner = open_tuner("RandomSearch", tmp_path)
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == before
    assert len(outcome(tuner)) == 7
