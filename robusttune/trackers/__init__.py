"""Trackers: record callbacks that send each trial and its cause to an experiment tracker.

Each needs the tracker's package: `pip install robusttune[mlflow]`, `pip install robusttune[wandb]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robusttune._lazy import lazy_names

if TYPE_CHECKING:
    from robusttune.trackers.mlflow import MLflowTracker
    from robusttune.trackers.wandb import WandbTracker

# Public name -> the module of this package that defines it.
_HOMES = {"MLflowTracker": "mlflow", "WandbTracker": "wandb"}

__all__ = ["MLflowTracker", "WandbTracker"]


if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
