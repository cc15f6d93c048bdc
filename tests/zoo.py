"""The small Keras models that many tests train, each compiled."""

from __future__ import annotations

from typing import Any

import keras
from keras.layers import Dense


def stack(
    *layers: Any,
    inputs: int = 10,
    optimizer: Any = "adam",
    loss: Any = "mse",
    seed: int | None = None,
    **compile_args: Any,
) -> keras.Model:
    """A Sequential of layers; with a seed its initial weights are always the same."""
    if seed is not None:
        keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((inputs,)), *layers])
    model.compile(optimizer, loss, **compile_args)
    return model


def linear(
    rate: float = 1e-3, *, inputs: int = 10, optimizer: str = "SGD", loss: Any = "mse"
) -> keras.Model:
    """A linear regression."""
    by = getattr(keras.optimizers, optimizer)(rate)
    return stack(Dense(1), inputs=inputs, optimizer=by, loss=loss)


def hidden(
    rate: float = 0.01, optimizer: str = "SGD", loss: Any = "mse", *middle: Any, **compile_args: Any
) -> keras.Model:
    """A regression with one hidden layer of 16 units, always with the same initial weights."""
    layers = (Dense(16, activation="relu"), *middle, Dense(1))
    by = getattr(keras.optimizers, optimizer)(rate)
    return stack(*layers, optimizer=by, loss=loss, seed=1, **compile_args)
