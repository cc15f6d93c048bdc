"""Dask beyond its public API."""

from __future__ import annotations

from typing import Any


def client_of(executor: Any) -> tuple[Any, dict[str, Any]]:
    """Return the client of an executor of Dask, and the options for its tasks.

    Args:
        executor: A `distributed.Client`, which has no such options, or what its `get_executor`
            returns.
    """
    client = getattr(executor, "_client", None)
    if client is None:
        return executor, {}
    return client, dict(executor._kwargs)
