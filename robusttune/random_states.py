"""The random states that a search draws from: kept from what happens beside it, or sent along.

They are those of Python, NumPy, TensorFlow and Keras, of the last two where they are loaded.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# Where Keras keeps its own generator; its name for that has moved between versions.
_GENERATOR = "global_seed_generator"
_SEED = "global_random_seed"
_TRACKERS = ("GLOBAL_STATE_TRACKER", "GLOBAL_SETTINGS_TRACKER")


@dataclass(frozen=True, slots=True)
class RandomStates:
    """Where all generators are, as it can be pickled.

    Args:
        python: State of `random`.
        numpy: State of NumPy's global generator.
        tensorflow: Global seed and state of the generator that operations without a seed draw
            from, which is None before a seed was set; None where TensorFlow is not loaded.
        keras: Global seed and state of the global seed generator, which is None before it was
            used; None where Keras is not loaded.
    """

    python: Any
    numpy: Any
    tensorflow: tuple[Any, Any] | None
    keras: tuple[Any, Any] | None


def capture_random_states() -> RandomStates:
    """Return where all generators are."""
    return RandomStates(
        python=random.getstate(),
        numpy=np.random.get_state(),
        tensorflow=_tensorflow() if "tensorflow" in sys.modules else None,
        keras=_keras() if "keras" in sys.modules else None,
    )


def restore_random_states(states: RandomStates) -> None:
    """Go on from where the generators were, here or in another process."""
    if states.keras is not None:
        _restore_keras(*states.keras)  # first: it may draw from Python's
    if states.tensorflow is not None:
        _restore_tensorflow(*states.tensorflow)
    random.setstate(states.python)
    np.random.set_state(states.numpy)


@contextlib.contextmanager
def untouched_randomness() -> Iterator[None]:
    """Restore all generators after the block, also where it sets seeds.

    A kernel that TensorFlow made for a seed has a place of its own, which cannot be read.
    """
    states = capture_random_states()
    with untouched_keras_generator():
        try:
            yield
        finally:
            restore_random_states(states)


@contextlib.contextmanager
def untouched_keras_generator() -> Iterator[None]:
    """Restore Keras's global seed generator, that very one: graphs may hold on to it."""
    if "keras" not in sys.modules:
        yield
        return
    from keras.src.backend.common import global_state

    generator, states = global_state.get_global_attribute(_GENERATOR), _keras()
    try:
        yield
    finally:
        global_state.set_global_attribute(_GENERATOR, generator)
        _restore_keras(*states)


@contextlib.contextmanager
def separate_keras_state() -> Iterator[None]:
    """Give the block a copy of Keras's global state: names of layers, seeds and the dtype policy.

    What it does with them, clearing the session included, leaves no trace.
    """
    from keras.src.backend.common import global_state

    trackers = {name: getattr(global_state, name) for name in _TRACKERS}
    for name, tracker in trackers.items():
        setattr(global_state, name, _copied(tracker))
    try:
        yield
    finally:
        for name, tracker in trackers.items():
            setattr(global_state, name, tracker)


def _copied(tracker: threading.local) -> threading.local:
    """Return a copy of Keras's state of this thread that can be changed apart from it."""
    copied = threading.local()
    for name, value in vars(tracker).items():
        if name != _GENERATOR:  # the copy makes its own, on demand
            setattr(copied, name, value.copy() if isinstance(value, (dict, list)) else value)
    return copied


def _tensorflow() -> tuple[Any, Any]:
    from tensorflow.python.eager import context

    eager = context.context()
    generator = getattr(eager, "_rng", None)  # made when a seed is set
    return eager._seed, None if generator is None else generator.getstate()


def _restore_tensorflow(seed: Any, state: Any) -> None:
    import tensorflow as tf
    from tensorflow.python.eager import context

    eager = context.context()
    if state is None:
        eager._seed, eager._rng = seed, None
        return
    if eager._seed != seed or getattr(eager, "_rng", None) is None:
        tf.random.set_seed(seed)
    eager._rng.setstate(state)


def _keras() -> tuple[Any, Any]:
    from keras.src.backend.common import global_state

    generator = global_state.get_global_attribute(_GENERATOR)
    place = None if generator is None else _place(generator)
    return global_state.get_global_attribute(_SEED), place


def _restore_keras(seed: Any, place: Any) -> None:
    from keras.src.backend.common import global_state
    from keras.src.random import seed_generator

    global_state.set_global_attribute(_SEED, seed)
    if place is None:
        global_state.set_global_attribute(_GENERATOR, None)
        return
    generator = seed_generator.global_seed_generator()
    if not np.array_equal(_place(generator), place):
        generator.state.assign(place)


def _place(generator: Any) -> Any:
    import keras

    return np.array(keras.ops.convert_to_numpy(generator.state))
