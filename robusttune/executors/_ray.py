"""RayExecutor: trials as tasks of Ray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robusttune._validation import check_number, require


class RayExecutor:
    """Trials as tasks of Ray, each with the resources that it asks for; needs `robusttune[ray]`.

    Ray is that of the program: `ray.init(address="auto")` beforehand joins a cluster, and without
    it Ray starts on this machine.

    Args:
        num_cpus: Cores that Ray sets aside for each trial (>= 0).
        num_gpus: GPUs, or a share of one, that Ray sets aside for each trial (>= 0).
        **options: More of a remote function's options (`resources`, `memory`, `runtime_env`, ...).

    Example:
        >>> from robusttune.executors import RayExecutor
        >>> executor = RayExecutor(num_cpus=2)  # doctest: +SKIP
    """

    def __init__(self, *, num_cpus: float = 1, num_gpus: float = 0, **options: Any) -> None:
        import ray

        for name, value in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
            check_number(name, value, above=-1.0)
            require(value >= 0, name, ">= 0", value)
        self._ray = ray
        options = {**options, "num_cpus": num_cpus, "num_gpus": num_gpus}
        # A trial that has died has failed: Ray would run it again.
        self._call = ray.remote(_call).options(**options, max_retries=0, retry_exceptions=False)

    def submit(self, fn: Callable[..., Any], *args: Any) -> RayFuture:
        """Hand a function over."""
        return RayFuture(self._ray, self._call.remote(fn, *args))

    def share(self, path: str) -> Any:
        """Return a reference to a file's content in Ray's object store."""
        return self._ray.put(np.fromfile(path, np.uint8))

    def unshare(self, shared: Any) -> None:
        """The store forgets what nobody refers to."""


class RayFuture:
    """A task of Ray's.

    Args:
        ray: The module.
        reference: To the task's result.
    """

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray = ray
        self._reference = reference

    def done(self) -> bool:
        """Whether the task has ended."""
        ended, _ = self._ray.wait([self._reference], timeout=0, fetch_local=False)
        return bool(ended)

    def result(self) -> Any:
        """Wait for the task, and return its result."""
        return self._ray.get(self._reference)

    def cancel(self) -> None:
        """End the task with its process."""
        self._ray.cancel(self._reference, force=True)


def _call(fn: Callable[..., Any], *args: Any) -> Any:
    return fn(*args)
