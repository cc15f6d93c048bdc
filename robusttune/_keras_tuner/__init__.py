"""Keras Tuner's tuners, made robust; each has the signature of its namesake, plus `policy`.

Names are made when they are first touched: a stored project is read without Keras Tuner. What type
checkers see of them is in the stub beside this file.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BayesianOptimization",
    "GridSearch",
    "Hyperband",
    "RandomSearch",
    "SklearnTuner",
    "robust",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'robusttune._keras_tuner' has no attribute {name!r}")
    import keras_tuner

    from robusttune._keras_tuner.adapter import robust

    value = robust if name == "robust" else robust(getattr(keras_tuner, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
