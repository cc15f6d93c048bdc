"""Lets go of the graphs of finished fits, which TensorFlow would keep for as long as it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from robusttune._compat.tensorflow import gradient_registry

# What Keras calls the function that it traces for a step of fit, evaluate or predict, and what the
# replay calls its own. They contain their gradients: nobody can differentiate them from outside.
_STEPS = ("one_step_on_data", "robusttune_loop")


def forget_step_graphs() -> None:
    """Drop the gradient functions that tracing Keras steps has left in TensorFlow's registry.

    Each operation with a custom gradient registers one under a name of its own, for good, and it
    holds the whole graph: 0.6 MB for each fit of a small model, 3 MB with the guard in it.
    """
    registry = gradient_registry()
    if registry is None:  # another TensorFlow: its memory stays as it is
        return
    for name, entry in list(registry.items()):
        if not name.startswith("CustomGradient-"):
            continue
        if any(_is_of_a_step(item) for item in _enclosed(entry.get("type"))):
            del registry[name]


def _is_of_a_step(item: Any) -> bool:
    graph = getattr(item, "graph", None)
    while graph is not None:
        if getattr(graph, "name", None) in _STEPS:
            return True
        graph = getattr(graph, "outer_graph", None)  # of the body of a loop
    return False


def _enclosed(function: Any) -> Iterator[Any]:
    """Yield the values in a function's closure, and in those of the functions there."""
    waiting, seen = [function], set()
    while waiting:
        current = waiting.pop()
        seen.add(id(current))
        for cell in getattr(current, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # an empty cell
                value = cell.cell_contents
                items = value if isinstance(value, list | tuple) else [value]
                yield from items
                waiting += [
                    item
                    for item in items
                    if isinstance(item, FunctionType) and id(item) not in seen
                ]
