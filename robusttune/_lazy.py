"""Public names of a package that are loaded when they are first touched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package.

    Type checkers are not to see them: a misspelt name would be Any.

    Args:
        package: Its name.
        homes: Public name -> the module of the package that defines it.
    """
    names = vars(sys.modules[package])

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        names[name] = getattr(import_module(f"{package}.{homes[name]}"), name)
        return names[name]

    def listed() -> list[str]:
        return sorted({*names, *homes})

    return load, listed
