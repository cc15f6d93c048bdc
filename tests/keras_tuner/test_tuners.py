"""Keras Tuner's tuners made robust: the same searches where nothing fails, and no search lost."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import math
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import robusttune
from robusttune import FailureCause, HopelessSearchError, Policy, Symptom, TrialRecord
from robusttune._diagnosis.verdict import Verdict
from tests import ROOT

LEAVES = ["RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband", "SklearnTuner"]
EXACT = Policy(sanitize="off")
PATIENT = Policy(diagnosis_seconds=60.0)  # for those that are, also where the machine is busy
BRIEF = Policy(diagnosis_seconds=0.1)  # for tests that are not about the cause


def build(hp: Any) -> keras.Model:
    """A healthy space."""
    model = keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(hp.Int("units", 4, 12, step=4), activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(hp.Choice("rate", [1e-3, 1e-2])), "mse")
    return model


def build_unstable(hp: Any) -> keras.Model:
    """Half of these learning rates diverge."""
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e3, sampling="log")), "mse")
    return model


def search(
    tuner_class: Any, directory: Path, data: Any, hypermodel: Any = build, **kwargs: Any
) -> Any:
    """Run a small seeded search."""
    keras.utils.set_random_seed(3)
    fit = {"epochs": kwargs.pop("epochs", 2)}
    if "Hyperband" in tuner_class.__name__:
        kwargs.setdefault("max_epochs", 3)
    else:
        kwargs.setdefault("max_trials", 5)
    tuner = tuner_class(
        hypermodel,
        objective=kwargs.pop("objective", "val_loss"),
        seed=5,
        directory=str(directory),
        **kwargs,
    )
    x, y = data
    tuner.search(x, y, validation_split=0.25, verbose=0, **fit)
    return tuner


def stored(directory: Path, tuner: Any) -> list[dict[str, Any]]:
    """All trial.json in the order of the trials."""
    folder = directory / "untitled_project"
    return [
        json.loads((folder / f"trial_{id_}" / "trial.json").read_text())
        for id_ in tuner.oracle.start_order
    ]


@pytest.mark.parametrize(
    "name", [LEAVES[0], *(pytest.param(name, marks=pytest.mark.full) for name in LEAVES[1:4])]
)
def test_tuner_healthy_search_equals_keras_tuners(
    name: str, tmp_path: Path, regression: Any
) -> None:
    """Same seed, nothing failing: the same hyperparameters, scores and trial.json."""
    plain = search(getattr(keras_tuner, name), tmp_path / "plain", regression)
    ours = search(getattr(robusttune, name), tmp_path / "ours", regression, policy=EXACT)
    expected, got = stored(tmp_path / "plain", plain), stored(tmp_path / "ours", ours)
    assert len(got) >= 4
    for trials in (expected, got):
        for trial in trials:
            trial.pop("trial_id")
            trial["hyperparameters"]["values"].pop("tuner/trial_id", None)
    assert got == expected
    assert {trial["status"] for trial in got} == {"COMPLETED"}


@pytest.mark.parametrize("name", LEAVES)
def test_tuner_signature_is_that_of_keras_tuner_plus_our_own(name: str) -> None:
    """A swap of the class needs no other change."""
    theirs = inspect.signature(getattr(keras_tuner, name)).parameters
    ours = inspect.signature(getattr(robusttune, name)).parameters
    added = {"policy", "record_callbacks", "initializer", "executor"}
    assert set(ours) - set(theirs) == added
    assert [n for n in ours if n in theirs] == list(theirs)
    assert (ours["policy"].default, ours["record_callbacks"].default) == (None, ())


def test_tuner_survives_any_number_of_failing_trials(tmp_path: Path, regression: Any) -> None:
    """NaN in a row ends Keras Tuner's search; here every trial runs, and says what happened."""
    tuner = search(
        robusttune.RandomSearch,
        tmp_path,
        regression,
        build_unstable,
        policy=PATIENT,
        max_trials=10,
        epochs=3,
    )
    trials = tuner.report().trials
    assert len(trials) == 10
    failed = trials[trials.status == "failed"]
    assert len(failed) >= 3
    assert (failed.params_rate > 0.05).all()
    assert set(failed.cause) == {"divergent_learning_rate"}
    assert failed.value.isna().all()
    completed = trials[trials.status == "completed"]
    assert completed.value.notna().all()
    assert len(list(Path(tuner.project_dir).glob("trial_*/robusttune.json"))) == 10
    best = tuner.get_best_models()[0]
    assert all(np.isfinite(w).all() for w in best.get_weights())


