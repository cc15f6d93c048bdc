"""The random states that a search draws from: kept from what happens beside it, or sent along.

They are those of Python, NumPy, TensorFlow, PyTorch and Keras, of the last three where they are
loaded. JAX has none of its own.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class RandomStates:
    """Where all generators are, as it can be pickled.

    Args:
        python: State of `random`.
        numpy: State of NumPy's global generator.
        tensorflow: Global seed and state of the generator that operations without a seed draw
            from, which is None before a seed was set; None where TensorFlow is not loaded.
        torch: State of PyTorch's generator on the CPU, and of those on accelerators; None where
            PyTorch is not loaded.
        keras: Global seed and state of the global seed generator, which is None before it was
            used; None where Keras is not loaded.
    """

    python: Any
    numpy: Any
    tensorflow: tuple[Any, Any] | None
    torch: tuple[Any, Any] | None
    keras: tuple[Any, Any] | None


def capture_random_states() -> RandomStates:
    """Return where all generators are."""
    tensorflow = torch = keras = None
    if "tensorflow" in sys.modules:
        from robusttune._compat.tensorflow import random_state

        tensorflow = random_state()
    if "torch" in sys.modules:
        torch = _torch_state()
    if "keras" in sys.modules:
        from robusttune._compat.keras import global_seed

        keras = global_seed()
    return RandomStates(random.getstate(), np.random.get_state(), tensorflow, torch, keras)


def _torch_state() -> tuple[Any, Any]:
    import torch

    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.get_rng_state().numpy(), torch.cuda.get_rng_state_all() if used else None


def _set_torch_state(cpu: Any, cuda: Any) -> None:
    import torch

    torch.set_rng_state(torch.from_numpy(cpu))
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)


def restore_random_states(states: RandomStates) -> None:
    """Go on from where the generators were, here or in another process."""
    if states.keras is not None:
        from robusttune._compat.keras import set_global_seed

        set_global_seed(*states.keras)  # first: it may draw from Python's
    if states.tensorflow is not None:
        from robusttune._compat.tensorflow import set_random_state

        set_random_state(*states.tensorflow)
    if states.torch is not None:
        _set_torch_state(*states.torch)
    random.setstate(states.python)
    np.random.set_state(states.numpy)


def seed_all(seed: int) -> None:
    """Seed all generators.

    Args:
        seed: In 0..2**32 - 1.
    """
    random.seed(seed)
    np.random.seed(seed)
    if "keras" in sys.modules:
        import keras

        keras.utils.set_random_seed(seed)


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
    from robusttune._compat import keras

    generator, states = keras.global_seed_generator(), keras.global_seed()
    try:
        yield
    finally:
        keras.set_global_seed_generator(generator)
        keras.set_global_seed(*states)
