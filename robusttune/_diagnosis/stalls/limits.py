"""Fits that have reached what their model can do: linear stacks, and hidden layers too narrow."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._compat.keras import makers_of
from robusttune._diagnosis.arrays import Array, leaves, map_leaves, scale_of
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.model.structure import activation_name, heads
from robusttune._diagnosis.reference.net import FEW_ROWS, held_out_errors, rows_of
from robusttune._diagnosis.replay.batches import alike, joined, split
from robusttune._diagnosis.stalls.end_state import is_still_learning
from robusttune._diagnosis.trace import Batch
from robusttune._diagnosis.verdict import Verdict

# What maps its inputs to a linear function of them, and the layers that only act in training.
_SHAPES = ("Flatten", "Reshape", "Permute", "Identity", "Rescaling", "Normalization", "Activation")
_TRAINING = ("Dropout", "GaussianNoise", "GaussianDropout", "ActivityRegularization")
_AFFINE = frozenset(("Dense", "BatchNormalization", *_SHAPES, *_TRAINING))
# A loss within this share of the best linear one has reached it; one below this share of the
# constant prediction's has left nothing to gain.
_AT_OPTIMUM = 0.05
_NOTHING_LEFT = 1e-3
# On rows that were not seen, what is not linear must do better than this share of what is.
_BETTER = 0.7
# A layer of at most so many units is a bottleneck, and an ordinary net without it must do better
# than this share of the fit's error, which has gained less than this on the constant prediction.
NARROW = 3
_MUCH_BETTER = 0.5
_LITTLE_SKILL = 0.5
# It has come to its end where as many epochs again would not gain this share of the loss.
_MUCH_GAIN = 0.2
# A closed form is fitted to so many numbers at most.
_MOST_NUMBERS = 2_000_000


@dataclass(frozen=True, slots=True)
class LinearOptimum:
    """Loss of a linear stack, and the best that it could reach.

    Args:
        reached: Loss of the model on the kept rows.
        best: Loss of the best linear function on them.
        constant: Loss of the best constant.
        method: How that was found ("least squares").
    """

    reached: float
    best: float
    constant: float
    method: str


def is_linear_stack(model: Any) -> bool:
    """Whether hidden layers without an activation make the model a linear one, and not on purpose.

    A single layer, a bottleneck, frozen and tied weights are meant so.
    """
    chain = _chain(model)
    dense = [layer for layer in chain if type(layer).__name__ == "Dense"]
    if len(dense) < 2 or any(type(layer).__name__ not in _AFFINE for layer in chain):
        return False
    hidden = chain[chain.index(dense[0]) + 1 :]
    if any(activation_name(layer) not in (None, "linear") for layer in hidden):
        return False
    frozen = any(not layer.trainable for layer in dense)
    tied = len({id(layer) for layer in chain}) < len(chain)
    narrowest = min(layer.units for layer in dense[1:])
    bottleneck = narrowest < min(int(dense[-1].kernel.shape[0]), int(dense[0].units))
    return not (frozen or tied or bottleneck)


def is_narrow(model: Any) -> bool:
    """Whether a hidden dense layer has so few units that it may be a bottleneck."""
    dense = [layer for layer in _chain(model) if type(layer).__name__ == "Dense"]
    return any(layer.units <= NARROW for layer in dense[1:])


def _chain(model: Any) -> list[Any]:
    """Return the layers from the output to the input; nothing where the model is no chain."""
    outputs, inputs = getattr(model, "outputs", None), getattr(model, "inputs", None)
    if not outputs or not inputs or len(outputs) != 1 or len(inputs) != 1:
        return []
    chain: list[Any] = []
    tensor = outputs[0]
    while tensor is not inputs[0]:
        ((operation, given),) = makers_of([tensor])
        if len(given) != 1 or not hasattr(operation, "trainable"):
            return []
        chain.append(operation)
        tensor = given[0]
    return chain


def linear_optimum(case: Case) -> LinearOptimum | None:
    """Return what a linear stack has reached on the kept rows; None for any other model or loss."""
    if case.model is None or len(case.facts.losses) != 1 or not is_linear_stack(case.model):
        return None
    rows = _distinct(alike(case))
    x, y = _matrix(rows.x), _matrix(rows.y)
    if x is None or y is None or rows.sample_weight is not None or x.size > _MOST_NUMBERS:
        return None
    loss, (head,) = case.facts.losses[0], heads(case.model)
    predictions = _matrix(_predictions(case.model, rows))
    if predictions is None or not np.isfinite(predictions).all():
        return None
    standard = scale_of(x).standardize(x)
    if loss.name == "mean_squared_error" and head.activation in (None, "linear"):
        return _least_squares(standard, y, predictions)
    if loss.from_logits != (head.activation in (None, "linear")):
        return None
    if loss.name == "binary_crossentropy" and y.shape[1] == predictions.shape[1] == 1:
        one = _sigmoid(predictions) if loss.from_logits else predictions
        return _logistic(standard, y[:, 0], np.column_stack([1 - one, one]))
    if loss.name in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        labels = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
        several = _softmax(predictions) if loss.from_logits else predictions
        return _logistic(standard, labels, several)
    return None


def no_nonlinearity(case: Case) -> Verdict | None:
    """A linear stack at the optimum of all linear functions, where others do better."""
    found = linear_optimum(case)
    if found is None or found.best < _NOTHING_LEFT * found.constant:
        return None
    if found.reached > (1 + _AT_OPTIMUM) * found.best:
        return None
    batches = alike(case)
    rows = rows_of(batches)
    few = rows is not None and len(rows.x) < FEW_ROWS
    errors = None if few else held_out_errors(batches)
    if not few and (errors is None or errors.reference > _BETTER * errors.linear):
        return None
    return Verdict(
        cause=FailureCause.NO_NONLINEARITY,
        grounds=Grounds.RULE,
        advice="The hidden layers have no activation, so the model is linear, and it is as good as"
        f" a linear model can be: its loss is {found.reached:.3g}, that of {found.method}"
        f" {found.best:.3g}. Put relu or tanh into the hidden layers.",
        evidence={"loss_reached": found.reached, "best_linear_loss": found.best},
    )


def insufficient_capacity(case: Case) -> Verdict | None:
    """A fit that has come to its end with a bottleneck, where a wider net does far better."""
    if case.model is None or not is_narrow(case.model) or is_still_learning(case, _MUCH_GAIN):
        return None
    skill = case.trace.skill
    losses = case.facts.losses
    if skill is None or skill > _LITTLE_SKILL or len(losses) != 1 or not losses[0].built_in:
        return None
    train, test = split(alike(case))
    learned, held_out = rows_of(train), rows_of(test) if test else None
    errors = None if held_out is None else held_out_errors(train, test)
    if errors is None or held_out is None or learned is None:
        return None
    predictions = _matrix(_predictions(case.model, _distinct(test)))
    if predictions is None or len(predictions) != len(held_out.y):
        return None
    if held_out.classes:
        own = _wrong_share(predictions, held_out.y, from_logits=losses[0].from_logits)
    else:
        own = float(np.mean(np.square(predictions[:, 0] - held_out.y)) / learned.y.var())
    if errors.reference > _MUCH_BETTER * min(own, errors.constant):
        return None
    units = min(layer.units for layer in _chain(case.model) if hasattr(layer, "units"))
    return Verdict(
        cause=FailureCause.INSUFFICIENT_CAPACITY,
        grounds=Grounds.SIGNS,
        advice=f"Give the model more units: with {units} in a hidden layer it has stopped at an"
        f" error of {own:.3g} on rows that were held out, where two layers of 32 relu units reach"
        f" {errors.reference:.3g}.",
        evidence={"held_out_error": own, "reference_error": errors.reference},
    )


def _wrong_share(predictions: Array, labels: Array, *, from_logits: bool) -> float:
    if predictions.shape[1] > 1:
        return float(np.mean(predictions.argmax(axis=1) != labels))
    return float(np.mean((predictions[:, 0] > (0.0 if from_logits else 0.5)) != (labels > 0.5)))


def _least_squares(x: Array, y: Array, predictions: Array) -> LinearOptimum | None:
    if y.shape != predictions.shape:
        return None
    affine = np.column_stack([np.ones(len(x)), x])
    solution = np.linalg.lstsq(affine, y, rcond=None)[0]
    return LinearOptimum(
        reached=float(np.mean(np.square(predictions - y))),
        best=float(np.mean(np.square(affine @ solution - y))),
        constant=float(np.mean(np.square(y - y.mean(axis=0)))),
        method="least squares",
    )


def _logistic(x: Array, labels: Array, predictions: Array) -> LinearOptimum | None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    classes, counts = np.unique(labels, return_counts=True)
    if (
        len(classes) < 2
        or (labels != np.round(labels)).any()
        or labels.max() >= predictions.shape[1]
    ):
        return None
    columns = np.arange(predictions.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=1e6, max_iter=1000).fit(x, labels)
        best = float(log_loss(labels, model.predict_proba(x), labels=classes))
        reached = float(log_loss(labels, predictions, labels=columns))
    shares = counts / counts.sum()
    return LinearOptimum(
        reached, best, float(-(shares * np.log(shares)).sum()), "logistic regression"
    )


def _distinct(batches: list[Batch]) -> Batch:
    """Return the distinct rows of batches as one: the same rows come again in each epoch."""
    rows = joined(batches)
    parts = [array.reshape(len(array), -1) for of in (rows.x, rows.y) for _, array in leaves(of)]
    _, first = np.unique(np.column_stack(parts).astype(np.float64), axis=0, return_index=True)
    kept = np.sort(first)

    def pick(array: Array) -> Array:
        return np.asarray(array[kept])

    return Batch(*(map_leaves(pick, part) for part in (rows.x, rows.y, rows.sample_weight)))


def _predictions(model: Any, rows: Batch) -> Any:
    import keras

    from robusttune._diagnosis.model.forward import call_model, to_tensors

    return keras.ops.convert_to_numpy(call_model(model, to_tensors(rows.x), training=False))


def _matrix(structure: Any) -> Array | None:
    """Return the only array as float64 of shape (rows, numbers); None for anything else."""
    found = [array for _, array in leaves(structure)]
    if len(found) != 1 or not found[0].ndim or found[0].dtype.kind not in "biuf":
        return None
    return np.asarray(found[0].reshape(len(found[0]), -1), np.float64)


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)))


def _softmax(values: Array) -> Array:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
