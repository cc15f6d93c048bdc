"""TensorFlow beyond its public API.

In use elsewhere: nothing, but for attributes that a graph may lack as well (`graph.outer_graph`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.debug.lib import check_numerics_callback
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


@dataclass(frozen=True, slots=True)
class NonFiniteOperation:
    """The first operation of a computation whose result is NaN or inf.

    Args:
        kind: TensorFlow's name of it ("Exp", "SqrtGrad").
        frames: File, line and function of the calls that led to it, the outermost first.
    """

    kind: str
    frames: tuple[tuple[str, int, str], ...]


_DETECTED = re.compile(r"of eagerly-executing op \"(\w+)\"|of graph op \"(\w+)\"")
_FRAME = re.compile(r"^\s*File \"(.*)\", line (\d+), in (.*)$", re.MULTILINE)


def first_non_finite_operation(run: Callable[[], Any]) -> NonFiniteOperation | None:
    """Run something, and return its first operation that gives NaN or inf; None where none does.

    `tf.debugging.enable_check_numerics` finds it, in this thread only; that it was on already, by
    the user, is known to a private variable. What is traced meanwhile keeps the checks: `run` has
    to trace its own functions.

    Raises:
        Exception: What `run` raises of another kind.
    """
    on = hasattr(check_numerics_callback._state, "check_numerics_callback")
    tf.debugging.enable_check_numerics()
    try:
        run()
    except tf.errors.InvalidArgumentError as error:
        found = _DETECTED.search(str(error))
        if found is None:
            raise
        text = str(error) if found[2] else "".join(traceback.format_exception(error))
        text = text.partition("!!! Detected")[0] if found[2] else text
        frames = tuple((file, int(line), name) for file, line, name in _FRAME.findall(text))
        return NonFiniteOperation(found[1] or found[2], frames)
    finally:
        if not on:
            tf.debugging.disable_check_numerics()
    return None
