"""Intercepts hyperparameter declarations before Keras Tuner registers them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import keras_tuner

from robusttune._compat.keras_tuner import declare, replace_declare

# Gets the container and the declared hyperparameter, and returns what is declared instead.
Listener: TypeAlias = Callable[[keras_tuner.HyperParameters, Any], Any]

_listeners = threading.local()
_lock = threading.Lock()
_blocks = 0  # that are open, in any thread
_original_get = keras_tuner.HyperParameters.get


@contextlib.contextmanager
def declarations_intercepted(listener: Listener) -> Iterator[None]:
    """Hand each declaration of this thread to the listener before Keras Tuner sees it.

    Keras Tuner's class is changed while any such block is open, and only then.
    """
    stack: list[Listener] = _listeners.__dict__.setdefault("stack", [])
    stack.append(listener)
    _open(1)
    try:
        yield
    finally:
        _open(-1)
        stack.remove(listener)


@contextlib.contextmanager
def requested_names() -> Iterator[set[str]]:
    """Collect the names of the hyperparameters that a block, in this thread, declares or reads.

    What is taken out of `HyperParameters.values` by hand is not noticed.
    """
    names: set[str] = set()

    def note(container: keras_tuner.HyperParameters, hp: Any) -> Any:
        names.add(hp.name)
        return hp

    readers: list[set[str]] = _listeners.__dict__.setdefault("readers", [])
    readers.append(names)
    try:
        with declarations_intercepted(note):
            yield names
    finally:
        readers.remove(names)


def _open(change: int) -> None:
    global _blocks
    with _lock:
        _blocks += change
        replace_declare(_heard if _blocks else None)
        keras_tuner.HyperParameters.get = _read if _blocks else _original_get


def _read(container: keras_tuner.HyperParameters, name: str) -> Any:
    value = _original_get(container, name)
    for names in getattr(_listeners, "readers", ()):
        names.add(name)
    return value


def _heard(container: keras_tuner.HyperParameters, hp: Any) -> Any:
    for listener in getattr(_listeners, "stack", ()):
        hp = listener(container, hp)
    return declare(container, hp)
