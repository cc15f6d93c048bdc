"""Failures that show before the first step, in the optimizer and the initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._compat.keras import all_layers
from robusttune._diagnosis.arrays import Array, largest
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.model.structure import activation_name, heads
from robusttune._diagnosis.reference.net import nothing_to_learn
from robusttune._diagnosis.verdict import Verdict

# A bias of the head this many times the targets, and of 1: what training has to unlearn first.
_FAR_BIAS = 100.0
# And under a head that saturates: of a sigmoid 1e-4 of the slope is left here.
_SATURATED = 10.0
_BOUNDED = frozenset({"sigmoid", "tanh", "hard_sigmoid", "softsign"})
# Keras draws embeddings from -0.05 to 0.05; pretrained ones have a root mean square of 0.1 to 1.
_HUGE_EMBEDDING = 100.0
# Units whose weights differ by no more than this share of their size are the same unit.
_SAME = 1e-4
# Share of the units of a layer that no row switches on: then the layer says nothing of its input.
_OFF = 0.9
_RELUS = ("relu", "relu6")


def negative_rate(case: Case) -> Verdict | None:
    """Every step of a negative learning rate goes uphill."""
    rate = case.facts.learning_rate
    if rate is None or not rate < 0:
        return None
    ordinary = (case.facts.ordinary_rate or 0.0) / 10
    return Verdict(
        cause=FailureCause.DIVERGENT_LEARNING_RATE,
        grounds=Grounds.RULE,
        advice=f"The learning rate is negative ({rate:.3g}), so that every step raises the loss:"
        f" use a positive one, such as {ordinary:.3g}.",
    )


def frozen_statistics(case: Case) -> Verdict | None:
    """NaN in the data that a Normalization layer was adapted to is now in the layer."""
    for layer in [] if case.model is None else all_layers(case.model, include_self=False):
        if type(layer).__name__ != "Normalization":
            continue
        parts = [getattr(layer, name, None) for name in ("mean", "variance")]
        bad = [part for part in parts if part is not None and not np.isfinite(_array(part)).all()]
        if bad:
            columns = np.flatnonzero(~np.isfinite(_array(bad[0]).ravel()))[:5].tolist()
            return Verdict(
                cause=FailureCause.NON_FINITE_DATA,
                grounds=Grounds.RULE,
                advice=f"Layer {layer.name} was adapted to data with NaN or inf, and has them in"
                f" its statistics (columns {', '.join(map(str, columns))}): drop or impute those"
                " rows before adapt().",
                evidence={"non_finite_columns": [f"x column {column}" for column in columns]},
            )
    return None


def huge_embeddings(case: Case) -> Verdict | None:
    """Embeddings that start so far out that what comes after them is saturated or blows up."""
    for variable, weight in _initial(case):
        size = float(np.sqrt(np.mean(np.square(weight.astype(np.float64)))))
        if variable.name == "embeddings" and size > _HUGE_EMBEDDING:
            return _bad_start(
                f"The embeddings {variable.path} start with a root mean square of {size:.3g}: draw"
                " them from Keras's default, -0.05 to 0.05."
            )
    return None


def far_bias(case: Case) -> Verdict | None:
    """A bias of the head that is far beyond all targets."""
    trained = [(v, w) for v, w in _initial(case) if v.name == "bias"]
    targets = max(1.0, *(largest(array) for array in case.columns("y").values()), 1.0)
    ends = set() if case.model is None else {str(head.activation) for head in heads(case.model)}
    bound = _SATURATED if ends and ends <= _BOUNDED else _FAR_BIAS * targets
    for variable, weight in trained[-max(len(case.facts.losses), 1) :]:
        size = largest(weight)
        if size > bound and np.ptp(weight) < size:
            return _bad_start(
                f"The bias {variable.path} starts at {size:.3g}, where targets are at most"
                f" {targets:.3g}: start it at 0, or at the mean of the targets."
            )
    return None


def symmetric_units(case: Case) -> Verdict | None:
    """Hidden units that start alike, and get alike gradients, stay one unit for ever."""
    initial = list(_initial(case))
    now = {id(v): np.asarray(w) for v, w in zip(case.model.weights, _last(case), strict=True)}
    kernels = [(v, w) for v, w in initial if w.ndim >= 2 and v.name == "kernel"]
    for variable, weight in kernels[: -max(len(case.facts.losses), 1)]:
        if _alike(weight) and _alike(now[id(variable)]):
            value = float(weight.flat[0])
            filled = "with zeros" if not weight.any() else f"alike (with {value:.3g}, say)"
            return _bad_start(
                f"The {weight.shape[-1]} units of {variable.path} start {filled}, and after the"
                " fit they are still identical: use glorot_uniform or he_normal, which draw"
                " each weight."
            )
    return None


def units_off(case: Case) -> Verdict | None:
    """Biases that switch nearly all units of a relu layer off, before the fit and after it."""
    first, last = case.first, case.last
    if first is None or last is None:
        return None
    biases = {layer.name: layer for layer in all_layers(case.model, include_self=False)}
    before = {id(v): w for v, w in _initial(case)}
    ends = {view.name: view.output for view in last.layers}
    for view in first.layers:
        layer = biases.get(view.name)
        bias = before.get(id(getattr(layer, "bias", None)))
        if bias is None or layer is None or not _relu_follows(layer, view.name, first.layers):
            continue
        off = float(np.mean(~_fires(view.output)))
        without = float(np.mean(~_fires(_before_activation(view, layer, before))))
        still = float(np.mean(~_fires(ends.get(view.name, view.output))))
        switched_off = off >= _OFF and still >= _OFF and without < _OFF and bias.mean() < 0
        if switched_off and not nothing_to_learn(case.batches):
            return Verdict(
                cause=FailureCause.DEAD_RELU,
                other_causes=(FailureCause.BAD_INITIALIZATION,),
                grounds=Grounds.RULE,
                advice=f"The biases of {view.name} start at {float(bias.mean()):.3g}, which"
                f" switches {off:.0%} of its relu units off for every row: start them at 0.",
            )
    return None


def _before_activation(view: Any, layer: Any, weights: dict[int, Array]) -> Array:
    """Return what a dense layer gives without its bias."""
    kernel = weights.get(id(getattr(layer, "kernel", None)))
    if kernel is None or view.input is None or kernel.ndim != 2:
        return np.ones(1)
    return np.asarray(view.input @ kernel)


def _relu_follows(layer: Any, name: str, views: list[Any]) -> bool:
    own = activation_name(layer)
    if own is not None:
        return own in _RELUS
    names = [view.name for view in views]
    after = [view.activation for view in views[names.index(name) + 1 :] if view.activation]
    return bool(after) and after[0] in _RELUS


def _fires(output: Array) -> Array:
    """Return which units are above 0 for some row, shape (units,)."""
    return np.asarray((output.reshape(-1, output.shape[-1]) > 0).any(axis=0))


def _alike(kernel: Array) -> bool:
    """Whether all units (the last axis) have the same weights, and there are several."""
    columns = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    if columns.shape[1] < 2 or not np.isfinite(columns).all():
        return False
    return bool(np.ptp(columns, axis=1).max() <= _SAME * np.abs(columns).max())


def _initial(case: Case) -> Iterator[tuple[Any, Array]]:
    """Yield each trained variable with its value from before the fit, where that is known."""
    weights = case.initial_weights
    if weights is None:
        return
    trained = {id(v) for v in case.model.trainable_variables}
    for variable, weight in zip(case.model.weights, weights, strict=True):
        if id(variable) in trained and weight.size and weight.dtype.kind == "f":
            yield variable, weight


def _last(case: Case) -> list[Array]:
    return case.trace.weights or case.model.get_weights()


def _array(value: Any) -> Array:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)


def _bad_start(advice: str) -> Verdict:
    return Verdict(cause=FailureCause.BAD_INITIALIZATION, grounds=Grounds.RULE, advice=advice)


# Of any failure, and of fits that learned nothing.
CONCLUSIVE = (frozen_statistics, negative_rate, huge_embeddings)
QUIET = (*CONCLUSIVE, far_bias, symmetric_units, units_off)
