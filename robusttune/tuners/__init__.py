"""Keras Tuner's tuners, made robust; each has the signature of its namesake, plus `policy`."""

from __future__ import annotations

import keras_tuner

from robusttune.tuners.adapter import robust

BayesianOptimization = robust(keras_tuner.BayesianOptimization)
GridSearch = robust(keras_tuner.GridSearch)
Hyperband = robust(keras_tuner.Hyperband)
RandomSearch = robust(keras_tuner.RandomSearch)
SklearnTuner = robust(keras_tuner.SklearnTuner)

__all__ = [
    "BayesianOptimization",
    "GridSearch",
    "Hyperband",
    "RandomSearch",
    "SklearnTuner",
    "robust",
]
