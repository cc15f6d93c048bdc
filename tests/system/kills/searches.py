"""What is killed: searches and studies whose trials cost next to nothing, and are logged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import optuna
from sklearn.linear_model import Ridge

from robusttune import Policy, robust as robust_tuner
from robusttune.optuna import robust
from tests.system.kills.log import Log

TUNERS = ("RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband", "SklearnTuner")
OPTUNA_TRIALS = 12
_TRIAL_SECONDS = 0.004


def score_of(values: dict[str, Any]) -> float:
    """The truth about a trial."""
    return float(values["x"]) ** 2 + float(values["n"]) + float(values.get("tuner/epochs", 0)) / 100


def key_of(values: dict[str, Any]) -> str:
    """What makes two runs the same trial."""
    return json.dumps(values, sort_keys=True)


def _compute() -> None:
    until = time.perf_counter() + _TRIAL_SECONDS
    while time.perf_counter() < until:
        pass


def logged(base: Any, log: Log) -> Any:
    """Return a tuner class whose trials cost next to nothing and are logged."""

    class Logged(base):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            values = trial.hyperparameters.values
            log.write("start", key_of(values))
            if issubclass(base, keras_tuner.SklearnTuner):
                super().run_trial(trial, *args, **kwargs)
            _compute()
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


def tune(name: str, ours: bool, folder: Path, n_jobs: int | None = None) -> dict[str, Any]:
    """Run or resume a search with Keras Tuner; return how its trials ended, by their values.

    Args:
        name: Keras Tuner's name of the tuner.
        ours: Whether it is robusttune's.
        folder: Holds the project and the log.
        n_jobs: Policy.n_jobs of robusttune's.
    """
    base: Any = getattr(keras_tuner, name)
    tuner_class = logged(base, Log(folder / "log"))
    if ours:
        tuner_class = robust_tuner(tuner_class)
    objective = keras_tuner.Objective("score", "min")
    common: dict[str, Any] = {"directory": str(folder), "project_name": "project"}
    if ours:
        common["policy"] = Policy(n_jobs=n_jobs)
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
        _compute()
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
