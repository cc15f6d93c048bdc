"""The right words: what is said to whom, and that all of it exists."""

from __future__ import annotations

import ast
import importlib
import json
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pandas as pd
import pytest
import tensorflow as tf

import robusttune
from robusttune import (
    FailureCause,
    Guard,
    HopelessSearchError,
    Policy,
    Report,
    TrialRecord,
    check_data,
)
from robusttune._hopeless import why_hopeless
from robusttune._keras_tuner.objective_check import what_is_missing
from robusttune.errors import InstabilityWarning, OtherProjectError, RobustTuneWarning, StoreError
from robusttune.optuna import TrialGuard, robust

BRIEF = Policy(diagnosis_seconds=0.5)


def rows(n: int = 200) -> np.ndarray:
    """Standard normal rows of four columns, float32."""
    return np.random.default_rng(0).normal(size=(n, 4)).astype("float32")


def model(loss: Any = "mse", optimizer: Any = "sgd", **more: Any) -> Any:
    """A small compiled model."""
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    made.compile(optimizer, loss, **more)
    return made


def build(hp: Any) -> Any:
    """A healthy space."""
    hp.Int("units", 4, 64)
    return model()


def tuner_of(directory: Path, hypermodel: Any = build, **kwargs: Any) -> Any:
    """A random search."""
    arguments = {"objective": "val_loss", "max_trials": 4, "seed": 1, "policy": BRIEF, **kwargs}
    return robusttune.RandomSearch(hypermodel, directory=str(directory), **arguments)


# An objective that nothing reports


def test_search_without_validation_ends_after_one_trial(tmp_path: Path) -> None:
    """A generator, objective val_loss: a warning before the first trial, one trial, good words."""

    def batches() -> Iterator[Any]:
        while True:
            yield rows(32), rows(32).sum(1)

    tuner = tuner_of(tmp_path, max_trials=15)
    with (
        pytest.warns(RobustTuneWarning, match="'val_loss' needs validation data"),
        pytest.raises(HopelessSearchError, match="pass validation_data or validation_split"),
    ):
        tuner.search(batches(), steps_per_epoch=4, epochs=1, verbose=0)
    report = tuner.report()
    assert len(report.trials) == 1
    assert "which reports loss: pass validation_data" in " ".join(report.summary().split())
    assert "FailedTrialError" not in report.summary()


@pytest.mark.parametrize("data", ["arrays", "dataset", "frame"])
def test_misspelled_metric_ends_the_search_after_one_trial(data: str, tmp_path: Path) -> None:
    """Whatever the data are: the warning and the advice say which metrics there are."""
    x, y = rows(), (rows().sum(1) > 0).astype("float32")

    def with_accuracy(hp: Any) -> Any:
        hp.Int("units", 4, 64)
        return model("binary_crossentropy", metrics=["accuracy"])

    given: dict[str, Any] = {
        "arrays": (x, y),
        "dataset": (tf.data.Dataset.from_tensor_slices((x, y)).batch(50),),
        "frame": (pd.DataFrame(x, columns=list("abcd")), y),
    }
    wanted = keras_tuner.Objective("val_acuracy", "max")
    tuner = tuner_of(tmp_path, with_accuracy, objective=wanted)
    with (
        pytest.warns(RobustTuneWarning, match=r"'acuracy' is not among .* \(loss, accuracy\)"),
        pytest.raises(HopelessSearchError, match="accuracy, loss"),
    ):
        tuner.search(*given[data], validation_data=(x, y), epochs=1, verbose=0)
    assert len(tuner.report().trials) == 1


