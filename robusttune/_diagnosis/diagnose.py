"""diagnose: what would go wrong, or did, with a compiled model and its data, without a tuner."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robusttune._causes import FailureCause, Symptom
from robusttune._data import check_data, first_batches, is_dataset
from robusttune._diagnosis.arrays import Array, is_float, leaves, map_leaves, non_finite_share
from robusttune._diagnosis.diagnose_failure import diagnose_failure
from robusttune._diagnosis.divergence import loss_limit
from robusttune._diagnosis.replay.intervention import ReplayResult
from robusttune._diagnosis.trace import Batch, FitTrace, findings_of
from robusttune._diagnosis.verdict import Verdict
from robusttune._policy import Policy
from robusttune._random_states import untouched_randomness
from robusttune._records import TrialRecord
from robusttune._validation import check_int, require
from robusttune.errors import DataError

if TYPE_CHECKING:
    import keras

# As a fit keeps: some steps, and rows enough that the noise of a loss hides nothing.
_BATCHES = 8
_ENOUGH_ROWS = 512
_SOME = "arrays of at least one row, nested as the model takes them, or a dataset of batches"


def diagnose(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    batch_size: int = 32,
    policy: Policy | None = None,
) -> TrialRecord:
    """Train a shadow of the model for some steps, and say what is wrong if it goes wrong.

    The model, its optimizer and all random states stay as they are; a model that is not built yet
    is built on the first batch. Takes some seconds at most (`policy.diagnosis_seconds`).

    Args:
        model: A compiled Keras model.
        x: Inputs: arrays of shape (n, ...), nested as the model takes them; or a tf.data.Dataset
            or other iterable of (x, y) or (x, y, sample_weight) batches.
        y: Targets, likewise; None where `x` brings them.
        sample_weight: Weights of the rows, shape (n,); None: all 1.
        batch_size: Rows of a batch, where `x` is arrays.
        policy: Thresholds; None for the defaults.

    Returns:
        A record; its cause is None where the shadow trained well.

    Raises:
        TypeError: It is no Keras model, or there is no data.
        ValueError: The model is not compiled.
        DataError: The data have no rows, or not the same number.

    Example:
        >>> record = robusttune.diagnose(model, x, y)  # doctest: +SKIP
        >>> record.cause, record.advice  # doctest: +SKIP
    """
    policy = replace(Policy.given(policy), diagnosis="trial_end")  # it is asked for here
    require(hasattr(model, "compiled"), "model", "a compiled Keras model", model, error=TypeError)
    first = "Call model.compile(optimizer, loss) first."
    require(getattr(model, "optimizer", None) is not None, "model", "compiled", model, first)
    require(x is not None, "x", "the inputs, as arrays or a dataset", x, error=TypeError)
    check_int("batch_size", batch_size, least=1)
    began = time.perf_counter()
    if is_dataset(x):
        require(y is None, "y", "None where x is a dataset, which brings the targets", y)
        batches = [_batch(item) for item in first_batches(x, _BATCHES, _ENOUGH_ROWS)]
        failing = next(filter(_is_not_finite, batches), None)
    else:
        batches, failing = _sampled(x, y, sample_weight, batch_size)
    require(bool(batches), "x", _SOME, x, error=DataError)
    if not model.built:
        model(batches[0].x)
    trace = FitTrace(
        first_batches=batches,
        failing_batch=failing,
        initial_weights=[np.array(w) for w in model.get_weights()],
    )
    symptom, error = _symptom(model, trace, policy)
    verdict = None
    if symptom is not None:
        verdict = diagnose_failure(symptom, model=model, trace=trace, error=error, policy=policy)
        if symptom is Symptom.STALLED and verdict.cause is FailureCause.UNKNOWN:
            symptom, verdict = None, None
    return _record(symptom, verdict, time.perf_counter() - began)


def _symptom(
    model: keras.Model, trace: FitTrace, policy: Policy
) -> tuple[Symptom | None, Exception | None]:
    """Train a shadow as it is; return how it goes wrong, and what it raises."""
    from robusttune._diagnosis.case import Case
    from robusttune._diagnosis.data.unpaired import pairs_no_rows
    from robusttune._diagnosis.model.forward import undefined_metrics
    from robusttune._diagnosis.model.observe import observe
    from robusttune._diagnosis.replay.optimizer import CannotReplayError
    from robusttune._diagnosis.replay.runner import ReplayRunner
    from robusttune._diagnosis.stalls.detection import labels_disagree

    case = Case(
        symptom=Symptom.NON_FINITE_LOSS,
        model=model,
        trace=trace,
        params={},
        related_trials=(),
        policy=policy,
    )
    with untouched_randomness():
        try:
            case.first = case.last = observe(model, trace.initial_weights, case.batches[-1])
        except Exception as error:  # the model's own code: the exception is the finding
            return Symptom.EXCEPTION, error
        if not case.first.loss_finite:
            return Symptom.NON_FINITE_LOSS, None
        if not case.first.gradient_finite:
            return Symptom.NON_FINITE_GRADIENT, None
        # The loss may fall all the same, to no purpose.
        if labels_disagree(model, trace) or pairs_no_rows(model, case.batches[0]):
            return Symptom.STALLED, None
        try:
            runner = ReplayRunner(case)
            result = runner.unchanged()
            failed = None if result is None else runner.before_failure(result)
        except CannotReplayError:
            return None, None
        if failed is not None:  # as the guard would have kept them
            trace.weights, trace.failing_batch = failed
        symptom = None if result is None else symptom_of(result, policy)
        if symptom is not None:
            return symptom, None
        try:
            undefined = undefined_metrics(model, case.batches)
        except Exception as error:  # the user's own code, as above
            return Symptom.EXCEPTION, error
    if not undefined:
        return None, None
    trace.epoch_logs.append(undefined)
    return Symptom.NON_FINITE_OBJECTIVE, None


def symptom_of(result: ReplayResult, policy: Policy) -> Symptom | None:
    """Return how a replay of the trial as it is went wrong; None where it learned something.

    Args:
        result: Of the replay without any change.
        policy: Thresholds.
    """
    if result.cured:
        return None
    if not result.finite:
        return Symptom.NON_FINITE_LOSS
    high = loss_limit(policy, start=float(result.losses[0, 0]), baseline=result.baseline)
    return Symptom.DIVERGED if result.finals[0] > high else Symptom.STALLED


def _record(symptom: Symptom | None, verdict: Verdict | None, seconds: float) -> TrialRecord:
    if symptom is None or verdict is None:
        return TrialRecord.of(None, trial_id="", status="completed", seconds=seconds)
    error = verdict.evidence.get("error")
    return TrialRecord.of(
        findings_of(symptom, verdict, None).replace(error=error),
        trial_id="",
        status="completed" if symptom is Symptom.STALLED else "failed",
        seconds=seconds,
    )


def _batch(parts: tuple[Any, ...]) -> Batch:
    return Batch(*(map_leaves(np.asarray, part) for part in parts[:3]))


def _is_not_finite(batch: Batch) -> bool:
    arrays = [array for _, array in leaves((batch.x, batch.y, batch.sample_weight))]
    return any(is_float(array) and non_finite_share(array) > 0 for array in arrays)


def _rows(array: Array) -> int:
    return len(array) if array.ndim else 0


def _sampled(x: Any, y: Any, sample_weight: Any, size: int) -> tuple[list[Batch], Batch | None]:
    """Return batches of rows drawn at random, and one with the rows that are not finite."""
    lengths = [_rows(array) for _, array in leaves(x)]
    require(bool(lengths) and min(lengths) > 0, "x", _SOME, x, error=DataError)
    same = len(set(lengths)) == 1
    require(same, "x", "arrays with the same number of rows", lengths, error=DataError)
    for name, part in (("y", y), ("sample_weight", sample_weight)):
        found = [_rows(array) for _, array in leaves(part)]
        rule = f"arrays of {lengths[0]} rows, as x"
        require(set(found) <= set(lengths), name, rule, found, error=DataError)
    rows = np.random.default_rng(0).permutation(lengths[0])
    size = min(size, len(rows))
    count = max(_BATCHES, -(-_ENOUGH_ROWS // size))
    picks = [rows[i : i + size] for i in range(0, len(rows) - size + 1, size)][:count]
    bad = [
        row for found in check_data(x, y) if found.kind == "non_finite" for row in found.first_rows
    ]
    for _, array in leaves(sample_weight):
        bad += [int(row) for row in np.flatnonzero(~np.isfinite(array))[:_BATCHES]]
    failing = [np.concatenate([np.array(bad), picks[0]])[:size]] if bad and picks else []

    def batch(index: Array) -> Batch:
        return Batch(
            *(map_leaves(lambda array: array[index], part) for part in (x, y, sample_weight))
        )

    return [batch(pick) for pick in picks], batch(failing[0]) if failing else None
