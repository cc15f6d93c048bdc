"""Clipping of gradient spikes: which steps, by how much, and whose optimizer needs none of it.

Gradients are measured by their size, half the squared global norm: what TensorFlow's l2_loss gives,
summed. A peak of it fades, and a spike is far above it.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, Literal

import keras
import numpy as np

# Steps at the start that have no history to be compared with.
WARM_UP_STEPS = 8
# A gradient norm this many times above its recent peak is a spike. Ordinary steps stay below: none
# of the healthy fits of evaluation/healthy.py is clipped.
SPIKE = 10.0
# The same while there is hardly any history.
WARM_UP_SPIKE = 100.0
# The recent peak fades by 1 % a step, and a spike raises it at most twofold.
PEAK_DECAY = 0.99
PEAK_GROWTH = 2.0
# Sizes are float32 on all backends: what is beyond is infinite.
LARGEST = float(np.finfo(np.float32).max)


class Row(IntEnum):
    """Measurements of a step; float32.

    SIZE is half the squared gradient norm; it is not finite where the loss or the gradient is not.
    """

    LOSS = 0
    SIZE = 1


def clip_of(clip: float | Literal["auto"] | None, optimizer: Any) -> float | Literal["auto"] | None:
    """Return how the gradients of an optimizer are clipped, which may do so by itself.

    Args:
        clip: "auto", a global norm, or None.
        optimizer: Who has a clipping of its own keeps that alone; "auto" spares those whose steps
            are bounded as well.
    """
    spared = clips_by_itself(optimizer) or (clip == "auto" and bounds_its_steps(optimizer))
    return None if spared else clip


def clips_by_itself(optimizer: Any) -> bool:
    """Whether the user gave the optimizer a clipnorm, clipvalue or global_clipnorm."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return any(
        getattr(inner, name, None) is not None
        for name in ("clipnorm", "clipvalue", "global_clipnorm")
    )


# Optimizers that divide by a running size of the gradient, or take its sign: however large a
# gradient is, a step is some learning rates long. Source: Adam, arXiv 1412.6980, section 2.1.
_BOUNDED = ("Adam", "Adamax", "Adagrad", "Adadelta", "Adafactor", "RMSprop", "Lion", "Muon")


def bounds_its_steps(optimizer: Any) -> bool:
    """Whether a spike of the gradient cannot throw the weights far: plain training survives it."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    found = (getattr(keras.optimizers, name, None) for name in _BOUNDED)
    return isinstance(inner, tuple(kind for kind in found if kind is not None))


class Clipping:
    """Decides on the host by how much the gradients of a step are clipped.

    Args:
        clip: "auto", a global norm, or None.

    Attributes:
        steps: Steps so far.
        clipped: How many of them were clipped.
    """

    def __init__(self, clip: float | Literal["auto"] | None) -> None:
        self.clip = clip
        self.steps = self.clipped = 0
        self._peak = 0.0

    def factor(self, size: float) -> float:
        """Return what the gradients of the next step are to be multiplied with, 0..1.

        Args:
            size: Half the squared norm of its gradient.
        """
        warm = self.steps < WARM_UP_STEPS or self._peak <= 0
        self.steps += 1
        if self.clip is None:
            return 1.0
        if self.clip == "auto":
            peak = self._peak
            spike = peak > 0 and size > peak * (WARM_UP_SPIKE if warm else SPIKE) ** 2
            grown = size if warm and not spike else peak * PEAK_GROWTH**2
            self._peak = max(peak * PEAK_DECAY**2, min(size, grown))
            limit = peak if spike else math.inf
        else:
            limit = float(self.clip) ** 2 / 2
        if size <= limit:
            return 1.0
        self.clipped += 1
        return math.sqrt(limit / size)
