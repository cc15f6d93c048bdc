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
        diagnosis_seconds: Time for the replays of one failing trial, in seconds (> 0). A replay
            that has begun is finished; observations of single steps are not counted.
        hopeless_after: Finished trials, all failed for one reason that no hyperparameter changes,
            after which the search ends with HopelessSearchError (>= 2); None never ends it.
        sanitize: What is done about a search space that asks for failing trials: "fix" changes it
            and warns, "warn" only warns, "off" does nothing.
        keep: Full names of hyperparameters that are never changed (e.g. {"lr"}).
        probe: Whether a learning-rate range test on the user's own data narrows the learning rates
            before the first trial.
        probe_seconds: Wall time that the range test may take, in seconds (> 0).
        avoid_unstable: Whether proposals turn away from places where most of the nearest trials
            failed, because of their hyperparameters.
        free_share: Share of the proposals that never turn away (0..1), so that the map of
            unstable regions stays honest and a wrong lesson can be unlearned.

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

    # Diagnosis
    diagnosis_seconds: float = 5.0

    # Search
    hopeless_after: int | None = 5

    # Search space
    sanitize: Literal["fix", "warn", "off"] = "fix"
    keep: frozenset[str] = frozenset()
    probe: bool = False
    probe_seconds: float = 60.0
    avoid_unstable: bool = True
    free_share: float = 0.05

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
        _number("diagnosis_seconds", self.diagnosis_seconds, above=0.0)
        if self.hopeless_after is not None:
            _integer("hopeless_after", self.hopeless_after, least=2, way_out="None never ends it.")
        _require(
            self.sanitize in ("fix", "warn", "off"),
            "sanitize",
            "'fix', 'warn' or 'off'",
            self.sanitize,
        )
        keep: Any = self.keep
        named = not isinstance(keep, str) and all(isinstance(name, str) for name in keep)
        _require(named, "keep", "a set of hyperparameter names", keep)
        object.__setattr__(self, "keep", frozenset(self.keep))
        _boolean("probe", self.probe)
        _number("probe_seconds", self.probe_seconds, above=0.0)
        _boolean("avoid_unstable", self.avoid_unstable)
        _share("free_share", self.free_share)


def _require(holds: bool, name: str, rule: str, value: Any, way_out: str = "") -> None:
    if not holds:
        raise ValueError(f"{name} must be {rule}, got {value!r}. {way_out}".rstrip())


def _boolean(name: str, value: Any) -> None:
    _require(isinstance(value, bool), name, "True or False", value)


def _share(name: str, value: Any) -> None:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    _require(real and 0 <= value <= 1, name, "in 0..1", value)


def _integer(name: str, value: Any, *, least: int, way_out: str = "") -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    _require(whole and value >= least, name, f"an int >= {least}", value, way_out)


def _number(name: str, value: Any, *, above: float, way_out: str = "") -> None:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    _require(real and math.isfinite(value) and value > above, name, f"> {above:g}", value, way_out)
