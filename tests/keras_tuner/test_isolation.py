"""policy.isolate: a trial that takes its process down is one failed trial, and nothing else."""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import gc
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import robusttune
from robusttune import Policy
from robusttune._isolation import process
from robusttune._isolation.ending import describe
from robusttune._keras_tuner.isolation import process as isolation
from robusttune._processes import own_memory
from tests.keras_tuner.test_tuners import build, search, stored
from tests.zoo import linear

pytestmark = pytest.mark.skipif(os.name != "posix", reason="isolation needs POSIX")

CGROUP = Path("/sys/fs/cgroup/memory/robusttune-test")
LIMIT = 2_000_000_000


@pytest.fixture
def small_cgroup() -> Iterator[bool]:
    """Whether there is a control group whose processes get at most 1.5 GB of memory."""
    try:
        CGROUP.mkdir()
        (CGROUP / "memory.limit_in_bytes").write_text("1500000000")
    except OSError:
        yield False
        return
    yield True
    CGROUP.rmdir()


def take_memory(amount: int) -> None:
    """Take memory, and keep it."""
    taken = np.ones(amount, np.uint8)
    time.sleep(600)
    assert taken.all()


def strike(fate: str) -> None:
    """What happens to a trial in the middle of an epoch."""
    if fate == "segfault":
        ctypes.string_at(0)
    if fate == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "hang":
        time.sleep(600)
    if fate == "greedy":
        take_memory(LIMIT + 10**8)
    if fate == "kernel":
        (CGROUP / "tasks").write_text(str(os.getpid()))
        take_memory(LIMIT - 10**8)
    if fate == "error":
        raise KeyError("no such table")


CAUSES = {
    "well": None,
    "segfault": "crashed",
    "kill": "crashed",
    "hang": "timeout",
    "greedy": "out_of_memory",
    "error": "code_error",
    "diverges": "divergent_learning_rate",
    "kernel": "out_of_memory",
    "well again": None,
}


@pytest.mark.full
def test_whatever_ends_a_process_ends_one_trial(
    tmp_path: Path, regression: Any, monkeypatch: Any, small_cgroup: bool
) -> None:
    """A segfault, a signal, a hang, the kernel: cause and last step, and on it goes."""
    monkeypatch.setattr(process, "_GRACE_SECONDS", 1.0)
    policy = Policy(isolate=True, trial_seconds=60.0, memory_limit=LIMIT, diagnosis_seconds=60)
    run = isolation.Isolation.run

    def run_with_a_limit(self: Any, session: Any) -> Any:
        """Wait no longer than need be for the trial that hangs; a busy machine ends no other."""
        hangs = session.trial.hyperparameters.get("fate") == "hang"
        self._child._policy = dataclasses.replace(policy, trial_seconds=8.0 if hangs else 60.0)
        return run(self, session)

    monkeypatch.setattr(isolation.Isolation, "run", run_with_a_limit)
    fates = [fate for fate in CAUSES if fate != "kernel" or small_cgroup]

    class Strikes(keras.callbacks.Callback):
        def __init__(self, fate: str) -> None:
            super().__init__()
            self.fate = fate

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if (self.epoch, batch) == (1, 3):
                strike(self.fate)

    class Fated(keras_tuner.HyperModel):  # a local class with a closure
        def build(self, hp: Any) -> keras.Model:
            fate = hp.Choice("fate", fates)
            return linear(1e6 if fate == "diverges" else 1e-3)

        def fit(self, hp: Any, model: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
            return model.fit(*args, callbacks=[*callbacks, Strikes(hp.get("fate"))], **kwargs)

    tuner = search(
        robusttune.GridSearch,
        tmp_path,
        regression,
        Fated(),
        policy=policy,
        max_trials=None,
    )
    trials = tuner.report().trials.set_index("params_fate")
    causes = trials.cause.where(trials.cause.notna(), None).to_dict()
    assert causes == {fate: CAUSES[fate] for fate in fates}
    good = ["well", "well again"]
    assert set(trials.index[trials.status == "completed"]) == set(good)
    assert trials.value[good].notna().all()
    assert len(tuner.get_best_models(2)) == 2
    struck = trials.drop(index=[*good, "diverges", "error"])
    assert set(zip(struck.epoch, struck.step, strict=True)) == {(1, 11)}  # 8 batches an epoch
    assert set(struck.symptom) == {"crashed", "timeout"}
    assert "SIGSEGV" in trials.error["segfault"]
    assert trials.other_causes["kill"] == "out_of_memory"
    assert "no such table" in trials.error["error"]
    messages = [trial.message or "" for trial in tuner.oracle.trials.values()]
    assert sum("in strike" in message for message in messages) == 1  # the child's traceback


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os._exit(3)", ("it ended with exit code 3", {"exit_code": 3})),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
            ("it was killed by SIGTERM", {"signal": "SIGTERM"}),
        ),
    ],
)
def test_how_a_process_ended_is_told(code: str, told: Any) -> None:
    """By itself or by a signal, in words and as evidence."""
    assert describe(subprocess.run([sys.executable, "-c", code]).returncode) == told


