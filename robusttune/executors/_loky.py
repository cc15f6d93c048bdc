"""LokyExecutor: processes of this machine by loky, each in a pool of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from robusttune._machine import share_of
from robusttune._validation import check_int

_WAIT_SECONDS = 0.01


class LokyExecutor:
    """Processes of this machine, of which one that dies is replaced; needs `robusttune[loky]`.

    A pool of loky's breaks with one of its workers, so each worker is a pool of its own here.

    Args:
        max_workers: Processes (>= 1); each has its share of the threads.

    Example:
        >>> from robusttune.executors import LokyExecutor
        >>> executor = LokyExecutor(2)  # doctest: +SKIP
    """

    def __init__(self, max_workers: int) -> None:
        check_int("max_workers", max_workers, least=1)
        self._environment = share_of(0, max_workers, [])
        self._pools: list[Any] = [None] * max_workers
        self._running: list[LokyFuture | None] = [None] * max_workers
        self._waiting: deque[LokyFuture] = deque()

    def submit(self, fn: Callable[..., Any], *args: Any) -> LokyFuture:
        """Hand a function over."""
        future = LokyFuture(self, fn, args)
        self._waiting.append(future)
        self.dispatch()
        return future

    def share(self, path: str) -> str:
        """Return the file."""
        return path

    def unshare(self, shared: str) -> None:
        """The file is its maker's."""

    def shutdown(self) -> None:
        """End all processes."""
        self._waiting.clear()
        for pool in self._pools:
            if pool is not None:
                pool.shutdown(kill_workers=True)
        self._pools = [None] * len(self._pools)

    def dispatch(self) -> None:
        """Begin what waits where a process is free."""
        for number, running in enumerate(self._running):
            if running is not None and running.inner is not None and running.inner.done():
                self._running[number] = None
                if running.has_died():
                    self._pools[number].shutdown(kill_workers=True)
                    self._pools[number] = None
            if self._running[number] is None and self._waiting:
                future = self._running[number] = self._waiting.popleft()
                future.inner = self._pool(number).submit(future.fn, *future.args)

    def withdraw(self, future: LokyFuture) -> None:
        """Forget a function, and end its process where it runs."""
        if future in self._waiting:
            self._waiting.remove(future)
        elif future in self._running:
            number = self._running.index(future)
            self._running[number] = None
            self._pools[number].shutdown(kill_workers=True)
            self._pools[number] = None

    def _pool(self, number: int) -> Any:
        if self._pools[number] is None:
            import loky

            pool = loky.ProcessPoolExecutor(max_workers=1, env=self._environment)
            self._pools[number] = pool
        return self._pools[number]


class LokyFuture:
    """A function that waits for a process, runs or has ended."""

    def __init__(self, executor: LokyExecutor, fn: Callable[..., Any], args: Any) -> None:
        self.fn = fn
        self.args = args
        self.inner: Any = None  # loky's own; None: it waits
        self._executor = executor

    def done(self) -> bool:
        """Whether it has ended."""
        self._executor.dispatch()
        return self.inner is not None and self.inner.done()

    def result(self) -> Any:
        """Wait for it, and return its result."""
        while not self.done():
            time.sleep(_WAIT_SECONDS)
        return self.inner.result()

    def cancel(self) -> None:
        """End it, with its process."""
        self._executor.withdraw(self)

    def has_died(self) -> bool:
        """Whether it has ended with its process."""
        from loky.process_executor import TerminatedWorkerError

        return not self.inner.cancelled() and isinstance(
            self.inner.exception(), TerminatedWorkerError
        )
