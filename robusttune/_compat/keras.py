"""Keras beyond its public API. Keras, and with it its backend, is imported where it is used.

Nothing private is used elsewhere.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
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


# Fits


def loss_tracker_of(model: Any) -> Any:
    """Return the metric that keeps the mean of the total loss; None before it is compiled.

    Keras's train steps hand it the loss of each step, unscaled.
    """
    return getattr(model, "_loss_tracker", None)


def nnx_is_enabled() -> bool:
    """Whether Keras's JAX backend works through Flax's NNX."""
    from keras.src.backend import config

    enabled = getattr(config, "is_nnx_enabled", None)  # Keras before 3.11 has none
    return enabled is not None and bool(enabled())


@contextlib.contextmanager
def jax_state_attached(model: Any, state: Sequence[Sequence[Any]]) -> Iterator[None]:
    """Give a model the values of its variables for a block; it may have none in a JAX fit.

    There the state travels through the steps, and `model.jax_state_sync`, the public way, takes
    what it was before the step that runs, whose memory the step has taken over.

    Args:
        model: A model in its fit.
        state: Values of trainable, non-trainable, optimizer and metrics variables.
    """
    if model._jax_state_synced:  # it has them
        yield
        return
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    pairs = [
        (variable, value)
        for variables, values in zip(groups, state, strict=False)
        for variable, value in zip(variables, values, strict=False)
    ]
    before = [variable._value for variable, _ in pairs]
    for variable, value in pairs:
        variable._value = value
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, before, strict=True):
            variable._value = value


@contextlib.contextmanager
def jax_steps_wrapped(
    model: Any, wrap: Callable[[Any], Any], sharding: Any
) -> Iterator[Callable[[], bool]]:
    """Wrap the compiled step of the train function that is made in a block.

    `make_train_function` compiles `train_step` and hands the result to a method that calls it once
    or several times an execution; only there each step can be seen.

    Args:
        model: A model on the JAX backend.
        wrap: Gets the compiled step, a function of (state, data), and returns another one.
        sharding: Of what is added to the state, where variables are distributed.

    Yields:
        Tells whether a step was wrapped.
    """
    made: list[bool] = []
    make, shardings = model._make_function, getattr(model, "_get_state_sharding_spec", None)

    def make_function(step: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(True)
        return make(wrap(step), *args, **kwargs)

    replaced: dict[str, Any] = {"_make_function": make_function}
    if sharding is not None and shardings is not None:
        replaced["_get_state_sharding_spec"] = lambda: (*shardings(), sharding)
    vars(model).update(replaced)
    try:
        yield lambda: bool(made)
    finally:
        for name in replaced:
            vars(model).pop(name, None)


def arguments_of_fit(model: Any) -> Mapping[str, Any] | None:
    """Return what the fit of a model that is running in this thread was called with.

    Keras tells a callback nothing of the data. What is returned are the variables of `Model.fit`
    as they are when its callbacks are called: `x`, `y` and `sample_weight` without the rows that
    `validation_split` has taken, `validation_data` with them, `class_weight` and the rest as given.

    Args:
        model: The model.

    Returns:
        The variables by name; None outside of a fit.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        local = frame.f_locals if frame.f_code.co_name == "fit" else {}
        if local.get("self") is model and "validation_data" in local and "class_weight" in local:
            return dict(local)
        frame = frame.f_back
    return None