@pytest.mark.full
@pytest.mark.parametrize("pipeline", [False, True])
def test_isolated_search_equals_the_one_in_process(
    pipeline: bool, tmp_path: Path, regression: Any
) -> None:
    """Same seed: the same trials, scores and best weights, from arrays and from tf.data."""
    import tensorflow as tf

    x, y = regression

    def build_noisy(hp: Any) -> keras.Model:
        model = keras.Sequential([keras.Input((10,)), keras.layers.Dropout(0.3), *build(hp).layers])
        model.compile(keras.optimizers.Adam(hp.get("rate")), "mse")
        return model

    found = {}
    for isolate in (False, True):
        keras.utils.set_random_seed(7)
        tuner = robusttune.RandomSearch(
            build_noisy,
            objective="loss",
            max_trials=2,
            seed=5,
            policy=Policy(sanitize="off", isolate=isolate),
            directory=str(tmp_path / str(isolate)),
        )
        data: tuple[Any, ...] = (x, y)
        if pipeline:
            scaled = tf.data.Dataset.from_tensor_slices((x, y)).map(lambda a, b: (a * 2, b))
            data = (scaled.shuffle(320).batch(32),)
        tuner.search(*data, epochs=2, verbose=0)
        trials = stored(tmp_path / str(isolate), tuner)
        found[isolate] = trials, tuner.get_best_models()[0].get_weights()
    assert found[True][0] == found[False][0]
    assert [trial["status"] for trial in found[True][0]] == ["COMPLETED"] * 2
    for here, there in zip(found[False][1], found[True][1], strict=True):
        np.testing.assert_array_equal(here, there)


def test_isolated_trials_speak_through_the_search(
    tmp_path: Path, capsys: Any, regression: Any
) -> None:
    """What a trial prints and warns, asks of the oracle and declares is seen here."""

    class Talks(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            import warnings

            print(f"in {os.getpid()}")
            warnings.warn("mind the step", UserWarning, stacklevel=1)
            value = trial.hyperparameters.Float("x", 0.0, 1.0)
            known = self.oracle.get_trial(trial.trial_id)
            assert known.trial_id == trial.trial_id
            assert self.oracle.objective.name == "score"
            if trial.trial_id == "2":
                return {"score": value, "trials": threading.Lock()}
            return {"score": value, "trials": len(self.oracle.trials)}

    tuner = robusttune.robust(Talks)(
        objective=keras_tuner.Objective("score", "min"),
        max_trials=3,
        policy=Policy(isolate=True),
        directory=str(tmp_path),
    )
    with pytest.warns(UserWarning, match="mind the step"):
        tuner.search(*regression, verbose=0)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("in ")]
    assert len(said) == 3
    assert len(set(said)) == 1  # one warm process for all
    assert said[0] != f"in {os.getpid()}"
    trials = tuner.oracle.get_best_trials(3)
    assert [hp.name for hp in tuner.oracle.get_space().space] == ["x"]
    assert all(math.isfinite(trial.score) for trial in trials)
    assert sorted(t.metrics.get_best_value("trials") for t in trials) == [1, 2]
    assert tuner.report().trials.cause[2] == "code_error"  # its result is no number


@pytest.mark.parametrize(
    ("data", "keywords", "named"),
    [
        ((iter([1]), None), {"lock": threading.Lock()}, "'lock'"),
        ((threading.Lock(), None), {}, "the data"),
    ],
)
def test_what_cannot_be_sent_is_said_at_the_start(
    data: Any, keywords: Any, named: str, tmp_path: Path
) -> None:
    """One error that names it, before any trial."""
    tuner = robusttune.RandomSearch(
        build, objective="loss", max_trials=1, policy=Policy(isolate=True), directory=str(tmp_path)
    )
    with pytest.raises(TypeError, match=rf"policy\.isolate sends .*{named}.*must be picklable"):
        tuner.search(*data, verbose=0, **keywords)
    assert not tuner.oracle.trials


