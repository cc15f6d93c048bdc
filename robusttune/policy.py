"""Policy: every threshold and switch of robusttune in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robusttune.arguments import boolean, instance, integer, names, number, one_of, require, share

_NO_CLIPPING = "Pass None to turn clipping off."


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

    Raises:
        ValueError: A field is not as it must be; the message names it, the rule and the value.

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
            rule = "'auto', 'tune', a number > 0 or None"
            require(self.clip in ("auto", "tune"), "clip", rule, self.clip, _NO_CLIPPING)
        elif self.clip is not None:
            number("clip", self.clip, above=0.0, way_out=_NO_CLIPPING)
        integer("check_every", self.check_every, least=1)
        integer("history", self.history, least=8)
        number("divergence_factor", self.divergence_factor, above=1.0)
        integer("divergence_patience", self.divergence_patience, least=1)
        number("diagnosis_seconds", self.diagnosis_seconds, above=0.0)
        if self.hopeless_after is not None:
            integer("hopeless_after", self.hopeless_after, least=2, way_out="None never ends it.")
        one_of("sanitize", self.sanitize, ("fix", "warn", "off"))
        keep = names("keep", self.keep, "a set of hyperparameter names", 'For example {"lr"}.')
        object.__setattr__(self, "keep", frozenset(keep))
        boolean("probe", self.probe)
        number("probe_seconds", self.probe_seconds, above=0.0)
        boolean("avoid_unstable", self.avoid_unstable)
        share("free_share", self.free_share)

    @classmethod
    def given(cls, policy: Policy | None) -> Policy:
        """Return the policy that a caller passed in; None is the default one.

        Raises:
            TypeError: It is neither.
        """
        if policy is None:
            return cls()
        instance("policy", policy, cls, "a robusttune.Policy or None", "None is the default.")
        return policy
