"""Several trials at once on this machine, in child processes of which one dies.

`python examples/parallel.py` runs two trials at a time; the one with 40 units takes its process
down, as a segmentation fault would, and is the only one that fails. It takes half a minute and
prints:

    1 of 8 trials failed: crashed. Find out why the process died (out of memory, a signal) before
    you run the trial again.
    trial 2: failed, The trial's process: it ended with exit code 139.
    2 processes and more ran the trials, and the search's own was none of them: True

On a machine with more cores or GPUs say `n_jobs="auto"`. The page "More than one trial at a time"
of the documentation has the rest.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import keras
import keras_tuner
from sklearn.datasets import load_diabetes

import robusttune

x, y = load_diabetes(return_X_y=True, scaled=True)
y = (y - y.mean()) / y.std()


class Model(keras_tuner.HyperModel):
    """A small regression model, whose fit notes the process that it runs in."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build a model."""
        units = hp.Int("units", 8, 64, step=8)
        rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
        layers = [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((10,)), *layers])
        model.compile(keras.optimizers.Adam(rate), "mse")
        return model

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Train a model; where it has 40 units, the process ends."""
        history = model.fit(*args, **kwargs)
        if hp.get("units") == 40:
            os._exit(139)
        return {"val_loss": min(history.history["val_loss"]), "pid": float(os.getpid())}


def main() -> None:
    """Search, and show what failed and where the trials ran."""
    tuner = robusttune.RandomSearch(
        Model(),
        keras_tuner.Objective("val_loss", "min"),
        max_trials=8,
        seed=1,
        directory=tempfile.mkdtemp(),
        policy=robusttune.Policy(n_jobs=2),
    )
    tuner.search(x, y, validation_split=0.2, epochs=5, verbose=0)
    report = tuner.report()
    print(report.verdict)
    for trial in report.failures.itertuples():
        print(f"trial {trial.trial_id}: {trial.status}, {trial.error}")
    pids = {t.metrics.get_best_value("pid") for t in tuner.oracle.get_best_trials(8)}
    others = len(pids) >= 2 and os.getpid() not in pids
    print(f"2 processes and more ran the trials, and the search's own was none of them: {others}")


if __name__ == "__main__":
    main()
