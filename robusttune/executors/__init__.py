"""Executors that trials can run on, for engines that have none that a trial may die on.

Whatever has `submit(fn, *args)` that returns an object with `result()` and `done()` will do as the
`executor` of a tuner: Dask's `client.get_executor()` and submitit's executors do as they are. Each
of these needs the extra of its name: `pip install robusttune[ray]`, `[slurm]`, `[loky]`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robusttune.executors.loky import LokyExecutor
    from robusttune.executors.ray import RayExecutor
    from robusttune.executors.slurm import SlurmExecutor

# Public name -> the module of this package that defines it.
_HOMES = {"LokyExecutor": "loky", "RayExecutor": "ray", "SlurmExecutor": "slurm"}

__all__ = ["LokyExecutor", "RayExecutor", "SlurmExecutor"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"robusttune.executors.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'robusttune.executors' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