def test_tuner_failed_trials_have_no_score_and_a_message(tmp_path: Path, regression: Any) -> None:
    """The objective is never invented, in the store either."""
    tuner = search(
        robusttune.RandomSearch,
        tmp_path,
        regression,
        build_unstable,
        policy=PATIENT,
        max_trials=5,
        epochs=2,
    )
    for trial in tuner.oracle.trials.values():
        if trial.status == "FAILED":
            assert trial.score is None
            assert "divergent_learning_rate" in trial.message
        else:
            assert math.isfinite(trial.score)
            assert trial.message is None


def test_tuner_honours_the_users_limit_of_failures(tmp_path: Path, regression: Any) -> None:
    """max_consecutive_failed_trials that the user sets ends the search as in Keras Tuner."""

    def diverges(hp: Any) -> keras.Model:
        model = build_unstable(hp)
        model.optimizer.learning_rate = 1e3
        return model

    with pytest.raises(RuntimeError, match="consecutive failures exceeded the limit of 2"):
        search(
            robusttune.RandomSearch,
            tmp_path,
            regression,
            diverges,
            policy=BRIEF,
            max_trials=6,
            max_consecutive_failed_trials=2,
        )


def test_oracle_lock_is_released_after_an_error(tmp_path: Path, regression: Any) -> None:
    """After the error another thread can still use the oracle."""

    def broken(hp: Any) -> keras.Model:
        hp.Float("rate", 0, 1)
        raise ValueError("no such model")

    tuner = robusttune.RandomSearch(
        lambda hp: build(hp),
        objective="val_loss",
        max_trials=4,
        max_consecutive_failed_trials=1,
        directory=str(tmp_path),
    )
    tuner.hypermodel.build = broken
    with pytest.raises(RuntimeError, match="consecutive"):
        tuner.search(*regression, verbose=0)
    done = threading.Event()
    thread = threading.Thread(
        target=lambda: (tuner.oracle.create_trial("other"), done.set()), daemon=True
    )
    thread.start()
    assert done.wait(20)


