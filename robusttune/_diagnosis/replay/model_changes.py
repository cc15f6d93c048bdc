"""Interventions in the model itself, in place only while its step is traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from robusttune._compat.keras import all_layers, computing_in_float32
from robusttune._diagnosis.model.observe import Observation, is_hidden_activation

# Layers that multiply by random numbers in training, and those that add some.
_DROPOUTS = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
)
_NOISES = ("GaussianNoise",)


@contextlib.contextmanager
def changed_model(
    model: Any, seen: Observation, *, activation: str | None, float32: bool
) -> Iterator[None]:
    """Give the model another activation or precision.

    Args:
        model: A built Keras model.
        seen: A step of it, which tells the hidden layers.
        activation: Activation of all hidden layers; None leaves them.
        float32: Whether layers compute in float32.
    """
    with contextlib.ExitStack() as stack:
        if float32:
            stack.enter_context(computing_in_float32(all_layers(model)))
        if activation:
            stack.enter_context(_activations(model, seen, activation))
        yield


@contextlib.contextmanager
def _activations(model: Any, seen: Observation, name: str) -> Iterator[None]:
    hidden = {view.name for view in seen.layers if is_hidden_activation(view, seen)}
    layers = [layer for layer in all_layers(model) if layer.name in hidden]
    function = keras.activations.get(name)
    kept = []
    try:
        for layer in (getattr(layer, "cell", layer) for layer in layers):
            if hasattr(layer, "activation"):
                kept.append((layer, layer.activation))
                layer.activation = function
            else:
                vars(layer)["call"] = lambda inputs, *args, **kwargs: function(inputs)
        yield
    finally:
        for layer, activation in kept:
            layer.activation = activation
        for layer in layers:
            vars(layer).pop("call", None)


def takes_noise(model: Any, of: str) -> bool:
    """Whether a model has layers whose noise the input "dropout" or "noise" scales."""
    names = _DROPOUTS if of == "dropout" else _NOISES
    return any(type(layer).__name__ in names for layer in all_layers(model))


@contextlib.contextmanager
def scaled_noise(model: Any, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Scale what dropout and noise layers do to their inputs.

    A layer then returns x + factor (layer(x) - x): 0 leaves it out, 1 is the layer as it is, and in
    between the spread of its noise is the factor times its own.
    """
    factors = {name: inputs["dropout"] for name in _DROPOUTS if "dropout" in inputs}
    factors |= {name: inputs["noise"] for name in _NOISES if "noise" in inputs}
    layers = [layer for layer in all_layers(model) if type(layer).__name__ in factors]
    layers = [layer for layer in layers if "call" not in vars(layer)]
    for layer in layers:
        vars(layer)["call"] = _blended(layer.call, factors[type(layer).__name__])
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _blended(call: Callable[..., Any], factor: Any) -> Callable[..., Any]:
    def blended(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        noisy = call(inputs, *args, **kwargs)
        return inputs + keras.ops.cast(factor, noisy.dtype) * (noisy - inputs)

    return blended
