"""Do labels, head and loss agree? Pure rules over one output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._compat.keras import cached_logits_are_used
from robusttune._diagnosis.arrays import Array, is_number
from robusttune._diagnosis.model.info import LossFacts, OutputHead

# Targets this far outside a bounded head's range, in this share, are out of reach for training.
_TOLERANCE = 0.01
_SHARE = 0.1
# Of the squares that the best constant prediction leaves, the share that a bounded head can never
# get below: from the first on it is worth a word, from the second on nobody can call it learned.
_NOTICED, _HOPELESS = 0.02, 0.2

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
    "elu": (-1.0, np.inf),
    "selu": (-1.76, np.inf),
    "gelu": (-0.17, np.inf),
    "silu": (-0.28, np.inf),
    "swish": (-0.28, np.inf),
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
_FEW_CLASSES = 10
_ROWS = 1000


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


def label_mismatch(y: Any, loss: LossFacts, head: OutputHead | None = None) -> Mismatch | None:
    """Return how labels, head and loss disagree; None where they agree or cannot be judged.

    Args:
        y: Targets of one output, shape (n,) or (n, ...).
        loss: The loss of that output.
        head: The end of the model; None leaves out the rules that need it.
    """
    head = head or OutputHead()
    if head.activation == "softmax" and head.units == 1:
        return Mismatch(
            "a softmax over one unit is always 1",
            "use a sigmoid and binary_crossentropy, one unit per class, or a linear head for"
            " regression",
        )
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
    found = (
        _one_unit_for_several(values, loss, head)
        or _several_ones(values, loss, head)
        or _by_loss(values, loss, head)
    )
    return found or _softmax_twice(loss, head)


def _by_loss(values: Array, loss: LossFacts, head: OutputHead) -> Mismatch | None:
    if loss.name == "sparse_categorical_crossentropy":
        return _sparse(values, loss, head)
    if loss.name in _CATEGORICAL:
        return _categorical(values, loss, head)
    if loss.name in _PROBABILITIES:
        return _probabilities(values, loss, head)
    if loss.name in _HINGES:
        return _hinge(values, head)
    if loss.name == "poisson":
        return _poisson(values, head) or _bounded_head(values, head)
    if loss.name in _REGRESSION:
        return _bounded_head(values, head)
    return None


def _one_unit_for_several(values: Array, loss: LossFacts, head: OutputHead) -> Mismatch | None:
    """Several columns of targets, and one unit that Keras compares with each of them."""
    columns = values.shape[1] if values.ndim == 2 else 1
    if (
        columns < 2
        or (head.units, head.axes) != (1, 2)
        or loss.name not in _REGRESSION | _PROBABILITIES
    ):
        return None
    if (values == values[:, :1]).all():
        return None
    return Mismatch(
        f"the targets have {columns} columns, and the head has one unit, which is compared with"
        " each of them",
        f"end in {columns} units",
    )


def _several_ones(values: Array, loss: LossFacts, head: OutputHead) -> Mismatch | None:
    """0/1 rows with several ones, or none, where the predictions of a row sum to 1."""
    categorical = loss.name in _CATEGORICAL and loss.axis == -1
    softmax = head.activation == "softmax" and loss.name in (_REGRESSION | _PROBABILITIES)
    if not (categorical or softmax) or values.ndim != 2 or values.shape[1] < 2:
        return None
    if not np.isin(values, (0.0, 1.0)).all():
        return None
    ones = values.sum(axis=1)
    several, none = float(np.mean(ones > 1)), float(np.mean(ones == 0))
    if max(several, none) <= _SHARE or (none == 1.0 and not categorical):
        return None
    have = f"{several:.0%} of the rows have several ones" if several > _SHARE else ""
    lack = f"{none:.0%} have none" if none > _SHARE else ""
    kind = loss.name if categorical else "a softmax"
    return Mismatch(
        f"{kind} gives probabilities that sum to 1, but of the 0/1 labels"
        f" {' and '.join(filter(None, (have, lack)))}",
        "end in a sigmoid with binary_crossentropy, which treats each class separately",
        certain=several > _SHARE or none == 1.0,
    )


def _softmax_twice(loss: LossFacts, head: OutputHead) -> Mismatch | None:
    """A loss that applies a softmax to that of the head: it may train, with a flat loss."""
    if not (loss.from_logits and head.activation in ("softmax", "sigmoid")):
        return None
    if cached_logits_are_used():
        return None
    return Mismatch(
        f"{loss.name} takes logits (from_logits=True), and the head is a {head.activation} already",
        "use a linear head, or from_logits=False",
        certain=False,
    )


def _span(values: Array) -> str:
    return f"{values.min():.4g}..{values.max():.4g}"


def _sparse(values: Array, loss: LossFacts, head: OutputHead) -> Mismatch | None:
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
            "the probability of the only class is always 1",
            "use 2 units, or a sigmoid and binary_crossentropy",
        )
    return _logits_needed(loss, head)


def _categorical(values: Array, loss: LossFacts, head: OutputHead) -> Mismatch | None:
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


def _probabilities(values: Array, loss: LossFacts, head: OutputHead) -> Mismatch | None:
    if values.min() < -_TOLERANCE or values.max() > 1 + _TOLERANCE:
        return Mismatch(
            f"{loss.name} takes labels in 0..1, these are {_span(values)}",
            "map the labels to 0 and 1, or use a loss for such targets",
        )
    return _logits_needed(loss, head)


def _logits_needed(loss: LossFacts, head: OutputHead) -> Mismatch | None:
    """Probabilities are taken where the head gives none: it may train, by luck of the clipping."""
    if not loss.from_logits and head.activation in ("linear", "relu", "tanh", "elu", "leaky_relu"):
        return Mismatch(
            f"{loss.name} takes probabilities, the head is {head.activation}",
            "pass from_logits=True with a linear head, or end in a softmax or sigmoid",
            certain=head.activation != "linear",
        )
    return None


def _hinge(values: Array, head: OutputHead) -> Mismatch | None:
    kinds = set(np.unique(values).tolist())
    if kinds <= {-1.0, 1.0} or kinds <= {0.0, 1.0}:
        if head.activation not in ("sigmoid", "softmax", "relu", "softplus", "exponential"):
            return None
        return Mismatch(
            f"hinge losses take predictions from -1 to 1, a {head.activation} head gives none"
            " below 0",
            "end in a tanh or linear head, or use binary_crossentropy",
            certain=False,
        )
    return Mismatch(
        f"hinge losses take labels -1 and 1, these are {_span(values)}",
        "map the labels to -1 and 1, or use a loss for such targets",
    )


def _poisson(values: Array, head: OutputHead) -> Mismatch | None:
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


def _bounded_head(values: Array, head: OutputHead) -> Mismatch | None:
    """Targets that a head cannot give; and 0/1 labels under a tanh, which gives -1 to 1."""
    low, high = _RANGES.get(head.activation or "", (-np.inf, np.inf))
    beyond = np.maximum(low - values, 0) + np.maximum(values - high, 0)
    outside = float(np.mean(beyond > _TOLERANCE))
    spread = float(values.var())
    left = float(np.square(beyond).mean()) / spread if spread > 0 else float(outside > 0)
    kinds = np.unique(values[:_ROWS]) if values.ndim < 3 else values[:0]
    labels = np.array_equal(kinds, np.arange(len(kinds))) and 2 <= len(kinds) <= _FEW_CLASSES
    if (outside > _SHARE and left > _NOTICED) or (outside > _TOLERANCE and left > _HOPELESS):
        reason = (
            f"{outside:.0%} of the targets ({_span(values)}) are outside the range of a"
            f" {head.activation} head"
        )
        fix = "use a linear head, or scale the targets into its range"
        if labels and len(kinds) > 2:
            reason += f", if they are {len(kinds)} classes"
            fix += "; for classes use one unit each, a softmax and sparse_categorical_crossentropy"
        return Mismatch(reason, fix, certain=outside > _SHARE and left > _HOPELESS)
    if labels and len(kinds) == 2 and head.activation in ("tanh", "hard_tanh", "softsign"):
        return Mismatch(
            f"the labels are 0 and 1, and a {head.activation} head gives -1 to 1",
            "end in a sigmoid and use binary_crossentropy",
            certain=False,
        )
    return None
