"""What a search stores: whole files, at a cost that does not grow, readable by Keras Tuner."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from robusttune import InstabilityWarning, Policy, Report, RobustTuneError
from robusttune._files import remove_stale_files
from robusttune._keras_tuner import oracle as oracle_module
from robusttune._keras_tuner.oracle import make_robust, robust_oracle_class
from robusttune._keras_tuner.project.files import set_aside, write_atomically
from robusttune.errors import StoreError
from tests.keras_tuner.cheap_search import EXPECTED, TUNERS, Power, open_tuner, outcome, search

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and limits of POSIX")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set the umask for a while."""
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the kernel refuses, as it does on a full disk."""
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [True, False])
def test_file_is_replaced_as_a_whole(durable: bool, tmp_path: Path) -> None:
    """The new text is there, and nothing else."""
    path = tmp_path / "a.json"
    for text in ("old, and longer than the new one", "new ä"):
        write_atomically(str(path), text, durable=durable)
        assert path.read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["a.json"]


@posix
@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o664)])
def test_permissions_are_those_of_the_umask(mask: int, expected: int, tmp_path: Path) -> None:
    """As with any file that is opened for writing, but never writable by everybody."""
    with umask(mask):
        write_atomically(str(tmp_path / "a.json"), "{}")
    assert mode(tmp_path / "a.json") == expected


@posix
def test_permissions_that_the_user_gave_are_kept(tmp_path: Path) -> None:
    """A file that was made private stays private."""
    path = tmp_path / "a.json"
    path.write_text("{}")
    path.chmod(0o600)
    write_atomically(str(path), "[]")
    assert mode(path) == 0o600


@posix
def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """The error says what happened, where, and what to do."""
    path = tmp_path / "a.json"
    path.write_text("old")
    with largest_file(1000), pytest.raises(StoreError, match="free disk space") as caught:
        write_atomically(str(path), "x" * 5000)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert isinstance(caught.value, RobustTuneError)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_file_in_a_remote_folder_is_written_by_keras_tuner() -> None:
    """Buckets are TensorFlow's business; its file system in memory stands in for one."""
    import tensorflow as tf

    tf.io.gfile.makedirs("ram://robusttune")
    write_atomically("ram://robusttune/a.json", "{}")
    with tf.io.gfile.GFile("ram://robusttune/a.json") as file:
        assert file.read() == "{}"


def test_search_in_a_remote_folder_works() -> None:
    """It is stored as Keras Tuner does it."""
    import tensorflow as tf

    directory: Any = "ram://robusttune-search"
    tuner = search(open_tuner("RandomSearch", directory))
    assert len(outcome(tuner)) == EXPECTED["RandomSearch"]
    assert len(tf.io.gfile.glob(f"{directory}/project/trial_*/trial.json")) == 8
    assert len(tf.io.gfile.glob(f"{directory}/project/trial_*/robusttune.json")) == 8


def test_damaged_files_are_numbered(tmp_path: Path) -> None:
    """None is overwritten by the next."""
    names = []
    for text in "abc":
        (tmp_path / "trial.json").write_text(text)
        names.append(Path(set_aside(str(tmp_path / "trial.json"))).name)
    assert names == ["trial.json.damaged", "trial.json.damaged-2", "trial.json.damaged-3"]
    assert [(tmp_path / name).read_text() for name in names] == ["a", "b", "c"]


