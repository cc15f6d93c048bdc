"""Executors that trials can run on, for engines that have none that a trial may die on.

Whatever has `submit(fn, *args)` that returns an object with `result()` and `done()` will do as the
`executor` of a tuner: Dask's `client.get_executor()` and submitit's executors do as they are. Each
of these needs the extra of its name: `pip install robusttune[ray]`, `[slurm]`, `[loky]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robusttune._lazy import lazy_names

if TYPE_CHECKING:
    from robusttune.executors._loky import LokyExecutor as LokyExecutor
    from robusttune.executors._ray import RayExecutor as RayExecutor
    from robusttune.executors._slurm import SlurmExecutor as SlurmExecutor

# The list of public names, each with the module that defines it.
_HOMES = {"LokyExecutor": "_loky", "RayExecutor": "_ray", "SlurmExecutor": "_slurm"}

if not TYPE_CHECKING:
    __all__ = sorted(_HOMES)
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
