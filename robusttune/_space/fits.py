"""What a hyperparameter search says of its fits: optimizer, rate, depth, scales of the data."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robusttune._space.parameters import Choice, Int, Parameter
from robusttune._space.roles import Role, is_number, role_by_name

_OPTIMIZERS = {
    "sgd": "sgd",
    "adam": "adam",
    "adamw": "adam",
    "adamax": "adam",
    "nadam": "adam",
    "rmsprop": "rmsprop",
}
_ACTIVATIONS = {
    "relu": "relu",
    "leaky_relu": "relu",
    "leakyrelu": "relu",
    "gelu": "relu",
    "silu": "relu",
    "swish": "relu",
    "elu": "elu",
    "selu": "elu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
}
_LOSSES = {
    "mse": "mse",
    "mean_squared_error": "mse",
    "mae": "mae",
    "mean_absolute_error": "mae",
    "binary_crossentropy": "bce",
    "categorical_crossentropy": "cce",
    "sparse_categorical_crossentropy": "cce",
}
# Layers of a multilayer perceptron; with any other the fit is of a kind that is not known.
_PLAIN_LAYERS = frozenset({"InputLayer", "Flatten", "Dropout", "Dense"})
_ACTIVATION_LAYERS = frozenset({"Activation", "ReLU", "LeakyReLU", "ELU"})
_ROLES = {
    Role.LEARNING_RATE: "learning_rate",
    Role.MOMENTUM: "momentum",
    Role.BATCH_SIZE: "batch_size",
    Role.UNITS: "width",
}
_DEPTH = re.compile(r"(^|_)(layers|depth|hidden_layers|dense_layers)$")
_ROWS = 2000  # of the data that are looked at

Fit = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FitReader:
    """Says of each proposal what its fit would have; see `FailurePrior` for the names.

    Args:
        roles: What each hyperparameter sets, by its name: "learning_rate", "momentum",
            "batch_size", "width", "depth", "optimizer" or "activation".
        fixed: What all fits have.
        by_choice: What fits with a value of a choice have instead, by name and repr of the value;
            None: something that is not known.
        rows: Rows of training data, for the steps; None: not known.
        epochs: Epochs of a fit; None: not known.
        layers_besides: Hidden layers beside those that a hyperparameter counts.
        epochs_name: What a tuner that gives trials epochs of their own keeps these under, among a
            trial's values; "": nothing.
    """

    roles: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    by_choice: Mapping[str, Mapping[str, Mapping[str, Any] | None]] = field(default_factory=dict)
    rows: int | None = None
    epochs: int | None = None
    layers_besides: int = 0
    epochs_name: str = ""

    def __call__(self, params: Mapping[str, Any]) -> Fit | None:
        """Return what a fit has with these values, as far as known; None: it is of another kind."""
        fit = dict(self.fixed)
        for name, effects in self.by_choice.items():
            if name in params:
                effect = effects.get(repr(params[name]))
                if effect is None:
                    return None
                fit |= effect
        found: dict[str, list[Any]] = {}
        for name, role in self.roles.items():
            if name in params:
                found.setdefault(role, []).append(params[name])
        for role, values in found.items():
            value = self._value(role, values)
            if value is None:
                return None
            fit[role] = value
        if fit.get("optimizer", "sgd") != "sgd":
            fit["momentum"] = 0.0
        epochs = params.get(self.epochs_name, self.epochs)
        if self.rows and epochs and "batch_size" in fit:
            fit["steps"] = math.ceil(self.rows / fit["batch_size"]) * epochs
        return fit

    def _value(self, role: str, values: Sequence[Any]) -> Any:
        """Return what several hyperparameters of one role set; None: that is not known."""
        if role == "optimizer":
            return _OPTIMIZERS.get(_plain(values[0])) if len(values) == 1 else None
        if role == "activation":
            return _ACTIVATIONS.get(_plain(values[0])) if len(values) == 1 else None
        numbers = [float(v) for v in values if is_number(v) and math.isfinite(v)]
        if len(numbers) < len(values) or (len(numbers) > 1 and role != "width"):
            return None
        if role == "depth":
            return numbers[0] + self.layers_besides
        value = sum(numbers) / len(numbers)
        return value if value > 0 or role == "momentum" else None


def roles_in(space: Iterable[Parameter]) -> dict[str, str]:
    """Return what the hyperparameters of a space set in a fit, as far as names and choices tell."""
    roles: dict[str, str] = {}
    for parameter in space:
        role = role_by_name(parameter)
        if role in _ROLES:
            roles[parameter.name] = _ROLES[role]
        elif isinstance(parameter, Int) and _DEPTH.search(_plain(parameter.name)):
            roles[parameter.name] = "depth"
        elif isinstance(parameter, Choice) and _are_all(parameter, _OPTIMIZERS):
            roles[parameter.name] = "optimizer"
        elif isinstance(parameter, Choice) and _are_all(parameter, _ACTIVATIONS):
            roles[parameter.name] = "activation"
    return roles


def is_counted_otherwise(parameter: Parameter) -> bool:
    """Whether a whole number does something to the model that its name does not tell."""
    return isinstance(parameter, Int) and not roles_in([parameter])


def fit_of_model(model: Any) -> Fit | None:
    """Return what a compiled Keras model says of its fits; None: it is of another kind.

    That is one with other layers than a multilayer perceptron's, with an optimizer or a loss that
    is not known, with a schedule, or with clipping.
    """
    layers = _layers_of(model)
    optimizer = _optimizer_of(model)
    loss = _loss_of(model)
    if layers is None or optimizer is None or loss is None:
        return None
    return {**layers, **optimizer, "loss": loss}


def fit_of_data(x: Any, y: Any, loss: str | None) -> Fit:
    """Return what the arrays of a fit say of it; nothing of anything else.

    Args:
        x: Inputs, shape (rows, ...).
        y: Targets; their scale counts for regression.
        loss: As in the fit; None: not known.
    """
    inputs, targets = _numbers(x), _numbers(y)
    if inputs is None or inputs.ndim < 2:
        return {}
    rows = inputs.reshape(len(inputs), -1)
    fit: Fit = {"columns": rows.shape[1], "input_scale": float(np.sqrt(np.mean(rows**2)))}
    if loss is not None and loss.startswith(("bce", "cce")):
        fit |= {"target_scale": 1.0, "target_offset": 0.0}
    elif targets is not None and loss is not None:
        columns = targets.reshape(len(targets), -1)
        spread = float(np.sqrt(np.mean(np.var(columns, axis=0))))
        if spread > 0:
            fit |= {
                "target_scale": spread,
                "target_offset": float(np.abs(columns.mean(axis=0)).mean()) / spread,
            }
    return fit


def _numbers(data: Any) -> Any:
    """Return a part of an array as float64; None where it is no array of finite numbers."""
    if getattr(data, "shape", None) is None or not len(data.shape):
        return None
    try:
        rows = data[:: max(1, len(data) // _ROWS)] if hasattr(data, "__array__") else None
        array = None if rows is None else np.asarray(rows, dtype=float)
    except (TypeError, ValueError, KeyError):
        return None
    return array if array is not None and array.size and np.isfinite(array).all() else None


def _layers_of(model: Any) -> Fit | None:
    units: list[float] = []
    activations: list[str] = []
    for layer in getattr(model, "layers", ()):
        kind = type(layer).__name__
        if kind in _ACTIVATION_LAYERS:
            name = _plain(kind) if kind != "Activation" else _name_of(layer.activation)
            activations.append(name)
        elif kind == "Dense":
            units.append(float(layer.units))
            activations.append(_name_of(layer.activation))
        elif kind not in _PLAIN_LAYERS:
            return None
    if len(units) < 2:
        return None
    inside = {name for name in activations if name not in ("linear", "softmax")}
    head = (
        {"sigmoid"}
        if _name_of(getattr(model.layers[-1], "activation", None)) == "sigmoid"
        else set()
    )
    hidden = {_ACTIVATIONS.get(name) for name in inside - head} or {"sigmoid" if head else None}
    if len(hidden) != 1 or None in hidden:
        return None
    width = sum(units[:-1]) / (len(units) - 1)
    return {"depth": len(units) - 1, "width": width, "activation": hidden.pop()}


def _optimizer_of(model: Any) -> Fit | None:
    optimizer = getattr(model, "optimizer", None)
    name = _OPTIMIZERS.get(type(optimizer).__name__.lower())
    if name is None or optimizer is None:
        return None
    config = optimizer.get_config()
    clips = [config.get(each) for each in ("clipnorm", "clipvalue", "global_clipnorm")]
    if any(clip is not None for clip in clips) or not is_number(config.get("learning_rate")):
        return None
    momentum = config.get("momentum", 0.0) if name == "sgd" else 0.0
    return {"optimizer": name, "momentum": float(momentum), "rate": float(config["learning_rate"])}


def _loss_of(model: Any) -> str | None:
    """Return the loss; "bce clipped" and "cce clipped" are those of clipped probabilities.

    Keras finds the logits behind a softmax or a sigmoid on TensorFlow only. On the other backends
    probabilities are clipped, and a saturated one has no gradient.
    """
    loss = getattr(model, "loss", None)
    name = loss
    if not isinstance(loss, str):
        home = getattr(loss, "__module__", None) or ""
        if home.partition(".")[0] != "keras":  # a loss of the user's own may be anything
            return None
        name = getattr(loss, "name", None) or getattr(loss, "__name__", None)
    kind = _LOSSES.get(_plain(name)) if isinstance(name, str) else None
    if kind not in ("bce", "cce"):
        return kind
    last = model.layers[-1]
    head = _name_of(getattr(last, "activation", None))
    if getattr(loss, "from_logits", False):
        return kind if head == "linear" else None
    if head not in ("softmax", "sigmoid"):
        return None
    backend = sys.modules["keras"].backend.backend() if "keras" in sys.modules else "tensorflow"
    return kind if backend == "tensorflow" else f"{kind} clipped"


def _name_of(activation: Any) -> str:
    return _plain(getattr(activation, "__name__", type(activation).__name__))


def _are_all(choice: Choice, known: Mapping[str, str]) -> bool:
    return len(choice.choices) > 1 and all(
        isinstance(v, str) and _plain(v) in known for v in choice.choices
    )


def _plain(name: Any) -> str:
    """Return a name in small letters with underscores: "RMSprop" -> "rmsprop"."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", str(name).rpartition("/")[2])
    return text.lower().strip("_")
