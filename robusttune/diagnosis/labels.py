"""Do labels, head and loss agree? Pure rules over one output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune.diagnosis.arrays import Array, is_number
from robusttune.diagnosis.facts import Head, LossFacts

# Targets this far outside a bounded head's range, in this share, are out of reach for training.
_TOLERANCE = 0.01
_SHARE = 0.1

_RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu6": (0.0, 6.0),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "exponential": (0.0, np.inf),
}
_REGRESSION = frozenset(
    {
        "mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error",
        "huber",
        "log_cosh",
    }
)
_PROBABILITIES = frozenset({"binary_crossentropy", "binary_focal_crossentropy", "kl_divergence"})
_CATEGORICAL = frozenset({"categorical_crossentropy", "categorical_focal_crossentropy"})
_HINGES = frozenset({"hinge", "squared_hinge"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A disagreement between labels, head and loss.

    Args:
        reason: What disagrees, with its numbers, as the start of a sentence.
        fix: What to change, as an imperative.
        certain: True where no data trains this combination well; False where it might.
    """

    reason: str
    fix: str
    certain: bool = True

    @property
    def advice(self) -> str:
        """Reason and fix as one line."""
        return f"{self.reason[0].upper()}{self.reason[1:]}: {self.fix}."


def label_mismatch(y: Any, loss: LossFacts, head: Head | None = None) -> Mismatch | None:
    """Return how labels, head and loss disagree; None where they agree or cannot be judged.

    Args:
        y: Targets of one output, shape (n,) or (n, ...).
        loss: The loss of that output.
        head: The end of the model; None leaves out the rules that need it.
    """
    if y is None or not loss.built_in:
        return None
    values = np.asarray(y)
    if not is_number(values) or not values.size:
        return None
    values = values.astype(np.float64)
    if loss.ignore_class is not None:
        values = values[values != loss.ignore_class]
    if not values.size or not np.isfinite(values).all():
        return None
    head = head or Head()
    if loss.name == "sparse_categorical_crossentropy":
        return _sparse(values, loss, head)
    if loss.name in _CATEGORICAL:
        return _categorical(values, loss, head)
    if loss.name in _PROBABILITIES:
        return _probabilities(values, loss, head)
    if loss.name in _HINGES:
        return _hinge(values)
    if loss.name == "poisson":
        return _poisson(values, head)
    if loss.name in _REGRESSION:
        return _bounded_head(values, head)
    return None


def _span(values: Array) -> str:
    return f"{values.min():.4g}..{values.max():.4g}"


def _sparse(values: Array, loss: LossFacts, head: Head) -> Mismatch | None:
    if (values != np.round(values)).any():
        return Mismatch(
            f"the class labels are not whole numbers ({_span(values)})",
            "use integer labels, or a regression loss",
        )
    units = head.units
    if values.min() < 0 or (units is not None and values.max() >= units):
        classes = int(values.max()) + 1
        return Mismatch(
            f"the labels are {_span(values)} but the head has {units} units",
            "start the labels at 0"
            if values.min() < 0
            else f"use labels from 0 and >= {classes} units",
        )
    if units == 1:
        return Mismatch(
            "a softmax over one unit is always 1",
            "use 2 units, or a sigmoid and binary_crossentropy",
        )
    return _logits_needed(loss, head)


def _categorical(values: Array, loss: LossFacts, head: Head) -> Mismatch | None:
    if head.units == 1 or (values.ndim > 1 and values.shape[-1] == 1):
        return Mismatch(
            "categorical_crossentropy over one unit is always 0",
            "use a sigmoid and binary_crossentropy, or one unit per class",
        )
    if values.min() < -_TOLERANCE or values.max() > 1 + _TOLERANCE:
        return Mismatch(
            f"categorical_crossentropy takes one-hot labels, these are {_span(values)}",
            "one-hot encode the labels, or use sparse_categorical_crossentropy",
        )
    if values.ndim > 1 and not (values.sum(axis=-1) > 0.5).any():
        return Mismatch("the one-hot labels are all 0", "one-hot encode the labels")
    return _logits_needed(loss, head)


def _probabilities(values: Array, loss: LossFacts, head: Head) -> Mismatch | None:
    if values.min() < -_TOLERANCE or values.max() > 1 + _TOLERANCE:
        return Mismatch(
            f"{loss.name} takes labels in 0..1, these are {_span(values)}",
            "map the labels to 0 and 1, or use a loss for such targets",
        )
    if head.units == 1 and head.activation == "softmax":
        return Mismatch("a softmax over one unit is always 1", "use a sigmoid")
    return _logits_needed(loss, head)


def _logits_needed(loss: LossFacts, head: Head) -> Mismatch | None:
    """Probabilities are taken where the head gives none: it may train, by luck of the clipping."""
    if not loss.from_logits and head.activation in ("linear", "relu", "tanh", "elu", "leaky_relu"):
        return Mismatch(
            f"{loss.name} takes probabilities, the head is {head.activation}",
            "pass from_logits=True with a linear head, or end in a softmax or sigmoid",
            certain=head.activation != "linear",
        )
    return None


def _hinge(values: Array) -> Mismatch | None:
    kinds = set(np.unique(values).tolist())
    if kinds <= {-1.0, 1.0} or kinds <= {0.0, 1.0}:
        return None
    return Mismatch(
        f"hinge losses take labels -1 and 1, these are {_span(values)}",
        "map the labels to -1 and 1, or use a loss for such targets",
    )


def _poisson(values: Array, head: Head) -> Mismatch | None:
    if values.min() < 0:
        return Mismatch(
            f"a Poisson loss takes counts, these targets are {_span(values)}",
            "use mean_squared_error, or counts >= 0",
        )
    if head.activation in ("linear", "tanh", "leaky_relu", "elu"):
        return Mismatch(
            f"a Poisson loss takes positive predictions, the head is {head.activation}",
            "end in an exponential or softplus activation",
            certain=False,
        )
    return None


def _bounded_head(values: Array, head: Head) -> Mismatch | None:
    if head.activation == "softmax" and head.units == 1:
        return Mismatch("a softmax over one unit is always 1", "use a linear head for regression")
    low, high = _RANGES.get(head.activation or "", (-np.inf, np.inf))
    outside = float(np.mean((values < low - _TOLERANCE) | (values > high + _TOLERANCE)))
    if outside <= _SHARE:
        return None
    return Mismatch(
        f"{outside:.0%} of the targets ({_span(values)}) are out of the reach of a"
        f" {head.activation} head",
        "use a linear head, or scale the targets into its range",
        certain=outside > 0.5,
    )
