"""What several held-out trials are made of."""

# ruff: noqa: D102 - as Keras has them

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def stack(x: np.ndarray, *after: Any) -> keras.Sequential:
    """Layers in a row, for the shape of x."""
    return keras.Sequential([keras.Input(x.shape[1:]), *after])


class OwnStep(keras.Model):
    """A small net that only its own train_step knows the loss of.

    Args:
        own_loss: Takes (y, predictions), both of shape (rows,).
        final: Initializer of the last layer.
    """

    def __init__(self, own_loss: Callable[[Any, Any], Any], final: str = "glorot_uniform") -> None:
        super().__init__()
        self.own_loss = own_loss
        self.hidden = layers.Dense(32, "relu")
        self.out = layers.Dense(1, kernel_initializer=final)
        self.mean = keras.metrics.Mean(name="loss")

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.own_loss(y, self(x)[:, 0]))
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.mean.update_state(loss)
        return {"loss": self.mean.result()}


class Gan(keras.Model):
    """Two nets with an optimizer each, in a train_step of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.g = keras.Sequential([keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(2)])
        self.d = keras.Sequential([keras.Input((2,)), layers.Dense(16, "relu"), layers.Dense(1)])

    def compile(self, generator: Any, discriminator: Any) -> None:
        super().compile(optimizer=generator)
        self.do = discriminator
        self.bce = keras.losses.BinaryCrossentropy(from_logits=True)

    def call(self, x: Any) -> Any:
        return self.d(x)

    def train_step(self, real: Any) -> dict[str, Any]:
        n = tf.shape(real)[0]
        with tf.GradientTape() as t:
            f = self.g(tf.random.normal((n, 4)))
            lr, lf = self.d(real), self.d(f)
            dl = self.bce(tf.ones_like(lr), lr) + self.bce(tf.zeros_like(lf), lf)
        self.do.apply_gradients(
            zip(t.gradient(dl, self.d.trainable_variables), self.d.trainable_variables, strict=True)
        )
        with tf.GradientTape() as t:
            lf = self.d(self.g(tf.random.normal((n, 4))))
            gl = self.bce(tf.ones_like(lf), lf)
        self.optimizer.apply_gradients(
            zip(t.gradient(gl, self.g.trainable_variables), self.g.trainable_variables, strict=True)
        )
        return {"g_loss": gl, "d_loss": dl}