class SometimesValidated(keras_tuner.HyperModel):
    """A fit of the user's that may bring what is missing."""

    def build(self, hp: Any) -> Any:
        """Build."""
        return build(hp)

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Fit, with validation for most of the units."""
        if hp.get("units") > 4:
            kwargs["validation_split"] = 0.2
        return model.fit(*args, **kwargs)


def test_search_whose_fit_is_the_users_goes_on(tmp_path: Path) -> None:
    """There the next trial may report it: no warning, no early end."""
    tuner = tuner_of(tmp_path, SometimesValidated())
    with warnings.catch_warnings():
        warnings.simplefilter("error", RobustTuneWarning)
        tuner.search(rows(), rows().sum(1), epochs=1, verbose=0)
    assert len(tuner.report().trials) == 4


@pytest.mark.full
def test_metrics_that_differ_between_builds_are_no_reason_to_end(tmp_path: Path) -> None:
    """The compile call of another build may have the metric."""

    def either(hp: Any) -> Any:
        with_metric = hp.Choice("metric", ["", "mae"])
        hp.Int("units", 4, 64)
        return model(metrics=[with_metric] if with_metric else [])

    wanted = keras_tuner.Objective("mae", "min")
    tuner = tuner_of(tmp_path, either, objective=wanted, max_trials=6)
    tuner.search(rows(), rows().sum(1), epochs=1, verbose=0)
    assert set(tuner.report().trials.status) == {"completed", "failed"}


def test_words_on_a_missing_objective_depend_on_what_there_is() -> None:
    """Three ways to lack it, three ways out."""
    assert "validation_freq" in what_is_missing("val_loss", ["loss", "val_loss"])[1]
    assert "validation_split" in what_is_missing("val_loss", ["loss"])[1]
    assert "choose one of these" in what_is_missing("val_acc", ["loss", "val_loss"])[1]
    of_outputs = ["loss", "val_a_loss", "val_b_accuracy", "val_loss"]
    assert "'val_b_accuracy'" in what_is_missing("val_accuracy", of_outputs)[1]


# Text among the numbers, and names of columns


def test_text_in_a_column_is_quoted_and_named(tmp_path: Path) -> None:
    """Not the harmless number before it."""
    frame = pd.DataFrame(rows(), columns=["age", "income", "rooms", "year"])
    frame["rooms"] = frame.rooms.astype(object)
    frame.loc[7, "rooms"] = "unknown"
    tuner = tuner_of(tmp_path, objective="loss", max_trials=1)
    tuner.search(frame, rows().sum(1), epochs=1, verbose=0)
    row = tuner.report().trials.iloc[0]
    assert "x['rooms'] holds 'unknown' in row 7" in row.advice
    (found,) = [f for f in check_data(frame) if f.kind == "not_numeric"]
    assert "'unknown' in row 7" in found.message


def _in_a_study(x: Any, y: Any) -> TrialRecord:
    def objective(trial: Any) -> float:
        model().fit(x, y, verbose=0, callbacks=[TrialGuard(trial)])
        return 0.0

    study = optuna.create_study()
    study.optimize(robust(objective, policy=BRIEF), n_trials=1)
    return Report.from_study(study).records[0]


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda x, y: (x.astype(object), y, (3, 2), "n/a"), "x holds 'n/a' in row 3"),
        (lambda x, y: (x, y.astype(object), (5,), None), "y holds None (a missing value) in row 5"),
        (lambda x, y: (x, y.astype(str), (9,), "high"), "y holds '"),
    ],
    ids=["array of objects", "target that is missing", "targets as text"],
)
def test_text_in_other_data_is_named_too(spoil: Any, where: str) -> None:
    """Arrays and targets, in an Optuna study."""
    x, y, place, value = spoil(rows(), rows().sum(1))
    (x if len(place) == 2 else y)[place] = value
    record = _in_a_study(x, y)
    assert where in (record.advice or "")


def test_values_of_the_data_can_be_left_out() -> None:
    """What is sent elsewhere does not quote them; rows and columns stay."""
    x = rows().astype(object)
    x[3, 2] = "John Doe"
    record = _in_a_study(x, rows().sum(1))
    assert "John Doe" in record.to_json()
    sent = record.without_data_values()
    assert "John Doe" not in sent.to_json()
    assert "row 3" in (sent.advice or "")
    assert TrialRecord(trial_id="0").without_data_values() == TrialRecord(trial_id="0")


# Executions


class SecondFails(keras_tuner.HyperModel):
    """The weights of the second execution are NaN from the start."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.nth, self.calls = nth, 0

    def build(self, hp: Any) -> Any:
        """Build."""
        return build(hp)

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Fit, once with broken weights."""
        self.calls += 1
        if self.calls == self.nth:
            model.set_weights([w * np.nan for w in model.get_weights()])
        return model.fit(*args, **kwargs)


@pytest.mark.full
@pytest.mark.parametrize(
    ("nth", "executions", "isolate", "dataset"),
    [(2, 3, False, False), (1, 2, False, True), (3, 3, False, False), (2, 2, True, False)],
)
def test_failing_execution_is_told(
    nth: int, executions: int, isolate: bool, dataset: bool, tmp_path: Path
) -> None:
    """Epoch and step are those of the execution; arrays and datasets, also in a child process."""
    policy = Policy(diagnosis_seconds=0.5, isolate=isolate)
    tuner = tuner_of(
        tmp_path,
        SecondFails(nth),
        objective="loss",
        max_trials=1,
        executions_per_trial=executions,
        policy=policy,
    )
    data: Any = (rows(), rows().sum(1))
    if dataset:
        data = (tf.data.Dataset.from_tensor_slices(data).batch(50),)
    tuner.search(*data, epochs=2, verbose=0)
    row = tuner.report().trials.iloc[0]
    assert (row.execution, row.epoch, row.step) == (nth - 1, 0, 0)
    scores = json.loads(row.evidence)["execution_scores"]
    assert len(scores) == executions
    assert scores[nth - 1] is None
    record = tuner.report().records[0]
    assert f"in execution {nth} of {executions}, in epoch 0 at step 0" in record.message()


@pytest.mark.full
def test_trial_with_one_execution_has_none(tmp_path: Path) -> None:
    """The column is empty, and there are no single scores."""
    tuner = tuner_of(tmp_path, objective="loss", max_trials=1)
    tuner.search(rows(), rows().sum(1), epochs=1, verbose=0)
    row = tuner.report().trials.iloc[0]
    assert row.execution is pd.NA
    assert "execution_scores" not in str(row.evidence)


# Class weights, and the arguments of check_data


@pytest.mark.parametrize("data", ["arrays", "frame", "dataset of one fit"])
def test_class_weight_that_is_infinite_is_named(data: str) -> None:
    """Not as rows of sample_weight, which nobody has passed."""
    x, y = rows(), np.arange(200) % 3
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy")
    guard = Guard(BRIEF)
    given: dict[str, Any] = {
        "arrays": (x, y),
        "frame": (pd.DataFrame(x), pd.Series(y)),
        "dataset of one fit": (tf.data.Dataset.from_tensor_slices((x, y)).batch(20),),
    }
    weights = {0: 1.0, 1: 2.0, 2: np.inf}
    made.fit(*given[data], class_weight=weights, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause is FailureCause.NON_FINITE_DATA
    assert (guard.record.advice or "").startswith("Class_weight of class 2 is inf")


def test_sample_weight_of_a_row_is_named() -> None:
    """Where it was passed, its row is told."""
    weight = np.ones(200)
    weight[12] = np.nan
    guard = Guard(BRIEF)
    model().fit(rows(), rows().sum(1), sample_weight=weight, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert "sample_weight (row 12)" in (guard.record.advice or "")


def test_check_data_takes_weights_and_validation_data() -> None:
    """As `fit` takes them."""
    x, y = rows(), rows().sum(1)
    bad = x.copy()
    bad[4, 1] = np.nan
    found = check_data(
        x,
        y,
        sample_weight=np.where(np.arange(200) == 3, np.inf, 1.0),
        class_weight={0: 1.0, "b": np.nan},
        validation_data=(bad, y),
    )
    told = [(finding.where, finding.kind, finding.first_rows) for finding in found]
    assert ("validation x", "non_finite", (4,)) in told
    assert ("sample_weight", "non_finite", (3,)) in told
    assert ("class_weight", "non_finite", ()) in told
    dataset = tf.data.Dataset.from_tensor_slices((bad, y)).batch(50)
    assert any(f.where == "validation x" for f in check_data(x, y, validation_data=dataset))
    assert check_data(x, y, validation_data=(x, y)) == check_data(x, y)
    (zero,) = check_data(x, y, validation_data=(x, y, np.zeros(200)))
    assert "all weights are 0" in zero.message


# Batches of a pipeline


class Windows(keras.utils.PyDataset):
    """Windows that are scaled by their own deviation, which is 0 in one batch."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.bad = bad

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        x = rows(16)
        if index == self.bad:
            x[5:8] = np.nan
        return x, x.sum(1)


