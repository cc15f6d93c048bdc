"""Tune a Keras network for handwritten digits with Optuna, in a space of which a part fails.

The data ships with scikit-learn. The two lines that robusttune needs are marked; everything else
is an ordinary Optuna study with Optuna's own pruning.

    python examples/optuna_keras.py [n_trials] [report.html]

It takes a minute at most, leaves failures.csv in the current folder, and prints:

    1 of 20 trials failed and 2 more were unstable; 3 of them where units_0 * learning_rate >
    7: divergent learning rate. Keep units_0 * learning_rate below 7.

    cause                    trials  time lost  what to do
    divergent_learning_rate       3       20 s  Lower the upper bound of the learning rate, by
                                                a factor of 10 at first, or warm it up.

    unstable region              failed      p  cause
    units_0 * learning_rate > 7  3 of 5  0.025  divergent_learning_rate

    To exclude units_0 * learning_rate > 7
    learning_rate = trial.suggest_float('learning_rate', 0.0001, min(10, 7 / units_0), log=True)

    Adjusted in the search space: learning_rate (high 1000.0 -> 10.0).
    best accuracy 0.956, in trial 19
"""

from __future__ import annotations

import sys

import keras
import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from robusttune import Report
from robusttune.optuna import CrashAwareSampler, FailureReportCallback, TrialGuard, robust

EPOCHS = 6
X, Y = load_digits(return_X_y=True)
X_TRAIN, X_VALID, Y_TRAIN, Y_VALID = train_test_split(
    X.astype("float32") / 16, Y, test_size=0.3, random_state=0, stratify=Y
)


class Prune(keras.callbacks.Callback):
    """Report the validation accuracy of each epoch to the pruner."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """End the trial where the pruner says so."""
        self.trial.report((logs or {})["val_accuracy"], epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def build(trial: optuna.Trial) -> keras.Model:
    """Return the network of a trial; high learning rates and plain SGD diverge."""
    layers: list[keras.layers.Layer] = [keras.Input((64,))]
    for i in range(trial.suggest_int("layers", 1, 4)):
        units = trial.suggest_int(f"units_{i}", 8, 128, log=True)
        layers.append(keras.layers.Dense(units, activation="relu"))
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    rate = trial.suggest_float("learning_rate", 1e-4, 1e3, log=True)
    kind = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    optimizer = keras.optimizers.SGD(rate) if kind == "sgd" else keras.optimizers.Adam(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def objective(trial: optuna.Trial) -> float:
    """Return the validation accuracy."""
    keras.utils.set_random_seed(trial.number)
    model = build(trial)
    model.fit(
        X_TRAIN,
        Y_TRAIN,
        validation_data=(X_VALID, Y_VALID),
        epochs=EPOCHS,
        batch_size=64,
        verbose=0,
        callbacks=[TrialGuard(trial), Prune(trial)],  # was: callbacks=[Prune(trial)]
    )
    accuracy: float = model.evaluate(X_VALID, Y_VALID, verbose=0)[1]
    return accuracy


def main(n_trials: int = 20, html: str | None = None) -> None:
    """Run the study, and say what failed and why."""
    sampler = CrashAwareSampler(optuna.samplers.TPESampler(seed=0))  # or leave the sampler as it is
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(
        robust(objective),  # was: objective
        n_trials=n_trials,
        callbacks=[FailureReportCallback("failures.csv")],
    )
    report = Report.from_study(study)
    print(report.summary(width=90))
    print(f"best accuracy {study.best_value:.3f}, in trial {study.best_trial.number}")
    if html is not None:
        report.to_html(html)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
