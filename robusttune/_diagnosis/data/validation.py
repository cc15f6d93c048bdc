"""Why the validation loss is not finite where training is: the data first, the loss last."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._diagnosis.arrays import largest, leaves, map_leaves
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import NOTHING_SHOWN, SUDDEN, Grounds
from robusttune._diagnosis.data.bad_data import BadRows, bad_rows, validation_batches
from robusttune._diagnosis.data.labels import label_mismatch
from robusttune._diagnosis.fit_input import FitInput
from robusttune._diagnosis.model.info import by_output, output_names
from robusttune._diagnosis.trace import Batch, FitTrace
from robusttune._diagnosis.verdict import Verdict
from robusttune._exception_causes import classify_error

_log = logging.getLogger("robusttune.diagnosis")

_ROWS = 256  # of a look at arrays
_SECONDS = 10.0  # for reading a pipeline of the user's
# Inputs this many times the largest of training are another scale.
_OUTLIER = 100.0

_CHECK = "robusttune.check_data(x, y, validation_data=validation_data) names them"


def validation_is_lost(trace: FitTrace) -> bool:
    """Whether every epoch trained on finite losses, and none has a finite validation loss."""
    losses = [logs["val_loss"] for logs in trace.epoch_logs if "val_loss" in logs]
    trained = all(np.isfinite(logs.get("loss", 0.0)) for logs in trace.epoch_logs)
    return bool(losses) and trained and not np.isfinite(losses).any()


def lost_in_validation(case: Case) -> Verdict:
    """Return why the validation loss is not finite after a training that is."""
    given = case.trace.given
    if given is None or given.validation_data is None:
        return _nothing_seen("the validation data were not seen")
    try:
        return _of_data(case, given) or _nothing_seen("nothing in what was read of them is")
    except Exception as error:  # a pipeline of the user's
        _log.debug("the validation data could not be read", exc_info=True)
        return _nothing_seen(f"the validation data could not be read: {error!r}"[:200])


def _nothing_seen(why: str) -> Verdict:
    return Verdict(
        cause=FailureCause.NON_FINITE_DATA,
        grounds=None,
        confidence=SUDDEN,
        advice="Training is finite and the validation loss is not: look for NaN or inf in the"
        f" validation data ({_CHECK}).",
        evidence={"validation_data": why},
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """One batch of the validation data.

    Args:
        place: The row of its first row, or the number of the batch in a pipeline.
        batch: Its numbers.
        bad: Its rows with NaN or inf.
    """

    place: int
    batch: Batch
    bad: list[BadRows]


def _of_data(case: Case, given: FitInput) -> Verdict | None:
    ends = time.monotonic() + _SECONDS
    arrays = isinstance(given.validation_data, (tuple, list))
    whole = _rows_of_all(given) if arrays else []
    looks = []
    for place, parts in validation_batches(given, _ROWS):
        batch = Batch(*(map_leaves(np.asarray, part) for part in parts))
        bad = [
            found
            for name in ("x", "y", "sample_weight")
            for found in bad_rows(getattr(batch, name), name)
        ]
        looks.append(_Look(place, batch, bad))
        if bad or time.monotonic() > ends:
            break
    for look in sorted(looks, key=lambda look: not look.bad):
        verdict = _of_batch(case, given, look, whole)
        if verdict is not None:
            return verdict
    return None


def _rows_of_all(given: FitInput) -> list[BadRows]:
    names = ("x", "y", "sample_weight")
    parts = zip(names, given.validation_data, strict=False)
    return [found for name, part in parts for found in bad_rows(part, name)]


def _of_batch(case: Case, given: FitInput, look: _Look, whole: list[BadRows]) -> Verdict | None:
    from robusttune._diagnosis.model.observe import observe

    try:
        seen = observe(case.model, None, look.batch, training=False)
    except Exception as error:  # labels outside of the classes, say
        found = classify_error(error)
        if found is None or found.cause is not FailureCause.LABEL_MISMATCH:
            return None
        return _verdict(found.cause, f"the validation labels do not fit: {found.error[:200]}")
    only_the_step_knows = seen.loss is None
    if look.bad and (only_the_step_knows or not (seen.predictions_finite and seen.loss_finite)):
        return _bad(given, look, whole)
    if not seen.predictions_finite:
        return _of_predictions(case, look)
    if not seen.loss_finite:
        return _of_loss(case, look, seen)
    return None


def _bad(given: FitInput, look: _Look, whole: list[BadRows]) -> Verdict:
    if whole:
        found = "; ".join(place.describe() for place in whole)
        first = given.validation_from
        if first is not None:
            found += f", which is row {first + int(whole[0].rows[0])} of what search() or fit() got"
        advice = f"NaN or inf in the validation data, {found}: drop or impute these rows; {_CHECK}."
    else:
        parts = dict.fromkeys(place.name.partition("[")[0] for place in look.bad)
        places = ", ".join(place.describe() for place in look.bad)
        advice = (
            f"NaN or inf in the validation data, batch {look.place} of the pipeline, in"
            f" {' and '.join(parts)}: {places}. Fix it where the batch is made, or leave such"
            " rows out there."
        )
    return Verdict(
        cause=FailureCause.NON_FINITE_DATA,
        grounds=Grounds.RULE,
        advice=advice,
        evidence={"validation": {p.name: p.rows[:5] for p in (whole or look.bad)}},
    )


def _of_predictions(case: Case, look: _Look) -> Verdict:
    """Return the verdict on predictions that are not finite for finite inputs."""
    size, usual = largest(look.batch.x), max(1.0, largest([b.x for b in case.batches]))
    bad = _first_bad(case, look)
    if size > _OUTLIER * usual and case.batches:
        return _verdict(
            FailureCause.UNSCALED_DATA,
            f"the validation inputs reach {size:.3g} where those of training reach {usual:.3g}:"
            " look for outliers, and scale both alike",
        )
    if bad is None:
        return Verdict(
            cause=FailureCause.UNKNOWN,
            confidence=NOTHING_SHOWN,
            advice="The model's predictions for finite validation inputs are not finite, while"
            " those in training are: look for a layer that behaves differently outside training.",
        )
    return _verdict(FailureCause.UNSAFE_LOSS, f"the predictions are not finite: {bad}")


def _of_loss(case: Case, look: _Look, seen: Any) -> Verdict | None:
    """Return the verdict on a loss that is not finite at finite predictions."""
    names = output_names(case.model)
    targets = [array for _, array in leaves(by_output(look.batch.y, names))]
    if len(targets) == len(case.facts.losses) == len(seen.heads):
        for target, loss, head in zip(targets, case.facts.losses, seen.heads, strict=True):
            found = label_mismatch(target, loss, head)
            if found is not None:
                return _verdict(
                    FailureCause.LABEL_MISMATCH,
                    f"in the validation data, {found.reason}: {found.fix}",
                )
    undefined = _first_bad(case, look)
    if all(loss.built_in for loss in case.facts.losses) and undefined is None:
        return None
    place = f": {undefined}" if undefined else ""
    zeros = sum(int(np.count_nonzero(target == 0)) for target in targets)
    detail = f" ({zeros} of the validation targets are 0)" if zeros else ""
    return _verdict(
        FailureCause.UNSAFE_LOSS,
        f"the loss is non-finite at finite predictions of validation rows{detail}{place}",
    )


def _first_bad(case: Case, look: _Look) -> Any:
    from robusttune._diagnosis.model.forward import runs_on_tensorflow

    if not runs_on_tensorflow():
        return None
    from robusttune._diagnosis.undefined import undefined_in_step

    return undefined_in_step(case.model, None, look.batch, training=False)


def _verdict(cause: FailureCause, text: str) -> Verdict:
    return Verdict(
        cause=cause, grounds=Grounds.RULE, advice=f"Only the validation loss is non-finite: {text}."
    )
