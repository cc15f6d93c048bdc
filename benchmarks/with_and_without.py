"""What happens to a search, with Keras Tuner or Optuna alone and with robusttune: measured.

Each case is a search of six trials on a tiny model, in which something goes wrong in the same way
on both sides; robusttune runs with its default policy where the table does not say otherwise. What
the table says is read from the searches when they have ended, by the same code for both sides.
Cases in which a process is killed or hangs run in processes of their own.

    python benchmarks/with_and_without.py [--only NAME ...]

Prints a Markdown table. It takes some minutes; most of that is importing TensorFlow.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import keras_tuner
import numpy as np

import robusttune

TRIALS = 6
EPOCHS = 6
# Seconds after which a search that waits for something that never comes is ended from outside.
PATIENCE = 20.0
SIDES = ("plain", "robust")

Build = Callable[[keras_tuner.HyperParameters], keras.Model]

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(96, 4)).astype("float32")
Y = (X @ _RNG.normal(size=(4, 1))).astype("float32")
LABELS = (Y[:, 0] > np.quantile(Y, 0.7)).astype("int32")


class CountEpochs(keras.callbacks.Callback):
    """Counts the epochs of all fits; tuners copy it, so that the count is the class's."""

    total = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count one."""
        CountEpochs.total += 1


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search and what goes wrong in it.

    Args:
        build: Builds the model of a trial; `hp.Int("n", 0, 5)` is the number of the trial.
        x: Inputs.
        y: Targets.
        objective: Of the tuner.
        policy: Fields of robusttune's policy that are not the default.
        options: Arguments of the tuner.
        kind: Keras Tuner's name of the tuner. A grid goes through the trials in their order.
    """

    build: Build | keras_tuner.HyperModel
    x: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: Y)
    objective: Any = "val_loss"
    policy: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "GridSearch"

    def tuner(self, side: str, folder: Path) -> Any:
        """Return the tuner of a side; it goes on with what lies in the folder."""
        known: dict[str, Any] = {
            "objective": self.objective,
            "directory": str(folder),
            "project_name": "search",
            **self.options,
        }
        if side == "plain":
            return getattr(keras_tuner, self.kind)(self.build, **known)
        policy = robusttune.Policy(**self.policy)
        return getattr(robusttune, self.kind)(self.build, policy=policy, **known)

    def run(self, tuner: Any) -> None:
        """Search."""
        data = {"validation_data": (self.x, self.y), "batch_size": 16, "epochs": EPOCHS}
        tuner.search(self.x, self.y, verbose=0, callbacks=[CountEpochs()], **data)


def stored(folder: Path) -> Counter[str]:
    """Return how many trials have which status, by the project folder."""
    return Counter(robusttune.Report.from_directory(folder / "search").trials["status"])


def described(states: Mapping[str, int], error: Exception | None = None) -> str:
    """Say what came of a search.

    Args:
        states: How many trials have which status.
        error: What the search raised.
    """
    failed = states.get("failed", 0)
    ended = states.get("completed", 0) + failed
    if error is not None:
        return f"**{type(error).__name__}** after {ended} of {TRIALS} trials"
    return f"{ended} of {TRIALS} trials" + (f", {failed} failed" if failed else "")


def searched(search: Search, side: str, folder: Path) -> tuple[Any, str]:
    """Run a search in this process; return its tuner, and how it ended."""
    CountEpochs.total = 0
    tuner = search.tuner(side, folder)
    error: Exception | None = None
    try:
        search.run(tuner)
    except Exception as caught:  # what the table shows
        error = caught
    oracle = tuner.oracle
    text = described(Counter(oracle.trials[id_].status.lower() for id_ in oracle.end_order), error)
    if side == "robust":
        causes = Counter(robusttune.Report.from_tuner(tuner).failures["cause"])
        if causes:
            text += ": " + ", ".join(f"{cause} ({n})" for cause, n in causes.most_common())
    return tuner, text


def told(search: Search, side: str, folder: Path) -> str:
    """Run a search and say how it ended."""
    return searched(search, side, folder)[1]


