"""Searches that were cut short go on: nothing that ended is lost, nothing is run twice."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from robusttune import (
    HopelessSearchError,
    InstabilityWarning,
    Policy,
    Report,
    RobustTuneError,
    robust,
)
from tests import ROOT
from tests.keras_tuner.cheap_search import (
    EXPECTED,
    TUNERS,
    Power,
    open_tuner,
    outcome,
    score,
    search,
)


def files(directory: Path, pattern: str) -> list[Path]:
    """Files of the project."""
    return sorted((directory / "project").glob(pattern))


def interrupt(name: str, directory: Path, at: int, **more: Any) -> list[str]:
    """Run a search until the power goes; return the ids of the trials that were run."""
    runs: list[str] = []
    with pytest.raises(Power):
        search(open_tuner(name, directory, runs, stop_at=at, **more))
    return runs


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("at", [0, 1, 5])
def test_resumed_search_is_the_undisturbed_one(name: str, at: int, tmp_path: Path) -> None:
    """Wherever it stopped: each trial has run once, and only the one that was cut short again."""
    calm = search(open_tuner(name, tmp_path / "calm"))
    runs = interrupt(name, tmp_path, at)
    again: list[str] = []
    tuner = search(open_tuner(name, tmp_path, again))
    assert len(calm.oracle.trials) == EXPECTED[name]
    assert again[0] == runs[-1]
    assert sorted(runs[:-1] + again) == sorted(tuner.oracle.trials)
    assert outcome(tuner) == outcome(calm)
    assert tuner.oracle.start_order == sorted(tuner.oracle.trials)
    assert sorted(tuner.oracle.end_order) == sorted(tuner.oracle.trials)


@pytest.mark.parametrize("name", TUNERS)
def test_result_that_was_recorded_is_not_run_again(name: str, tmp_path: Path) -> None:
    """Stopped between the end of a run and its end in the search: the result counts."""
    runs: list[str] = []
    with pytest.raises(Power):
        search(open_tuner(name, tmp_path, runs, stop_after=3))
    again: list[str] = []
    tuner = search(open_tuner(name, tmp_path, again))
    assert sorted(runs + again) == sorted(tuner.oracle.trials)
    assert len(outcome(tuner)) == EXPECTED[name]


@pytest.mark.parametrize("name", TUNERS)
def test_finished_search_does_nothing_more(name: str, tmp_path: Path) -> None:
    """Running the program again runs no trial."""
    first = search(open_tuner(name, tmp_path))
    again: list[str] = []
    second = search(open_tuner(name, tmp_path, again))
    assert again == []
    assert outcome(second) == outcome(first)


DAMAGES = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "binary": lambda text: "\x00\x01\x02",
    "list": lambda text: "[]",
    "object": lambda text: "{}",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["trial_*1/trial.json", "oracle.json", "tuner0.json"])
@pytest.mark.parametrize("name", ["RandomSearch", "GridSearch", "Hyperband"])
def test_damaged_file_is_set_aside_and_costs_nothing(
    name: str, what: str, damage: str, tmp_path: Path
) -> None:
    """What ended is in the trial's record too, and oracle.json is made anew from the trials."""
    calm = outcome(search(open_tuner(name, tmp_path / "calm")))
    runs = interrupt(name, tmp_path, 5)
    (path,) = files(tmp_path, what)
    path.write_text(DAMAGES[damage](path.read_text()))
    again: list[str] = []
    if what == "tuner0.json" and damage == "object":  # that is what Keras Tuner itself writes
        tuner = open_tuner(name, tmp_path, again)
    else:
        with pytest.warns(InstabilityWarning, match="aside") as caught:
            tuner = open_tuner(name, tmp_path, again)
        assert sum(issubclass(w.category, InstabilityWarning) for w in caught) == 1
        assert path.with_name(path.name + ".damaged").exists()
    search(tuner)
    assert not set(runs[:-1]) & set(again)
    if name != "Hyperband":  # its trials carry bookkeeping that a record does not have
        assert outcome(tuner) == calm
    assert len(tuner.oracle.trials) == EXPECTED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", InstabilityWarning)
        open_tuner(name, tmp_path)


@pytest.mark.parametrize("name", TUNERS)
def test_damaged_trial_without_a_record_costs_that_trial(name: str, tmp_path: Path) -> None:
    """Without a record its values are gone; its number is not given to another."""
    runs = interrupt(name, tmp_path, 5)
    (path,) = files(tmp_path, "trial_*2/trial.json")
    path.write_text("{")
    (path.parent / "robusttune.json").unlink()
    again: list[str] = []
    with pytest.warns(InstabilityWarning):
        tuner = open_tuner(name, tmp_path, again)
    search(tuner)
    assert not set(runs[:-1]) & set(again)
    trial_id = path.parent.name.removeprefix("trial_")
    assert tuner.oracle.trials[trial_id].status == "FAILED"
    # A grid has no other place to look at instead, so it comes back to that one.
    assert len(outcome(tuner)) == EXPECTED[name] - (name != "GridSearch")


