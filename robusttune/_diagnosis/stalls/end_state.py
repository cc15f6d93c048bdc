"""The end state of a fit that did not learn: still learning, converged, a saddle or a plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from robusttune._diagnosis.case import Case
from robusttune._diagnosis.trace import FitTrace

if TYPE_CHECKING:
    from robusttune._diagnosis.model.observe import LayerView, Observation
    from robusttune._diagnosis.replay.runner import ReplayRunner

# A slope is one where it is this many times its standard error.
_SIGNIFICANT = 2.0
# A fit that gets somewhere within so many times its own epochs is still learning.
_SOON = 5.0
# A loss that falls by more than this share an epoch halves within seven.
_FAST = 0.1
# Where the best step along the gradient would gain less than this share of the loss, it is small.
_SMALL = 0.01
# A negative curvature counts from this share of the largest one on.
_BENT = 0.01
# Share of the outputs of a layer, or of its units, from which it is saturated or dead.
_GONE = 0.9
_SATURATION = {"tanh": (-0.99, 0.99), "softsign": (-0.99, 0.99), "sigmoid": (0.01, 0.99)}
_RELUS = ("relu", "relu6")


class EndStateKind(StrEnum):
    """Where a fit that did not learn has come to."""

    STILL_LEARNING = "still_learning"
    CONVERGED = "converged"
    SADDLE = "saddle"
    PLATEAU = "plateau"


@dataclass(frozen=True, slots=True)
class EndState:
    """Where a fit that did not learn has come to, with the numbers that say so.

    Args:
        kind: Which it is.
        more_epochs: Epochs until it is better than a constant prediction, should it go on as it
            last did; None where it gains nothing.
        gradient_norm: Global norm of the gradient over all rows that are kept.
        largest_curvature: Largest eigenvalue of the Hessian there, in units of loss / weight^2.
        smallest_curvature: Smallest one.
        layer: Of a plateau: the layer whose units are saturated or dead.
    """

    kind: EndStateKind
    more_epochs: int | None = None
    gradient_norm: float | None = None
    largest_curvature: float | None = None
    smallest_curvature: float | None = None
    layer: str | None = None

    def __str__(self) -> str:
        if self.kind is EndStateKind.STILL_LEARNING:
            return (
                f"it was still learning, and would beat a constant prediction in {self.more_epochs}"
                " more epochs as it went"
            )
        if self.kind is EndStateKind.PLATEAU:
            return f"it ended on a plateau: the units of {self.layer} are saturated or dead"
        bent = f"the smallest curvature is {self.smallest_curvature:.2g}"
        if self.kind is EndStateKind.SADDLE:
            return f"it ended in a saddle: {bent}"
        return f"it has converged: the gradient norm is {self.gradient_norm:.2g}, and {bent}"

    def as_evidence(self) -> dict[str, Any]:
        """Return the state and its numbers, without those that are not known."""
        found = {
            "state": str(self.kind),
            "more_epochs": self.more_epochs,
            "gradient_norm": self.gradient_norm,
            "largest_curvature": self.largest_curvature,
            "smallest_curvature": self.smallest_curvature,
            "layer": self.layer,
        }
        return {name: value for name, value in found.items() if value is not None}


def more_epochs(curve: Sequence[float], target: float) -> float:
    """Return how many more epochs take a loss to a target, on a line through its last half.

    Args:
        curve: Loss of each epoch.
        target: The loss to reach.

    Returns:
        0 where it is there; inf where the line does not fall by more than its noise, or two epochs
        are not there.
    """
    losses = np.asarray(curve, float)
    if not losses.size or not np.isfinite(losses).all():
        return math.inf
    if losses[-1] <= target:
        return 0.0
    last = losses[-max(len(losses) // 2, 3) :]
    if len(last) < 2:
        return math.inf
    epochs = np.arange(len(last)) - (len(last) - 1) / 2
    slope = float(epochs @ last / (epochs @ epochs))
    if len(last) > 2:
        rest = last - last.mean() - slope * epochs
        error = math.sqrt(float(rest @ rest) / (len(last) - 2) / float(epochs @ epochs))
        if -slope <= _SIGNIFICANT * error:
            return math.inf
    return math.inf if slope >= 0 else float((losses[-1] - target) / -slope)


def epoch_losses(trace: FitTrace) -> list[float]:
    """Return the training loss of each epoch."""
    return [logs["loss"] for logs in trace.epoch_logs if "loss" in logs]


def falls_fast(trace: FitTrace) -> bool:
    """Whether the loss fell by so much in each of the last epochs that the fit was only short.

    One epoch shows no course, and neither does a diagnosis without a fit: both may have been short.
    """
    curve = epoch_losses(trace)
    last = curve[-max(len(curve) // 4, 2) - 1 :]
    return len(last) < 2 or 0 < last[-1] < last[0] * (1 - _FAST) ** (len(last) - 1)


def is_still_learning(case: Case, share: float) -> bool:
    """Whether the last epochs fall so fast that as many again would gain that share of the loss."""
    curve = epoch_losses(case.trace)
    if len(curve) < 2:
        return True  # one epoch shows no course
    target = curve[-1] - share * abs(curve[-1])
    return more_epochs(curve, target) <= len(curve)


def end_state(runner: ReplayRunner, target: float | None) -> EndState | None:
    """Return where a fit that did not learn has come to; None where that is none of the four.

    Args:
        runner: Replays of the case.
        target: The loss from which on it would have learned something; None where unknown.
    """
    case = runner.case
    curve = epoch_losses(case.trace)
    more = math.inf if target is None else more_epochs(curve, target)
    if 0 < more <= _SOON * len(curve):
        return EndState(EndStateKind.STILL_LEARNING, more_epochs=math.ceil(more))
    gone = None if case.last is None else _gone_layer(case.last)
    if gone is not None:
        return EndState(EndStateKind.PLATEAU, layer=gone)
    weights = case.trace.weights or case.model.get_weights()
    curvature = runner.curvature(weights)
    if curvature is None or not math.isfinite(curvature.largest):
        return None
    norm, loss = runner.gradient_norm(weights), curve[-1] if curve else math.nan
    steepest = max(curvature.largest, -curvature.smallest)
    gain = 0.0 if norm == 0 else norm**2 / (2 * steepest) if steepest > 0 else math.inf
    if not gain <= _SMALL * abs(loss):
        return None
    saddle = curvature.smallest < -_BENT * abs(curvature.largest)
    return EndState(
        EndStateKind.SADDLE if saddle else EndStateKind.CONVERGED,
        gradient_norm=norm,
        largest_curvature=curvature.largest,
        smallest_curvature=curvature.smallest,
    )


def _gone_layer(seen: Observation) -> str | None:
    """Return the first hidden layer whose units are saturated or dead."""
    from robusttune._diagnosis.model.observe import is_hidden_activation

    hidden = (view for view in seen.layers if is_hidden_activation(view, seen))
    return next((view.name for view in hidden if _share_gone(view) >= _GONE), None)


def _share_gone(view: LayerView) -> float:
    if view.output.ndim < 2 or not view.output.size:
        return 0.0
    if view.activation in _RELUS:
        output = view.output.reshape(-1, view.output.shape[-1])
        return float(np.mean(~(output > 0).any(axis=0)))
    low, high = _SATURATION.get(view.activation or "", (-math.inf, math.inf))
    return float(np.mean((view.output < low) | (view.output > high)))
