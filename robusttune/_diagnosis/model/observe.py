"""One step, looked at closely: predictions, loss, gradients and every layer, at given weights.

All of it runs inside `keras.StatelessScope`: no variable of the model, metric or random state
changes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import keras
import numpy as np

from robusttune._compat.keras import all_layers, computing_in_float32
from robusttune._diagnosis.arrays import (
    Array,
    is_float,
    is_number,
    largest,
    leaves,
    non_finite_share,
    scale_of,
)
from robusttune._diagnosis.backends.interface import current_backend
from robusttune._diagnosis.model.forward import (
    call_model,
    calls_replaced,
    compute_loss,
    to_tensors,
    trains_by_itself,
)
from robusttune._diagnosis.model.info import OutputHead, output_names
from robusttune._diagnosis.model.structure import activation_name
from robusttune._diagnosis.trace import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """Measurements of one layer on one batch.

    Args:
        name: Name of the layer.
        kind: Its class name.
        activation: Name of its activation; None without one.
        trainable: Whether it has trainable weights of its own.
        input: First input, shape (batch, ...); None where it has none.
        output: First output, shape (batch, ...).
        gradient_norm: Norm of the gradient of its own trainable weights; None without any.
        kernels: Shapes of its weights with two axes or more.
    """

    name: str
    kind: str
    activation: str | None
    trainable: bool
    input: Array | None
    output: Array
    gradient_norm: float | None = None
    kernels: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One forward and backward pass.

    Args:
        predictions: What the model gave, nested as it gives it.
        loss: The total loss; None where only the model's own train_step knows it.
        gradient_norm: Global norm of the gradient, NaN or inf where it is not finite; None without
            a loss.
        layers: Every layer in the order of the calls.
        heads: The end of the model for each output.
        pull: Largest / median absolute derivative of the loss with respect to a prediction: how
            unevenly the rows pull; inf where one is not finite.
        entrance_scale: Largest root mean square of a column of the numbers that meet weights
            before any layer has made something else of them; None where those are no real numbers
            (an embedding's indices).
        early_gradient: Of a recurrent net on real numbers, size of the gradient of the loss at the
            first tenth of the time steps / at that of the largest; None for others.
    """

    predictions: Any
    loss: float | None
    gradient_norm: float | None
    layers: list[LayerView] = field(default_factory=list)
    heads: tuple[OutputHead, ...] = ()
    pull: float = 1.0
    entrance_scale: float | None = None
    early_gradient: float | None = None

    @property
    def predictions_finite(self) -> bool:
        """Whether all predictions are finite."""
        return non_finite_share(self.predictions) == 0

    @property
    def loss_finite(self) -> bool:
        """Whether the loss is finite, as far as it is known."""
        return self.loss is None or bool(np.isfinite(self.loss))

    @property
    def gradient_finite(self) -> bool:
        """Whether the gradient is finite, as far as it is known."""
        return self.gradient_norm is None or bool(np.isfinite(self.gradient_norm))

    @property
    def finite(self) -> bool:
        """Whether the whole step is finite."""
        return self.predictions_finite and self.loss_finite and self.gradient_finite

    @property
    def first_bad_layer(self) -> LayerView | None:
        """The first layer whose output is not finite although its input is."""
        for layer in self.layers:
            if non_finite_share(layer.output) > 0 and non_finite_share(layer.input) == 0:
                return layer
        return None

    def as_evidence(self) -> dict[str, Any]:
        """Return the numbers of this pass."""
        bad = self.first_bad_layer
        return {
            "predictions_finite": self.predictions_finite,
            "largest_prediction": largest(self.predictions),
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            **({"first_bad_layer": f"{bad.name} ({bad.kind})"} if bad is not None else {}),
        }


