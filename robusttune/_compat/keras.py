"""Keras beyond its public API. Keras, and with it TensorFlow, is imported where it is used.

Nothing private is used elsewhere.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# Thread-local objects of Keras's: name counters, the seed and its generator; dtype policy.
_TRACKERS = ("GLOBAL_STATE_TRACKER", "GLOBAL_SETTINGS_TRACKER")
# Where Keras keeps the generator that layers without a seed draw from.
_SEED_GENERATOR = "global_seed_generator"
_SEED = "global_random_seed"


# Models and layers


def all_layers(model: Any, *, include_self: bool = True) -> list[Any]:
    """Return the layers of a model and of its parts; `model.layers` has the outermost ones only."""
    return list(model._flatten_layers(include_self=include_self))


def own_non_trainable_variables(layer: Any) -> list[Any]:
    """Return what a layer itself keeps beside its weights, such as moving statistics.

    `layer.non_trainable_variables` has those of its parts as well, and the weights where it is
    frozen.
    """
    return list(layer._non_trainable_variables)


def takes_training_argument(model: Any) -> bool:
    """Whether the model's `call` has a `training` argument; handing it to others is an error."""
    return bool(getattr(model, "_call_has_training_arg", True))


def gives_list_of_outputs(model: Any) -> bool:
    """Whether a functional model's outputs are a list; `model.outputs` always is one."""
    return isinstance(getattr(model, "_outputs_struct", None), (list, tuple))


def build_symbolically(model: Any, batch: Any) -> None:
    """Make the variables of model, metrics and optimizer, as Keras does before a first step.

    Args:
        model: A compiled model.
        batch: KerasTensors, nested as the data of a train step.
    """
    model._symbolic_build(data_batch=batch)


def loss_options(loss: Any) -> Mapping[str, Any]:
    """Return the keyword arguments that a loss hands to its function (`from_logits`, ...).

    Its `get_config` may be the user's own, and has not all of them.
    """
    return getattr(loss, "_fn_kwargs", None) or {}


def cached_logits_are_used() -> bool:
    """Whether crossentropies take what went into a softmax or sigmoid, instead of its output.

    Keras's TensorFlow backend does, whatever `from_logits` says; the others take the output.
    """
    import keras

    return bool(keras.backend.backend() == "tensorflow")


def loss_weights(model: Any) -> Any:
    """Return the weights of the outputs' losses as `compile` got them; None without any."""
    return getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)


def makers_of(tensors: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
    """Return, for symbolic tensors, the operation that made each, and what that was made from."""
    found = []
    for tensor in tensors:
        operation, index, _ = tensor._keras_history
        found.append((operation, list(operation._inbound_nodes[index].input_tensors)))
    return found


def users_of(operation: Any) -> list[Any]:
    """Return the operations, layers among them, that were called on what an operation made."""
    return [node.operation for node in getattr(operation, "_outbound_nodes", None) or ()]


@contextlib.contextmanager
def computing_in_float32(layers: Sequence[Any]) -> Iterator[None]:
    """Let built layers compute in float32 for a while; their variables keep their dtype.

    Setting `layer.dtype_policy` is public, and may quantize a layer or be spread to its parts.
    """
    import keras

    policies = [layer._dtype_policy for layer in layers]
    for layer in layers:
        policy = keras.DTypePolicy("float32")
        policy._variable_dtype = layer.variable_dtype
        layer._dtype_policy = policy
    try:
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer._dtype_policy = policy


# Optimizers


def learning_rate_as_given(optimizer: Any) -> Any:
    """Return an optimizer's rate as a variable, a schedule or a function; None where it has none.

    `optimizer.learning_rate` is its value at this step.
    """
    return getattr(optimizer, "_learning_rate", None)


@contextlib.contextmanager
def learning_rate_set_aside(optimizer: Any) -> Iterator[None]:
    """Let an optimizer have a plain number for its rate for a while.

    A user's schedule need not be serializable, and `get_config` would try; a schedule cannot be
    replaced through the public property.
    """
    given = optimizer._learning_rate
    optimizer._learning_rate = 1.0
    try:
        yield
    finally:
        optimizer._learning_rate = given


def variables_trained_by(optimizer: Any) -> list[Any]:
    """Return the model's variables that a built optimizer updates; its own ones are public."""
    return list(optimizer._trainable_variables)


def velocities_of(optimizer: Any) -> list[Any]:
    """Return the slots that momentum multiplies before a gradient is added; none: no momentum.

    SGD and RMSprop have such slots; Adam's first moment is an average, and is none.
    """
    kinds = {"SGD": "momentums", "RMSprop": "_momentums"}
    return list(getattr(optimizer, kinds.get(type(optimizer).__name__, ""), None) or [])


# Global state


def global_seed() -> tuple[int | None, Any]:
    """Return the global seed, and the state (an array) of the generator that layers draw from.

    keras.utils.set_random_seed sets it, and nothing public shows it. None: not set, or a Keras that
    draws the generator's start from Python's random numbers; not used yet.
    """
    from keras.src.backend.common import global_state

    generator = global_seed_generator()
    place = None if generator is None else _place(generator)
    return global_state.get_global_attribute(_SEED), place


def set_global_seed(seed: int | None, place: Any) -> None:
    """Go on from what `global_seed` returned, here or in another process."""
    from keras.src.backend.common import global_state
    from keras.src.random import seed_generator

    global_state.set_global_attribute(_SEED, seed)
    if place is None:
        set_global_seed_generator(None)
        return
    generator = seed_generator.global_seed_generator()
    if not np.array_equal(_place(generator), place):
        generator.state.assign(place)


def _place(generator: Any) -> Any:
    import keras

    return np.array(keras.ops.convert_to_numpy(generator.state))


def global_seed_generator() -> Any:
    """Return the generator that layers without a seed draw from; None where none did yet."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute(_SEED_GENERATOR)


def set_global_seed_generator(generator: Any) -> None:
    """Put a generator in the place of Keras's; with None Keras makes one when it needs it."""
    from keras.src.backend.common import global_state

    global_state.set_global_attribute(_SEED_GENERATOR, generator)


@contextlib.contextmanager
def global_state_apart() -> Iterator[None]:
    """Run a block on a copy of this thread's global state.

    That is layer-name counters, seed and generator, dtype policy. Building a model changes them,
    and keras.backend.clear_session, the public way, drops what the user had.
    """
    from keras.src.backend.common import global_state

    trackers = {name: getattr(global_state, name) for name in _TRACKERS}
    for name, tracker in trackers.items():
        setattr(global_state, name, _copy(tracker))
    try:
        yield
    finally:
        for name, tracker in trackers.items():
            setattr(global_state, name, tracker)


def _copy(tracker: threading.local) -> threading.local:
    copied = threading.local()
    for name, value in vars(tracker).items():
        if name != _SEED_GENERATOR:  # the copy makes its own, on demand
            setattr(copied, name, value.copy() if isinstance(value, (dict, list)) else value)
    return copied