@pytest.mark.parametrize("name", TUNERS)
def test_missing_state_is_made_anew(name: str, tmp_path: Path) -> None:
    """Neither oracle.json nor the tuner's file: all is in the trials."""
    runs = interrupt(name, tmp_path, 5)
    for path in files(tmp_path, "*.json"):
        path.unlink()
    again: list[str] = []
    tuner = search(open_tuner(name, tmp_path, again))
    assert sorted(runs[:-1] + again) == sorted(tuner.oracle.trials)
    assert len(outcome(tuner)) == EXPECTED[name]


@pytest.mark.parametrize("name", ["RandomSearch", "Hyperband", "GridSearch"])
def test_state_older_than_the_trials_is_caught_up_with(name: str, tmp_path: Path) -> None:
    """oracle.json of an earlier moment, as a power cut may leave it."""
    tuner = open_tuner(name, tmp_path, stop_at=3)
    with pytest.raises(Power):
        search(tuner)
    old = (tmp_path / "project" / "oracle.json").read_text()
    runs: list[str] = []
    with pytest.raises(Power):
        search(open_tuner(name, tmp_path, runs, stop_at=4))
    (tmp_path / "project" / "oracle.json").write_text(old)
    again: list[str] = []
    tuner = search(open_tuner(name, tmp_path, again))
    assert again[0] == runs[-1]
    assert not set(runs[:-1]) & set(again)
    assert len(outcome(tuner)) == EXPECTED[name]


def test_deleted_trial_folder_does_not_cost_another_trial(tmp_path: Path) -> None:
    """Keras Tuner counts trials to name the next one, and would write over the last."""
    interrupt("RandomSearch", tmp_path, 5)
    for path in files(tmp_path, "trial_1/*"):
        path.unlink()
    (tmp_path / "project" / "trial_1").rmdir()
    (tmp_path / "project" / "oracle.json").unlink()
    tuner = search(open_tuner("RandomSearch", tmp_path))
    assert sorted(tuner.oracle.trials) == [str(n) for n in range(8)]
    assert len(outcome(tuner)) == 7


def test_project_that_keras_tuner_aborted_resumes(tmp_path: Path) -> None:
    """Three failures ended it for good; here the last one is tried again and the rest runs."""
    fails = ("0", "1", "2")
    with pytest.raises(RuntimeError, match="consecutive"):
        search(open_tuner("RandomSearch", tmp_path, ours=False, fails=fails))
    again: list[str] = []
    tuner = search(open_tuner("RandomSearch", tmp_path, again))
    assert again[0] == "2"
    assert not {"0", "1"} & set(again)
    assert len(outcome(tuner)) == 6


def test_own_limit_of_failures_counts_afresh_after_a_resume(tmp_path: Path) -> None:
    """The user who goes on after the limit gets as many failures again; none is run twice."""
    options: dict[str, Any] = {"max_consecutive_failed_trials": 2, "max_trials": 6}
    fails = ("0", "1", "2", "3")
    runs: list[str] = []
    for ended in (["0", "1"], ["0", "1", "2", "3"]):
        with pytest.raises(RuntimeError, match="limit of 2"):
            search(open_tuner("RandomSearch", tmp_path, runs, fails=fails, **options))
        assert runs == ended
    tuner = search(open_tuner("RandomSearch", tmp_path, runs, fails=fails, **options))
    assert runs == list(map(str, range(6)))
    assert len(outcome(tuner)) == 2


def test_hopeless_search_goes_on_once_the_reason_is_gone(tmp_path: Path) -> None:
    """The next session has evidence of its own."""

    def attempt(works: bool) -> Any:
        class Mine(keras_tuner.RandomSearch):
            def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
                trial.hyperparameters.Float("x", 0, 1)
                return 1.0 if works else {}["typo"]

        policy = Policy(hopeless_after=2)
        tuner = robust(Mine)(max_trials=9, directory=str(tmp_path), seed=1, policy=policy)
        tuner.search(verbose=0)
        return tuner

    with pytest.raises(HopelessSearchError, match="typo"):
        attempt(False)
    tuner = attempt(True)
    assert [t.status for t in tuner.oracle.trials.values()] == ["FAILED"] * 4 + ["COMPLETED"] * 5