def observe(
    model: Any,
    weights: Sequence[Array] | None,
    batch: Batch,
    *,
    float32: bool = False,
    training: bool = True,
) -> Observation:
    """Run one forward and backward pass without leaving a trace on the model.

    Args:
        model: A compiled, built Keras model.
        weights: In the order of model.get_weights(); None for the model's own.
        batch: NumPy arrays.
        float32: Whether layers compute in float32, whatever their own dtype.
        training: Whether layers behave as in training.

    Raises:
        Exception: Whatever the model's own code raises.
    """
    backend = current_backend()
    calls: list[_Call] = []
    values = with_weights(model, [keras.ops.copy(v.value) for v in model.variables], weights)
    trainable = {id(v) for v in model.trainable_variables}
    places = [i for i, v in enumerate(model.variables) if id(v) in trainable]
    known = not trains_by_itself(model)
    x = to_tensors(batch.x)

    @contextlib.contextmanager
    def scope(values: Sequence[Any]) -> Iterator[None]:
        mapping = list(zip(model.variables, values, strict=True))
        with (
            keras.StatelessScope(mapping, collect_losses=True),
            computing_in_float32(all_layers(model)) if float32 else contextlib.nullcontext(),
        ):
            yield

    def total(trained: list[Any]) -> tuple[Any, None]:
        whole = list(values)
        for place, value in zip(places, trained, strict=True):
            whole[place] = value
        with scope(whole):
            return compute_loss(model, x, batch, call_model(model, x, training)), None

    def total_of(outputs: list[Any]) -> tuple[Any, None]:
        with scope(values):
            packed = keras.tree.pack_sequence_as(predictions, outputs)
            return compute_loss(model, x, batch, packed), None

    loss: float | None = None
    gradients: list[Any] = [None] * len(places)
    pulls: list[Any] = []

    def total_of_inputs(inputs: list[Any]) -> tuple[Any, None]:
        with scope(values):
            return compute_loss(
                model, inputs[0], batch, call_model(model, inputs[0], training)
            ), None

    early: float | None = None
    with backend.untouched_randomness():
        with scope(values), calls_replaced(model, partial(_recorded, calls)):
            predictions = call_model(model, x, training)
        if known:
            outputs = keras.tree.flatten(predictions)
            found, _, gradients = backend.value_and_grad(total, [values[p] for p in places])
            loss = float(keras.ops.convert_to_numpy(found))
            _, _, pulls = backend.value_and_grad(total_of, outputs)
            if _is_real_sequence(x) and any(_is_recurrent(type(c.layer).__name__) for c in calls):
                _, _, (by_inputs,) = backend.value_and_grad(total_of_inputs, [x])
                early = _early_share(by_inputs)
    sizes = [_norm(gradient) for gradient in gradients]
    norms = {
        id(model.variables[place]): size
        for place, size in zip(places, sizes, strict=True)
        if size is not None
    }
    return Observation(
        predictions=keras.tree.map_structure(_numpy, predictions),
        loss=loss,
        gradient_norm=float(np.sqrt(sum(norm**2 for norm in norms.values()))) if known else None,
        layers=[_view(call, norms) for call in calls],
        heads=tuple(_heads(model, predictions, calls)),
        pull=max((_pull(array) for p in pulls if (array := _numpy(p)) is not None), default=1.0),
        entrance_scale=_entrance_scale(calls, batch),
        early_gradient=early,
    )


def _is_real_sequence(x: Any) -> bool:
    """Whether inputs are one tensor of real numbers of shape (rows, time steps, features)."""
    return keras.ops.is_tensor(x) and len(x.shape) == 3 and "float" in str(x.dtype)


