"""The swap: kt.RandomSearch becomes robusttune.RandomSearch, and nothing else changes.

The diabetes table of scikit-learn as it was measured, unscaled; learning rates from 1e-4 to 10:
some of these trials diverge, and most of the others learn nothing. Run it with
`python examples/drop_in.py`; it takes half a minute and prints:

    1 of 8 trials failed and 6 more were unstable; 6 of them: unscaled data. Standardize the
    inputs (a Normalization layer, or StandardScaler) and, in regression, the targets.

    cause                    trials  time lost  what to do
    unscaled_data                 6       24 s  Standardize the inputs (a Normalization layer,
                                                or StandardScaler) and, in regression, the
                                                targets.
    divergent_learning_rate       1      3.1 s  Lower the upper bound of the learning rate, by
                                                a factor of 10 at first, or warm it up.

    8 trials are too few to tell which hyperparameters make them fail.
       params_rate              symptom                    cause  epoch  step
    0     6.027974  non_finite_gradient  divergent_learning_rate      0     2
    1     0.001514              stalled            unscaled_data   <NA>  <NA>
    3      0.00136              stalled            unscaled_data   <NA>  <NA>
    4     0.071947              stalled            unscaled_data   <NA>  <NA>
    5     0.023597              stalled            unscaled_data   <NA>  <NA>
    6     0.000342              stalled            unscaled_data   <NA>  <NA>
    7     0.006421              stalled            unscaled_data   <NA>  <NA>
"""

from __future__ import annotations

import tempfile

import keras
import keras_tuner
from sklearn.datasets import load_diabetes

import robusttune

x, y = load_diabetes(return_X_y=True, scaled=False)


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A small regression model."""
    model = keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(hp.Int("units", 8, 64, step=8), activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-4, 10.0, sampling="log")), "mse")
    return model


def main() -> None:
    """Search, and show what failed and why."""
    tuner = robusttune.RandomSearch(  # was: keras_tuner.RandomSearch
        build, objective="val_loss", max_trials=8, seed=1, directory=tempfile.mkdtemp()
    )
    tuner.search(x, y, validation_split=0.2, epochs=5, verbose=0)
    print(tuner.report().summary(width=90))
    print(tuner.report().failures[["params_rate", "symptom", "cause", "epoch", "step"]])


if __name__ == "__main__":
    main()
