"""What is written down of a search space that somebody has published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robusttune._space import Parameter


@dataclass(frozen=True)
class Space:
    """One search space.

    Args:
        source: Where it comes from.
        host: "keras_tuner", whose build function makes a real model, or "optuna".
        parameters: Each with what it does in the model: an argument of the optimizer, "optimizer",
            "dropout", "units", "l2"; "" where a model does not show it.
        changes: What each changed parameter becomes, as text.
        optimizer: Which one the model has, where no parameter says so.
    """

    source: str
    host: str
    parameters: tuple[tuple[Parameter, str], ...]
    changes: Mapping[str, str] = field(default_factory=dict)
    optimizer: str = "adam"