def _early_share(gradient: Any) -> float | None:
    """Return the size of a gradient at the first time steps / at that of the largest."""
    values = _numpy(gradient)
    if values is None or not np.isfinite(values).all():
        return None
    sizes = np.sqrt(np.square(values.astype(np.float64)).sum(axis=(0, 2)))
    first = float(sizes[: max(len(sizes) // 10, 1)].mean())
    return first / float(sizes.max()) if sizes.max() > 0 else None


def _norm(gradient: Any) -> float | None:
    """Return the Euclidean norm of a gradient; None without one."""
    if gradient is None:
        return None
    values = np.asarray(keras.ops.convert_to_numpy(gradient)).astype(np.float64)
    return float(np.sqrt(np.sum(np.square(values))))


def _pull(derivative: Array) -> float:
    sizes = np.abs(derivative.astype(np.float64))
    middle = float(np.median(sizes))
    if not np.isfinite(sizes).all():
        return float("inf")
    return float(sizes.max()) / middle if middle > 0 else 1.0


def with_weights(model: Any, values: list[Any], weights: Sequence[Array] | None) -> list[Any]:
    """Return the values of model.variables with those of model.weights replaced."""
    if weights is None:
        return values
    places = {id(v): i for i, v in enumerate(model.variables)}
    values = list(values)
    for variable, weight in zip(model.weights, weights, strict=True):
        values[places[id(variable)]] = keras.ops.convert_to_tensor(weight, variable.dtype)
    return values


@dataclass(frozen=True, slots=True)
class _Call:
    """The first call of a layer: what went in and the first of what came out, as tensors."""

    layer: Any
    inputs: list[Any]
    output: Any


def _recorded(views: list[_Call], layer: Any, call: Any) -> Any:
    def recorded(*args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        if not any(seen.layer is layer for seen in views):
            inputs = keras.tree.flatten(args) or keras.tree.flatten(kwargs)
            views.append(_Call(layer, inputs, keras.tree.flatten(outputs)[0]))
        return outputs

    return recorded


def _view(call: _Call, norms: dict[int, float]) -> LayerView:
    layer = call.layer
    own = [norms[id(v)] for v in layer.trainable_variables if id(v) in norms]
    return LayerView(
        name=layer.name,
        kind=type(layer).__name__,
        activation=activation_name(layer),
        trainable=bool(layer.trainable_variables),
        input=_numpy(call.inputs[0]) if call.inputs else None,
        output=np.empty(0) if (array := _numpy(call.output)) is None else array,
        gradient_norm=float(np.sqrt(sum(norm**2 for norm in own))) if own else None,
        kernels=tuple(tuple(w.shape) for w in layer.weights if len(w.shape) > 1),
    )


def _entrance_scale(calls: Sequence[_Call], batch: Batch) -> float | None:
    """Return the scale of raw numbers where they meet weights.

    Raw are the inputs, and what layers without weights make of raw numbers alone (Normalization).
    They meet weights in a layer that has some, and in one that joins them to what is not raw. What
    enters the first layer with weights counts whatever it is.
    """
    given = [array for _, array in leaves(batch.x)]
    made: set[int] = set()
    scales: list[float] = []
    learned = False
    for call in calls:
        raw = [value for value in call.inputs if id(value) in made or _is_one_of(value, given)]
        if call.layer.trainable_variables:
            meeting = raw if learned else [*call.inputs[:1], *raw]
            learned = True
        elif raw and len(raw) == len(call.inputs):
            made.add(id(call.output))
            continue
        else:
            meeting = raw
        arrays = [array for value in meeting if (array := _numpy(value)) is not None]
        scales += [scale_of(array).worst for array in arrays if is_float(array)]
    return max(scales, default=None)


def _is_one_of(value: Any, arrays: Sequence[Array]) -> bool:
    """Whether a tensor holds the same numbers as one of the arrays, but for a cast or an axis."""
    found = _numpy(value)
    with np.errstate(over="ignore"):  # a float64 may be inf in float32
        return found is not None and any(
            found.size == array.size
            and found.shape[: array.ndim] == array.shape
            and is_number(array)
            and np.array_equal(found.ravel(), array.astype(found.dtype).ravel(), equal_nan=True)
            for array in arrays
        )


def _numpy(value: Any) -> Array | None:
    if not isinstance(value, np.ndarray) and not keras.ops.is_tensor(value):
        return None
    array = np.asarray(keras.ops.convert_to_numpy(value))
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # bfloat16


# Layers that pass on what they get, in another shape at most.
_TRANSPARENT = ("Reshape", "Flatten", "Dropout", "Permute", "Identity")


def _heads(model: Any, predictions: Any, views: list[_Call]) -> Iterator[OutputHead]:
    names = output_names(model)
    outputs = keras.tree.flatten(predictions)
    for index, output in enumerate(outputs):
        name = names[index] if len(names) == len(outputs) else None
        yield replace(_head(output, views), name=name, axes=len(output.shape))


def _head(output: Any, views: list[_Call]) -> OutputHead:
    """Return the end of the model that gave an output; no activation where that is not a layer."""
    units = int(output.shape[-1]) if len(output.shape) > 1 else 1
    for call in reversed(views):
        if call.output is output:
            if type(call.layer).__name__ not in _TRANSPARENT:
                activation = activation_name(call.layer)
                alone = activation == "softmax" and output.shape[-1] == 1  # whatever comes after
                return OutputHead(units=1 if alone else units, activation=activation)
            output = call.inputs[0] if call.inputs else None
    return OutputHead(units=units)


_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM")


def is_recurrent(view: LayerView) -> bool:
    """Whether a layer steps through time."""
    return _is_recurrent(view.kind)


def _is_recurrent(kind: str) -> bool:
    return kind.startswith(_RECURRENT)


def is_hidden_activation(view: LayerView, seen: Observation) -> bool:
    """Whether a layer has an activation that is not the head's, and no gates.

    Of recurrent layers, a SimpleRNN that has been made linear.
    A softmax without weights of its own weighs what others give, as in attention.
    """
    if is_recurrent(view):
        return view.kind == "SimpleRNN" and view.activation == "linear"
    if view.activation is None:
        return False
    if view.activation == "softmax" and not view.kernels:
        return False
    ends = [other.name for other in seen.layers if other.activation is not None]
    return view.name not in ends[-max(len(seen.heads), 1) :] or (len(ends) == 1 and not seen.heads)
