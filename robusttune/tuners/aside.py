"""Build models on the side, so that the search that follows does not notice."""

from __future__ import annotations

import contextlib
import io
import random
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras.src.backend.common import global_state
from tensorflow.python.eager import context as tf_context

_TRACKERS = ("GLOBAL_STATE_TRACKER", "GLOBAL_SETTINGS_TRACKER")


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Run a block without a trace in the random states or in Keras's global state.

    Restores the states of Python's `random`, of NumPy's and of TensorFlow's global generators, and
    Keras's layer-name counters, global seed generator and dtype policy, also where the block sets
    seeds or clears the session. What the block prints and warns is dropped.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    tensorflow = tf_context.context()
    seed, generator = getattr(tensorflow, "_seed", None), getattr(tensorflow, "_rng", None)
    generator_state = None if generator is None else generator.getstate()
    trackers = {name: getattr(global_state, name) for name in _TRACKERS}
    for name, tracker in trackers.items():
        setattr(global_state, name, _copy(tracker))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, tracker in trackers.items():
            setattr(global_state, name, tracker)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        tensorflow._seed = seed
        tensorflow._rng = generator
        if generator is not None:
            generator.setstate(generator_state)


def _copy(tracker: threading.local) -> threading.local:
    """Return a copy of Keras's state of this thread that can be changed apart from it."""
    copied = threading.local()
    for name, value in vars(tracker).items():
        if name != "global_seed_generator":  # the copy makes its own, on demand
            setattr(copied, name, _apart(value))
    return copied


def _apart(value: Any) -> Any:
    return value.copy() if isinstance(value, (dict, list)) else value
