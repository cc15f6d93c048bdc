"""Skill: how much better than the best constant prediction a fit ended, on its training data."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from robusttune._compat.keras import takes_training_argument
from robusttune._diagnosis.arrays import leaves
from robusttune._diagnosis.reference.baseline import constant_loss
from robusttune._diagnosis.trace import Batch, FitTrace

_log = logging.getLogger("robusttune.diagnosis")

# Fewer rows than this tell little of the targets, unless they are all there are.
_ROWS = 32


def skill(model: Any, trace: FitTrace) -> float | None:
    """Return 1 - loss of the last completed epoch / loss of the best constant prediction.

    0: no better than a constant; negative: worse. The loss is the epoch's mean over its training
    steps, without penalties. None where no epoch was completed, where the constant's loss is
    not positive, not finite or not known, and where too few rows were seen.

    Source: skill score, Murphy 1988 (Monthly Weather Review 116); scikit-learn's d2 scores.

    Args:
        model: The compiled model, as the fit left it.
        trace: What was seen of the fit, its first batches included.
    """
    ended = trace.epoch_logs[-1].get("loss", math.nan) if trace.epoch_logs else math.nan
    batches = trace.first_batches
    if not batches or not math.isfinite(ended):
        return None
    all_of_it = trace.steps_per_epoch is not None and trace.steps_per_epoch <= len(batches)
    if not all_of_it and sum(_rows(batch) for batch in batches) < _ROWS:
        return None
    constant = constant_loss(model, batches)
    if constant is None or not constant > 0:
        return None
    penalty = _penalty(model, trace)
    return None if penalty is None else 1 - (ended - penalty) / constant


def weight_penalty(model: Any) -> float | None:
    """Return the sum of the penalties on weights; None where there are others, of activations.

    Those are known within a step only.
    """
    import keras

    try:
        found = [keras.ops.convert_to_numpy(loss) for loss in model.losses]
        return float(sum(np.sum(each) for each in found))
    except Exception:  # tensors of the step that was traced
        return None


def _penalty(model: Any, trace: FitTrace) -> float | None:
    """Return the mean of the penalties over the last epoch, from its two ends."""
    if not model.losses:
        return 0.0
    if trace.symptom is not None:  # the weights are no longer those of that epoch
        return None
    end = weight_penalty(model)
    if end is None:
        return _penalty_in_steps(model, trace.first_batches)
    return end if trace.penalty_before is None else (trace.penalty_before + end) / 2


def _penalty_in_steps(model: Any, batches: Sequence[Batch]) -> float | None:
    """Return the mean of the penalties over forward passes; nothing of the model changes."""
    try:
        return fmean(_penalty_in_a_step(model, batch) for batch in batches)
    except Exception:  # the user's code, outside of its own step
        _log.debug("the penalties of a step are not known", exc_info=True)
        return None


def _penalty_in_a_step(model: Any, batch: Batch) -> float:
    """Return the penalties of one forward pass."""
    import keras

    x = keras.tree.map_structure(
        lambda leaf: None if leaf is None else keras.ops.convert_to_tensor(leaf), batch.x
    )
    knows = takes_training_argument(model)
    state = [(variable, variable.value) for variable in model.variables]
    with keras.StatelessScope(state, collect_losses=True):
        model(x, **({"training": True} if knows else {}))
        return float(sum(float(keras.ops.sum(loss)) for loss in model.losses))


def _rows(batch: Batch) -> int:
    return next((len(array) for _, array in leaves(batch.y) if array.ndim), 0)
