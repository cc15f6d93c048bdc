"""Random states: kept from what happens beside a search, and sent from process to process."""

from __future__ import annotations

import contextlib
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from robusttune._compat.keras import global_state_apart
from robusttune._random_states import (
    capture_random_states,
    restore_random_states,
    untouched_keras_generator,
    untouched_randomness,
)


def draws() -> list[float]:
    """Return a number from each generator; of TensorFlow's the seed of its next operation."""
    _, seed = tf.compat.v1.random.get_seed(None)
    numbers = [random.random(), np.random.random(), seed, keras.random.uniform(())]
    return [float(number) for number in numbers]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Begin with seeds, and leave no trace."""
    with untouched_randomness():
        keras.utils.set_random_seed(1)
        yield


BLOCKS: dict[str, Callable[[], object]] = {
    "draws": draws,
    "sets seeds": lambda: keras.utils.set_random_seed(7),
    "sets TensorFlow's seed": lambda: tf.random.set_seed(7),
    "sets the same seed": lambda: keras.utils.set_random_seed(1),
    "clears the session": keras.utils.clear_session,
    "nothing": lambda: None,
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=list(BLOCKS))
@pytest.mark.parametrize("used", [True, False], ids=["used", "fresh"])
def test_untouched_randomness_goes_on_as_if_nothing_had_been(
    block: Callable[[], object], used: bool
) -> None:
    """What the block draws, seeds or clears shows in no later number."""
    if used:
        draws()
    with untouched_randomness():
        expected = draws()
    with untouched_randomness():
        block()
    assert draws() == expected


def test_untouched_randomness_holds_after_an_exception() -> None:
    """A block that raises leaves no trace either."""
    with untouched_randomness():
        expected = draws()
    with contextlib.suppress(KeyError), untouched_randomness():
        keras.utils.set_random_seed(7)
        raise KeyError
    assert draws() == expected


def test_random_states_can_be_sent() -> None:
    """A pickle of them, restored, gives the same numbers: those of another process."""
    draws()
    sent = pickle.dumps(capture_random_states())
    expected = draws()
    keras.utils.set_random_seed(7)
    restore_random_states(pickle.loads(sent))
    assert draws() == expected


def test_random_states_can_be_sent_before_keras_drew() -> None:
    """Keras makes its generator on demand, out of a number of Python's."""
    sent = pickle.dumps(capture_random_states())
    expected = draws()
    draws()
    restore_random_states(pickle.loads(sent))
    assert draws() == expected


def test_keras_keeps_its_own_generator() -> None:
    """Graphs that were traced hold on to it: another one at the same place will not do."""
    get = keras.src.backend.common.global_state.get_global_attribute
    keras.random.uniform(())
    generator = get("global_seed_generator")
    with untouched_keras_generator():
        keras.utils.clear_session()
        keras.random.uniform(())
    assert get("global_seed_generator") is generator


def test_global_state_apart_leaves_no_trace() -> None:
    """Names of layers, generator and dtype policy are those from before."""
    before = keras.layers.Dense(1).name
    with global_state_apart():
        keras.utils.clear_session()
        keras.config.set_dtype_policy("mixed_float16")
        assert keras.layers.Dense(1).name == "dense"
    assert keras.config.dtype_policy().name == "float32"
    number = int(before.rpartition("_")[2]) if before != "dense" else 0
    assert keras.layers.Dense(1).name == f"dense_{number + 1}"


def test_random_states_load_neither_tensorflow_nor_keras() -> None:
    """They are captured where they are loaded, and nothing is loaded for that."""
    code = (
        "import sys; from robusttune._random_states import untouched_randomness\n"
        "with untouched_randomness(): pass\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
