"""Trackers: record callbacks that send each trial and its cause to an experiment tracker.

Each needs the tracker's package: `pip install robusttune[mlflow]`, `pip install robusttune[wandb]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robusttune._lazy import lazy_names
from robusttune._privacy import shareable as shareable

if TYPE_CHECKING:
    from robusttune.trackers._mlflow import MLflowTracker as MLflowTracker
    from robusttune.trackers._wandb import WandbTracker as WandbTracker

# The list of public names, each with the module that defines it.
_HOMES = {"MLflowTracker": "_mlflow", "WandbTracker": "_wandb"}

if not TYPE_CHECKING:
    __all__ = sorted(["shareable", *_HOMES])
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
