"""A tuner of your own, made robust: cross-validation in `run_trial`, as Keras Tuner's guide has it.

`robusttune.robust` takes any subclass of `keras_tuner.Tuner`; its hooks need no `super()`. The
guard is in each of the fits that `run_trial` makes. Run it with `python examples/custom_tuner.py`;
it takes a quarter of a minute and prints:

       params_rate     status                    cause  value
    0         6.67     failed  divergent_learning_rate   <NA>
    1      0.00879  completed                     <NA>  0.684
    2         1.49     failed  divergent_learning_rate   <NA>
    3      0.00807  completed                     <NA>  0.703
    best: {'units': 16, 'rate': 0.008794119422257399}
"""

from __future__ import annotations

import logging
import tempfile
from typing import Any

import keras
import keras_tuner
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold

import robusttune

x, y = load_diabetes(return_X_y=True, scaled=True)
x, y = (x / x.std(axis=0)).astype("float32"), ((y - y.mean()) / y.std()).astype("float32")


class CrossValidation(keras_tuner.Tuner):
    """Scores a trial by its mean loss over the folds."""

    def run_trial(self, trial: Any, x: Any, y: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Return the mean validation loss of three fits."""
        losses = []
        for train, test in KFold(3, shuffle=True, random_state=0).split(x):
            model = self.hypermodel.build(trial.hyperparameters)
            model.fit(x[train], y[train], **fit_kwargs)
            losses.append(model.evaluate(x[test], y[test], verbose=0))
        return {"val_loss": float(np.mean(losses))}


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A small regression model; plain SGD diverges at high learning rates."""
    units = hp.Int("units", 8, 64, step=8)
    model = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 10.0, sampling="log")), "mse")
    return model


def main() -> None:
    """Search, and show what failed and why."""
    keras.utils.set_random_seed(0)
    tuner = robusttune.robust(CrossValidation)(  # was: CrossValidation(
        oracle=keras_tuner.oracles.RandomSearchOracle(
            objective=keras_tuner.Objective("val_loss", "min"), max_trials=4, seed=1
        ),
        hypermodel=build,
        directory=tempfile.mkdtemp(),
        policy=robusttune.Policy(keep={"rate"}),  # the space as it is, so that some trials fail
    )
    tuner.search(x, y, epochs=5, verbose=0)
    shown = tuner.report().trials[["params_rate", "status", "cause", "value"]]
    print(shown.to_string(float_format="{:.3g}".format))
    print(f"best: {tuner.get_best_hyperparameters()[0].values}")


if __name__ == "__main__":
    logging.getLogger("robusttune").setLevel(logging.ERROR)  # the table below says it all
    main()
