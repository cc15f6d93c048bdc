"""Intervention and ReplayResult: what a replay changes, and what came of it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robusttune._causes import FailureCause, Treatment

# The last part of a replay's steps whose mean loss is its result: one lucky batch is no cure.
_TAIL = 0.2
# Instead of no limit: larger than any norm of gradients in float32 that is of use.
NO_CLIPPING = 1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """Difference between a replay and the fit; the default changes nothing.

    Factors, `clip` and `plain_loss` are inputs of the compiled step, and data and first weights are
    what it is given: such interventions share one trace. `activation`, `float32` and `inference`
    are another model, and have a trace of their own.

    Args:
        rate: Factor on the learning rate, and on its schedule (> 0).
        held_rate: Learning rate throughout, instead of the schedule's, before the factor (> 0).
        inputs: Whether floating point inputs are standardized.
        targets: Whether targets are standardized.
        plain_loss: Whether the loss is replaced by the plain one for its head.
        initialization: Whether kernels are drawn again, with the standard spread.
        activation: Activation of all hidden layers; None leaves them.
        float32: Whether layers compute in float32.
        inference: Whether layers behave as in inference: without the noise of any layer, those of
            recurrent layers and of the user's own included.
        clip: Global norm that gradients are clipped to; None leaves them.
        momentum: Factor on the momentum of SGD (not Nesterov's) and RMSprop (>= 0).
        dropout: Factor on the noise of dropout layers, 0 (none) to 1 (as they are).
        noise: Factor on the standard deviation of GaussianNoise layers (>= 0).
        penalty: Factor on regularizers and added losses (>= 0).
        weight_decay: Factor on the optimizer's decoupled weight decay (>= 0).
        constraint: Factor on what constraints do to weights after each step, 0 (nothing) to 1.

    Example:
        >>> str(Intervention(rate=0.1) | Intervention(inputs=True))
        'learning rate / 10 + inputs standardized'
    """

    rate: float = 1.0
    held_rate: float | None = None
    inputs: bool = False
    targets: bool = False
    plain_loss: bool = False
    initialization: bool = False
    activation: str | None = None
    float32: bool = False
    inference: bool = False
    clip: float | None = None
    momentum: float = 1.0
    dropout: float = 1.0
    noise: float = 1.0
    penalty: float = 1.0
    weight_decay: float = 1.0
    constraint: float = 1.0

    def __or__(self, other: Intervention) -> Intervention:
        """Return both together: factors multiply, and the lower limit clips.

        Raises:
            ValueError: They ask for different activations.
        """
        if self.activation and other.activation and self.activation != other.activation:
            raise ValueError(f"one activation, got {self.activation!r} and {other.activation!r}")
        limits = [limit for limit in (self.clip, other.clip) if limit is not None]
        together: dict[str, Any] = {
            name: getattr(self, name) * getattr(other, name) for name in ("rate", *_FACTORS)
        }
        for name in ("inputs", "targets", "plain_loss", "initialization", "float32", "inference"):
            together[name] = getattr(self, name) or getattr(other, name)
        held = self.held_rate if other.held_rate is None else other.held_rate
        return Intervention(
            **together,
            held_rate=held,
            activation=self.activation or other.activation,
            clip=min(limits, default=None),
        )

    def __str__(self) -> str:
        parts = []
        if self.rate != 1:
            sign, factor = ("/", 1 / self.rate) if self.rate < 1 else ("x", self.rate)
            parts.append(f"learning rate {sign} {factor:.4g}")
        if self.held_rate is not None:
            parts.append(f"learning rate held at {self.held_rate:.4g}")
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
        if self.inference:
            parts.append("layers as in inference")
        if self.clip is not None:
            parts.append(f"gradient norm clipped at {self.clip:g}")
        for name in _FACTORS:
            if getattr(self, name) != 1:
                parts.append(f"{name.replace('_', ' ')} x {getattr(self, name):.4g}")
        return " + ".join(parts) or "nothing"

    @property
    def step_inputs(self) -> dict[str, float]:
        """The numbers that a compiled step takes, by name."""
        return {
            "rate": self.rate,
            "clip": NO_CLIPPING if self.clip is None else self.clip,
            "plain_loss": float(self.plain_loss),
            "held_rate": self.held_rate or 0.0,
            **{name: getattr(self, name) for name in _FACTORS},
        }

    @property
    def needs(self) -> frozenset[str]:
        """Those of them, beside the rate, that a step must take for this one."""
        plain = Intervention().step_inputs
        return frozenset(
            name for name, v in self.step_inputs.items() if name != "rate" and v != plain[name]
        )

    @property
    def treatments(self) -> frozenset[Treatment]:
        """Treatments that it consists of; a cure by one is evidence of its cause."""
        done = {
            Treatment.LOWER_RATE: self.rate < 1,
            Treatment.HIGHER_RATE: self.rate > 1 or self.held_rate is not None,
            Treatment.STANDARDIZED_DATA: self.inputs or self.targets,
            Treatment.PLAIN_LOSS: self.plain_loss,
            Treatment.STANDARD_INITIALIZATION: self.initialization,
            Treatment.FLOAT32: self.float32,
            Treatment.LESS_REGULARIZATION: self.regularizes_less,
        }
        return frozenset(kind for kind, is_done in done.items() if is_done)

    @property
    def regularizes_less(self) -> bool:
        """Whether anything that regularizes is weaker, or left out."""
        factors = (self.dropout, self.noise, self.penalty, self.weight_decay, self.constraint)
        return self.inference or min(factors) < 1

    @property
    def causes(self) -> tuple[FailureCause, ...]:
        """The causes that a cure by this intervention speaks for."""
        return tuple(cause for cause in FailureCause if cause.proven_by in self.treatments)


_FACTORS = ("momentum", "dropout", "noise", "penalty", "weight_decay", "constraint")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """Result of one intervention, over all seeds that were tried.

    Args:
        intervention: What was different.
        losses: Losses of each seed, shape (seeds, steps), without penalties; NaN after the first
            non-finite one.
        baseline: Loss of the best constant prediction on these batches; None where unknown.
        margin: Share of the baseline (or of the replay's own start, without one) that the final
            loss must stay below.
        held_out: Loss of each seed on batches that were not trained on, shape (seeds,); None
            where none were held out.
    """

    intervention: Intervention
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

    def ends_below(self, share: float) -> bool:
        """Whether every seed was finite and ended below a share of the baseline, which is known."""
        if self.baseline is None:
            return False
        return self.finite and bool((self.finals < limit(self.baseline, share)).all())

    @property
    def last_quarters(self) -> tuple[float, float]:
        """Mean loss of the first seed over the third quarter of its steps, and over the last."""
        losses = self.losses[0]
        quarter = max(len(losses) // 4, 1)
        return float(losses[-2 * quarter : -quarter].mean()), float(losses[-quarter:].mean())

    def within(self, steps: int) -> ReplayResult:
        """Return what had come of it after the first `steps` steps."""
        return replace(self, losses=self.losses[:, :steps], held_out=None)

    def cured_within(self, steps: int) -> bool:
        """Whether the cure had shown after the first `steps` steps already."""
        return self.cured and self.within(steps).cured

    def as_evidence(self) -> dict[str, Any]:
        """Return the numbers of this replay."""
        curve = self.losses[0]
        picked = np.unique(np.linspace(0, len(curve) - 1, 6).astype(int))
        return {
            "change": str(self.intervention),
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
