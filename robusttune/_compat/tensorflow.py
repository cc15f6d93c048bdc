"""TensorFlow beyond its public API.

In use elsewhere: nothing, but for attributes that a graph may lack as well (`graph.outer_graph`).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context as eager
from tensorflow.python.framework import config, ops


def random_state() -> tuple[int | None, Any]:
    """Return the global seed, and where the numbers drawn after it are; None without a seed.

    Operations without a seed of their own draw one from the eager context. TensorFlow sets that
    state (tf.random.set_seed) and never shows it.
    """
    context = eager.context()
    generator = getattr(context, "_rng", None)  # made when a seed is set
    return context._seed, None if generator is None else generator.getstate()


def set_random_state(seed: int | None, place: Any) -> None:
    """Go on from what `random_state` returned, here or in another process."""
    context = eager.context()
    if place is None:
        context._seed, context._rng = seed, None
        return
    if context._seed != seed or getattr(context, "_rng", None) is None:
        tf.random.set_seed(seed)
    context._rng.setstate(place)


def op_determinism_is_enabled() -> bool:
    """Whether tf.config.experimental.enable_op_determinism was called: public is only the call."""
    return bool(config.is_op_determinism_enabled())


def gradient_registry() -> dict[str, dict[str, Any]] | None:
    """Return TensorFlow's own table of gradient functions, by name; None where it has moved.

    Each traced operation with a custom gradient adds one that holds its graph, for good: entries
    can be dropped here, and nowhere else.
    """
    return getattr(getattr(ops, "gradient_registry", None), "_registry", None)


def without_retracing_warning(function: Any) -> Any:
    """Return a tf.function that may be made again and again without TensorFlow's warning of that.

    Each diagnosis traces loops of its own, and the user could do nothing about it.
    """
    function._omit_frequent_tracing_warning = True
    return function
