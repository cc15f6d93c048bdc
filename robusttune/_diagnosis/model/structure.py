"""Structure of a model, from its graph: activations of the layers, output heads, regularization.

`Dense(16), Activation("sigmoid")` and `Dense(16, "sigmoid")` are the same net, as are functional
models that call `keras.activations` or `keras.ops` on a tensor, and models inside of models. No
model is run, and nothing is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from robusttune._compat.keras import all_layers, makers_of, takes_training_argument, users_of
from robusttune._diagnosis.model.info import OutputHead, output_names

_ACTIVATION_LAYERS = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "Softmax": "softmax",
    "ELU": "elu",
    "PReLU": "leaky_relu",
}
# Layers and operations that pass on what they get, in another shape at most.
_SHAPES = frozenset(
    {
        "Reshape",
        "Flatten",
        "Permute",
        "Identity",
        "Squeeze",
        "ExpandDims",
        "Transpose",
        "Cropping1D",
    }
)
# Those through which an activation is still that of the layer before.
_BETWEEN = re.compile(
    r"(\w*Dropout(1D|2D|3D)?|GaussianNoise|\w*Normalization\w*|\w*Pooling\dD|UpSampling\dD"
    r"|ZeroPadding\dD|Rescaling)$"
)
_OPERATIONS = {
    **dict.fromkeys(("Relu", "ReLU"), "relu"),
    "Exp": "exponential",
    **{
        kind: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
        for kind in (
            *("Sigmoid", "HardSigmoid", "LogSigmoid", "Tanh", "HardTanh", "Softmax", "LogSoftmax"),
            *("Softplus", "Softsign", "LeakyRelu", "Relu6", "Elu", "Selu", "Celu", "Gelu", "Silu"),
        )
    },
}
# A function of the user's, which may be anything.
_UNKNOWN = "Lambda"

# From here on regularization may be too strong for the training data themselves: what Keras's
# examples and published recipes use is at most 0.8 of dropout and 0.1 of a penalty's factor, and
# noise of 1, the most that Keras takes, is as large as standardized data.
_DROPOUT, _PENALTY, _DECAY, _NOISE = 0.9, 1.0, 1.0, 0.9
# And a norm that weights are held to: published recipes take 2 to 4 for the units of a layer.
_NORM = 0.1


def activation_name(layer: Any) -> str | None:
    """Return the name of the activation that a layer itself applies; None where it has none.

    A linear layer whose output only goes into activation layers has none of its own: they have it,
    as a layer has it that is the argument of another (`Dense(16, LeakyReLU())`). A layer whose
    output goes into an operation (`keras.activations.relu(x)`) has that.
    """
    if hasattr(getattr(layer, "activation", None), "call"):
        return None
    own = _own_activation(layer)
    if own != "linear" or _is_activation(layer):
        return own
    after = set(_applied_after(layer))
    if not after or "linear" in after:
        return own
    return after.pop() if len(after) == 1 else None


def heads(model: Any) -> tuple[OutputHead, ...]:
    """Return the end of a model for each output; nothing where it is not a graph of layers."""
    outputs = getattr(model, "outputs", None) or ()
    names = output_names(model)
    found = []
    for index, tensor in enumerate(outputs):
        shape = tuple(tensor.shape)
        activation, at = _end(tensor)
        units = shape[-1] if len(shape) > 1 else 1
        found.append(
            OutputHead(
                units=1 if activation == "softmax" and at.shape[-1] == 1 else units,
                activation=activation,
                name=names[index] if len(names) == len(outputs) else None,
                axes=len(shape),
            )
        )
    return tuple(found)


def last_layer(model: Any) -> OutputHead | None:
    """Return the end of a model with one output; None where that cannot be read off."""
    found = heads(model)
    return found[0] if len(found) == 1 else None


def _own_activation(layer: Any) -> str | None:
    activation = getattr(layer, "activation", None)
    if activation is None:
        return _by_class(layer)
    if hasattr(activation, "call"):  # Dense(16, activation=LeakyReLU())
        return _by_class(activation) or type(activation).__name__.lower()
    return str(getattr(activation, "__name__", type(activation).__name__)).lower()


def _by_class(layer: Any) -> str | None:
    name = _ACTIVATION_LAYERS.get(type(layer).__name__)
    slope = getattr(layer, "negative_slope", None)
    if name in ("relu", "leaky_relu") and slope == 1:
        return "linear"
    if name == "relu" and slope:
        return "leaky_relu"
    return "relu6" if name == "relu" and getattr(layer, "max_value", None) else name


def _is_activation(operation: Any) -> bool:
    kind = type(operation).__name__
    return kind == "Activation" or kind in _ACTIVATION_LAYERS


def _passes_on(operation: Any) -> bool:
    kind = type(operation).__name__
    return kind in _SHAPES or _BETWEEN.match(kind) is not None


def _applied_after(operation: Any) -> Iterator[str | None]:
    """Yield what is applied on each way out of an operation.

    The name of an operation, None for an activation layer, which speaks for itself, and for a
    function of the user's; "linear" for nothing.
    """
    for user in users_of(operation):
        kind = type(user).__name__
        applies = _is_activation(user) and _own_activation(user) != "linear"
        if applies or kind == _UNKNOWN:
            yield None
        elif kind in _OPERATIONS and not hasattr(user, "trainable"):
            yield _OPERATIONS[kind]
        elif _passes_on(user) or _is_activation(user):
            after = list(_applied_after(user))
            yield from after or ["linear"]
        else:
            yield "linear"


def _end(tensor: Any) -> tuple[str | None, Any]:
    """Return the activation that gave a symbolic tensor, None where that is not told; and what it
    gave, which may have another shape.
    """
    ((operation, inputs),) = makers_of([tensor])
    kind = type(operation).__name__
    if not hasattr(operation, "trainable") and kind in _OPERATIONS:
        return _OPERATIONS[kind], tensor
    own = _own_activation(operation)
    if own is not None and not (own == "linear" and _is_activation(operation)):
        return own, tensor
    inner = getattr(operation, "outputs", None)
    if isinstance(inner, (list, tuple)) and len(inner) == 1:  # a model inside of the model
        return _end(inner[0])
    passed = kind in _SHAPES or "Dropout" in kind or _is_activation(operation)
    return _end(inputs[0]) if passed and inputs else (None, tensor)


def regularization(model: Any, *, strong: bool = False) -> dict[str, float]:
    """Return what regularizes a model: strength by name.

    Dropout rates and standard deviations of noise by layer, factors of L1 and L2 and the norms that
    constraints allow by layer and weight, weight decay of the optimizer.

    Args:
        model: A compiled model.
        strong: Whether only what may be so strong counts that nothing is learned.
    """
    found: dict[str, float] = {}
    for layer in all_layers(model, include_self=False):
        kind = type(layer).__name__
        noise = kind == "GaussianNoise"
        strengths = {
            "rate": (_number(layer, "rate") if "Dropout" in kind else 0.0, _DROPOUT),
            "dropout": (_number(layer, "dropout"), _DROPOUT),
            "recurrent_dropout": (_number(layer, "recurrent_dropout"), _DROPOUT),
            "stddev": (_number(layer, "stddev") if noise else 0.0, _NOISE),
        }
        for part in ("kernel", "recurrent", "bias", "activity", "embeddings"):
            regularizer = getattr(layer, f"{part}_regularizer", None)
            factor = max(_number(regularizer, "l1"), _number(regularizer, "l2"))
            strengths[f"{part}_regularizer"] = (factor, _PENALTY)
        for name, (strength, limit) in strengths.items():
            if strength > 0 and (strength >= limit or not strong):
                found[f"{layer.name}.{name}"] = strength
        for part in ("kernel", "recurrent", "bias", "embeddings"):
            norm = _number(getattr(layer, f"{part}_constraint", None), "max_value")
            if norm > 0 and (norm <= _NORM or not strong):
                found[f"{layer.name}.{part}_constraint"] = norm
    optimizer = getattr(model, "optimizer", None)
    decay = _number(getattr(optimizer, "inner_optimizer", optimizer), "weight_decay")
    if decay > 0 and (decay >= _DECAY or not strong):
        found["optimizer.weight_decay"] = decay
    return found


def has_noise_of_its_own(model: Any) -> bool:
    """Whether layers may add noise in training that no layer of Keras's for that purpose adds.

    Recurrent layers with dropout inside, and layers of the user's that tell training apart.
    """
    for layer in all_layers(model, include_self=False):
        inside = max(_number(layer, "dropout"), _number(layer, "recurrent_dropout")) > 0
        own = not type(layer).__module__.startswith("keras.")
        single = not any(all_layers(layer, include_self=False))
        if inside or (own and single and takes_training_argument(layer)):
            return True
    return False


def _number(owner: Any, name: str) -> float:
    """Return a number that an object has, or 0."""
    try:
        return float(getattr(owner, name, None) or 0.0)
    except (TypeError, ValueError):
        return 0.0
