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

_Make = Callable[[Guard | None], Guard]
_make_guard: ContextVar[_Make | None] = ContextVar("make_guard", default=None)
# What a guard knows of the trial that its fit is in.
_OF_THE_TRIAL = ("trial_params", "siblings", "clock", "diagnoses")
_lock = threading.Lock()
_users = 0


@contextmanager
def guard_every_fit(make: _Make) -> Iterator[list[Guard]]:
    """Give each `keras.Model.fit` inside the block, in this thread, a guard of its own.

    Tuners copy callbacks, and people override what calls `fit` (`HyperModel.fit`, `run_trial`, a
    whole training procedure) or forget to hand the callbacks on: the one place that all of them
    pass is `fit`. It is replaced on `keras.Model` while at least one such block is open, and
    behaves as ever outside of one. A fit that has a Guard among its callbacks keeps that one, which
    knows of the trial until the fit ends.

    Args:
        make: Makes the guard of one fit; given the one among its callbacks, tells it of the trial.

    Yields:
        The guards of the fits so far, in their order.
    """
    guards: list[Guard] = []

    def tracked(found: Guard | None) -> Guard:
        guard = make(found)
        guards.append(guard)
        return guard

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
        found = _guard_among(given)
        kept = {name: getattr(found, name) for name in _OF_THE_TRIAL if found is not None}
        guard = make(found)
        if found is None:
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
            for name, value in kept.items():
                setattr(guard, name, value)

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
