"""How many trials run at once: what `n_jobs` says, on this machine."""

from __future__ import annotations

from typing import Any

from robusttune._machine import usable_cores, visible_gpus
from robusttune._validation import require


def jobs_here(n_jobs: Any, gpus: list[str] | None = None) -> int:
    """Return how many trials `n_jobs` runs at once on this machine (>= 1).

    Args:
        n_jobs: As in `robusttune.Policy`; not None.
        gpus: Names of the GPUs; None: those that are visible.

    Raises:
        ValueError: There are fewer GPUs.
    """
    gpus = visible_gpus() if gpus is None else gpus
    if n_jobs == -1:
        return len(gpus) or usable_cores()
    if n_jobs == "auto":
        return len(gpus) or max(1, usable_cores() // 2)
    rule = f"at most the number of GPUs, which is {len(gpus)}: each trial has one to itself"
    way_out = "CUDA_VISIBLE_DEVICES='' trains on the CPU; an executor of one's own may share a GPU."
    require(not gpus or n_jobs <= len(gpus), "n_jobs", rule, n_jobs, way_out)
    return int(n_jobs)


def jobs_on_executor(n_jobs: Any) -> int:
    """Return how many trials an executor is given at once (>= 1).

    Raises:
        ValueError: `n_jobs` asks for the cores of a machine that nobody knows.
    """
    rule = "an int >= 1 or None with executor=, which may have more than this machine"
    require(n_jobs is None or n_jobs not in (-1, "auto"), "n_jobs", rule, n_jobs)
    return 1 if n_jobs is None else int(n_jobs)
