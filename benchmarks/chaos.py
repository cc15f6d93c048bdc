"""kill -9 at random moments, resume, and count what was lost.

Each round begins a search in a process of its own, kills it, resumes it in a new process until it
ends, and compares the project with a log that the trials themselves wrote. Half of the kills come
after a random time, spread over the time that the search takes; the other half come at the n-th
operation on a file, among these in the middle of a write. Every third search is killed once more
while it resumes. All moments are drawn from the seed.

    python benchmarks/chaos.py [--kills 25] [--seed 0] [--only RandomSearch,sqlite] [--ours]

Columns: trials lost (ended before the kill and not completed with that score in the end, or never
run at all), run twice (run again though they had ended, under whatever name), wrong score, crashes
and hangs on resume (which cost the whole search, and are not counted as lost trials as well). A
trial has ended when the tuner or the study has gone on from it; one that was killed before that is
run again, and is no loss.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras_tuner
import numpy as np
import optuna
from keras_tuner.src.backend import io as keras_tuner_io
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sklearn.linear_model import Ridge

from robusttune import robust as robust_tuner
from robusttune.optuna import robust

TUNERS = ("RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband", "SklearnTuner")
OPTUNA_TRIALS = 12
_TRIAL_SECONDS = 0.004
_HANG_SECONDS = 120.0


# What is killed ----------------------------------------------------------------------------------


class Log:
    """Says what really happened: lines that a kill cannot take back."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, what: str, key: str, value: float | None = None) -> None:
        """Add a line: "start", "end" or "done", the trial's values, its score."""
        os.write(self._file, (json.dumps([what, key, value]) + "\n").encode())

    @staticmethod
    def read(path: Path) -> list[tuple[str, str, float | None]]:
        """Return the lines."""
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()]


def score_of(values: dict[str, Any]) -> float:
    """The truth about a trial."""
    return float(values["x"]) ** 2 + float(values["n"]) + float(values.get("tuner/epochs", 0)) / 100


def key_of(values: dict[str, Any]) -> str:
    """What makes two runs the same trial."""
    return json.dumps(values, sort_keys=True)


def logged(base: Any, log: Log) -> Any:
    """Return a tuner class whose trials cost next to nothing and are logged."""

    class Logged(base):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            values = trial.hyperparameters.values
            log.write("start", key_of(values))
            if issubclass(base, keras_tuner.SklearnTuner):
                super().run_trial(trial, *args, **kwargs)
            until = time.perf_counter() + _TRIAL_SECONDS
            while time.perf_counter() < until:
                pass
            result = score_of(values)
            log.write("end", key_of(values), result)
            return {"score": result}

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            log.write("done", key_of(trial.hyperparameters.values))

    return Logged


def build(hp: Any) -> Any:
    """A space without end, so that no values are drawn twice by chance."""
    hp.Float("x", -1, 1)
    hp.Int("n", 1, 3)
    return Ridge()


def build_grid(hp: Any) -> Any:
    """A space of twelve places."""
    hp.Choice("x", [-1.0, -0.5, 0.5, 1.0])
    hp.Int("n", 1, 3)
    return Ridge()


# Some trials each, of different kinds.
OPTIONS: dict[str, dict[str, Any]] = {
    "RandomSearch": {"max_trials": 12},
    "GridSearch": {},
    "BayesianOptimization": {"max_trials": 8, "num_initial_points": 6},
    "Hyperband": {"max_epochs": 4, "factor": 2},
}


def tune(name: str, ours: bool, folder: Path) -> dict[str, Any]:
    """Run or resume a search with Keras Tuner; return how its trials ended, by their values."""
    base: Any = getattr(keras_tuner, name)
    tuner_class = logged(base, Log(folder / "log"))
    if ours:
        tuner_class = robust_tuner(tuner_class)
    objective = keras_tuner.Objective("score", "min")
    common = {"directory": str(folder), "project_name": "project"}
    data: tuple[Any, ...] = ()
    if name == "SklearnTuner":
        oracle = keras_tuner.oracles.RandomSearchOracle(objective, max_trials=12, seed=1)
        tuner = tuner_class(oracle, build, **common)
        data = (np.zeros((10, 1)), np.zeros(10))
    else:
        hypermodel = build_grid if name == "GridSearch" else build
        tuner = tuner_class(hypermodel, objective=objective, seed=1, **OPTIONS[name], **common)
    tuner.search(*data)
    return {
        trial_id: [key_of(trial.hyperparameters.values), trial.status, trial.score]
        for trial_id, trial in tuner.oracle.trials.items()
    }


