"""Interface of executors, and adapters for those of any engine."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, Protocol

from robusttune._validation import require


class Future(Protocol):
    """A trial that was handed to an executor."""

    def done(self) -> bool:
        """Whether it has ended, in any way; does not wait."""

    def result(self) -> Any:
        """Return what it returned; raises where its worker has died."""


class TrialExecutor(Protocol):
    """Runs functions in other processes, and brings what all of them need there once."""

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future:
        """Hand a function over."""

    def share(self, path: str) -> Any:
        """Return an argument of `submit` that arrives as the content of a file, or as its path."""

    def unshare(self, shared: Any) -> None:
        """Forget what was shared."""


class PlainExecutor:
    """Any executor whose workers see the files of this machine: what is shared lies in one.

    Args:
        executor: Has `submit`.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future:
        """Hand a function over."""
        future: Future = self._executor.submit(fn, *args)
        return future

    def share(self, path: str) -> Any:
        """Return the file."""
        return path

    def unshare(self, shared: Any) -> None:
        """The file is its maker's."""


_INSTEAD = (
    "Policy(n_jobs=...) needs no executor, and robusttune.executors.LokyExecutor replaces a worker"
    " that has died."
)


def trial_executor(executor: Any) -> TrialExecutor:
    """Return an executor that trials can run on.

    Args:
        executor: Has `submit(fn, *args)`, which returns an object with `result()` and `done()`.

    Raises:
        TypeError: It has none.
        ValueError: A trial that dies there would take others with it.
    """
    rule = "an object whose submit(fn, *args) returns one with result() and done()"
    require(
        callable(getattr(executor, "submit", None)), "executor", rule, executor, error=TypeError
    )
    require(
        not isinstance(executor, concurrent.futures.ThreadPoolExecutor),
        "executor",
        "one that uses processes: threads share Keras's global state, and a crash ends them all",
        executor,
        _INSTEAD,
    )
    engine = type(executor).__module__.partition(".")[0]
    breaks = isinstance(executor, concurrent.futures.ProcessPoolExecutor) or engine == "loky"
    require(
        not breaks,
        "executor",
        "one that survives the death of a worker: in this pool one death fails the trials of all",
        executor,
        _INSTEAD,
    )
    if callable(getattr(executor, "share", None)):
        return executor  # type: ignore[no-any-return]
    if engine in ("distributed", "dask"):
        from robusttune.executors._dask import DaskExecutor

        return DaskExecutor(executor)
    if engine == "submitit":
        from robusttune.executors._slurm import SubmititExecutor

        return SubmititExecutor(executor)
    return PlainExecutor(executor)
