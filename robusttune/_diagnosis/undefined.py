"""Where a step first gives NaN or inf: the operation, the line of the user's, the layer.

Needs TensorFlow. A look for words only: it never changes a cause.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from robusttune._compat.tensorflow import NonFiniteOperation, first_non_finite_operation
from robusttune._diagnosis.arrays import Array
from robusttune._diagnosis.model.forward import (
    call_model,
    calls_replaced,
    compute_loss,
    to_tensors,
    trains_by_itself,
)
from robusttune._diagnosis.model.observe import observe, with_weights
from robusttune._diagnosis.trace import Batch
from robusttune._exception_causes import is_users_file

_log = logging.getLogger("robusttune.diagnosis")


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation that is undefined for some inputs.

    Args:
        names: Of the functions that people write for it.
        happens: What has happened, as a sentence; {} is the call.
        fix: What to do; {} is what goes into it.
    """

    names: tuple[str, ...]
    happens: str
    fix: str


_CLIP = "bound it, for example with keras.ops.clip({}, -20, 20)"
_EPSILON = "keep its input above 0, for example with keras.ops.maximum({}, 1e-7)"
_ROOT = _Operation(("sqrt", "norm"), "{} has an infinite derivative at 0", _EPSILON)
_MASK = _Operation(
    ("where",),
    "{} inserts an infinite number, and a fully masked row gives NaN",
    "mask with a large finite number such as -1e9",
)
_DIVISION = _Operation(
    ("divide", "true_divide"), "{} divides by 0", "add an epsilon to the divisor"
)
_EXP = _Operation(("exp",), "{} overflows", _CLIP)
_OPERATIONS = {
    "Exp": _EXP,
    "Expm1": _Operation(("expm1",), "{} overflows", _CLIP),
    "Log": _Operation(("log", "log2", "log10"), "{} is undefined at 0 or below", _EPSILON),
    "Log1p": _Operation(("log1p",), "{} is undefined at -1 or below", "bound its input"),
    "Sqrt": _Operation(("sqrt",), "{} is undefined below 0", _EPSILON),
    "Rsqrt": _Operation(("rsqrt",), "{} is undefined at 0 or below", _EPSILON),
    "SqrtGrad": _ROOT,
    "RsqrtGrad": _ROOT,
    "Pow": _Operation(("power", "pow"), "{} is undefined or overflows", "bound its input"),
    "RealDiv": _DIVISION,
    "Select": _MASK,
    "SelectV2": _MASK,
    "Reciprocal": _Operation(("reciprocal",), "{} divides by 0", "add an epsilon to the divisor"),
}

_WITH_ARTICLE = {"exp": "an exp", "expm1": "an expm1", "divide": "a division"}
# Operations that overflow where what goes into them is huge already.
_GROWING = ("Square", "Mul", "MatMul", "BatchMatMulV2", "AddV2", "Sub", "Sum", "Mean")


@dataclass(frozen=True, slots=True)
class Undefined:
    """Where a step is undefined.

    Args:
        operation: As people write it ("exp").
        happens: What has happened, as the start of a sentence ("exp(0.5 * l) overflows").
        fix: What to do about it, as an imperative.
        where: "vae.py:14 in both", the user's own line; None if unknown or of a derivative.
        layer: "name (Kind)" of the layer that it is in; None: in none, or not known.
    """

    operation: str
    happens: str
    fix: str
    where: str | None = None
    layer: str | None = None

    def __str__(self) -> str:
        place = ", ".join(
            [
                *([f"layer {self.layer}"] if self.layer else []),
                *([self.where] if self.where else []),
            ]
        )
        return f"{self.happens}{f' ({place})' if place else ''}: {self.fix}"


def undefined_in_step(
    model: Any, weights: list[Array] | None, batch: Batch, *, training: bool = True
) -> Undefined | None:
    """Return where a step of a compiled model is undefined; None where that is not found.

    Args:
        model: A compiled, built Keras model.
        weights: In the order of model.get_weights(); None for the model's own.
        batch: NumPy arrays.
        training: Whether layers behave as in training.
    """
    if trains_by_itself(model):
        return None
    calls = _Calls()

    def run() -> None:
        with calls_replaced(model, partial(_noted, calls)):
            observe(model, weights, batch, training=training)

    found = undefined_in(run)
    if found is None or (found.where is not None and calls.failed is None):
        return found
    layer = calls.failed or _undefined_derivative(model, weights, batch)
    return found if layer is None else _in_layer(found, layer)