class FirstEpochNaN(keras.metrics.Metric):
    """A metric that is NaN until its third reset: in the validation of the first epoch."""

    def __init__(self, value: float = math.nan, resets: int = 3, **kwargs: Any) -> None:
        super().__init__(name="odd", **kwargs)
        self.resets, self.value, self.until = 0, value, resets

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to add up."""

    def reset_state(self) -> None:
        """Count."""
        self.resets += 1

    def result(self) -> Any:
        """NaN at first."""
        return keras.ops.convert_to_tensor(self.value if self.resets < self.until else 1.0)


def _with_metric(metric: Any) -> Any:
    def build_with_metric(hp: Any) -> keras.Model:
        model = build(hp)
        model.compile("sgd", "mse", metrics=[metric()], run_eagerly=True)
        return model

    return build_with_metric


def test_tuner_nan_in_the_first_epoch_does_not_hide_later_ones(
    tmp_path: Path, regression: Any
) -> None:
    """The best finite epoch counts."""
    tuner = search(
        robusttune.RandomSearch,
        tmp_path,
        regression,
        _with_metric(lambda: FirstEpochNaN(resets=6)),
        max_trials=1,
        epochs=4,
        objective=keras_tuner.Objective("val_odd", "min"),
    )
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"
    assert trial.score == 1.0
    assert trial.best_step > 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_tuner_non_finite_objective_is_a_failure_not_a_score(
    value: float, tmp_path: Path, regression: Any
) -> None:
    """Inf is no score; finite training with a broken metric is an unsafe metric."""
    tuner = search(
        robusttune.RandomSearch,
        tmp_path,
        regression,
        _with_metric(lambda: FirstEpochNaN(value, resets=10**9)),
        max_trials=1,
        objective=keras_tuner.Objective("val_odd", "min"),
    )
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "FAILED"
    assert trial.score is None
    row = tuner.report().trials.iloc[0]
    assert row.symptom == Symptom.NON_FINITE_OBJECTIVE
    assert row.cause == FailureCause.UNSAFE_METRIC


def test_tuner_takes_the_users_word_that_a_trial_has_failed(tmp_path: Path) -> None:
    """A TrialFailure from run_trial is an exception with its own words, not a bad objective."""

    class Mine(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            if trial.hyperparameters.Int("x", 0, 9) < 5:
                raise robusttune.TrialFailure("too small")
            return 1.0

    tuner = robusttune.robust(Mine)(max_trials=6, seed=1, directory=str(tmp_path))
    tuner.search(verbose=0)
    failures = tuner.report().failures
    assert 0 < len(failures) < 6
    for name, value in {"symptom": "exception", "cause": "unknown", "error": "too small"}.items():
        assert set(failures[name]) == {value}


def test_tuner_trials_are_spared_the_collection_of_what_is_older(tmp_path: Path) -> None:
    """Keras Tuner collects before each trial: it need not walk through TensorFlow each time."""
    frozen = []

    class Mine(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            frozen.append(gc.get_freeze_count())
            return trial.hyperparameters.Float("x", 0, 1)

    gc.unfreeze()  # what conftest.py has frozen
    try:
        robusttune.robust(Mine)(max_trials=1, directory=str(tmp_path / "search")).search()
        assert frozen[0] > 10_000
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()
    # What the user has frozen stays so.
    robusttune.robust(Mine)(max_trials=1, directory=str(tmp_path / "another")).search()
    assert gc.get_freeze_count() > 10_000


@pytest.mark.parametrize("result", [math.nan, math.inf, {"score": math.nan}])
def test_tuner_non_finite_result_of_run_trial(result: Any, tmp_path: Path) -> None:
    """A run_trial of the user's that returns NaN or inf has failed."""

    class Mine(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            trial.hyperparameters.Float("x", 0, 1)
            return result

    objective = keras_tuner.Objective("score", "min") if isinstance(result, dict) else None
    tuner = robusttune.robust(Mine)(objective=objective, max_trials=3, directory=str(tmp_path))
    tuner.search(verbose=0)
    assert [t.status for t in tuner.oracle.trials.values()] == ["FAILED"] * 3
    trials = tuner.report().trials
    assert set(trials.symptom) == {Symptom.NON_FINITE_OBJECTIVE}
    assert set(trials.cause) == {FailureCause.UNKNOWN}  # nothing was seen of how it came about


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_tuner_non_finite_report_to_the_oracle(value: float, tmp_path: Path) -> None:
    """A run_trial that reports through oracle.update_trial, as before Keras Tuner 1.1, likewise."""

    class Mine(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
            trial.hyperparameters.Float("x", 0, 1)
            self.oracle.update_trial(trial.trial_id, {"score": value})

    tuner = robusttune.robust(Mine)(
        objective=keras_tuner.Objective("score", "min"), max_trials=3, directory=str(tmp_path)
    )
    tuner.search(verbose=0)
    assert [t.status for t in tuner.oracle.trials.values()] == ["FAILED"] * 3
    assert [t.score for t in tuner.oracle.trials.values()] == [None] * 3


def test_tuner_nan_weights_are_no_result(tmp_path: Path, regression: Any) -> None:
    """An accuracy measured on NaN weights is finite, and no score."""

    class Breaks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            weight = self.model.trainable_variables[0]
            weight.assign(weight * np.nan)

    x, y = regression

    def classifier(hp: Any) -> keras.Model:
        hp.Float("unused", 0, 1)
        model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    tuner = robusttune.RandomSearch(
        classifier, objective="val_accuracy", max_trials=2, directory=str(tmp_path)
    )
    tuner.search(
        x, (y > 0).astype(int), validation_split=0.25, callbacks=[Breaks()], verbose=0, epochs=1
    )
    assert [t.status for t in tuner.oracle.trials.values()] == ["FAILED"] * 2


def test_tuner_good_epochs_count_after_a_later_divergence(tmp_path: Path, regression: Any) -> None:
    """Completed, unstable, with a cause: the best epoch still counts."""

    def climbs(hp: Any) -> keras.Model:
        model = build_unstable(hp)
        rate = keras.optimizers.schedules.ExponentialDecay(1e-3, 8, 10.0)
        model.compile(keras.optimizers.SGD(rate), "mse")
        return model

    tuner = search(robusttune.RandomSearch, tmp_path, regression, climbs, max_trials=1, epochs=10)
    row = tuner.report().trials.iloc[0]
    assert row.status == "completed"
    assert row.unstable
    assert row.epoch >= 1
    assert row.value == tuner.oracle.get_best_trials()[0].score
    assert row.seconds_saved > 0
    assert not pandas_missing(row.cause)


def pandas_missing(value: Any) -> bool:
    """Whether pandas takes it as missing."""
    import pandas as pd

    return bool(pd.isna(value))


def test_tuner_retry_after_nan_counts(tmp_path: Path) -> None:
    """A healthy retry is a completed trial, without the message of the failed run."""

    class Flaky(keras_tuner.RandomSearch):
        runs = 0

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            trial.hyperparameters.Float("x", 0, 1)
            self.runs += 1
            return math.nan if self.runs % 2 else 0.5

    tuner = robusttune.robust(Flaky)(max_trials=2, max_retries_per_trial=1, directory=str(tmp_path))
    tuner.search(verbose=0)
    trials = list(tuner.oracle.trials.values())
    assert [t.status for t in trials] == ["COMPLETED"] * 2
    assert [t.score for t in trials] == [0.5] * 2
    assert [t.message for t in trials] == [None] * 2
    assert list(tuner.report().trials.status) == ["completed"] * 2


def test_tuner_retry_after_a_divergent_fit_counts(tmp_path: Path, regression: Any) -> None:
    """The same through a fit: what the failed run reported is gone."""
    builds = iter(range(100))

    def flaky(hp: Any) -> keras.Model:
        model = build(hp)
        if next(builds) == 1:  # 0 is the build that finds the space
            model.compile(keras.optimizers.SGD(1e10), "mse")
        return model

    tuner = search(
        robusttune.RandomSearch,
        tmp_path,
        regression,
        flaky,
        max_trials=1,
        max_retries_per_trial=1,
        policy=EXACT,
    )
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"
    assert math.isfinite(trial.score)


def test_tuner_every_hook_of_the_user_works_without_super(tmp_path: Path, regression: Any) -> None:
    """Overridden hooks are called, and the guard is in the fit all the same."""
    called: list[str] = []

    class Hooks(keras_tuner.RandomSearch):
        def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
            called.append("on_epoch_end")

        def on_trial_begin(self, trial: Any) -> None:
            called.append("on_trial_begin")

        def _build_and_fit_model(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            called.append("_build_and_fit_model")
            model = self.hypermodel.build(trial.hyperparameters)
            return self.hypermodel.fit(trial.hyperparameters, model, *args, **kwargs)

        def _populate_initial_space(self) -> None:
            called.append("_populate_initial_space")
            self.hypermodel.build(self.oracle.hyperparameters)

    class Forgets(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            called.append("build")
            return build_unstable(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            called.append("fit")
            return model.fit(*args, **kwargs)

    tuner = search(
        robusttune.robust(Hooks),
        tmp_path,
        regression,
        Forgets(),
        policy=BRIEF,
        max_trials=6,
        epochs=2,
    )
    assert {
        "on_epoch_end",
        "on_trial_begin",
        "_build_and_fit_model",
        "_populate_initial_space",
        "build",
        "fit",
    } == set(called)
    assert (tuner.report().trials.status == "failed").any()


@pytest.mark.parametrize("drops", ["callbacks", "everything"])
def test_tuner_guards_a_fit_that_drops_the_callbacks(
    drops: str, tmp_path: Path, regression: Any
) -> None:
    """A run_trial that never hands the callbacks on is guarded too."""

    class Mine(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, x: Any, y: Any, **kwargs: Any) -> Any:
            model = build_unstable(trial.hyperparameters)
            model.optimizer.learning_rate = 100.0
            history = model.fit(x, y, epochs=3, verbose=0)
            return float(history.history["loss"][-1]) if drops == "everything" else history

    tuner = robusttune.robust(Mine)(
        objective=keras_tuner.Objective("loss", "min"),
        policy=PATIENT,
        max_trials=2,
        directory=str(tmp_path),
    )
    tuner.search(*regression, verbose=0)
    trials = tuner.report().trials
    assert list(trials.status) == ["failed"] * 2
    assert set(trials.cause) == {"divergent_learning_rate"}


def test_fit_is_keras_own_again_after_the_search(tmp_path: Path, regression: Any) -> None:
    """Outside of trials `fit` is untouched."""
    original = keras.Model.fit
    search(robusttune.RandomSearch, tmp_path, regression, max_trials=1)
    assert keras.Model.fit is original
    assert "fit" not in vars(keras.Model)


def test_tuner_exceptions_do_not_end_the_search(tmp_path: Path, regression: Any) -> None:
    """Exceptions are recorded with their line, and the search goes on."""

    def sometimes(hp: Any) -> keras.Model:
        if hp.Int("kind", 0, 3) > 1:
            raise KeyError("no such table")
        return build(hp)

    tuner = search(robusttune.RandomSearch, tmp_path, regression, sometimes, max_trials=4)
    trials = tuner.report().trials
    assert len(trials) == 4
    failed = trials[trials.status == "failed"]
    assert set(failed.symptom) == {"exception"}
    assert set(failed.cause) == {"code_error"}
    assert failed.error.str.contains("no such table").all()
    messages = [t.message for t in tuner.oracle.trials.values() if t.status == "FAILED"]
    assert all("Traceback" in message and "sometimes" in message for message in messages)


class NoTextError(Exception):
    """An exception whose message depends on what it was not given."""

    def __str__(self) -> str:
        return str(self.missing)  # type: ignore[attr-defined]


@pytest.mark.parametrize("isolate", [False, pytest.param(True, marks=pytest.mark.full)])
def test_tuner_takes_exceptions_whose_message_cannot_be_told(
    isolate: bool, tmp_path: Path, regression: Any
) -> None:
    """The class is what can be said of them, and the search goes on."""

    def raising(hp: Any) -> keras.Model:
        if hp.Int("kind", 0, 1):
            raise NoTextError
        return build(keras_tuner.HyperParameters())

    policy = Policy(isolate=isolate)
    tuner = search(
        robusttune.GridSearch, tmp_path, regression, raising, max_trials=4, policy=policy
    )
    trials = tuner.report().trials
    assert list(trials.status) == ["completed", "failed"]
    assert (trials.cause[1], trials.error[1]) == ("code_error", "NoTextError")


def test_tuner_hopeless_search_ends_with_cause_and_fix(tmp_path: Path, regression: Any) -> None:
    """NaN in the data fails every trial: the search says so and ends."""
    x, y = regression
    bad = x.copy()
    bad[::3, 0] = np.nan
    with pytest.raises(HopelessSearchError, match="non_finite_data"):
        search(
            robusttune.RandomSearch,
            tmp_path,
            (bad, y),
            build_unstable,
            max_trials=20,
            policy=Policy(hopeless_after=3, diagnosis_seconds=60.0),
        )
    assert len(list(tmp_path.glob("untitled_project/trial_*"))) == 3


def test_tuner_keyboard_interrupt_is_not_swallowed(tmp_path: Path, regression: Any) -> None:
    """Ctrl-C ends the search."""

    def interrupted(hp: Any) -> keras.Model:
        if hp.Float("x", 0, 1, default=0.0) > 0:
            raise KeyboardInterrupt
        return build(hp)

    with pytest.raises(KeyboardInterrupt):
        search(robusttune.RandomSearch, tmp_path, regression, interrupted)


_WITHOUT_TENSORBOARD = """
import sys, importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda n, *a: None if n.startswith("tensorboard") else found(n, *a)
sys.modules["tensorboard"] = None  # any import of it raises
import warnings, keras, numpy as np, robusttune
from tests.keras_tuner.test_tuners import build
x, y = np.random.default_rng(0).normal(size=(64, 10)), np.zeros(64)
tuner = robusttune.RandomSearch(build, "val_loss", max_trials=2, directory=sys.argv[1])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    board = keras.callbacks.TensorBoard(sys.argv[1] + "/logs")
    tuner.search(x, y, validation_split=0.25, callbacks=[board], verbose=0, epochs=1)
assert [t.status for t in tuner.oracle.trials.values()] == ["COMPLETED"] * 2
assert sum("pip install tensorboard" in str(w.message) for w in caught) == 1
"""


@pytest.mark.full
def test_tuner_needs_no_tensorboard(tmp_path: Path) -> None:
    """Without the package a search runs; a TensorBoard callback is left out, with one warning."""
    command = [sys.executable, "-c", _WITHOUT_TENSORBOARD, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=240)


@pytest.mark.full
def test_tuner_serves_a_tensorboard_callback(tmp_path: Path, regression: Any) -> None:
    """Each trial logs to a folder of its own, with its hyperparameters."""
    pytest.importorskip("tensorboard", reason="the TensorBoard callback needs tensorboard")
    x, y = regression
    tuner = robusttune.RandomSearch(
        build, objective="val_loss", max_trials=2, directory=str(tmp_path / "project")
    )
    board = keras.callbacks.TensorBoard(str(tmp_path / "logs"), write_graph=False)
    tuner.search(x, y, validation_split=0.25, callbacks=[board], verbose=0, epochs=1)
    assert [t.status for t in tuner.oracle.trials.values()] == ["COMPLETED"] * 2
    folders = {p.name for p in (tmp_path / "logs").iterdir()}
    assert folders == set(tuner.oracle.trials)


def test_sklearn_tuner_records_failures(tmp_path: Path) -> None:
    """The scikit-learn tuner: NaN scores and exceptions are recorded, healthy trials complete."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=60)

    def ridge(hp: Any) -> Ridge:
        alpha = hp.Choice("alpha", [1.0, 2.0, -1.0])
        return Ridge(alpha=alpha)

    tuner = robusttune.SklearnTuner(
        oracle=keras_tuner.oracles.GridSearchOracle(keras_tuner.Objective("score", "max")),
        hypermodel=ridge,
        directory=str(tmp_path),
    )
    tuner.search(x, y)
    trials = tuner.report().trials.set_index("params_alpha")
    assert trials.status.to_dict() == {1.0: "completed", 2.0: "completed", -1.0: "failed"}
    assert trials.loc[-1.0, "cause"] == "invalid_model"  # Ridge has no alpha of -1


def test_robust_rejects_what_is_no_tuner() -> None:
    """A wrong argument gets one clear error."""
    with pytest.raises(TypeError, match="tuner_class must be"):
        robusttune.robust(keras_tuner.HyperModel)


class BlackBox(keras_tuner.RandomSearch):
    """A search without models."""

    def __init__(self, **options: Any) -> None:
        super().__init__(seed=1, objective=None, **options)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        """The sum of all values."""
        return float(trial.hyperparameters.Float("x", 1, 2))


def test_tuner_runs_what_the_user_puts_on_the_instance(tmp_path: Path) -> None:
    """A run_trial that is set on the tuner itself runs in every trial."""
    tuner = robusttune.robust(BlackBox)(max_trials=3, directory=str(tmp_path))
    tuner.run_trial = lambda trial, **_: 10 + trial.hyperparameters.Float("x", 1, 2)
    tuner.search(verbose=0)
    assert [trial.score > 10 for trial in tuner.oracle.trials.values()] == [True] * 3


def test_tuner_finds_the_users_limit_among_any_options(tmp_path: Path) -> None:
    """The limit of failures counts as set, also where the tuner's class takes it as **options."""
    tuner = robusttune.robust(BlackBox)(max_consecutive_failed_trials=3, directory=str(tmp_path))
    assert tuner.oracle.robust_limit_is_set


def test_tuner_asks_the_users_oracle_for_the_best_trials(tmp_path: Path) -> None:
    """An oracle that has its own idea of the best trials keeps it."""

    class Last(keras_tuner.oracles.RandomSearchOracle):
        def get_best_trials(self, num_trials: int = 1) -> list[Any]:
            return list(self.trials.values())[-num_trials:]

    class Mine(keras_tuner.Tuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return float(trial.hyperparameters.Float("x", 1, 2))

    tuner = robusttune.robust(Mine)(Last(max_trials=4), directory=str(tmp_path))
    tuner.search(verbose=0)
    assert tuner.oracle.get_best_trials()[0].trial_id == "3"


def test_tuner_looks_at_all_executions_of_a_trial(
    tmp_path: Path, regression: Any, monkeypatch: Any
) -> None:
    """The step of a failure is that of the whole trial, which is diagnosed once."""
    rates = iter([0.01, 0.01, 1e6, 1e6])  # of the space, and of the three executions
    asked: list[Any] = []

    def diagnose_failure(symptom: Symptom, **_: Any) -> Verdict:
        asked.append(symptom)
        return Verdict(cause=FailureCause.UNSCALED_DATA)

    def build_next(hp: Any) -> keras.Model:
        model = build(hp)
        model.optimizer.learning_rate = next(rates)
        return model

    monkeypatch.setattr("robusttune._diagnosis.postponed.diagnose_failure", diagnose_failure)
    options = {"max_trials": 1, "executions_per_trial": 3}
    tuner = search(robusttune.RandomSearch, tmp_path, regression, build_next, **options)
    (trial,) = tuner.report().trials.itertuples()
    assert len(asked) == 1
    assert (trial.status, trial.cause) == ("failed", FailureCause.UNSCALED_DATA)
    assert trial.execution == 1
    assert trial.step < 8  # counted within the execution


def test_tuner_reports_before_the_first_trial(tmp_path: Path) -> None:
    """A search that has not begun has an empty report."""
    tuner = robusttune.robust(BlackBox)(directory=str(tmp_path))
    assert tuner.report().trials.empty
    assert tuner.report().summary() == "The search has no trials yet."


@pytest.mark.parametrize(
    ("objective", "fit", "reported", "fix"),
    [
        ("acc", {}, "loss", "choose one of these"),
        ("val_loss", {}, "loss", "pass validation_data or validation_split to search()"),
        ("val_acc", {"validation_split": 0.25}, "loss, val_loss", "choose one of these"),
        (
            "val_loss",
            {"validation_split": 0.25, "validation_freq": 2, "epochs": 2},
            "loss, val_loss",
            "validate in every epoch, without validation_freq",
        ),
    ],
)
def test_tuner_says_what_an_objective_needs(
    objective: str, fit: Any, reported: str, fix: str, tmp_path: Path, regression: Any
) -> None:
    """Keras Tuner's KeyError says neither what the fit reports nor that validation data lack."""
    wanted = keras_tuner.Objective(objective, "min")
    tuner = robusttune.RandomSearch(build, wanted, max_trials=1, directory=str(tmp_path))
    tuner.search(*regression, verbose=0, **fit)
    trial = tuner.report().trials.iloc[0]
    missing = f"{objective!r} is not in every epoch of the fit, which reports {reported}"
    assert trial.error == f"KeyError: {missing}"
    assert trial.advice.startswith(f"The objective {missing}: {fix}")


def test_robust_is_idempotent_and_cached() -> None:
    """Making a class robust twice changes nothing."""
    assert robusttune.robust(robusttune.RandomSearch) is robusttune.RandomSearch
    assert robusttune.robust(keras_tuner.RandomSearch) is robusttune.RandomSearch


def test_tuner_rejects_a_policy_of_another_kind(tmp_path: Path) -> None:
    """A wrong policy gets one clear error."""
    with pytest.raises(TypeError, match=r"policy must be a robusttune\.Policy"):
        robusttune.RandomSearch(build, objective="val_loss", policy="fix", directory=str(tmp_path))


def test_tuner_without_hypermodel_is_an_error_as_in_keras_tuner(tmp_path: Path) -> None:
    """Keras Tuner's own check of the arguments is in force."""
    with pytest.raises(ValueError, match="hypermodel=None"):
        robusttune.RandomSearch(objective="val_loss", directory=str(tmp_path))


def test_trial_records_round_trip(tmp_path: Path, regression: Any) -> None:
    """Each stored record reads back as the trial it is about."""
    tuner = search(
        robusttune.RandomSearch, tmp_path, regression, build_unstable, policy=BRIEF, max_trials=4
    )
    for number, id_ in enumerate(tuner.oracle.start_order):
        path = Path(tuner.project_dir) / f"trial_{id_}" / "robusttune.json"
        record = TrialRecord.from_json(path.read_text())
        assert record.trial_id == id_
        assert record.number == number
        assert record.params == tuner.oracle.trials[id_].hyperparameters.values
        assert record == tuner.oracle.robusttune_records()[id_]
        assert not list(path.parent.glob(".robusttune*"))


def test_a_search_without_a_completed_trial_says_so(tmp_path: Path, caplog: Any) -> None:
    """There is no best trial then, which the user should not learn from an IndexError."""

    class Never(robusttune.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            raise KeyError(f"no such table: {trial.hyperparameters.Int('kind', 0, 9)}")

    tuner = Never(max_trials=2, seed=1, directory=str(tmp_path))
    with caplog.at_level(logging.WARNING, logger="robusttune"):
        tuner.search(verbose=0)
    assert tuner.get_best_hyperparameters() == []
    last = caplog.records[-1].getMessage()
    assert last.startswith("No trial has completed, so there is no best one. All 2 trials failed:")


def test_failures_are_logged_once(tmp_path: Path, regression: Any, caplog: Any) -> None:
    """One line a failing trial, on the library's own logger."""
    with caplog.at_level(logging.WARNING, logger="robusttune"):
        tuner = search(
            robusttune.RandomSearch,
            tmp_path,
            regression,
            build_unstable,
            policy=BRIEF,
            max_trials=6,
        )
    unstable = int(tuner.report().trials.unstable.sum())
    lines = [r for r in caplog.records if r.name == "robusttune.tuners"]
    assert len(lines) == unstable + 1 > 1  # and one at the end, which counts them


_LOAD = """
import sys
sys.modules["robusttune"] = None  # any import of it raises
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert np.isfinite(model.predict(np.zeros((2, 10), "float32"), verbose=0)).all()
model.fit(np.zeros((8, 10)), np.zeros((8, 1)), verbose=0)
"""


@pytest.mark.full
def test_best_model_loads_without_robusttune(tmp_path: Path, regression: Any) -> None:
    """A saved model needs nothing of this library, in a process that cannot import it."""
    tuner = search(robusttune.RandomSearch, tmp_path, regression, max_trials=2)
    path = tmp_path / "best.keras"
    tuner.get_best_models()[0].save(path)
    subprocess.run([sys.executable, "-c", _LOAD, str(path)], check=True, timeout=280)