def _generator(bad: int) -> Iterator[Any]:
    while True:
        for index in range(12):
            yield Windows(bad)[index]


def _dataset(bad: int) -> Any:
    signature = (tf.TensorSpec((16, 4)), tf.TensorSpec((16,)))
    return tf.data.Dataset.from_generator(
        lambda: (Windows(bad)[i] for i in range(12)), output_signature=signature
    )


@pytest.mark.parametrize("make", [Windows, _generator, _dataset])
def test_bad_batch_of_a_pipeline_is_told_by_its_number(make: Any) -> None:
    """There are no rows to drop: the batch is named, and that whole rows of it are lost."""
    guard = Guard(BRIEF)
    model().fit(make(7), steps_per_epoch=12, epochs=2, verbose=0, callbacks=[guard])
    assert guard.record is not None
    advice = guard.record.advice or ""
    assert advice.startswith("Batch 7 of your pipeline has NaN or inf in x and y (whole rows")
    assert "drop rows" not in advice.lower()


@pytest.mark.full
def test_pipeline_in_a_search_with_its_own_fit(tmp_path: Path) -> None:
    """Windows of the user's own HyperModel.fit."""

    class Own(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return model.fit(Windows(hp.Int("bad", 3, 9)), **kwargs)

    tuner = tuner_of(tmp_path, Own(), objective="loss", max_trials=2)
    tuner.search(epochs=1, verbose=0)
    for record in tuner.report().records:
        assert (record.advice or "").startswith(f"Batch {record.params['bad']} of your pipeline")


# Clipping


def spiky() -> tuple[np.ndarray, np.ndarray]:
    """Data of which one batch has a gradient hundreds of times the others'."""
    x = rows(640)
    y = x.sum(1)
    y[320:330] = 3e3
    return x, y


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop", "Lion"])
def test_optimizer_that_bounds_its_steps_is_left_alone(optimizer: str) -> None:
    """A spike that plain training survives is no failure: the same weights as without a guard."""
    x, y = spiky()
    ends = []
    for callbacks in ([], [guard := Guard(BRIEF)]):
        keras.utils.set_random_seed(0)
        made = model(optimizer=getattr(keras.optimizers, optimizer)(1e-3))
        made.fit(x, y, shuffle=False, epochs=1, verbose=0, callbacks=callbacks)
        ends.append(made.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*ends, strict=True))
    assert guard.record is not None
    assert guard.record.clipped_steps == 0


