"""FitTrace: what was seen of one fit, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robusttune._causes import Symptom
from robusttune._diagnosis.fit_input import FitInput
from robusttune._diagnosis.verdict import Verdict
from robusttune._findings import Findings
from robusttune._records import COMPLETED_EPOCHS


@dataclass(slots=True)
class Batch:
    """One batch as the training step saw it; NumPy arrays, nested as the model takes them."""

    x: Any
    y: Any = None
    sample_weight: Any = None


@dataclass(slots=True, kw_only=True)
class FitTrace:
    """Trace of one fit: its batches, losses, norms and weights.

    The model that was fitted keeps the weights of the last good step; `initial_weights` are those
    from before the first.

    Args:
        symptom: How the fit went wrong; None for a fit that did not.
        epoch: Epoch of the failure, from 0.
        step: Training step of the failure, from 0, over the whole fit.
        losses: The last losses of single steps, oldest first, shape (n,), n <= policy.history. The
            failing step's loss is the last one. NaN where a step's loss could not be seen.
        gradient_norms: Global gradient norms of the same steps, before clipping, shape (n,).
        first_step: The step of losses[0].
        start_loss: Loss of the first step, of the untrained model; None before it.
        clipped_steps: How many steps the guard clipped.
        first_batches: The first batches of the fit, for replays; empty where the mode hides them.
        failing_batch: The batch of the failing step; None where the mode hides it.
        missing: Why something above is missing, by name (e.g. {"failing_batch": "jit_compile"}).
        initial_weights: Weights before the first step, in the order of model.get_weights().
        weights: Weights of the last good step, likewise; None: the model still has them.
        epoch_logs: One dict of metrics per epoch that was completed.
        last_logs: What the epoch that was cut short reported; empty where none was.
        epochs: Epochs that the fit was to run.
        steps_per_epoch: Steps an epoch; None where unknown.
        updates_before: Updates that the optimizer had made before the fit, for those that skip some
            (`LossScaleOptimizer`); None for others.
        rate_before: Learning rate before the first step; None where there is no optimizer of Keras.
        penalty_before: Sum of the penalties on weights before the last epoch; None where that was
            not seen, and without penalties.
        skill: 1 - loss of the last completed epoch / loss of the best constant prediction; None
            where that is not known (see `diagnosis.skill`).
        seconds: Wall time of the fit.
        seconds_per_epoch: Mean over the completed epochs; of the steps so far where there is none.
            The first step, which compiles, does not count; None where there is no other.
        why_not: What a closer look at a fit that raised no alarm could not tell, and why, by name.
        given: What the fit was called with; None: unknown, or nothing needs to be said of it.
    """

    symptom: Symptom | None = None
    epoch: int | None = None
    step: int | None = None
    losses: np.ndarray[Any, np.dtype[np.float64]] = field(default_factory=lambda: np.empty(0))
    gradient_norms: np.ndarray[Any, np.dtype[np.float64]] = field(
        default_factory=lambda: np.empty(0)
    )
    first_step: int = 0
    start_loss: float | None = None
    clipped_steps: int = 0
    first_batches: list[Batch] = field(default_factory=list)
    failing_batch: Batch | None = None
    missing: dict[str, str] = field(default_factory=dict)
    initial_weights: list[np.ndarray[Any, Any]] | None = None
    weights: list[np.ndarray[Any, Any]] | None = None
    epoch_logs: list[dict[str, float]] = field(default_factory=list)
    last_logs: dict[str, float] = field(default_factory=dict)
    epochs: int | None = None
    steps_per_epoch: int | None = None
    updates_before: int | None = None
    rate_before: float | None = None
    penalty_before: float | None = None
    skill: float | None = None
    seconds: float = 0.0
    seconds_per_epoch: float | None = None
    why_not: dict[str, str] = field(default_factory=dict)
    given: FitInput | None = None


def seconds_saved(trace: FitTrace) -> float | None:
    """Return the estimate of the time saved: epochs not run x seconds an epoch; None if unknown."""
    if trace.epochs is None or trace.epoch is None or trace.seconds_per_epoch is None:
        return None
    return max(trace.epochs - trace.epoch - 1, 0) * trace.seconds_per_epoch


def findings_of(symptom: Symptom, verdict: Verdict, trace: FitTrace | None) -> Findings:
    """Return what a symptom, its verdict and the trace of the fit say; None: there was no fit."""
    trace = trace or FitTrace()
    return Findings(
        symptom=symptom,
        cause=verdict.cause,
        other_causes=verdict.other_causes,
        confidence=verdict.confidence,
        epoch=trace.epoch,
        step=trace.step,
        seconds_saved=seconds_saved(trace),
        advice=verdict.advice or None,
        fix_verified=verdict.fix_verified,
        evidence={**verdict.evidence, COMPLETED_EPOCHS: len(trace.epoch_logs)},
        cut_short=not trace.epoch_logs,
    )
