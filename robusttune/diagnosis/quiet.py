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
from robusttune.diagnosis.facts import ModelFacts, model_facts
from robusttune.diagnosis.verdict import Verdict
from robusttune.guard.trace import FitTrace

# A fit that ends this near to the best constant prediction, or above it, has learned nothing.
_MARGIN = 0.95
# A fit whose last epoch still gained this share is on its way.
_GAIN = 0.005
# A fit that was this many times above its start has blown up on the way.
_BLOWN = 2.0


def looks_healthy(model: Any, trace: FitTrace) -> bool:
    """Whether a look at the loss curve is enough to say that the fit learned something.

    Nearly free: it reads epoch means and the targets of the first batches.
    """
    curve = [logs["loss"] for logs in trace.epoch_logs if "loss" in logs]
    final = curve[-1] if curve else math.nan
    if not curve or not math.isfinite(final):
        return not curve
    start = trace.start_loss
    baseline = quick_baseline(model_facts(model), trace)
    if baseline is None:
        baseline = start
    if baseline is None or final < limit(baseline, _MARGIN):
        return True
    blown = start is not None and max(curve) > _BLOWN * abs(start)
    gaining = len(curve) > 1 and curve[-2] - final > _GAIN * abs(curve[-2])
    return gaining and not blown


def quick_baseline(facts: ModelFacts, trace: FitTrace) -> float | None:
    """Return the loss of the best constant prediction for one plain output; None otherwise."""
    targets = [[array for _, array in leaves(batch.y)] for batch in trace.first_batches]
    if len(facts.losses) != 1 or not targets or any(len(each) != 1 for each in targets):
        return None
    arrays = [each[0] for each in targets if each[0].dtype.kind in "biuf"]
    if not arrays or any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
        return None
    y = np.concatenate(arrays).astype(np.float64)
    y = y.reshape(-1, y.shape[-1]) if y.ndim > 1 else y.reshape(-1, 1)
    return _constant_loss(facts.losses[0].name, y)


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
    """Look closely at a fit that seems to have learned nothing; None where it has, or may have."""
    from robusttune.diagnosis.battery import Battery
    from robusttune.diagnosis.changes import Change
    from robusttune.diagnosis.replay import CannotReplayError
    from robusttune.diagnosis.stalls import find_stall

    began = time.monotonic()
    case.observe()
    conclusive = rules.non_finite_data(case) or rules.labels(case)
    if conclusive is not None:
        return replace(conclusive, evidence={**case.numbers(), **conclusive.evidence})
    try:
        battery = Battery(case, deadline=began + case.policy.diagnosis_seconds, hold_out=True)
        if battery.learned:
            return None
        unchanged = battery.outcome(Change())
        if unchanged is None or unchanged.cured:
            return None
        verdict = find_stall(battery)
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
