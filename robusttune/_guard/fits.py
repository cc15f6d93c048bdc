"""Puts a guard into every Keras fit of a block of code, however the fit is reached."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

from robusttune._diagnosis.fit_input import FitInput, fit_input_of
from robusttune._guard.callback import FitGuard

_Make = Callable[[FitGuard | None], FitGuard]
_Note = Callable[[FitInput], None]
_make_guard: ContextVar[_Make | None] = ContextVar("make_guard", default=None)
_note_refusal: ContextVar[_Note | None] = ContextVar("note_refusal", default=None)
_lock = threading.Lock()
_users = 0


@contextmanager
def guard_every_fit(make: _Make) -> Iterator[None]:
    """Give each `keras.Model.fit` inside the block, in this thread, a guard of its own.

    Tuners copy callbacks, and people override what calls `fit` (`HyperModel.fit`, `run_trial`, a
    whole training procedure) or forget to hand the callbacks on: the one place that all of them
    pass is `fit`. It is replaced on `keras.Model` while at least one such block is open, and
    behaves as ever outside of one. A fit that has a guard among its callbacks keeps that one, which
    knows of the trial until the fit ends.

    Args:
        make: Makes the guard of one fit; given the one among its callbacks, tells it of the trial.
    """
    _install()
    token = _make_guard.set(make)
    try:
        yield
    finally:
        _make_guard.reset(token)
        _uninstall()


@contextmanager
def refusals_noted(note: _Note) -> Iterator[None]:
    """Tell of each `keras.Model.fit` in the block, in this thread, that raises before it begins.

    Args:
        note: Gets what the fit was given: no callback is called in such a fit.
    """
    _install()
    token = _note_refusal.set(note)
    try:
        yield
    finally:
        _note_refusal.reset(token)
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
            return _noted(original, signature, self, *args, **kwargs)
        call = signature.bind(self, *args, **kwargs)
        given = call.arguments.get("callbacks")
        found = _guard_among(given)
        context = None if found is None else found.context
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
        except Exception:
            if guard.context is not None and not guard.has_begun:
                guard.context.fit_refused(fit_input_of(call.arguments))
            raise
        finally:
            guard.release()
            guard.context = context

    fit.__doc__ = original.__doc__
    fit.__signature__ = signature  # type: ignore[attr-defined]
    keras.Model.fit = fit


def _noted(original: Any, signature: inspect.Signature, *args: Any, **kwargs: Any) -> Any:
    note = _note_refusal.get()
    try:
        return original(*args, **kwargs)
    except Exception:
        if note is not None:
            note(fit_input_of(signature.bind(*args, **kwargs).arguments))
        raise


def _unpatch() -> None:
    if _own_fit is None:
        del keras.Model.fit  # the trainer's own method shows through again
    else:
        keras.Model.fit = _own_fit


def _guard_among(callbacks: Any) -> FitGuard | None:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    for callback in keras.tree.flatten(callbacks) if callbacks else ():
        if isinstance(callback, FitGuard):
            return callback
    return None