def optimize(storage: Callable[[Path], Any], ours: bool, folder: Path) -> dict[str, Any]:
    """Run or resume a study; return how its trials ended, by their numbers."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    log = Log(folder / "log")

    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", -1, 1)
        key = str(trial.number)
        log.write("start", key)
        until = time.perf_counter() + _TRIAL_SECONDS
        while time.perf_counter() < until:
            pass
        log.write("end", key, x**2)
        return x**2

    def done(study: Any, trial: Any) -> None:
        log.write("done", str(trial.number))

    study = optuna.create_study(
        storage=storage(folder),
        study_name=f"{folder.parent.name}-{folder.name}",
        sampler=optuna.samplers.RandomSampler(seed=1),
        load_if_exists=True,
    )
    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)
    stop = optuna.study.MaxTrialsCallback(OPTUNA_TRIALS, states=finished)
    ended = sum(trial.state in finished for trial in study.get_trials(deepcopy=False))
    if ended < OPTUNA_TRIALS:
        study.optimize(robust(objective) if ours else objective, callbacks=[done, stop])
    return {
        str(trial.number): [
            str(trial.number),
            "COMPLETED" if trial.state is optuna.trial.TrialState.COMPLETE else trial.state.name,
            trial.value,
        ]
        for trial in study.get_trials(deepcopy=False)
    }


# How it is killed --------------------------------------------------------------------------------


class Saboteur:
    """Kills its own process at the n-th operation on a file; a write it does by half first.

    Args:
        at: Number of the operation, from 1; 0 counts only.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def install(self) -> None:
        """Watch the operations of robusttune and of Keras Tuner in this process."""
        os.replace = self._before(os.replace)
        os.fdopen = self._halved(os.fdopen)
        keras_tuner_io.File = self._halved(keras_tuner_io.File)
        os.mkdir = self._before(os.mkdir)

    def _due(self) -> bool:
        self.count += 1
        return self.count == self.at

    def _before(self, operation: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._due():
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return watched

    def _halved(self, opener: Any) -> Any:
        def opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            file = opener(path, mode, *args, **kwargs)
            return _HalvedFile(file, self) if "w" in mode else file

        return opened


class _HalvedFile:
    """A file that is open for writing."""

    def __init__(self, file: Any, saboteur: Saboteur) -> None:
        self._file = file
        self._saboteur = saboteur

    def write(self, text: Any) -> Any:
        if self._saboteur._due():
            self._file.write(text[: len(text) // 2])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> _HalvedFile:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._file.__exit__(*error)


@dataclass
class Ended:
    """How a process ended."""

    killed: bool
    result: Any = None  # None: it was killed, crashed or hung
    error: str = ""
    seconds: float = 0.0
    operations: int = 0


def run(work: Callable[[], Any], *, after: float | None = None, operation: int = 0) -> Ended:
    """Run `work` in a child process.

    Args:
        work: Its result must be JSON.
        after: Seconds until the child is killed; None: it is not.
        operation: The file operation at which the child kills itself; 0: none.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        _child(work, writer, operation)
    writer.close()
    killed = _wait(child, after)
    seconds = time.perf_counter() - began
    try:
        result, error, operations = reader.recv() if reader.poll() else (None, "hangs", 0)
    except EOFError:
        result, error, operations = None, "died", 0
    reader.close()
    return Ended(killed, result, "" if killed else error, seconds, operations)


def _child(work: Callable[[], Any], writer: Any, operation: int) -> None:
    saboteur = Saboteur(operation)
    saboteur.install()
    warnings.simplefilter("ignore")
    result, error = None, ""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            result = work()
        except BaseException:
            error = traceback.format_exc()
    writer.send((result, error, saboteur.count))
    os._exit(0)


def _wait(child: int, after: float | None) -> bool:
    """Wait for the child, and kill it when its time has come; return whether it was killed."""
    began = time.perf_counter()
    limit = _HANG_SECONDS if after is None else after
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if time.perf_counter() - began >= limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return after is not None
        time.sleep(0.0005)


# What is counted ---------------------------------------------------------------------------------


@dataclass
class Counts:
    """What one kind of search went through."""

    kills: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    crashes: int = 0
    examples: list[str] = field(default_factory=list)


def chaos(work: Callable[[Path], Any], root: Path, kills: int, rng: random.Random) -> Counts:
    """Kill and resume a search `kills` times at least."""
    calm_folder = _fresh(root / "calm")
    calm = run(lambda: work(calm_folder))
    if calm.result is None:
        raise RuntimeError(f"The search does not even run undisturbed: {calm.error}")
    expected = sum(status == "COMPLETED" for _, status, _ in calm.result.values())
    counts = Counts()
    number = 0
    while counts.kills < kills:
        folder = _fresh(root / f"round{number}")
        again = 2 if number % 3 == 2 else 1
        for _ in range(again):
            after, operation = None, 0
            if number % 2:
                operation = rng.randint(1, calm.operations) if calm.operations else 0
            if not operation:
                after = rng.uniform(0.0, calm.seconds)
            ended = run(lambda f=folder: work(f), after=after, operation=operation)
            counts.kills += ended.killed
            if ended.error:
                break
        last = run(lambda f=folder: work(f)) if not ended.error else ended
        _judge(counts, last, folder, expected)
        number += 1
        shutil.rmtree(folder, ignore_errors=True)
    return counts


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _judge(counts: Counts, last: Ended, folder: Path, expected: int) -> None:
    log_path = folder / "log"
    lines = Log.read(log_path) if log_path.exists() else []
    done: set[str] = set()
    scores: dict[str, float | None] = {}
    for what, key, value in lines:
        if what == "start" and key in done:
            counts.twice += 1
        elif what == "end":
            scores[key] = value
        elif what == "done":
            done.add(key)
    if last.result is None:
        counts.crashes += 1
        counts.examples.append(last.error.strip().splitlines()[-1] if last.error else "?")
        return
    completed = {key: score for key, status, score in last.result.values() if status == "COMPLETED"}
    lost = sum(key not in completed for key in done)
    counts.wrong += sum(
        key in completed and abs(completed[key] - score) > 1e-12
        for key, score in scores.items()
        if score is not None
    )
    counts.lost += max(lost, expected - len(completed))


# PostgreSQL --------------------------------------------------------------------------------------


@contextlib.contextmanager
def postgresql() -> Iterator[str | None]:
    """Start a PostgreSQL server of our own; yields its URL, None where there is none to start."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp())
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    if os.geteuid() == 0:  # the server refuses to be run by root
        quiet |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    programs, data = Path(initdb).parent, str(folder / "data")
    subprocess.run([programs / "initdb", "-D", data, "-U", "chaos", "-A", "trust", "-N"], **quiet)
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    control = [programs / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], **quiet)
    try:
        yield f"postgresql+psycopg2://chaos@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder)


def _journal(path: str) -> JournalFileBackend:
    """A killed process leaves its lock, and Optuna waits 30 s for it unless told otherwise."""
    return JournalFileBackend(path, lock_obj=JournalFileSymlinkLock(path, grace_period=3))


def storages(url: str | None) -> dict[str, Callable[[Path], Any]]:
    """Return what opens each storage that can be had here."""
    kinds: dict[str, Callable[[Path], Any]] = {
        "sqlite": lambda folder: optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db"),
        "journal": lambda folder: optuna.storages.JournalStorage(
            _journal(str(folder / "journal.log"))
        ),
    }
    if url is not None:
        kinds["postgresql"] = lambda folder: optuna.storages.RDBStorage(url)
    return kinds


def main() -> int:
    """Print the table; the exit status says whether robusttune lost anything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="kills of each kind of search")
    parser.add_argument("--seed", type=int, default=0, help="what the moments are drawn from")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--ours", action="store_true", help="leave out the plain libraries")
    arguments = parser.parse_args()
    only = set(arguments.only.split(",")) - {""}
    began = time.perf_counter()
    print(f"{'search':22} {'by':12} kills  lost  twice  wrong  crashes on resume")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, postgresql() as url:
        jobs: list[tuple[str, str, Callable[[Path], Any]]] = []
        for kind in TUNERS:
            for ours, by in ((True, "robusttune"), (False, "keras-tuner")):
                jobs.append((kind, by, lambda f, k=kind, o=ours: tune(k, o, f)))
        for kind, storage in storages(url).items():
            for ours, by in ((True, "robusttune"), (False, "optuna")):
                jobs.append((kind, by, lambda f, s=storage, o=ours: optimize(s, o, f)))
        for kind, by, work in jobs:
            if (only and kind not in only) or (arguments.ours and by != "robusttune"):
                continue
            root = Path(name) / f"{kind}-{by}"
            counts = chaos(work, root, arguments.kills, random.Random(arguments.seed))
            why = Counter(counts.examples).most_common(1)
            print(
                f"{kind:22} {by:12} {counts.kills:5} {counts.lost:5} {counts.twice:6}"
                f" {counts.wrong:6} {counts.crashes:8}   {why[0][0][:60] if why else ''}",
                flush=True,
            )
            if by == "robusttune":
                total["bad"] += counts.lost + counts.twice + counts.wrong + counts.crashes
    print(f"\n{time.perf_counter() - began:.0f} s, seed {arguments.seed}")
    if "postgresql" not in storages(url):
        print("postgresql: its server programs are not installed here")
    return 1 if total["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
