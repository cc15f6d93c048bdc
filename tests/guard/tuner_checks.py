"""Tuners, Optuna, isolation, probe and demo on the Keras backend of this process.

test_guard_backends.py runs this where TensorFlow cannot be imported, as if it were left out.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pytest

import robusttune
from robusttune import FailureCause, HopelessSearchError, Policy, Report
from robusttune.optuna import TrialGuard, records_of, robust
from tests.zoo import linear

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 6)).astype("float32")
Y = (X @ RNG.normal(size=(6, 1))).astype("float32")
FIT: dict[str, Any] = {"epochs": 3, "batch_size": 32, "verbose": 0, "validation_data": (X, Y)}
RATES = [1e-2, 5.0]


def model_of(rate: float) -> keras.Model:
    """A linear model."""
    return linear(rate, inputs=6)


def build(hp: Any) -> keras.Model:
    """A good and a divergent learning rate."""
    return model_of(hp.Choice("rate", RATES))


def search(tuner_class: Any, folder: Path, policy: Policy, **more: Any) -> Any:
    """Run a search, and return its tuner."""
    keras.utils.set_random_seed(1)
    tuner = tuner_class(
        more.pop("build", build),
        objective="val_loss",
        directory=str(folder),
        seed=1,
        policy=policy,
        **more,
    )
    tuner.search(X, Y, **FIT)
    return tuner


@pytest.fixture(autouse=True, scope="module")
def without_tensorflow() -> Any:
    """Nothing here loads it."""
    yield
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("RandomSearch", {"max_trials": 2}),
        ("GridSearch", {}),
        ("BayesianOptimization", {"max_trials": 2}),
        ("Hyperband", {"max_epochs": 2, "hyperband_iterations": 1}),
    ],
)
def test_tuners_go_on_and_say_why(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    """Each trial has its record, and the report is read back from the folder."""
    policy = Policy(sanitize="off", avoid_unstable=False)
    tuner = search(getattr(robusttune, name), tmp_path, policy, **more)
    records = Report.from_directory(tuner.project_dir).records
    causes = {record.params["rate"]: record.cause for record in records}
    assert causes == {1e-2: None, 5.0: FailureCause.DIVERGENT_LEARNING_RATE}
    assert tuner.get_best_models()[0].predict(X[:2], verbose=0).shape == (2, 1)


def test_isolated_trials_are_those_of_the_search(tmp_path: Path) -> None:
    """In the child, on the same backend, from the same random states."""
    values = []
    for isolate in (False, True):
        policy = Policy(isolate=isolate, sanitize="off", avoid_unstable=False)
        folder = tmp_path / str(isolate)
        tuner = search(robusttune.GridSearch, folder, policy)
        records = tuner.report().records
        values.append([(r.value, r.cause, r.step) for r in records])
    assert values[0] == values[1]


def test_a_trial_that_takes_the_process_down_is_one_trial(tmp_path: Path) -> None:
    """And one that hangs is ended."""

    def crash(hp: Any) -> keras.Model:
        if hp.Choice("rate", RATES) == 5.0:
            os._exit(3)
        return model_of(1e-2)

    policy = Policy(isolate=True, sanitize="off", avoid_unstable=False)
    tuner = search(robusttune.GridSearch, tmp_path, policy, build=crash)
    assert [r.cause for r in tuner.report().records] == [None, FailureCause.CRASHED]


def test_a_time_limit_ends_a_fit(tmp_path: Path) -> None:
    """At a batch."""
    policy = Policy(trial_seconds=1e-6, sanitize="off", avoid_unstable=False)
    tuner = search(robusttune.GridSearch, tmp_path, policy)
    assert {r.cause for r in tuner.report().records} == {FailureCause.TIMEOUT}


def test_a_hopeless_search_ends(tmp_path: Path) -> None:
    """NaN in the data is no hyperparameter's fault."""
    bad = X.copy()
    bad[3] = np.nan
    tuner = robusttune.RandomSearch(
        lambda hp: model_of(hp.Float("rate", 1e-4, 1e-2)),
        objective="loss",
        max_trials=9,
        directory=str(tmp_path),
        policy=Policy(hopeless_after=2),
    )
    with pytest.raises(HopelessSearchError, match="non_finite_data"):
        tuner.search(bad, Y, epochs=1, verbose=0)


def test_the_probe_caps_the_learning_rate(tmp_path: Path) -> None:
    """By a range test on this backend; sanitizing builds models on the side."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = search(
            robusttune.RandomSearch,
            tmp_path,
            Policy(probe=True),
            build=lambda hp: model_of(hp.Float("rate", 1e-4, 100.0, sampling="log")),
            max_trials=1,
        )
    changes = [a for a in tuner.report().adjustments.itertuples() if a.parameter == "rate"]
    assert changes
    assert float(changes[-1].after) < 10


def test_clip_tune_is_a_hyperparameter_that_does_something(tmp_path: Path) -> None:
    """Steps are clipped by it."""
    policy = Policy(clip="tune", sanitize="off", avoid_unstable=False)
    slow = lambda hp: model_of(hp.Choice("rate", [1e-3]))  # noqa: E731
    tuner = search(robusttune.RandomSearch, tmp_path, policy, build=slow, max_trials=3)
    names = {hp.name for hp in tuner.oracle.hyperparameters.space}
    assert len(names) == 2
    assert max(r.clipped_steps for r in tuner.report().records) > 0


def test_a_study_goes_on_and_says_why() -> None:
    """With a guard in its fits."""

    def objective(trial: Any) -> float:
        rate = trial.suggest_categorical("rate", RATES)
        fit = model_of(rate).fit(X, Y, **FIT, callbacks=[TrialGuard(trial)])
        return float(fit.history["val_loss"][-1])

    study = optuna.create_study()
    for rate in RATES:
        study.enqueue_trial({"rate": rate})
    study.optimize(robust(objective), n_trials=2)
    causes = [record.cause for record in records_of(study)]
    assert causes == [None, FailureCause.DIVERGENT_LEARNING_RATE]


def test_a_remote_folder_is_refused(tmp_path: Path) -> None:
    """Only TensorFlow's file systems know it."""
    from robusttune._keras_tuner.project.files import write_atomically

    with pytest.raises(robusttune.StoreError, match="KERAS_BACKEND=tensorflow"):
        write_atomically("gs://bucket/file", "text")


def test_the_demo_runs_here(tmp_path: Path) -> None:
    """`robusttune demo` honours KERAS_BACKEND."""
    from robusttune import _demo as demo

    assert demo.run(tmp_path, trials=2) == 0
    assert (tmp_path / "report.html").exists()


def test_a_sklearn_tuner_works(tmp_path: Path) -> None:
    """No Keras model at all."""
    from sklearn.linear_model import Ridge
    from sklearn.metrics import make_scorer, mean_squared_error
    from sklearn.model_selection import KFold

    tuner = robusttune.SklearnTuner(
        keras_tuner.oracles.RandomSearchOracle(
            objective=keras_tuner.Objective("score", "max"), max_trials=2
        ),
        lambda hp: Ridge(hp.Float("alpha", 0.1, 1.0)),
        scoring=make_scorer(mean_squared_error),
        cv=KFold(2),
        directory=str(tmp_path),
    )
    tuner.search(X, Y[:, 0])
    assert len(tuner.report().records) == 2
