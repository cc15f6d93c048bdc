"""Puts a guard into every Keras fit of a block of code, however the fit is reached."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

from robusttune.guard.callback import Guard

_make_guard: ContextVar[Callable[[], Guard] | None] = ContextVar("make_guard", default=None)
_lock = threading.Lock()
_users = 0


@contextmanager
def guard_every_fit(make: Callable[[], Guard]) -> Iterator[list[Guard]]:
    """Give each `keras.Model.fit` inside the block, in this thread, a guard of its own.

    Tuners copy callbacks, and people override what calls `fit` (`HyperModel.fit`, `run_trial`, a
    whole training procedure) or forget to hand the callbacks on: the one place that all of them
    pass is `fit`. It is replaced on `keras.Model` while at least one such block is open, and
    behaves as ever outside of one. A fit that has a Guard among its callbacks keeps that one.

    Args:
        make: Makes the guard of one fit.

    Yields:
        The guards of the fits so far, in their order.
    """
    guards: list[Guard] = []

    def tracked() -> Guard:
        guard = make()
        guards.append(guard)
        return guard

    tracked.guards = guards  # type: ignore[attr-defined]
    _install()
    token = _make_guard.set(tracked)
    try:
        yield guards
    finally:
        _make_guard.reset(token)
        _uninstall()


def _install() -> None:
    global _users
    with _lock:
        if _users == 0:
            _patch()
        _users += 1


def _uninstall() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            _unpatch()


_own_fit: Any = None


def _patch() -> None:
    global _own_fit
    original = keras.Model.fit
    _own_fit = vars(keras.Model).get("fit")
    signature = inspect.signature(original)

    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        make = _make_guard.get()
        if make is None:
            return original(self, *args, **kwargs)
        call = signature.bind(self, *args, **kwargs)
        given = call.arguments.get("callbacks")
        guard = _guard_among(given)
        if guard is not None:
            make.guards.append(guard)  # type: ignore[attr-defined]
        else:
            guard = make()
            if isinstance(given, keras.callbacks.CallbackList):
                guard.set_params(given.params)
                guard.set_model(self)
                given.callbacks.insert(0, guard)
            else:
                others = keras.tree.flatten(given) if given else []
                call.arguments["callbacks"] = [guard, *others]
        try:
            return original(*call.args, **call.kwargs)
        finally:
            guard.release()

    fit.__doc__ = original.__doc__
    fit.__signature__ = signature  # type: ignore[attr-defined]
    keras.Model.fit = fit


def _unpatch() -> None:
    if _own_fit is None:
        del keras.Model.fit  # the trainer's own method shows through again
    else:
        keras.Model.fit = _own_fit


def _guard_among(callbacks: Any) -> Guard | None:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    for callback in keras.tree.flatten(callbacks) if callbacks else ():
        if isinstance(callback, Guard):
            return callback
    return None
