"""The random states that a trial draws from, to be handed from process to process."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

from robusttune._compat.keras import global_seed, set_global_seed


def random_states() -> dict[str, Any]:
    """Return the random states of Python, NumPy, TensorFlow and Keras, as they can be sent."""
    states: dict[str, Any] = {"python": random.getstate(), "numpy": np.random.get_state()}
    if "tensorflow" in sys.modules:
        from robusttune._compat.tensorflow import random_state

        state = random_state()
        if state is not None:
            states["tensorflow"] = state
    states["keras"] = global_seed()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Go on from random states that `random_states` returned, here or in another process."""
    set_global_seed(*states["keras"])  # first: it may draw from Python's
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if "tensorflow" in states:
        from robusttune._compat.tensorflow import set_random_state

        set_random_state(states["tensorflow"])
