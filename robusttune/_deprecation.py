"""Old names that still work: each use warns, with the new name and the version that ends the old.

A module that moved is one line of the table in `robusttune._moved`. Other renamed things are one
line where they used to be::

    # names that moved out of a module that stays
    __getattr__ = moved(__name__, {"Old": "robusttune.New"}, until="0.3")

    # an argument
    @renamed_argument("colour", "color", until="0.3")
    def summary(self, *, color: bool = False) -> str: ...
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from robusttune._moved import MOVED_MODULES, MOVED_NAMES
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
            new = _public(to, name) or f"{to}.{name}"
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


class MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules by the names that they had in 0.1.

    It is asked last, for modules that do not exist, so that it costs other imports nothing.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a module whose names are those of the new one; None for any other name."""
        new = _new_module(fullname)
        try:
            if new is None or importlib.util.find_spec(new) is None:
                return None
        except ModuleNotFoundError:  # what it would lie in is no package
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: types.ModuleType) -> None:
        """Give it the names of the new module; touching one warns."""
        old = module.__name__
        names = MOVED_NAMES.get(old.partition(".")[2])
        vars(module)["__getattr__"] = moved(old, names, to=_new_module(old), until="0.3")


def find_moved_modules() -> None:
    """Let old names of modules be imported."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())


def _new_module(old: str) -> str | None:
    """Return the module that an old name stands for now; None: the name is none of ours."""
    package, _, name = old.partition(".")
    head, rest = name, ""
    while package == "robusttune" and head:
        if head in MOVED_MODULES:
            return f"robusttune.{MOVED_MODULES[head]}{rest}"
        head, _, last = head.rpartition(".")
        rest = f".{last}{rest}"
    return None


def _public(module: str, name: str) -> str | None:
    """Return the public name of what a module defines; None: it has none."""
    parts = module.split(".")
    for i in range(1, len(parts)):
        package = ".".join(parts[:i])
        homes = getattr(sys.modules.get(package), "_HOMES", {})
        if name in homes and f"{module}.".startswith(f"{package}.{homes[name]}."):
            return f"{package}.{name}"
    return None


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
