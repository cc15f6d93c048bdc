"""What type checkers tell a user: no error here, and no Any where robusttune knows better."""

from typing import Any, assert_type

import keras
import keras_tuner
import optuna
import pandas

import robusttune
import robusttune.optuna
from robusttune import Guard, Policy, Report, TrialRecord
from robusttune.optuna import TrialGuard, optimize, records_of


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Return a model."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    rate: Any = hp.Float("rate", 1e-4, 1.0, sampling="log")
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


class MyTuner(keras_tuner.RandomSearch):
    """A tuner of the user's own."""


def search() -> None:
    """Search with Keras Tuner."""
    policy = Policy(clip=1.0, n_jobs=2)
    tuner = robusttune.RandomSearch(build, "val_loss", max_trials=3, seed=1, policy=policy)
    tuner.search([[0.0] * 4], [0.0], epochs=2)
    assert_type(tuner, robusttune.RandomSearch)
    assert_type(tuner.report(), Report)
    assert_type(tuner.report().trials, pandas.DataFrame)
    assert_type(tuner.report().records, tuple[TrialRecord, ...])
    assert_type(robusttune.robust(MyTuner)(build, "val_loss", policy=policy).report(), Report)
    assert_type(robusttune.Hyperband(build, "loss", max_epochs=9).robust_policy, Policy)


def study() -> None:
    """Search with Optuna."""

    @robusttune.optuna.robust
    def objective(trial: optuna.Trial) -> float:
        build_model: keras.Model = build(keras_tuner.HyperParameters())
        build_model.fit([[0.0] * 4], [0.0], callbacks=[TrialGuard(trial)])
        return trial.suggest_float("rate", 0.0, 1.0)

    assert_type(objective.policy, Policy)
    made = optuna.create_study()
    optimize(made, objective, n_trials=3, n_jobs=2)
    assert_type(records_of(made), list[TrialRecord])
    assert_type(Report.from_study(made), Report)


def fit(model: keras.Model) -> None:
    """Fit."""
    guard = Guard()
    model.fit([[0.0] * 4], [0.0], callbacks=[guard])
    assert_type(guard.record, TrialRecord | None)
    assert_type(robusttune.diagnose(model, [[0.0] * 4], [0.0]), TrialRecord)
