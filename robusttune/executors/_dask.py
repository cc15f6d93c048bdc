"""Dask: what all trials need is itself a task, which the scheduler can make again anywhere."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robusttune._compat.dask import client_of


class DaskExecutor:
    """A client of a Dask cluster, or its executor.

    Args:
        executor: A `distributed.Client`, or what its `get_executor` returns, whose options hold.
    """

    def __init__(self, executor: Any) -> None:
        self._client, options = client_of(executor)
        # A trial that has died has failed; each is a task of its own, also of the same values.
        self._options = {**options, "retries": 0, "pure": False}

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Hand a function over."""
        return self._client.submit(fn, *args, **self._options)

    def share(self, path: str) -> Any:
        """Return the task that yields a file's content.

        What is scattered is lost with the workers that have it, and a task's result is not.
        """
        content = Path(path).read_bytes()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            return self._client.submit(_same, content, key=f"robusttune-{uuid.uuid4().hex}")

    def unshare(self, shared: Any) -> None:
        """Let the cluster forget the task."""
        shared.release()


def _same(content: bytes) -> bytes:
    return content
