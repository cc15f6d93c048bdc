"""Searches whose trials cost nothing, for tests of what is stored and resumed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from sklearn.linear_model import Ridge

import robusttune

TUNERS = ("RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband", "SklearnTuner")
OPTIONS: dict[str, dict[str, Any]] = {
    "RandomSearch": {"max_trials": 8},
    "GridSearch": {},
    "BayesianOptimization": {"max_trials": 7, "num_initial_points": 6},
    "Hyperband": {"max_epochs": 4, "factor": 2},
}
# Trials of an undisturbed search.
EXPECTED = {
    "RandomSearch": 8,
    "GridSearch": 12,
    "BayesianOptimization": 7,
    "Hyperband": 15,
    "SklearnTuner": 8,
}


class Power(BaseException):
    """The power goes."""


def build(hp: Any) -> Any:
    """A space without end."""
    hp.Float("x", -1, 1)
    hp.Int("n", 1, 3)
    return Ridge()


def build_grid(hp: Any) -> Any:
    """Twelve places."""
    hp.Choice("x", [-1.0, -0.5, 0.5, 1.0])
    hp.Int("n", 1, 3)
    return Ridge()


def score(values: dict[str, Any]) -> float:
    """The truth."""
    return float(values["x"]) ** 2 + float(values["n"])


def open_tuner(
    name: str,
    directory: Path,
    runs: list[str] | None = None,
    *,
    ours: bool = True,
    stop_at: int | None = None,
    stop_after: int | None = None,
    fails: tuple[str, ...] = (),
    **more: Any,
) -> Any:
    """Return a tuner that notes the trials that it runs.

    Args:
        name: Keras Tuner's name of it.
        directory: Where its project is.
        runs: The ids of the trials that were run are added to it.
        ours: Whether it is robusttune's.
        stop_at: The power goes in the run of this number, from 0.
        stop_after: It goes when this run has returned and nothing of it is stored.
        fails: Ids of trials that fail.
        **more: Further arguments of the tuner, or of SklearnTuner's oracle.
    """
    base: Any = getattr(keras_tuner, name)
    noted = [] if runs is None else runs

    class Cheap(base):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            noted.append(trial.trial_id)
            if len(noted) - 1 == stop_at:
                raise Power
            if trial.trial_id in fails:
                raise ValueError("this trial fails")
            return {"score": score(trial.hyperparameters.values)}

        def on_trial_end(self, trial: Any) -> None:
            if stop_after is not None and len(noted) - 1 == stop_after:
                raise Power
            super().on_trial_end(trial)

    tuner_class: Any = robusttune.robust(Cheap) if ours else Cheap
    objective = keras_tuner.Objective("score", "min")
    common = {"directory": str(directory), "project_name": "project"}
    if name == "SklearnTuner":
        oracle_options = {"max_trials": 8, "seed": 1}
        policy = {key: more.pop(key) for key in ("policy",) if key in more}
        oracle = keras_tuner.oracles.RandomSearchOracle(objective, **{**oracle_options, **more})
        return tuner_class(oracle, build, **policy, **common)
    hypermodel = build_grid if name == "GridSearch" else build
    options = {**OPTIONS[name], "seed": 1, **more}
    return tuner_class(hypermodel, objective=objective, **options, **common)


def search(tuner: Any) -> Any:
    """Run a search and return the tuner."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", robusttune.SearchSpaceWarning)
        if isinstance(tuner, keras_tuner.SklearnTuner):
            tuner.oracle.verbose = 0
            tuner.search(np.zeros((10, 1)), np.zeros(10))
        else:
            tuner.search(verbose=0)
    return tuner


def outcome(tuner: Any) -> dict[str, Any]:
    """Score by values, of the completed trials."""
    scores = {}
    for trial in tuner.oracle.trials.values():
        values = {k: v for k, v in trial.hyperparameters.values.items() if k != "tuner/trial_id"}
        if trial.status == "COMPLETED":
            scores[json.dumps(values, sort_keys=True)] = float(trial.score)
    return scores