def scored(search: Search, side: str, folder: Path) -> str:
    """Run a search; say how it ended, how many epochs were trained, and the best score."""
    tuner, text = searched(search, side, folder)
    best = tuner.oracle.get_best_trials(1)
    if not best:
        return f"{text}; {CountEpochs.total} epochs"
    weights = tuner.get_best_models(1)[0].get_weights()
    of = "" if all(np.isfinite(array).all() for array in weights) else " **of NaN weights**"
    return f"{text}; {CountEpochs.total} epochs; best score {best[0].score:.3g}{of}"


# Models ------------------------------------------------------------------------------------------


def network(optimizer: Any, loss: Any = "mse", metrics: Any = None) -> keras.Model:
    """Return a small regression model."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((X.shape[1],)), *layers])
    model.compile(optimizer, loss, metrics=metrics)
    return model


def number(hp: keras_tuner.HyperParameters) -> int:
    """Return which trial it is."""
    n: int = hp.Int("n", 0, TRIALS - 1)
    return n


def rates(*first: float) -> Build:
    """Return a build function whose first trials have these learning rates, the others 0.01."""

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        table = (*first, *[0.01] * TRIALS)
        return network(keras.optimizers.SGD(table[number(hp)]))

    return build


def growing_rate(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A learning rate that grows with each epoch in trial 0: it learns first, then diverges."""
    rate: Any = 0.01
    if number(hp) == 0:
        rate = keras.optimizers.schedules.ExponentialDecay(0.01, 6, 30.0)
    return network(keras.optimizers.SGD(rate))


