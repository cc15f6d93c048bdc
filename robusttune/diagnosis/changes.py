"""What a replay changes, and what came of it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robusttune.causes import FailureCause, Intervention

# The last part of a replay's steps whose mean loss is its result: one lucky batch is no cure.
_TAIL = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is different in a replay; the default is nothing.

    Args:
        rate: Factor on the learning rate (> 0).
        inputs: Whether floating point inputs are standardized.
        targets: Whether targets are standardized.
        plain_loss: Whether the loss is replaced by the plain one for its head.
        initialization: Whether kernels are drawn again, with the standard spread.
        activation: Activation of all hidden layers; None leaves them.
        float32: Whether layers compute in float32.
        clip: Global norm that gradients are clipped to; None leaves them.
    """

    rate: float = 1.0
    inputs: bool = False
    targets: bool = False
    plain_loss: bool = False
    initialization: bool = False
    activation: str | None = None
    float32: bool = False
    clip: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.rate != 1:
            sign, factor = ("/", 1 / self.rate) if self.rate < 1 else ("x", self.rate)
            parts.append(f"learning rate {sign} {factor:.4g}")
        if self.inputs:
            parts.append("inputs standardized")
        if self.targets:
            parts.append("targets standardized")
        if self.plain_loss:
            parts.append("plain loss")
        if self.initialization:
            parts.append("standard initialization")
        if self.activation:
            parts.append(f"hidden activation {self.activation}")
        if self.float32:
            parts.append("float32")
        if self.clip is not None:
            parts.append(f"gradient norm clipped at {self.clip:g}")
        return " + ".join(parts) or "nothing"

    @property
    def interventions(self) -> frozenset[Intervention]:
        """What it does, as far as a cure by that speaks for a cause."""
        done = {
            Intervention.LOWER_RATE: self.rate < 1,
            Intervention.HIGHER_RATE: self.rate > 1,
            Intervention.STANDARDIZED_DATA: self.inputs or self.targets,
            Intervention.PLAIN_LOSS: self.plain_loss,
            Intervention.STANDARD_INITIALIZATION: self.initialization,
            Intervention.FLOAT32: self.float32,
        }
        return frozenset(kind for kind, is_done in done.items() if is_done)

    @property
    def causes(self) -> tuple[FailureCause, ...]:
        """The causes that a cure by this change speaks for."""
        return tuple(cause for cause in FailureCause if cause.proven_by in self.interventions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one change, over all seeds that were tried.

    Args:
        change: What was different.
        losses: Losses of each seed, shape (seeds, steps); NaN after the first non-finite one.
        baseline: Loss of the best constant prediction on these batches; None where unknown.
        margin: Share of the baseline (or of the replay's own start, without one) that the final
            loss must stay below.
        held_out: Loss of each seed on batches that were not trained on, shape (seeds,); None
            where none were held out.
    """

    change: Change
    losses: np.ndarray[Any, np.dtype[np.float64]]
    baseline: float | None
    margin: float
    held_out: np.ndarray[Any, np.dtype[np.float64]] | None = None

    @property
    def finite(self) -> bool:
        """Whether every loss of every seed was finite."""
        return bool(np.isfinite(self.losses).all())

    @property
    def finals(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Mean loss of the last steps of each seed, shape (seeds,)."""
        tail = max(1, int(_TAIL * self.losses.shape[1]))
        return np.asarray(self.losses[:, -tail:].mean(axis=1))

    @property
    def cured(self) -> bool:
        """Whether every seed was finite and ended better than the best constant prediction."""
        if not self.finite:
            return False
        if self.baseline is not None:
            ends = self.finals if self.held_out is None else np.maximum(self.finals, self.held_out)
            return bool((ends < limit(self.baseline, self.margin)).all())
        starts = self.losses[:, :5].mean(axis=1)
        return bool((self.finals < limit(starts, self.margin)).all())

    def cured_within(self, steps: int) -> bool:
        """Whether the cure had shown after the first `steps` steps already."""
        return self.cured and replace(self, losses=self.losses[:, :steps], held_out=None).cured

    def as_evidence(self) -> dict[str, Any]:
        """Return the numbers of this replay."""
        curve = self.losses[0]
        picked = np.unique(np.linspace(0, len(curve) - 1, 6).astype(int))
        return {
            "change": str(self.change),
            "cured": self.cured,
            "losses": [float(f"{value:.4g}") for value in curve[picked]],
            "final_loss": float(f"{float(self.finals.max()):.4g}"),
            "baseline_loss": None if self.baseline is None else float(f"{self.baseline:.4g}"),
            "steps": int(self.losses.shape[1]),
            "seeds": int(self.losses.shape[0]),
        }


def limit(baseline: Any, margin: float) -> Any:
    """Return the loss below which a replay is cured: `margin` of the baseline, sign respected."""
    return baseline - (1 - margin) * np.abs(baseline)