def test_completed_trial_says_that_its_steps_were_clipped(tmp_path: Path) -> None:
    """In the column, and in the summary."""
    x, y = spiky()

    def sgd(hp: Any) -> Any:
        hp.Int("units", 4, 64)
        return model(optimizer=keras.optimizers.SGD(1e-4))

    tuner = tuner_of(tmp_path, sgd, objective="loss", max_trials=2)
    tuner.search(x, y, shuffle=False, epochs=1, verbose=0)
    report = tuner.report()
    assert list(report.trials.status) == ["completed"] * 2
    assert (report.trials.clipped_steps > 0).all()
    assert "Steps were clipped in 2 completed trials; Policy(clip=None)" in report.summary()


# Labels that never suit


def test_values_with_mismatched_labels_are_never_offered_as_such(tmp_path: Path) -> None:
    """Labels 1 and 2 under a binary crossentropy: one warning at once, and the word beside them."""
    x = rows()
    y = (x[:, 0] > 0).astype("float32") + 1

    def binary(hp: Any) -> Any:
        layers = [keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")]
        made = keras.Sequential(layers)
        rate = hp.Float("lr", 1e-4, 1e-2)
        made.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        return made

    tuner = tuner_of(tmp_path, binary, max_trials=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuner.search(x, y, validation_split=0.2, epochs=3, verbose=0)
    told = [w for w in caught if issubclass(w.category, InstabilityWarning)]
    assert len(told) == 1
    assert "its objective is meaningless" in str(told[0].message)
    report = tuner.report()
    assert list(report.trials.status) == ["completed"] * 3  # never hopeless
    summary = " ".join(report.summary().split())
    assert "come from mismatched labels" in summary
    assert "takes labels in 0..1, these are 1..2" in summary


# Reports


def trial(number: int, cause: str | None = None, **more: Any) -> TrialRecord:
    """A record."""
    status = "failed" if cause else "completed"
    return TrialRecord(
        trial_id=str(number),
        number=number,
        status=status,
        unstable=cause is not None,
        cause=cause,
        **more,
    )


def test_verdict_names_all_causes_before_the_region() -> None:
    """The most frequent first."""
    causes = ["unscaled_data"] * 6 + ["unsafe_loss"] * 5 + ["code_error"] * 4 + [None] * 15
    report = Report.from_records([trial(n, cause) for n, cause in enumerate(causes)])
    assert report.verdict.startswith(
        "15 of 30 trials failed: unscaled data 6, unsafe loss 5, code error 4."
    )


def test_advice_that_all_trials_share_is_printed() -> None:
    """Also where it was taken over from another trial; else the general one is."""
    given = ["Map them to 0 and 1.", "As trial 0: Map them to 0 and 1."]
    records = [trial(n, "label_mismatch", advice=text) for n, text in enumerate(given)]
    report = Report.from_records(records)
    assert report.causes.advice.iloc[0] == "Map them to 0 and 1."
    assert report.verdict.endswith("Map them to 0 and 1.")
    differing = [*records, trial(2, "label_mismatch", advice="Another one.")]
    general = Report.from_records(differing).causes.advice.iloc[0]
    assert general == FailureCause.LABEL_MISMATCH.advice


def test_lines_for_one_parameter_are_merged_in_the_order_of_the_script() -> None:
    """Two regions of one number give one line, and what is asked for first is printed first."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(400):
        params = {"layers": int(rng.integers(1, 9)), "units": float(2 ** rng.uniform(3, 10))}
        bad = params["units"] > 400 or params["units"] < 16 or params["layers"] > 6
        cause = "divergent_learning_rate" if bad else None
        records.append(trial(number, cause, params=params))
    report = Report.from_records(records)
    suggestions = report.suggest_space()
    units = {s.keras_tuner for s in suggestions if s.keras_tuner.startswith("units = ")}
    assert len([s for s in suggestions if s.keras_tuner.startswith("units = ")]) == 2
    assert len(units) == 1
    summary = report.summary()
    assert summary.count("units = hp.") == 1
    assert summary.index("layers = hp.") < summary.index("units = hp.")
    space = keras_tuner.HyperParameters()
    for line in re.findall(r"^\w+ = hp\..*$", summary, re.MULTILINE):
        exec(line, {"hp": space})
    assert {hp.name for hp in space.space} == {"layers", "units"}
    optuna_lines = [s.optuna for s in sorted(suggestions, key=lambda s: s.place)]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        variables: dict[str, Any] = {"trial": study.ask(), "optuna": optuna}
        exec("\n".join(dict.fromkeys(optuna_lines)), variables)
        assert 15 < variables["units"] < 410
        assert variables["layers"] <= 6


def test_number_of_files_that_were_not_read_is_told(tmp_path: Path) -> None:
    """And a record whose id is another trial's does not replace that one: the folder counts."""
    tuner = tuner_of(tmp_path, objective="loss", max_trials=3)
    tuner.search(rows(), rows().sum(1), epochs=1, verbose=0)
    project = Path(tuner.project_dir)
    first, second, third = (project / f"trial_{n}" / "robusttune.json" for n in range(3))
    second.write_text(first.read_text())
    third.write_text("{")
    report = Report.from_directory(project)
    assert list(report.trials.trial_id) == ["0", "1", "2"]
    assert "1 could not be read" in report.summary()


def test_folder_that_only_looks_like_a_project_is_a_bad_source(tmp_path: Path) -> None:
    """A report of 0 trials would say that all is well."""
    (tmp_path / "trial_notes").mkdir()
    (tmp_path / "trial_notes" / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="is not a Keras Tuner project"):
        Report.from_directory(tmp_path)


# Keras Tuner's own corners


class Locked(keras.callbacks.Callback):
    """Holds a lock, which cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Count."""
        with self.lock:
            self.epochs += 1


def test_callback_that_cannot_be_copied_is_shared(tmp_path: Path) -> None:
    """With a warning that says how each trial gets its own; the others are copied as ever."""
    locked = Locked()
    stopping = keras.callbacks.EarlyStopping("loss", patience=9)
    tuner = tuner_of(tmp_path, objective="loss", max_trials=2)
    with pytest.warns(RobustTuneWarning, match="__deepcopy__"):
        tuner.search(rows(), rows().sum(1), epochs=2, verbose=0, callbacks=[locked, stopping])
    assert locked.epochs == 4
    assert not hasattr(stopping, "best") or stopping.model is None


def test_project_of_another_tuner_is_the_error_of_keras_tuner(tmp_path: Path) -> None:
    """A RuntimeError with its words, and one of ours; a full disk is an OSError only."""
    tuner_of(tmp_path, objective="loss", max_trials=1).search(
        rows(), rows().sum(1), epochs=1, verbose=0
    )
    with pytest.raises(OtherProjectError, match="pass `overwrite=True`") as caught:
        robusttune.BayesianOptimization(build, objective="loss", directory=str(tmp_path))
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, StoreError)
    assert not issubclass(StoreError, RuntimeError)


def test_exception_that_names_the_value_is_no_reason_to_give_up() -> None:
    """It differs with a hyperparameter's value, so it depends on it."""

    def failing(number: int, error: str) -> TrialRecord:
        params = {"layers": number % 7, "kind": "ab"[number % 2]}
        return trial(number, "code_error", error=error, params=params)

    named = [failing(n, f"KeyError: no such layer {n % 7}") for n in range(12)]
    assert why_hopeless(named, 5) is None
    words = [failing(n, f"KeyError: '{'ab'[n % 2]}'") for n in range(12)]
    assert why_hopeless(words, 5) is None
    same = [failing(n, f"KeyError: 'units' at 0x{n}") for n in range(12)]
    assert why_hopeless(same, 5) is not None


def test_units_from_zero_by_default_are_mended(tmp_path: Path) -> None:
    """Keras Tuner builds with the lower bound first, and dies of it, or trains nothing."""

    def zero(hp: Any) -> Any:
        units = hp.Int("units", 0, 256, step=32)
        made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
        made.compile("sgd", "mse")
        return made

    with pytest.warns(
        robusttune.SearchSpaceWarning, match="cannot be built with 0|must be at least 1"
    ):
        tuner = tuner_of(tmp_path, zero, objective="loss", max_trials=1)
    (units,) = tuner.oracle.hyperparameters.space
    assert (units.min_value, units.step) == (32, 32)
    assert list(tuner.report().adjustments.parameter) == ["units"]

    def optional(hp: Any) -> Any:
        units = hp.Int("units", 0, 64, step=32)
        hidden = [keras.layers.Dense(units)] if units else []
        made = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])
        made.compile("sgd", "mse")
        return made

    kept = tuner_of(tmp_path / "kept", optional, objective="loss", max_trials=1)
    assert kept.oracle.hyperparameters.space[0].min_value == 0


