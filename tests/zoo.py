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
    **compile_args: Any,
) -> keras.Model:
    """A Sequential of layers; layers draw their seeds when they are made."""
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
    keras.utils.set_random_seed(1)
    layers = (Dense(16, activation="relu"), *middle, Dense(1))
    by = getattr(keras.optimizers, optimizer)(rate)
    return stack(*layers, optimizer=by, loss=loss, **compile_args)