def test_a_pipeline_that_calls_python_cannot_be_sent(tmp_path: Path) -> None:
    """The error says what about the pipeline is the reason."""
    import tensorflow as tf

    spec = tf.TensorSpec((10,), tf.float32)
    generated = tf.data.Dataset.from_generator(lambda: iter([]), output_signature=spec)
    tuner = robusttune.RandomSearch(
        build, objective="loss", max_trials=1, policy=Policy(isolate=True), directory=str(tmp_path)
    )
    with pytest.raises(TypeError, match="from_generator"):
        tuner.search(generated, verbose=0)


_UNGUARDED = """
import os, sys, time
import keras_tuner, robusttune
from robusttune import Policy

class Mine(keras_tuner.RandomSearch):
    def run_trial(self, trial, data):
        trial.hyperparameters.Float("x", 0, 1)
        print("trial in", os.getpid(), flush=True)
        time.sleep(600)

policy = Policy(isolate=True)
tuner = robusttune.robust(Mine)(max_trials=1, policy=policy, directory=sys.argv[1])
tuner.search([1, 2, 3])
"""


@pytest.mark.full
def test_a_script_needs_no_main_guard_and_leaves_no_orphan(tmp_path: Path) -> None:
    """The child does not run the script again, and ends with the search's process."""
    script = tmp_path / "script.py"
    script.write_text(_UNGUARDED)
    parent = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = (line for line in parent.stdout if line.startswith("trial in"))
    child = int(next(lines).split()[-1])
    os.kill(child, 0)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while _lives(child) and time.monotonic() < deadline:
        threading.Event().wait(0.2)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class Counts(keras_tuner.RandomSearch):
    """Counts what lives after each trial."""

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        gc.collect()
        kinds = collections.Counter(type(thing).__name__ for thing in gc.get_objects())
        self.counts = [*getattr(self, "counts", []), (kinds, own_memory(os.getpid()))]


@pytest.mark.full
def test_a_search_keeps_nothing_of_its_trials_but_their_records(
    tmp_path: Path, regression: Any
) -> None:
    """No model, graph or batch outlives its trial: 12 trials take the memory of 6."""

    def build_one(hp: Any) -> keras.Model:
        return linear(hp.Float("rate", 1e-4, 1e-3), optimizer="Adam")

    tuner = search(
        robusttune.robust(Counts), tmp_path, regression, build_one, max_trials=12, epochs=1
    )
    (early, memory), (late, memory_later) = tuner.counts[5], tuner.counts[11]
    for kind in ("FuncGraph", "Functional", "Sequential", "Adam", "Variable", "ndarray", "Guard"):
        assert late[kind] <= early[kind], kind
    assert sum((late - early).values()) < 6 * 60  # a trial, its hyperparameters and its record
    if memory is not None:
        assert memory_later - memory < 10e6


class Marked(keras_tuner.RandomSearch):
    """Its objective is whether the process that trains was initialized."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        trial.hyperparameters.Float("x", 0, 1)
        return float(os.environ.get("MARKED_PROCESS") == str(os.getpid()))


@pytest.mark.parametrize("isolate", [True, False])
def test_initializer_is_called_in_the_process_that_trains(
    isolate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each child before its first trial, else once in the search's own process."""
    monkeypatch.delenv("MARKED_PROCESS", raising=False)
    tuner = robusttune.robust(Marked)(
        lambda hp: hp.Float("x", 0, 1),
        keras_tuner.Objective("default_objective", "max"),
        max_trials=2,
        directory=str(tmp_path),
        policy=Policy(isolate=isolate),
        initializer=lambda: os.environ.update(MARKED_PROCESS=str(os.getpid())),
    )
    tuner.search()
    assert list(tuner.report().trials.value) == [1.0, 1.0]
    assert ("MARKED_PROCESS" in os.environ) is not isolate
    monkeypatch.delenv("MARKED_PROCESS", raising=False)


def test_an_initializer_that_is_none_gets_a_clear_error(tmp_path: Path) -> None:
    """Before any trial."""
    with pytest.raises(TypeError, match="initializer must be a function without arguments"):
        robusttune.RandomSearch(build, "loss", directory=str(tmp_path), initializer=3)
