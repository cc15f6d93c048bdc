"""The skill of a fit: a fact for healthy and failing trials alike, on every host."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.layers import Dense

import robusttune
from robusttune import Report, TrialRecord
from robusttune._diagnosis.reference.skill import skill
from robusttune._diagnosis.trace import Batch, FitTrace
from tests.zoo import stack

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 4)).astype("float32")
Y = (X[:, :1] * 3 + 2).astype("float32")


def compiled(*layers: Any, loss: Any = "mse", rate: float = 0.01) -> keras.Model:
    """A small model."""
    keras.utils.set_random_seed(1)
    return stack(*layers, inputs=4, optimizer=keras.optimizers.Adam(rate), loss=loss)


def fitted(model: keras.Model, x: Any = X, y: Any = Y, **fit: Any) -> tuple[TrialRecord, float]:
    """Return the record of a fit, and its last loss."""
    guard = robusttune.Guard()
    history = model.fit(x, y, verbose=0, callbacks=[guard], **{"epochs": 6, **fit}).history
    assert guard.record is not None
    return guard.record, history["loss"][-1]


def test_skill_is_one_minus_loss_by_that_of_the_best_constant() -> None:
    """Of the last epoch, on a healthy fit, and it survives the JSON."""
    record, loss = fitted(compiled(Dense(16, "relu"), Dense(1)))
    assert record.skill == pytest.approx(1 - loss / Y.var(), abs=1e-3)
    assert not record.unstable
    assert TrialRecord.from_json(record.to_stored_json()).skill == record.skill


def test_skill_leaves_penalties_out() -> None:
    """Those on weights, and those on activations, which only a step knows."""
    for where in ({"kernel_regularizer": "l2"}, {"activity_regularizer": "l2"}):
        model = compiled(Dense(16, "relu", **where), Dense(1), rate=0.003)
        record, loss = fitted(model, epochs=30)
        data_loss = float(np.mean((model.predict(X, verbose=0) - Y) ** 2))
        assert loss > 1.2 * data_loss
        assert record.skill == pytest.approx(1 - data_loss / Y.var(), abs=0.02)


def test_skill_counts_class_weights() -> None:
    """A constant prediction is weighted as the training was."""
    y = (X[:, 0] > 1).astype("float32")
    model = compiled(Dense(1, "sigmoid"), loss="binary_crossentropy", rate=1e-7)
    model.set_weights([np.zeros((4, 1)), np.zeros(1)])  # 1/2 everywhere
    record, loss = fitted(model, y=y, epochs=1, class_weight={0: 1.0, 1: 8.0})
    weights = np.where(y > 0, 8.0, 1.0)
    share = (weights * y).sum() / weights.sum()
    best = -(share * np.log(share) + (1 - share) * np.log(1 - share)) * weights.mean()
    assert record.skill == pytest.approx(1 - loss / best, abs=1e-3)
    assert record.skill < 0


def test_skill_of_few_rows_is_known_where_they_are_all_there_are() -> None:
    """Four rows of XOR are the data; of single rows as many are kept as tell."""
    record, loss = fitted(compiled(Dense(1)), X[:4], Y[:4])
    assert record.skill == pytest.approx(1 - loss / Y[:4].var(), abs=1e-3)
    record, _ = fitted(compiled(Dense(1)), batch_size=1, epochs=1)
    assert record.skill is not None


def test_skill_of_datasets_and_several_outputs() -> None:
    """Targets of the kept batches, by output."""
    import tensorflow as tf

    x = keras.Input((4,))
    model = keras.Model(x, {"a": Dense(1, name="a")(x), "b": Dense(1, name="b")(x)})
    model.compile(keras.optimizers.Adam(0.01), {"a": "mse", "b": "mae"})
    data = tf.data.Dataset.from_tensor_slices((X, {"a": Y, "b": Y})).batch(64)
    record, loss = fitted(model, data, None)
    best = Y.var() + np.abs(Y - np.median(Y)).mean()
    assert record.skill == pytest.approx(1 - loss / best, abs=1e-3)


def test_skill_is_empty_where_there_is_none() -> None:
    """No completed epoch, constant targets, the user's own loss."""
    record, _ = fitted(compiled(Dense(1), rate=1e30), epochs=2)
    assert record.unstable
    assert record.skill is None
    assert fitted(compiled(Dense(1)), y=np.ones_like(Y))[0].skill is None
    own = compiled(Dense(1), loss=lambda y, p: keras.ops.mean(keras.ops.abs(y - p)))
    assert fitted(own)[0].skill is None


def test_skill_of_a_fit_that_diverged_is_that_of_its_last_completed_epoch() -> None:
    """What came after is in its symptom."""
    model = compiled(Dense(1))
    trace = FitTrace(
        first_batches=[Batch(X, Y)], epoch_logs=[{"loss": 1.0}], steps_per_epoch=8, epochs=3
    )
    assert skill(model, trace) == pytest.approx(1 - 1 / Y.var(), rel=1e-3)


def test_skill_of_trials_of_both_hosts(tmp_path: Path) -> None:
    """A column of the report, also of trials that ran in a process of their own."""
    import keras_tuner
    import optuna

    def build(hp: Any) -> keras.Model:
        hp.Float("rate", 0.001, 0.01)
        return compiled(Dense(1))

    for isolate in (False, True):
        tuner = robusttune.RandomSearch(
            build,
            objective=keras_tuner.Objective("loss", "min"),
            max_trials=1,
            directory=str(tmp_path / str(isolate)),
            policy=robusttune.Policy(isolate=isolate),
        )
        tuner.search(X, Y, epochs=1, verbose=0)
        assert tuner.report().trials.skill.notna().all()

    from robusttune.optuna import TrialGuard, robust

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("rate", 0.001, 0.01)
        history = compiled(Dense(1)).fit(X, Y, verbose=0, callbacks=[TrialGuard(trial)])
        return float(history.history["loss"][-1])

    for each in (objective, robust(objective)):
        study = optuna.create_study()
        study.optimize(each, n_trials=1)
        assert Report.from_study(study).trials.skill.notna().all()


def test_report_says_how_many_ended_worse_than_a_constant() -> None:
    """In the summary and on the page, and nothing where none did."""
    kept = {"status": "completed", "value": 1.0}
    records = [TrialRecord(trial_id=str(n), number=n, skill=n - 1.5, **kept) for n in range(4)]
    said = "2 of 4 trials ended worse than a constant prediction."
    report = Report.from_records(records)
    assert said in report.summary()
    assert said in report.html()
    assert list(report.trials.skill) == [-1.5, -0.5, 0.5, 1.5]
    assert "constant prediction." not in Report.from_records(records[2:]).summary()
    file = io.StringIO()
    report.trials.to_csv(file)
    assert ",skill" in file.getvalue()
