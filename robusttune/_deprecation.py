"""Old names that still work: each use warns, with the new name and the version that ends the old.

A renamed thing is one line where it used to be::

    # a module that moved: all that is left in the old file
    __getattr__ = moved("robusttune.guard.trace", to="robusttune.diagnosis.trace", until="0.3")

    # names that moved out of a module that stays
    __getattr__ = moved(__name__, {"Axis": "robusttune.space.Axis"}, until="0.3")

    # an argument
    @renamed_argument("colour", "color", until="0.3")
    def summary(self, *, color: bool = False) -> str: ...
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from robusttune.errors import RobustTuneDeprecationWarning

P = ParamSpec("P")
R = TypeVar("R")


def moved(
    module: str,
    names: Mapping[str, str] | None = None,
    *,
    until: str,
    to: str | None = None,
    others: Callable[[str], Any] | None = None,
) -> Callable[[str], Any]:
    """Return a module's `__getattr__` for what has moved elsewhere.

    The new home is imported when an old name is touched, so that neither an import nor a circle of
    them is made here.

    Args:
        module: The old module.
        names: Old name -> full new name, of those that moved out of a module.
        until: The version in which the old names go, such as "0.3".
        to: The new module, where all of it has moved.
        others: The `__getattr__` that the module has besides.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - it is one
        new = (names or {}).get(name)
        if new is None and to is not None and (name == "__all__" or not _is_dunder(name)):
            if name == "__all__":  # `from old import *`, which asks for each of them next
                home = importlib.import_module(to)
                return getattr(home, name, [n for n in vars(home) if not n.startswith("_")])
            new = f"{to}.{name}"
        if new is None:
            if others is not None:
                return others(name)
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        try:
            value = _named(new)
        except AttributeError as error:
            raise AttributeError(f"module {module!r} has no attribute {name!r}") from error
        _warn(f"{module}.{name}", new, until)
        return value

    return __getattr__


def renamed_argument(
    old: str, new: str, *, until: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator under which a keyword argument can be given by its old name.

    Args:
        old: The old name.
        new: The new name, which the function has.
        until: The version in which the old name goes, such as "0.3".

    Raises:
        TypeError: A call gives both.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if old in kwargs:
                name = function.__qualname__
                if new in kwargs:
                    raise TypeError(f"{name}() got {new!r} and {old!r}, which is its old name")
                _warn(f"{name}({old}=)", f"{new}=", until)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def _named(path: str) -> Any:
    """Return what a full name is of: a module, or something in one."""
    home, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(home), name)
    except AttributeError:
        try:
            return importlib.import_module(path)
        except ModuleNotFoundError as error:
            raise AttributeError(path) from error


def _warn(old: str, new: str, until: str) -> None:
    warnings.warn(
        f"{old} is now {new}; the old name goes in robusttune {until}.",
        RobustTuneDeprecationWarning,
        stacklevel=3,
    )


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
