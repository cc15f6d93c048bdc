"""Conclusive rules: what a look at the data, the first step and the failing step settles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robusttune.causes import FailureCause, Symptom
from robusttune.diagnosis.arrays import is_float, largest, leaves, non_finite_share
from robusttune.diagnosis.baseline import constant_loss, targets_by_output
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.confidence import NOTHING_SHOWN, Grounds
from robusttune.diagnosis.divergence import loss_limit
from robusttune.diagnosis.facts import Head, model_facts
from robusttune.diagnosis.labels import Mismatch, label_mismatch
from robusttune.diagnosis.structure import heads
from robusttune.diagnosis.trace import Batch
from robusttune.diagnosis.verdict import Verdict
from robusttune.exception_causes import classify_error

if TYPE_CHECKING:
    from robusttune.diagnosis.observe import Observation

# A prediction this many times larger than targets and first predictions has diverged by itself:
# a loss that is non-finite there says nothing of the loss.
_MODERATE = 100.0
# Where the square of a float32 comes near its end.
_RUN_AWAY = 1e15
# Predictions this large before the first update, on inputs of ordinary size, come from the weights.
_HUGE = 1e4
# Root mean square of a column above which data counts as unscaled (standardized data has 1; pixel
# values, the commonest harmless case of raw data, reach 255 but train at ordinary rates).
UNSCALED = 10.0


def non_finite_data(case: Case) -> Verdict | None:
    """NaN or inf in a batch that the model does not cope with."""
    batches = case.batches
    bad = {
        f"{of}{name}": non_finite_share(array)
        for of in ("x", "y", "sample_weight")
        for batch in batches[-1:]
        for name, array in leaves(getattr(batch, of))
        if is_float(array)
    }
    bad = {name: share for name, share in bad.items() if share > 0}
    if not bad or _copes(case, bad):
        return None
    columns = _bad_columns(case)
    where = ", ".join(columns or bad)
    return Verdict(
        cause=FailureCause.NON_FINITE_DATA,
        grounds=Grounds.RULE,
        advice=f"Drop or impute the rows with NaN or inf in {where} before training;"
        " robusttune.check_data(x, y) names them.",
        evidence={"non_finite_share": bad, "non_finite_columns": columns},
    )


def _copes(case: Case, bad: Mapping[str, float]) -> bool:
    """Whether the step was seen to be finite in spite of the data."""
    seen = case.first
    if seen is None or not seen.finite:
        return False
    return seen.loss is not None or all(name.startswith("x") for name in bad)


def _bad_columns(case: Case) -> list[str]:
    found: list[str] = []
    for of in ("x", "y"):
        for name, array in case.columns(of).items():
            if is_float(array) and array.ndim == 2:
                bad = np.flatnonzero(~np.isfinite(array).all(axis=0))
                found += [f"{name} column {index}" for index in bad[:5]]
    return found


def raised(case: Case) -> Verdict | None:
    """The same step, run without XLA, raises: there labels out of range are NaN without a word."""
    found = None if case.raised is None else classify_error(case.raised)
    if found is None or found.cause is not FailureCause.LABEL_MISMATCH:
        return None
    return Verdict(
        cause=found.cause,
        grounds=Grounds.RULE,
        advice=f"{found.cause.advice} The step, run again, raises: {found.error[:200]}",
        evidence={"raised": found.error},
    )


def labels(case: Case) -> Verdict | None:
    """Labels that the head and the loss can never agree with."""
    found = mismatch(case)
    if found is None or not found.certain:
        return None
    return label_verdict(found)


def mismatch(case: Case) -> Mismatch | None:
    """The first disagreement between labels, head and loss of any output, certain ones first."""
    seen = case.first or case.last
    pairs = case.targets_and_losses()
    ends: list[Head | None] = [None] * len(pairs)
    if seen is not None and len(seen.heads) == len(pairs):
        ends = list(seen.heads)
    shown = [] if case.model is None else heads(case.model)
    if len(shown) == len(pairs):  # sees activations that are no layers
        ends = [
            end if end is not None and end.activation is not None else head
            for end, head in zip(ends, shown, strict=True)
        ]
    found = (label_mismatch(y, loss, end) for (y, loss), end in zip(pairs, ends, strict=True))
    return _gravest(found)


def model_mismatch(model: Any, batches: Sequence[Batch]) -> Mismatch | None:
    """Return the first disagreement that structure and targets alone show, certain ones first."""
    targets, losses, ends = (
        targets_by_output(model, batches),
        model_facts(model).losses,
        heads(model),
    )
    several = isinstance(getattr(model, "loss", None), (list, tuple, Mapping))
    if len(losses) == 1 and not several:
        losses = losses * len(targets)
    if not targets or len(losses) != len(targets):
        return None
    known = ends if len(ends) == len(targets) else (None,) * len(targets)
    return _gravest(
        label_mismatch(np.concatenate(arrays.y), loss, end)
        for arrays, loss, end in zip(targets, losses, known, strict=True)
    )


def _gravest(found: Iterable[Mismatch | None]) -> Mismatch | None:
    mismatches = [each for each in found if each is not None]
    return min(mismatches, key=lambda each: not each.certain, default=None)


def label_verdict(found: Mismatch) -> Verdict:
    """Return the verdict of a disagreement."""
    return Verdict(
        cause=FailureCause.LABEL_MISMATCH,
        grounds=Grounds.RULE,
        advice=found.advice,
        evidence={"label_mismatch": found.reason},
    )


def objective(case: Case) -> Verdict | None:
    """Training is finite and only a metric is not."""
    if case.symptom is not Symptom.NON_FINITE_OBJECTIVE:
        return None
    if case.model is None:
        return Verdict(
            cause=FailureCause.UNKNOWN,
            confidence=NOTHING_SHOWN,
            advice="The trial's result is not finite, and no keras.Model.fit was seen that might"
            " have failed: look at how the result is computed.",
        )
    if not _trained_well(case):
        return None
    names = sorted({name for logs in case.trace.epoch_logs for name in _non_finite(logs)})
    evidence = {"non_finite_metrics": names}
    if "loss" in names:
        return None
    if "val_loss" in names:
        validation = {
            name for logs in case.trace.epoch_logs for name in logs if name.startswith("val_")
        }
        plain = [name for name in validation if name != "val_loss"]
        if plain and not set(plain) & set(names):
            return Verdict(
                cause=FailureCause.UNSAFE_LOSS,
                other_causes=(FailureCause.NON_FINITE_DATA,),
                grounds=Grounds.SUSPICION,
                advice="The loss is non-finite on the validation data only: bound it away from"
                " where it is undefined (add an epsilon to divisors, logarithms and roots).",
                evidence=evidence,
            )
        return Verdict(
            cause=FailureCause.NON_FINITE_DATA,
            other_causes=(FailureCause.UNSAFE_LOSS,),
            grounds=Grounds.SUSPICION,
            advice="Training is finite and validation is not: look for NaN or inf in the"
            " validation data (robusttune.check_data), then at the loss.",
            evidence=evidence,
        )
    return Verdict(
        cause=FailureCause.UNSAFE_METRIC,
        grounds=Grounds.RULE if names else Grounds.SUSPICION,
        advice=(
            f"Guard the division or logarithm in {', '.join(names)} with an epsilon, or tune on"
            " the loss: training itself is finite."
            if names
            else FailureCause.UNSAFE_METRIC.advice
        ),
        evidence=evidence,
    )


def _non_finite(logs: Mapping[str, float]) -> list[str]:
    return [name for name, value in logs.items() if not np.isfinite(value)]


def _trained_well(case: Case) -> bool:
    losses = case.trace.losses
    if losses.size and not np.isfinite(losses).all():
        return False
    if case.last is not None and not case.last.finite:
        return False
    if not losses.size:
        return True
    baseline = constant_loss(case.model, case.trace.first_batches)
    limit = loss_limit(case.policy, start=case.trace.start_loss, baseline=baseline)
    return float(np.median(losses[-5:])) <= limit


def first_step(case: Case) -> Verdict | None:
    """The step is non-finite already at the weights from before the fit."""
    seen = case.first
    if seen is None or seen.finite:
        return None
    if case.first_in_float32 is not None and case.first_in_float32.finite:
        return Verdict(
            cause=FailureCause.NUMERIC_OVERFLOW,
            other_causes=(FailureCause.UNSCALED_DATA,)
            if (case.input_scale or 0) > UNSCALED or (case.target_scale or 0) > UNSCALED
            else (),
            grounds=Grounds.RULE,
            advice="The first step overflows in half precision and is finite in float32: train in"
            " float32 or mixed_bfloat16, or scale the data down.",
        )
    if not seen.predictions_finite:
        return _first_predictions(case)
    if overflows(case, seen):
        return _huge_start(case)
    quantity = "loss" if not seen.loss_finite else "gradient"
    return unsafe_loss(case, f"the {quantity} of the first step")


def _first_predictions(case: Case) -> Verdict:
    seen = case.first
    assert seen is not None
    layer = seen.first_bad_layer
    if case.first_standardized is not None and case.first_standardized.finite:
        return Verdict(
            cause=FailureCause.UNSCALED_DATA,
            other_causes=(FailureCause.BAD_INITIALIZATION,),
            grounds=Grounds.RULE,
            advice=f"Standardize the inputs (root mean square up to {case.input_scale:.3g}):"
            " predictions are non-finite before the first update, and finite on standardized"
            " inputs.",
        )
    where = f" in layer {layer.name}" if layer is not None else ""
    return Verdict(
        cause=FailureCause.BAD_INITIALIZATION,
        grounds=Grounds.RULE,
        advice=f"Predictions are non-finite{where} before the first update: use a standard"
        " initializer (glorot_uniform, he_normal), and keep logarithms, roots and divisions in"
        " layers away from 0.",
    )


def _huge_start(case: Case) -> Verdict:
    scales = max(case.input_scale or 0.0, case.target_scale or 0.0)
    if scales > _HUGE:
        return Verdict(
            cause=FailureCause.UNSCALED_DATA,
            grounds=Grounds.RULE,
            advice=f"Standardize inputs and targets (root mean square up to {scales:.3g}): the"
            " first loss overflows.",
        )
    return Verdict(
        cause=FailureCause.BAD_INITIALIZATION,
        grounds=Grounds.RULE,
        advice="Predictions are huge before the first update: use a standard initializer"
        " (glorot_uniform, he_normal).",
    )


def failing_step(case: Case) -> Verdict | None:
    """The loss or its derivative is undefined at ordinary predictions of the last good weights."""
    seen = case.last
    if seen is None or seen.finite or not seen.predictions_finite or overflows(case, seen):
        return None
    if case.half_precision and seen.loss_finite:
        return None
    quantity = "loss" if not seen.loss_finite else "gradient"
    return unsafe_loss(case, f"the {quantity} of the failing step")


def unsafe_loss(case: Case, what: str) -> Verdict:
    """Return the verdict that the loss is undefined where the predictions are finite."""
    found = mismatch(case)
    names = ", ".join(loss.name for loss in case.facts.losses) or "the loss"
    if found is not None:
        verdict = label_verdict(found)
        return Verdict(
            cause=verdict.cause,
            other_causes=(FailureCause.UNSAFE_LOSS,),
            grounds=Grounds.RULE,
            advice=verdict.advice,
            evidence=verdict.evidence,
        )
    zeros = sum(int(np.count_nonzero(array == 0)) for array in case.columns("y").values())
    are = "target is" if zeros == 1 else "targets are"
    detail = f" ({zeros} {are} 0)" if zeros and case.is_regression else ""
    return Verdict(
        cause=FailureCause.UNSAFE_LOSS,
        grounds=Grounds.RULE,
        advice=f"Bound {names} away from where it is undefined{detail}: {what} is non-finite at"
        " finite predictions. Add an epsilon to divisors and to the arguments of log and sqrt, or"
        " use the built-in loss.",
        evidence={"targets_equal_to_0": zeros},
    )


def overflows(case: Case, seen: Observation) -> bool:
    """Whether the predictions themselves have run away."""
    if seen is case.first or case.first is None:
        return largest(seen.predictions) > _RUN_AWAY
    targets = largest(case.last_batch.y) if case.last_batch is not None else 0.0
    start = largest(case.first.predictions) if case.first.predictions_finite else 0.0
    return largest(seen.predictions) > _MODERATE * max(1.0, targets, start)


CONCLUSIVE = (non_finite_data, raised, labels, objective, first_step, failing_step)
