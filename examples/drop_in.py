"""The swap: kt.RandomSearch becomes robusttune.RandomSearch, and nothing else changes.

The diabetes table of scikit-learn as it was measured, unscaled; learning rates from 1e-4 to 10:
most of these trials diverge. Run it with `python examples/drop_in.py`; it takes half a minute.
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
    print(tuner.report().summary())
    print(tuner.report().failures[["params_rate", "symptom", "cause", "epoch", "step"]])


if __name__ == "__main__":
    main()
