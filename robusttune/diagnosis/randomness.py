"""Random states that belong to the search: a diagnosis gives them back as it found them."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def untouched_randomness() -> Iterator[None]:
    """Restore the random states of Python, NumPy and TensorFlow."""
    python, numpy = random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as kept:
        if "tensorflow" in sys.modules:
            from robusttune._compat.tensorflow import random_state_kept

            kept.enter_context(random_state_kept())
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
