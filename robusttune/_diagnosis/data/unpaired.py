"""Losses that do not pair rows: each prediction is compared with every target of the batch.

Targets of shape (rows, 1) minus predictions of shape (rows,) are (rows, rows): a loss of the user's
own goes on, is finite and falls, and teaches the model one number for all rows.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._diagnosis.arrays import Array, map_leaves
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.model.info import model_facts
from robusttune._diagnosis.trace import Batch
from robusttune._diagnosis.verdict import Verdict

_log = logging.getLogger("robusttune.diagnosis")

# Values of a loss as near as this, as a share, are the same in float32; others differ by this.
_SAME, _OTHER = 1e-5, 1e-2
# Fewer rows than this show nothing.
_LEAST_ROWS = 4
_SEED = 0


def pairs_no_rows(model: Any, batch: Batch | None) -> bool:
    """Whether a loss of the user's own is the same whatever target belongs to which row.

    And is another one for other targets. Two forward passes of one batch; nothing of the model
    changes. False where that cannot be told.
    """
    if batch is None or batch.y is None or batch.sample_weight is not None:
        return False
    if all(loss.built_in for loss in model_facts(model).losses):
        return False
    import keras

    from robusttune._diagnosis.model.forward import (
        call_model,
        compute_loss,
        to_tensors,
        trains_by_itself,
    )

    if trains_by_itself(model):
        return False
    rows = {leaf.shape[0] for leaf in keras.tree.flatten(batch.y) if leaf.ndim}
    if len(rows) != 1 or min(rows) < _LEAST_ROWS:
        return False
    rng = np.random.default_rng(_SEED)
    order = np.roll(rng.permutation(min(rows)), 1)
    factors = rng.uniform(0.5, 1.0, min(rows)).astype("float32")
    try:
        with keras.StatelessScope():
            predicted = call_model(model, to_tensors(batch.x), training=False)
            # Each row another prediction, within the same bounds, also where the model has died.
            told = keras.tree.map_structure(lambda p: p * _by_row(factors, p), predicted)
            values = [
                float(compute_loss(model, None, replace(batch, y=targets), told))
                for targets in (
                    batch.y,
                    map_leaves(lambda y: y[order], batch.y),
                    map_leaves(lambda y: np.repeat(y[:1], len(y), axis=0), batch.y),
                )
            ]
    except Exception:  # the user's own code, under what it was not written for
        _log.debug("the loss was not looked at", exc_info=True)
        return False
    own, shuffled, other = values
    size = abs(own) or 1.0
    return abs(shuffled - own) < _SAME * size and abs(other - own) > _OTHER * size


def _by_row(factors: Array, predicted: Any) -> Any:
    import keras

    shape = (-1, *(1 for _ in predicted.shape[1:]))
    return keras.ops.cast(factors.reshape(shape), predicted.dtype)


def unpaired_loss(case: Case) -> Verdict | None:
    """Return an unsafe loss where it pairs no rows, and the plain loss of its head learns."""
    from robusttune._diagnosis.replay.intervention import Intervention
    from robusttune._diagnosis.replay.optimizer import CannotReplayError
    from robusttune._diagnosis.replay.runner import ReplayRunner

    if not case.batches or not pairs_no_rows(case.model, case.batches[0]):
        return None
    try:
        runner = ReplayRunner(case, hold_out=True)
        if runner.plain_loss is None:
            return None
        plain = Intervention(plain_loss=True)
        runner.expect([plain])
        result = runner.confirmed(runner.run(plain))
    except CannotReplayError as error:
        case.why_not["replay"] = str(error)
        return None
    if result is None or not result.cured:
        return None
    shape = "(rows, 1) and (rows,)"
    return Verdict(
        cause=FailureCause.UNSAFE_LOSS,
        grounds=Grounds.STALL_CURE,
        advice="The loss does not depend on which target belongs to which row, as where shapes"
        f" {shape} are broadcast to (rows, rows): give targets and predictions the same shape. The"
        f" same trial learns with the plain loss of its head ({result.losses.shape[1]} steps,"
        f" {result.losses.shape[0]} seeds).",
        fix_verified=True,
        evidence={
            "fix": {"change": str(plain), "plain_loss": True},
            "replays": [each.as_evidence() for each in runner.results],
        },
    )