def classifier(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A classifier; in trials 0 and 1 the weights become NaN, and its accuracy stays a number."""
    keras.utils.set_random_seed(1)
    rate = 1e38 if number(hp) < 2 else 1e-4
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((X.shape[1],)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model


def signal_to_noise(y_true: Any, y_pred: Any) -> Any:
    """A metric to be maximized that divides by the spread of the predictions."""
    return 1 / keras.ops.var(y_pred)


def constant_predictions(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A metric that is infinite in trial 0, whose model predicts a constant."""
    model = network(keras.optimizers.SGD(0.01), metrics=[signal_to_noise])
    if number(hp) == 0:
        model.layers[0].trainable = False
        model.layers[0].set_weights([np.zeros((X.shape[1], 8)), np.zeros(8)])
        model.compile(keras.optimizers.SGD(0.01), "mse", metrics=[signal_to_noise])
    return model


def too_large(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A model over the size limit in the first three trials."""
    keras.utils.set_random_seed(1)
    units = 4000 if number(hp) < 3 else 8
    model = keras.Sequential(
        [keras.Input((X.shape[1],)), keras.layers.Dense(units), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def wrong_shapes(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A model that cannot be built in trials 1 to 3."""
    if 1 <= number(hp) <= 3:
        inputs = keras.Input((X.shape[1],))
        keras.layers.Add()([keras.layers.Dense(3)(inputs), keras.layers.Dense(5)(inputs)])
    return network(keras.optimizers.SGD(0.01))


class InTrial(keras_tuner.HyperModel):  # type: ignore[misc]
    """An ordinary model; in trial 3 something happens before it is trained.

    Args:
        what: What happens.
    """

    def __init__(self, what: Callable[[], None]) -> None:
        super().__init__()
        self.what = what

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the model."""
        number(hp)
        return network(keras.optimizers.SGD(0.01))

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kw: Any
    ) -> Any:
        """Train it."""
        if hp.get("n") == 3:
            self.what()
        return model.fit(*args, **kw)


def killed_once(folder: Path) -> Callable[[], None]:
    """Return what kills the process, the first time only, over all processes."""
    marker = folder / "killed"

    def kill() -> None:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def crash() -> None:
    """Take the process down, as a bug in a library does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    """Wait for something that never comes."""
    time.sleep(3600)


# Cases -------------------------------------------------------------------------------------------


def half_written(side: str, folder: Path) -> str:
    """Three trials, the state cut in half, and the search again."""
    search = Search(build=rates(), options={"max_trials": 3})
    searched(search, side, folder)
    state = folder / "search" / "oracle.json"
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    search = Search(build=rates(), options={"max_trials": TRIALS})
    try:
        return f"goes on: {told(search, side, folder)}"
    except Exception as failure:  # what the table shows
        return f"**{type(failure).__name__}** at the next start"


def killed(name: str, side: str, folder: Path) -> str:
    """A search that is killed in one of its trials and started again."""
    if child(name, side, folder).wait() != -signal.SIGKILL:
        raise RuntimeError("the search was not killed")
    if child(name, side, folder).wait() != 0:
        return f"**{(folder / 'error').read_text()}** at the next start"
    return f"goes on: {described(stored(folder))}"


def crashed(side: str, folder: Path) -> str:
    """A trial that takes the process down."""
    if side == "robust":
        return told(CHILDREN["crashed"](folder), side, folder)
    code = child("crashed", side, folder).wait()
    return f"**the process has died** (exit code {code}) after {described(stored(folder))}"


def hung(side: str, folder: Path) -> str:
    """A trial that never ends."""
    if side == "robust":
        return told(CHILDREN["hung"](folder), side, folder)
    process = child("hung", side, folder)
    project, began = folder / "search", None
    while process.poll() is None:  # the time runs from the trial's beginning
        if began is None and len(list(project.glob("trial_*"))) > 3:
            began = time.monotonic()
        if began is not None and time.monotonic() - began > PATIENCE:
            process.kill()
            process.wait()
            return f"**still waiting** after {PATIENCE:.0f} s, {described(stored(folder))}"
        time.sleep(0.1)
    return described(stored(folder))


def worker_dies(side: str, folder: Path) -> str:
    """A chief and two workers, of which one is killed in its trial."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def start(name: str) -> subprocess.Popen[bytes]:
        variables = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
        return child("worker", side, folder, variables)

    processes = [start(name) for name in ("chief", "worker-0", "worker-1")]
    chief, *workers = processes
    ended, moment = 0, time.monotonic()
    try:
        while chief.poll() is None:
            time.sleep(0.5)
            states = stored(folder) if (folder / "search" / "oracle.json").exists() else Counter()
            so_far = states["completed"] + states["failed"]
            one_died = any(worker.poll() == -signal.SIGKILL for worker in workers)
            if so_far != ended or not one_died:
                ended, moment = so_far, time.monotonic()
            if time.monotonic() - moment > PATIENCE:
                return f"**still waiting** after {PATIENCE:.0f} s, {described(states)}"
        return described(stored(folder))
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def optuna_exception(side: str, folder: Path) -> str:
    """An objective that raises in its first trials."""
    import optuna

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        if trial.number < 3:
            raise ValueError("Input 0 of layer dense is incompatible with the layer")
        return rate

    return _study(side, objective)


def optuna_nan(side: str, folder: Path) -> str:
    """An objective whose model becomes NaN."""
    import optuna

    from robusttune.optuna import TrialGuard

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("unused", 0.0, 1.0)
        model = network(keras.optimizers.SGD(100.0 if trial.number < 3 else 0.01))
        guards = [TrialGuard(trial)] if side == "robust" else []
        fit = model.fit(X, Y, batch_size=16, epochs=EPOCHS, verbose=0, callbacks=guards)
        loss: float = fit.history["loss"][-1]
        return loss

    return _study(side, objective)


def _study(side: str, objective: Callable[[Any], float]) -> str:
    import optuna

    import robusttune.optuna as host

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    error: Exception | None = None
    try:
        study.optimize(host.robust(objective) if side == "robust" else objective, n_trials=TRIALS)
    except Exception as caught:  # what the table shows
        error = caught
    states = Counter(trial.state.name for trial in study.trials)
    stored = [t.user_attrs.get("robusttune:record") for t in study.trials if t.state.name == "FAIL"]
    ended = f"{len(study.trials)} of {TRIALS} trials"
    text = f"**{type(error).__name__}** after {ended}" if error is not None else ended
    text += f", {states['FAIL']} FAIL"
    if not any(stored):
        return f"{text}, no reason is stored"
    causes = Counter(robusttune.TrialRecord.from_json(r).cause for r in stored if r)
    return f"{text}: " + ", ".join(f"{cause} ({n})" for cause, n in causes.items())


def _with_nan() -> Search:
    x = X.copy()
    x[7, 2] = np.nan
    return Search(build=rates(), x=x)


_UNSCALED = Search(build=rates(), x=1000 * X)
_OVER_SIZE = Search(build=too_large, options={"max_model_size": 1000})
_INFINITE = Search(
    build=constant_predictions, objective=keras_tuner.Objective("val_signal_to_noise", "max")
)
_ACCURACY = Search(build=classifier, y=LABELS, objective="val_accuracy")

# What runs in a process of its own, by name.
CHILDREN: dict[str, Callable[[Path], Search]] = {
    "killed": lambda folder: Search(
        build=InTrial(killed_once(folder)),
        kind="RandomSearch",
        options={"max_trials": TRIALS, "seed": 1},
    ),
    "killed_grid": lambda folder: Search(build=InTrial(killed_once(folder))),
    "worker": lambda folder: Search(
        build=InTrial(killed_once(folder)), policy={"worker_silence": 5}
    ),
    "crashed": lambda folder: Search(build=InTrial(crash), policy={"isolate": True}),
    "hung": lambda folder: Search(
        build=InTrial(hang), policy={"isolate": True, "trial_seconds": 3}
    ),
}

Run = Callable[[str, Path], str]
CASES: dict[str, tuple[str, Run]] = {
    "nan": (
        "three NaN trials in a row",
        lambda side, folder: told(Search(build=rates(100.0, 300.0, 1000.0)), side, folder),
    ),
    "late": (
        "NaN after good epochs",
        lambda side, folder: scored(Search(build=growing_rate), side, folder),
    ),
    "accuracy": (
        "NaN weights, and the objective is accuracy",
        lambda side, folder: scored(_ACCURACY, side, folder),
    ),
    "inf": ("an infinite score", lambda side, folder: scored(_INFINITE, side, folder)),
    "unscaled": ("unscaled data", lambda side, folder: told(_UNSCALED, side, folder)),
    "data": ("NaN in the data", lambda side, folder: scored(_with_nan(), side, folder)),
    "oversized": (
        "three models over `max_model_size`",
        lambda side, folder: told(_OVER_SIZE, side, folder),
    ),
    "shapes": (
        "three models that cannot be built",
        lambda side, folder: told(Search(build=wrong_shapes), side, folder),
    ),
    "killed": (
        "`RandomSearch` is killed, and started again",
        lambda side, folder: killed("killed", side, folder),
    ),
    "killed_grid": (
        "`GridSearch` is killed, and started again",
        lambda side, folder: killed("killed_grid", side, folder),
    ),
    "state": ("`oracle.json` is half-written", half_written),
    "crashed": ("a trial takes the process down (`isolate=True`)", crashed),
    "hung": ("a trial hangs (`isolate=True, trial_seconds=3`)", hung),
    "worker": ("one of two workers dies in its trial (`worker_silence=5`)", worker_dies),
    "optuna_nan": ("Optuna: a model becomes NaN", optuna_nan),
    "optuna_exception": ("Optuna: the objective raises", optuna_exception),
}


def child(
    name: str, side: str, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a search of CHILDREN in a process of its own."""
    command = [sys.executable, __file__, "--child", name, side, str(folder)]
    return subprocess.Popen(
        command,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what tuners print, log and warn of to themselves."""
    logging.getLogger("robusttune").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CASES, metavar="NAME", default=list(CASES))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, side, folder = arguments.child
        try:
            search = CHILDREN[name](Path(folder))
            search.run(search.tuner(side, Path(folder)))
        except Exception as error:  # what the table shows
            Path(folder, "error").write_text(type(error).__name__)
            raise
        return
    print("| what goes wrong | alone | with robusttune |\n|---|---|---|")
    for name in arguments.only:
        title, run = CASES[name]
        cells = []
        for side in SIDES:
            with tempfile.TemporaryDirectory() as folder, quietly():
                began = time.perf_counter()
                cells.append(run(side, Path(folder)))
                seconds = time.perf_counter() - began
            print(f"{name}, {side}: {seconds:.0f} s", file=sys.stderr)
        print(f"| {title} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
