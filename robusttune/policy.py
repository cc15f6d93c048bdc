"""Policy: every threshold and switch of robusttune in one frozen place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Thresholds and switches, all with defaults that suit an ordinary search.

    Args:
        clip: Gradient clipping where the user's optimizer has none of its own. "auto" follows the
            history of the gradient norm and clips spikes only, "tune" adds the norm to the search
            space, a float is a global norm (> 0, in units of the gradient), None is off.
        check_every: Training steps between two looks of the host at the state of the step
            (>= 1). The first non-finite step is latched in the step itself, whatever the interval.
        history: Steps whose loss and gradient norm are kept (>= 8).
        divergence_factor: A loss this many times worse than the larger of the trial's own start
            and the best constant prediction's loss counts as diverged (> 1).
        divergence_patience: Steps in a row for which that must hold (>= 1): one spike is none.
        hopeless_after: Finished trials, all failed for one reason that no hyperparameter changes,
            after which the search ends with HopelessSearchError (>= 2); None never ends it.

    Example:
        >>> Policy(clip=1.0).clip
        1.0
    """

    # Guard
    clip: float | Literal["auto", "tune"] | None = "auto"
    check_every: int = 1
    history: int = 64
    divergence_factor: float = 10.0
    divergence_patience: int = 5

    # Search
    hopeless_after: int | None = 5

    def __post_init__(self) -> None:
        if isinstance(self.clip, str):
            _require(
                self.clip in ("auto", "tune"),
                "clip",
                "'auto', 'tune', a float > 0 or None",
                self.clip,
                "Pass None to turn clipping off.",
            )
        elif self.clip is not None:
            _number("clip", self.clip, above=0.0, way_out="Pass None to turn clipping off.")
        _integer("check_every", self.check_every, least=1)
        _integer("history", self.history, least=8)
        _number("divergence_factor", self.divergence_factor, above=1.0)
        _integer("divergence_patience", self.divergence_patience, least=1)
        if self.hopeless_after is not None:
            _integer("hopeless_after", self.hopeless_after, least=2, way_out="None never ends it.")


def _require(holds: bool, name: str, rule: str, value: Any, way_out: str = "") -> None:
    if not holds:
        raise ValueError(f"{name} must be {rule}, got {value!r}. {way_out}".rstrip())


def _boolean(name: str, value: Any) -> None:
    _require(isinstance(value, bool), name, "True or False", value)


def _integer(name: str, value: Any, *, least: int, way_out: str = "") -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    _require(whole and value >= least, name, f"an int >= {least}", value, way_out)


def _number(name: str, value: Any, *, above: float, way_out: str = "") -> None:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    _require(real and math.isfinite(value) and value > above, name, f"> {above:g}", value, way_out)
