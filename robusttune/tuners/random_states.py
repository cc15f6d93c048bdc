"""The random states that a trial draws from, to be handed from process to process."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np


def random_states() -> dict[str, Any]:
    """Return the random states of Python, NumPy, TensorFlow and Keras, as they can be sent."""
    states: dict[str, Any] = {"python": random.getstate(), "numpy": np.random.get_state()}
    if "tensorflow" in sys.modules:
        from tensorflow.python.eager import context

        eager = context.context()
        generator = getattr(eager, "_rng", None)  # made when a seed is set
        if generator is not None:
            states["tensorflow"] = (eager._seed, generator.getstate())
    states["keras"] = _keras_seed()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Go on from random states that `random_states` returned, here or in another process."""
    _set_keras_seed(states["keras"])  # first: it may draw from Python's
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if "tensorflow" in states:
        import tensorflow as tf
        from tensorflow.python.eager import context

        seed, state = states["tensorflow"]
        if context.context()._seed != seed:
            tf.random.set_seed(seed)
        context.context()._rng.setstate(state)


def _keras_seed() -> tuple[int | None, Any]:
    """Return the seed of Keras's own generator, and where that is; None where it was not used."""
    from keras.src.backend.common import global_state

    generator = global_state.get_global_attribute("global_seed_generator")
    place = None if generator is None else np.array(generator.state.numpy())
    return global_state.get_global_attribute("global_random_seed"), place


def _set_keras_seed(states: tuple[int | None, Any]) -> None:
    from keras.src.backend.common import global_state
    from keras.src.random import seed_generator

    seed, place = states
    global_state.set_global_attribute("global_random_seed", seed)
    global_state.set_global_attribute("global_seed_generator", None)
    if place is not None:
        seed_generator.global_seed_generator().state.assign(place)
