"""Trackers: record callbacks that send each trial and its cause to an experiment tracker.

Each needs the tracker's package: `pip install robusttune[mlflow]`, `pip install robusttune[wandb]`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robusttune.trackers.mlflow import MLflowTracker
    from robusttune.trackers.wandb import WandbTracker

# Public name -> the module of this package that defines it.
_HOMES = {"MLflowTracker": "mlflow", "WandbTracker": "wandb"}

__all__ = ["MLflowTracker", "WandbTracker"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"robusttune.trackers.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'robusttune.trackers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