def test_a_damaged_file_that_a_reader_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to rename a file that a virus scanner, say, has open."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    (tmp_path / "trial.json").write_text("a")
    replace = os.replace

    def busy(source: str, target: str) -> None:
        if len(waits) < 2:
            raise PermissionError(13, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(os, "rename", busy)
    set_aside(str(tmp_path / "trial.json"))
    assert len(waits) == 2
    assert os.listdir(tmp_path) == ["trial.json.damaged"]


def test_stale_temporary_files_are_removed_and_fresh_ones_left(tmp_path: Path) -> None:
    """A fresh one may be another worker's, which is writing it now."""
    stale, fresh, other = (
        tmp_path / n for n in (".a.1.robusttune.tmp", ".a.2.robusttune.tmp", "b")
    )
    for path in (stale, fresh, other):
        path.write_text("half")
    hours_ago = time.time() - 7200
    for path in (stale, other):
        os.utime(path, (hours_ago, hours_ago))
    remove_stale_files(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [fresh.name, "b"]


@pytest.mark.parametrize("name", TUNERS)
def test_plain_keras_tuner_goes_on_with_the_project(name: str, tmp_path: Path) -> None:
    """What was interrupted here can be resumed there, and the other way round."""
    runs: list[str] = []
    with pytest.raises(Power):
        search(open_tuner(name, tmp_path, runs, stop_at=4))
    theirs = open_tuner(name, tmp_path, runs, ours=False, stop_at=6)
    if name == "GridSearch":  # Keras Tuner cannot resume a grid: it does not store the order
        assert len(theirs.oracle.trials) == 5
    else:
        with pytest.raises(Power):
            search(theirs)
        assert runs[4] == runs[5]
    again: list[str] = []
    tuner = search(open_tuner(name, tmp_path, again))
    assert len(outcome(tuner)) == EXPECTED[name]
    ended = set(runs[:4])
    assert not ended & set(again)


@posix
@pytest.mark.parametrize("size", [300, 900, 2500])
def test_full_disk_ends_the_search_and_costs_nothing_stored(size: int, tmp_path: Path) -> None:
    """A clear error; every file can still be read, and the search goes on when there is room."""
    runs: list[str] = []
    with pytest.raises(StoreError, match="free disk space"), largest_file(size):
        search(open_tuner("RandomSearch", tmp_path, runs, max_trials=40))
    project = tmp_path / "project"
    stored = [path for path in project.rglob("*") if path.is_file()]
    assert all(isinstance(json.loads(path.read_text()), dict) for path in stored)
    completed = {
        path.parent.name.removeprefix("trial_")
        for path in project.glob("trial_*/trial.json")
        if json.loads(path.read_text())["status"] == "COMPLETED"
    }
    assert len(completed) >= len(runs) - 1
    again: list[str] = []
    tuner = search(open_tuner("RandomSearch", tmp_path, again, max_trials=40))
    assert not completed & set(again)
    assert len(outcome(tuner)) == 40


@pytest.mark.full
def test_storing_a_trial_costs_the_same_after_1500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes written for a trial, with the clock left out of it: they do not grow."""
    monkeypatch.setattr(oracle_module, "_SAVE_SECONDS", float("inf"))
    written: list[int] = []
    original = oracle_module.write_atomically

    def counted(path: str, text: str, **kwargs: Any) -> None:
        written[-1] += len(text)
        original(path, text, **{**kwargs, "durable": False})

    monkeypatch.setattr(oracle_module, "write_atomically", counted)
    oracle: Any = robust_oracle_class(keras_tuner.oracles.RandomSearchOracle)(
        keras_tuner.Objective("score", "min"), max_trials=1500, seed=1
    )
    make_robust(oracle, Policy(sanitize="off"), limit_is_set=True)
    oracle.hyperparameters.Float("x", 0, 1)
    oracle._set_project_dir(str(tmp_path), "project")
    oracle.verbose = 0
    for _ in range(1500):
        written.append(0)
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"score": trial.hyperparameters.values["x"]})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        oracle.save()
    early, late = sum(written[100:400]) / 300, sum(written[1200:]) / 300
    assert late < 1.5 * early
    oracle.save_now()
    plain = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("score", "min"), max_trials=1500
    )
    plain._set_project_dir(str(tmp_path), "project")
    plain.reload()
    assert plain.end_order == oracle.end_order
    assert plain.get_best_trials()[0].trial_id == oracle.get_best_trials()[0].trial_id


@pytest.mark.parametrize("text", ["", "[]", '{"adjustments": 3}', '{"adjustments": [1]}'])
def test_damaged_adjustments_are_set_aside(text: str, tmp_path: Path) -> None:
    """They cost the list of what was adjusted, and nothing else."""
    search(open_tuner("RandomSearch", tmp_path))
    path = tmp_path / "project" / "robusttune.json"
    path.write_text(text)
    with pytest.warns(InstabilityWarning, match="adjustments"):
        tuner = open_tuner("RandomSearch", tmp_path)
    assert path.with_name("robusttune.json.damaged").read_text() == text
    assert len(outcome(tuner)) == EXPECTED["RandomSearch"]


def test_damaged_records_are_set_aside(tmp_path: Path) -> None:
    """One warning for all of them; their trials count as before, also in the report."""
    search(open_tuner("RandomSearch", tmp_path))
    paths = [tmp_path / "project" / f"trial_{n}" / "robusttune.json" for n in (1, 4)]
    for path in paths:
        path.write_text('{"trial_id": 3}')
    runs: list[str] = []
    tuner = open_tuner("RandomSearch", tmp_path, runs)
    with pytest.warns(InstabilityWarning, match="2 damaged trial records") as caught:
        search(tuner)
    assert sum(issubclass(warning.category, InstabilityWarning) for warning in caught) == 1
    assert all(path.with_name("robusttune.json.damaged").exists() for path in paths)
    assert runs == []
    assert list(Report.from_directory(tmp_path / "project").trials.status) == ["completed"] * 8


def test_report_shows_a_trial_that_runs(tmp_path: Path) -> None:
    """While it runs its values are there, and it is not held to be a failure."""
    with pytest.raises(Power):
        search(open_tuner("Hyperband", tmp_path, stop_at=2))
    trials = Report.from_directory(tmp_path / "project").trials
    assert list(trials.status) == ["completed", "completed", "running"]
    assert not trials.unstable.any()
    assert not [column for column in trials if "tuner/" in column]
    assert trials.params_x.notna().all()
