"""Training that fails quietly: no alarm, and nothing learned. Silence beats a false alarm."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from robusttune.causes import FailureCause
from robusttune.diagnosis import rules
from robusttune.diagnosis.arrays import Array, leaves
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.changes import limit
from robusttune.diagnosis.facts import ModelFacts, last_layer, model_facts
from robusttune.diagnosis.labels import label_mismatch
from robusttune.diagnosis.verdict import Verdict
from robusttune.guard.trace import FitTrace

# A fit of fewer steps than this has hardly begun, and its silence says nothing.
_MIN_STEPS = 20
# A fit that ends this near to the best constant prediction, or above it, has learned nothing.
_MARGIN = 0.95
# A fit whose last epoch still gained this share is on its way.
_GAIN = 0.005
# A fit that was this many times above its start has blown up on the way.
_BLOWN = 2.0
# A fit that ends this many times above the best constant prediction is far off, gaining or not.
_FAR = 10.0


def looks_healthy(model: Any, trace: FitTrace) -> bool:
    """Whether a look at the loss curve and the labels says that the fit learned something.

    Nearly free: it reads epoch means and the targets of the first batches.
    """
    if _labels_disagree(model, trace):
        return False
    return trace.first_step + len(trace.losses) < _MIN_STEPS or _curve_is_healthy(model, trace)


def _labels_disagree(model: Any, trace: FitTrace) -> bool:
    """Whether labels, head and loss of a model with one plain output can never agree."""
    facts, targets = model_facts(model), _targets(trace)
    if len(facts.losses) != 1 or targets is None:
        return False
    found = label_mismatch(targets, facts.losses[0], last_layer(model))
    return found is not None and found.certain


def _curve_is_healthy(model: Any, trace: FitTrace) -> bool:
    curve = [logs["loss"] for logs in trace.epoch_logs if "loss" in logs]
    final = curve[-1] if curve else math.nan
    if not curve or not math.isfinite(final):
        return not curve
    baseline = quick_baseline(model_facts(model), trace)
    if baseline is None:
        baseline = trace.start_loss
    return baseline is None or final < limit(baseline, _MARGIN)


def is_gaining(trace: FitTrace) -> bool:
    """Whether the last epoch still gained, after a course that never left its start upwards.

    One epoch shows no course, and gets the benefit of the doubt.
    """
    curve = [logs["loss"] for logs in trace.epoch_logs if "loss" in logs]
    start = trace.start_loss
    blown = start is not None and max(curve, default=0.0) > _BLOWN * abs(start)
    return not blown and (len(curve) < 2 or curve[-2] - curve[-1] > _GAIN * abs(curve[-2]))


def quick_baseline(facts: ModelFacts, trace: FitTrace) -> float | None:
    """Return the loss of the best constant prediction for one plain output; None otherwise."""
    if any(batch.sample_weight is not None for batch in trace.first_batches):
        return None
    targets = _targets(trace)
    if len(facts.losses) != 1 or targets is None:
        return None
    y = targets.astype(np.float64)
    y = y.reshape(-1, y.shape[-1]) if y.ndim > 1 else y.reshape(-1, 1)
    return _constant_loss(facts.losses[0].name, y)


def _targets(trace: FitTrace) -> Array | None:
    """Return the targets of the first batches of a model with one output; None otherwise."""
    found = [[array for _, array in leaves(batch.y)] for batch in trace.first_batches]
    if not found or any(len(each) != 1 for each in found):
        return None
    arrays = [each[0] for each in found if each[0].dtype.kind in "biuf"]
    if not arrays or any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
        return None
    return np.concatenate(arrays)


def _constant_loss(name: str, y: Array) -> float | None:
    if not np.isfinite(y).all():
        return None
    if name == "mean_squared_error":
        return float(y.var(axis=0).mean())
    if name == "mean_absolute_error":
        return float(np.abs(y - np.median(y, axis=0)).mean())
    if name == "binary_crossentropy" and y.min() >= 0 and y.max() <= 1:
        shares = np.clip(y.mean(axis=0), 1e-7, 1 - 1e-7)
        return float(-(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).mean())
    if name == "categorical_crossentropy" and y.shape[1] > 1 and y.min() >= 0:
        return _entropy(y.sum(axis=0))
    if name == "sparse_categorical_crossentropy" and y.min() >= 0:
        return _entropy(np.bincount(y.astype(int).ravel()))
    return None


def _entropy(counts: Array) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def quiet_verdict(case: Case) -> Verdict | None:
    """Look closely at a fit that seems to have learned nothing; None where it has, or may have.

    A fit that still gains is only asked for what is wrong with its structure: with more epochs, or
    another rate or scale, it may do well.
    """
    from robusttune.diagnosis.battery import Battery
    from robusttune.diagnosis.changes import Change
    from robusttune.diagnosis.replay import CannotReplayError
    from robusttune.diagnosis.stalls import find_stall, signs

    began = time.monotonic()
    case.observe()
    conclusive = rules.non_finite_data(case) or rules.labels(case)
    if conclusive is not None:
        return replace(conclusive, evidence={**case.numbers(), **conclusive.evidence})
    baseline = quick_baseline(case.facts, case.trace)
    far = baseline is not None and case.trace.epoch_logs[-1]["loss"] > _FAR * abs(baseline)
    structural = is_gaining(case.trace) and not far
    if structural and not signs(case).any:
        return None
    try:
        battery = Battery(case, seconds=case.policy.diagnosis_seconds, hold_out=True)
        if battery.learned:
            return None
        unchanged = battery.outcome(Change())
        if unchanged is None or unchanged.cured:
            return None
        verdict = find_stall(battery, structural=structural)
    except CannotReplayError as error:
        case.why_not["replay"] = str(error)
        return None
    if verdict is None or verdict.cause is FailureCause.UNKNOWN:
        return None
    evidence = {
        **case.numbers(),
        **verdict.evidence,
        "replays": [outcome.as_evidence() for outcome in battery.outcomes],
        "baseline_loss": unchanged.baseline,
        "diagnosis_seconds": time.monotonic() - began,
    }
    return replace(verdict, evidence=evidence)