def test_lack_of_memory_is_one_line(tmp_path: Path, caplog: Any) -> None:
    """The record says all that 30 lines of a traceback would."""

    def huge(hp: Any) -> Any:
        if hp.Int("units", 4, 64) > 0 and hp.Choice("go", [False, True]):
            raise MemoryError("Unable to allocate 80 GiB")
        return build(hp)

    tuner = tuner_of(tmp_path, huge, objective="loss", max_trials=4)
    tuner.search(rows(), rows().sum(1), epochs=1, verbose=0)
    told = [r for r in caplog.records if "out_of_memory" in r.getMessage()]
    assert told
    assert all(record.exc_info in (None, False) for record in told)


def test_rate_of_a_gan_is_named_by_its_hyperparameter(tmp_path: Path) -> None:
    """Two optimizers: the advice says which rate, the evidence has the model's own losses."""

    class Gan(keras.Model):
        def __init__(self, one: float, other: float) -> None:
            super().__init__()
            self.g, self.d = keras.layers.Dense(4), keras.layers.Dense(1)
            self.g_optimizer = keras.optimizers.SGD(one)
            self.d_optimizer = keras.optimizers.SGD(other)

        def call(self, x: Any) -> Any:
            return self.d(self.g(x))

        def train_step(self, x: Any) -> Any:
            with tf.GradientTape(persistent=True) as tape:
                d_loss = tf.reduce_mean(tf.square(self(x) - 1.0))
                g_loss = tf.reduce_mean(tf.square(self.g(x)))
            for part, loss, optimizer in (
                (self.g, g_loss, self.g_optimizer),
                (self.d, d_loss, self.d_optimizer),
            ):
                weights = part.trainable_weights
                optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"d_loss": d_loss, "g_loss": g_loss}

    def gan(hp: Any) -> Any:
        made = Gan(hp.Float("lr_g", 1e-3, 2e-3), hp.Float("lr_d", 40.0, 50.0))
        made.compile(optimizer="sgd")
        made(rows(1))
        return made

    tuner = tuner_of(
        tmp_path,
        gan,
        objective=keras_tuner.Objective("d_loss", "min"),
        max_trials=1,
        policy=Policy(diagnosis_seconds=60.0, sanitize="off"),
    )
    tuner.search(rows(), epochs=20, verbose=0)
    row = tuner.report().trials.iloc[0]
    assert row.cause == "divergent_learning_rate"
    assert "(lr_d)" in row.advice
    assert "g_loss" in row.evidence