KILLS = """
import os, signal, sys, warnings
import keras_tuner
import robusttune
from robusttune import Policy, robust

class Killed(keras_tuner.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        x = trial.hyperparameters.Float("x", 0, 1)
        if trial.trial_id == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return x

endings = []
for attempt in range(6):
    child = os.fork()
    if child == 0:
        tuner = robust(Killed)(max_trials=4, directory=sys.argv[1], policy=Policy(interruptions=3))
        tuner.search(verbose=0)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    endings.append(-signal.SIGKILL if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    if endings[-1] == 0:
        break
print("ENDINGS", endings)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process with a POSIX signal")
def test_trial_that_kills_its_process_is_given_up(tmp_path: Path) -> None:
    """Three times is chance enough; then the trial has crashed, and the search goes on."""
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path)], capture_output=True, text=True, timeout=200
    )
    assert "ENDINGS [-9, -9, -9, 0]" in done.stdout, done.stderr
    trials = Report.from_directory(tmp_path / "untitled_project").trials
    assert list(trials.status) == ["completed", "failed", "completed", "completed"]
    assert trials.cause[1] == "crashed"
    assert "3 times" in trials.error[1]


def test_interruptions_by_the_user_are_not_held_against_the_trial(tmp_path: Path) -> None:
    """Ctrl-C any number of times: the trial is run again each time."""
    policy = Policy(interruptions=1)
    for _ in range(3):
        assert interrupt("RandomSearch", tmp_path, 0, policy=policy) == ["0"]
    tuner = search(open_tuner("RandomSearch", tmp_path, policy=policy))
    assert len(outcome(tuner)) == 8


def test_first_trial_that_was_cut_short_is_not_begun_over(tmp_path: Path) -> None:
    """Keras Tuner writes its own file after the first trial only, and begins anew without it."""
    interrupt("Hyperband", tmp_path, 0)
    assert not files(tmp_path, "tuner0.json")
    (before,) = files(tmp_path, "trial_*/trial.json")
    values = json.loads(before.read_text())["hyperparameters"]["values"]
    tuner = open_tuner("Hyperband", tmp_path)
    trial = tuner.oracle.create_trial("tuner0")
    assert trial.hyperparameters.values == values


def test_overwrite_begins_anew(tmp_path: Path) -> None:
    """Nothing of the old project is left."""
    interrupt("RandomSearch", tmp_path, 5)
    runs: list[str] = []
    search(open_tuner("RandomSearch", tmp_path, runs, overwrite=True))
    assert len(runs) == 8


def test_project_of_another_tuner_is_refused(tmp_path: Path) -> None:
    """As Keras Tuner does, with the way out."""
    interrupt("RandomSearch", tmp_path, 3)
    with pytest.raises(RobustTuneError, match=r"another kind of tuner.*overwrite=True"):
        open_tuner("Hyperband", tmp_path)


def test_tries_of_a_trial_count_over_a_resume(tmp_path: Path) -> None:
    """A trial with one more try gets one, not two."""
    options = {"fails": ("1",), "max_retries_per_trial": 1}
    runs = interrupt("RandomSearch", tmp_path, 2, **options)
    assert runs == ["0", "1", "1"]  # the power goes while it is tried again
    again: list[str] = []
    tuner = search(open_tuner("RandomSearch", tmp_path, again, **options))
    assert again == ["1", *map(str, range(2, 8))]
    assert tuner.oracle.trials["1"].status == "FAILED"
    assert tuner.oracle._run_times["1"] == 2


@pytest.mark.parametrize("direction", ["min", "max"])
def test_best_trials_are_completed_ones(direction: str, tmp_path: Path) -> None:
    """Keras Tuner fills up with failed trials where fewer than asked for have completed."""
    tuner = search(open_tuner("RandomSearch", tmp_path, fails=("0", "3")))
    tuner.oracle.objective.direction = direction
    best = tuner.oracle.get_best_trials(100)
    scores = [trial.score for trial in best]
    assert scores == sorted(scores, reverse=direction == "max")
    assert len(best) == 6
    assert all(trial.score == score(trial.hyperparameters.values) for trial in best)
    assert tuner.oracle.get_best_trials(2) == best[:2]


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="kills processes with POSIX signals")
def test_chaos_loses_nothing() -> None:
    """The kill harness with a few real kills of each kind: its exit status is what counts."""
    names = ",".join([*TUNERS, "sqlite", "journal"])
    chaos = [
        sys.executable,
        "-m",
        "tests.system.chaos",
        "--kills",
        "2",
        "--seed",
        "7",
        "--ours",
    ]
    done = subprocess.run(
        [*chaos, "--only", names], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("robusttune") == 7