def undefined_in(run: Callable[[], Any]) -> Undefined | None:
    """Return where something that is run is undefined; None where that is not found.

    Args:
        run: Runs it anew, whatever it traces included.
    """
    try:
        operation = first_non_finite_operation(run)
    except Exception:  # the user's own code, which need not run in this way
        _log.debug("what is undefined cannot be told", exc_info=True)
        return None
    return None if operation is None else _told(operation)


@contextlib.contextmanager
def metrics_reset(model: Any) -> Iterator[None]:
    """Let the metrics of a model be 0 for a while."""
    values = [(v, np.array(v.numpy())) for v in model.metrics_variables]
    try:
        for variable, value in values:
            variable.assign(np.zeros_like(value))
        yield
    finally:
        for variable, value in values:
            variable.assign(value)


def _told(operation: NonFiniteOperation) -> Undefined | None:
    own = [frame for frame in operation.frames if is_users_file(frame[0])]
    file, line, function = own[-1] if own else ("", 0, "")
    text = linecache.getline(file, line)
    known = _OPERATIONS.get(operation.kind)
    if known is None:  # a product, say, of what an exp has made huge
        if operation.kind not in _GROWING or _call_in(text, _EXP.names)[0] is None:
            return None
        known = replace(_EXP, happens="what {} gives exceeds the range of floats")
    call, argument = _call_in(text, known.names)
    name = known.names[0]
    short = file.replace("\\", "/").rpartition("/")[2]
    return Undefined(
        operation=name,
        happens=known.happens.format(call or _WITH_ARTICLE.get(name, f"a {name}")),
        fix=known.fix.format(argument or "x"),
        where=f"{short}:{line} in {function}" if own else None,
    )


def _call_in(line: str, names: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return the only call of one of the functions in a line of code, and its argument."""
    text = line.strip()
    for candidate in (text, f"{text}\n    pass", text.rpartition(":")[2].strip()):
        try:
            tree = ast.parse(candidate)
        except (SyntaxError, ValueError):
            continue
        found = {
            ast.unparse(node): ast.unparse(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and node.args and _name(node.func) in names
        }
        return next(iter(found.items())) if len(found) == 1 else (None, None)
    return None, None


def _name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _in_layer(found: Undefined, layer: Any) -> Undefined:
    function = getattr(getattr(layer, "function", None), "__name__", None)
    kind = type(layer).__name__ + (f" of {function}" if function else "")
    return Undefined(
        found.operation, found.happens, found.fix, found.where, f"{layer.name} ({kind})"
    )


class _Calls:
    """The calls of layers in one forward pass, and the one that raised."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, list[Any], Any]] = []
        self.failed: Any = None


def _noted(calls: _Calls, layer: Any, call: Any) -> Any:
    def noted(*args: Any, **kwargs: Any) -> Any:
        try:
            output = call(*args, **kwargs)
        except tf.errors.InvalidArgumentError:
            calls.failed = calls.failed or layer
            raise
        calls.done.append((layer, keras.tree.flatten(args), output))
        return output

    return noted


def _undefined_derivative(model: Any, weights: list[Array] | None, batch: Batch) -> Any:
    """Return the last layer that makes a finite gradient non-finite; None where there is none."""
    values = [tf.convert_to_tensor(v.value) for v in model.variables]
    values = with_weights(model, values, weights)
    calls = _Calls()
    try:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(values)
            with (
                keras.StatelessScope(
                    list(zip(model.variables, values, strict=True)), collect_losses=True
                ),
                calls_replaced(model, partial(_noted, calls)),
            ):
                x = to_tensors(batch.x)
                predictions = call_model(model, x, training=True)
                loss = compute_loss(model, x, batch, predictions)
    except Exception:  # the user's own code
        _log.debug("no layer can be named", exc_info=True)
        return None
    own = {id(v): value for v, value in zip(model.variables, values, strict=True)}
    for layer, inputs, output in reversed(calls.done):
        outputs = [leaf for leaf in keras.tree.flatten(output) if tf.is_tensor(leaf)]
        if not outputs or not _finite(tape.gradient(loss, outputs)):
            continue
        sources = [leaf for leaf in inputs if tf.is_tensor(leaf)]
        sources += [own[id(v)] for v in layer.trainable_variables if id(v) in own]
        if sources and not _finite(tape.gradient(loss, sources)):
            return layer
    return None


def _finite(gradients: list[Any]) -> bool:
    return all(
        bool(np.isfinite(np.asarray(tf.convert_to_tensor(g), np.float64)).all())
        for g in gradients
        if g is not None
    )