def test_optuna_trial_without_a_worker_is_enqueued_again(tmp_path: Path) -> None:
    """Optuna has no isolated trials; what its own retry callback repeats is said so."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage)

    def dies(trial: Any) -> float:
        trial.suggest_float("x", 0, 1)
        raise KeyboardInterrupt

    lost = study.ask()
    lost.suggest_float("x", 0, 1)
    from robusttune.optuna._host import StudyRun

    StudyRun(lost, Policy(), whole=True)
    storage.set_trial_state_values(lost._trial_id, optuna.trial.TrialState.FAIL)
    row = Report.from_study(study).trials.iloc[0]
    assert row.cause == "crashed"
    assert "study.enqueue_trial(" in row.advice
    assert "isolate" not in row.advice
    frozen = study.trials[0]
    attrs = {"failed_trial": 0, "retry_history": [0]}
    again = optuna.trial.create_trial(
        params=frozen.params, distributions=frozen.distributions, value=1.0, system_attrs=attrs
    )
    study.add_trial(again)
    assert "Trial 1 repeats it" in Report.from_study(study).trials.advice.iloc[0]


# All that is named exists


PACKAGE = Path(robusttune.__file__).parent
_DOTTED = re.compile(
    r"(?<![\w.])((?:robusttune|keras_tuner|keras|optuna|study)(?:\.[A-Za-z_]\w*)+)"
)
_OPTION = re.compile(r"\bPolicy\((\w+)=")
_CHECK = re.compile(r"check_data\(([^)]*)\)")


def texts(path: Path) -> Iterator[str]:
    """The texts in a module that people may read: not its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def exists(name: str) -> bool:
    """Whether a dotted name leads to something; `study` is an optuna.Study."""
    root, *parts = name.split(".")
    found: Any = optuna.Study if root == "study" else importlib.import_module(root)
    for i, part in enumerate(parts):
        if root == "study" and i == 0 and part == "trials":
            return True
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join([root, *parts[: i + 1]]))
            except ImportError:
                return False
        found = getattr(found, part)
    return True


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_names_in_texts_exist() -> None:
    """Functions, classes and options that any text names."""
    options = {field.name for field in fields(Policy)}
    arguments = {"x", "y", "validation_data=validation_data"}
    for path in MODULES:
        for text in texts(path):
            module = text.startswith("robusttune.") and " " not in text
            if {"_compat", "_moved.py"} & {*path.parts} or module:
                continue  # module: a logger, or one that is imported by its name
            for name in _DOTTED.findall(text):
                assert exists(name), (path.name, name)
            assert set(_OPTION.findall(text)) <= options, (path.name, text)
            for given in _CHECK.findall(text):
                assert {part.strip() for part in given.split(",")} <= arguments, (path.name, text)


_FOREIGN = {
    "optuna": re.compile(r"keras_tuner|\bsearch\(\)|isolate|FailedTrialError|\btuner\b"),
    "_keras_tuner": re.compile(r"\bstudy\b|\boptuna\b|TrialGuard|TrialPruned"),
    "_diagnosis": re.compile(r"keras_tuner|optuna|\bstudy\b|isolate|\bcolumn named|error column"),
}


@pytest.mark.parametrize("folder", sorted(_FOREIGN))
def test_texts_speak_to_their_own_host(folder: str) -> None:
    """No advice names what another host has; what all hosts share names none of theirs."""
    paths = sorted((PACKAGE / folder).rglob("*.py"))
    assert paths
    for path in paths:
        if path.name.lstrip("_") in ("stored_names.py", "parameters.py", "files.py"):
            continue
        for text in texts(path):
            if " " in text and not text.startswith(("robusttune", "import ")):
                assert not _FOREIGN[folder].search(text), (path.name, text)


@pytest.mark.parametrize("cause", FailureCause)
def test_general_advice_suits_every_host(cause: FailureCause) -> None:
    """It is printed for all of them."""
    assert not _FOREIGN["_diagnosis"].search(cause.advice)
    assert not _OPTION.search(cause.advice)
