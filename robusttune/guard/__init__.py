"""The guard: what watches a fit from inside the training step.

`Guard` is loaded when it is touched, since it needs Keras; `trace` and `watch` need neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robusttune.guard.callback import Guard

__all__ = ["Guard"]


def __getattr__(name: str) -> Any:
    if name == "Guard":
        from robusttune.guard.callback import Guard

        return Guard
    raise AttributeError(f"module 'robusttune.guard' has no attribute {name!r}")
