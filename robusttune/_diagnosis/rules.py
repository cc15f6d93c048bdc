"""Conclusive rules: what a look at the data, the first step and the failing step settles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis.arrays import Array, largest
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import NOTHING_SHOWN, Grounds
from robusttune._diagnosis.data.bad_data import non_finite_data as non_finite_data
from robusttune._diagnosis.data.labels import Mismatch, label_mismatch
from robusttune._diagnosis.divergence import loss_limit
from robusttune._diagnosis.model.info import OutputHead, model_facts
from robusttune._diagnosis.model.structure import heads
from robusttune._diagnosis.reference.baseline import constant_loss, targets_by_output
from robusttune._diagnosis.trace import Batch
from robusttune._diagnosis.verdict import Verdict
from robusttune._exception_causes import classify_error

if TYPE_CHECKING:
    from robusttune._diagnosis.model.observe import Observation
    from robusttune._diagnosis.undefined import Undefined

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
    ends: list[OutputHead | None] = [None] * len(pairs)
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


def label_verdict(found: Mismatch, grounds: Grounds = Grounds.RULE) -> Verdict:
    """Return the verdict of a disagreement."""
    return Verdict(
        cause=FailureCause.LABEL_MISMATCH,
        grounds=grounds,
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
            advice="The trial's result is not finite, but no keras.Model.fit was observed: check"
            " how the result is computed.",
        )
    if not _trained_well(case):
        return None
    names = sorted({name for logs in case.trace.epoch_logs for name in _non_finite(logs)})
    evidence = {"non_finite_metrics": names}
    if "loss" in names:
        return None
    if "val_loss" in names:
        from robusttune._diagnosis.data.validation import lost_in_validation

        found = lost_in_validation(case)
        return replace(found, evidence={**evidence, **found.evidence})
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
    return _undefined_at(case, seen, case.initial_weights, f"the {quantity} of the first step")


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
    found = _undefined_in(case, case.initial_weights)
    if found is not None and found.where is not None:
        return Verdict(
            cause=FailureCause.BAD_INITIALIZATION,
            other_causes=(FailureCause.UNSAFE_LOSS,),
            grounds=Grounds.RULE,
            advice=f"Predictions are non-finite{where} before the first update."
            f" {capital(str(found))}.",
            evidence=undefined_evidence(found),
        )
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
    return _undefined_at(case, seen, case.trace.weights, f"the {quantity} of the failing step")


def unsafe_loss(case: Case, what: str, undefined: Undefined | None = None) -> Verdict:
    """Return the verdict that the loss is undefined where the predictions are finite.

    Args:
        case: The case.
        what: What is not finite, as the subject of a sentence.
        undefined: Where it is undefined; None: not known.
    """
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
    fix = "Add an epsilon to divisors and to the arguments of log and sqrt, or use a built-in loss."
    if undefined is not None:
        fix = f"{capital(str(undefined))}."
    return Verdict(
        cause=FailureCause.UNSAFE_LOSS,
        grounds=Grounds.RULE,
        advice=f"Keep {names} away from where it is undefined{detail}: {what} is non-finite at"
        f" finite predictions. {fix}",
        evidence={"targets_equal_to_0": zeros, **undefined_evidence(undefined)},
    )


def unsafe_layer(case: Case, what: str, undefined: Undefined | None) -> Verdict:
    """Return the verdict that a layer's derivative is undefined, and the loss is innocent.

    The gradient of the loss with respect to the predictions is finite, and only that with respect
    to the weights is not.
    """
    fix = (
        f"{capital(str(undefined))}."
        if undefined is not None
        else "Keep the arguments of roots, logarithms and divisions in layers away from 0."
    )
    return Verdict(
        cause=FailureCause.UNSAFE_LOSS,
        grounds=Grounds.RULE,
        advice=f"A layer is at fault, not the loss: {what} is non-finite though the loss and"
        f" its derivative at the predictions are finite. {fix}",
        evidence={"at_fault": "layer", **undefined_evidence(undefined)},
    )


def _undefined_in(case: Case, weights: list[Array] | None) -> Undefined | None:
    from robusttune._diagnosis.model.forward import runs_on_tensorflow

    batch = case.last_batch
    if batch is None or not runs_on_tensorflow():
        return None
    from robusttune._diagnosis.undefined import undefined_in_step

    return undefined_in_step(case.model, weights, batch)


def undefined_evidence(found: Undefined | None) -> dict[str, Any]:
    """Return where a step is undefined, as evidence."""
    if found is None:
        return {}
    known = {"operation": found.operation, "where": found.where, "layer": found.layer}
    return {"undefined": {name: value for name, value in known.items() if value is not None}}


def capital(text: str) -> str:
    """Return a sentence that begins with a capital, unless it begins with code."""
    word = text.split(" ")[0]
    return text if "(" in word or "." in word else text[0].upper() + text[1:]


def _undefined_at(
    case: Case, seen: Observation, weights: list[Array] | None, what: str
) -> Verdict | None:
    """Return the verdict on a step that is not finite at ordinary predictions.

    A loss of Keras's own is defined wherever predictions and labels are finite: it is at fault
    only together with labels, which `mismatch` tells, or by something that is added to it.
    """
    found = _undefined_in(case, weights)
    if seen.loss_finite and np.isfinite(seen.pull):
        return unsafe_layer(case, what, found)
    own = found is not None and found.where is not None
    if case.facts.losses and all(loss.built_in for loss in case.facts.losses) and not own:
        return unsafe_loss(case, what) if mismatch(case) is not None else None
    return unsafe_loss(case, what, found)


def overflows(case: Case, seen: Observation) -> bool:
    """Whether the predictions themselves have run away."""
    if seen is case.first or case.first is None:
        return largest(seen.predictions) > _RUN_AWAY
    targets = largest(case.last_batch.y) if case.last_batch is not None else 0.0
    start = largest(case.first.predictions) if case.first.predictions_finite else 0.0
    return largest(seen.predictions) > _MODERATE * max(1.0, targets, start)


CONCLUSIVE = (non_finite_data, raised, labels, objective, first_step, failing_step)
