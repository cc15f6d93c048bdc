"""Random states that belong to the search: a diagnosis gives them back as it found them."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def untouched_randomness() -> Iterator[None]:
    """Restore the random states of Python, NumPy and TensorFlow, and Keras's name counters."""
    python, numpy = random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as kept:
        if "tensorflow" in sys.modules:
            kept.enter_context(_tensorflow())
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextlib.contextmanager
def _tensorflow() -> Iterator[None]:
    """Operations without a seed draw one from the eager context."""
    from tensorflow.python.eager import context

    generator = getattr(context.context(), "_rng", None)  # made when a seed is set
    state = None if generator is None else generator.getstate()
    try:
        yield
    finally:
        if generator is not None and state is not None:
            generator.setstate(state)
