"""Roles of a hyperparameter, read from the models that two of its values give.

Nothing is imported for that: Keras models and scikit-learn estimators both say what they are made
of, in plain configurations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from robusttune._space.parameters import Value
from robusttune._space.roles import Role, is_number

_OPTIMIZER_KEYS = {
    "learning_rate": Role.LEARNING_RATE,
    "initial_learning_rate": Role.LEARNING_RATE,
    "warmup_target": Role.LEARNING_RATE,
    "momentum": Role.MOMENTUM,
    "beta_1": Role.BETA,
    "beta_2": Role.BETA,
    "rho": Role.BETA,
    "epsilon": Role.EPSILON,
    "weight_decay": Role.WEIGHT_DECAY,
    "clipnorm": Role.CLIP,
    "clipvalue": Role.CLIP,
    "global_clipnorm": Role.CLIP,
}
_LAYER_KEYS = {
    "units": Role.UNITS,
    "filters": Role.UNITS,
    "output_dim": Role.UNITS,
    "num_heads": Role.UNITS,
    "key_dim": Role.UNITS,
    "kernel_size": Role.KERNEL_SIZE,
    "pool_size": Role.KERNEL_SIZE,
    "strides": Role.KERNEL_SIZE,
    "dropout": Role.DROPOUT,
    "recurrent_dropout": Role.DROPOUT,
    "epsilon": Role.EPSILON,
    "momentum": Role.MOMENTUM,
    "l1": Role.WEIGHT_DECAY,
    "l2": Role.WEIGHT_DECAY,
    "stddev": Role.INIT_SCALE,
}
_ESTIMATOR_KEYS = {  # scikit-learn
    "learning_rate_init": Role.LEARNING_RATE,
    "learning_rate": Role.LEARNING_RATE,
    "eta0": Role.LEARNING_RATE,
    "momentum": Role.MOMENTUM,
    "beta_1": Role.BETA,
    "beta_2": Role.BETA,
    "epsilon": Role.EPSILON,
}
_TOLERANCE = 1e-6  # relative; optimizers keep their numbers in float32


@dataclass(frozen=True, slots=True)
class Build:
    """Parts of one built model.

    Args:
        slots: Each number in it that has a role.
        optimizer: Name of the optimizer's class; None: it has none.
    """

    slots: tuple[tuple[Role, float], ...]
    optimizer: str | None

    @classmethod
    def of(cls, model: Any) -> Build:
        """Read a Keras model or a scikit-learn estimator; anything else has no slots."""
        optimizer = getattr(model, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
        slots = [*_read(_config(optimizer), _OPTIMIZER_KEYS)]
        for layer in _layers(model):
            slots.extend(_read(_config(layer), _LAYER_KEYS, type(layer).__name__))
        if callable(getattr(model, "get_params", None)):
            parameters = {
                name.rpartition("__")[2]: v for name, v in model.get_params(deep=True).items()
            }
            slots.extend(_read(parameters, _ESTIMATOR_KEYS))
        return cls(tuple(slots), None if optimizer is None else type(optimizer).__name__)

    def count(self, role: Role, value: float) -> int:
        """Return how many slots of the role hold the value."""
        return sum(
            1
            for slot, held in self.slots
            if slot is role and math.isclose(held, value, rel_tol=_TOLERANCE)
        )

    def values(self, role: Role) -> list[float]:
        """Return all values of a role, sorted."""
        return sorted(held for slot, held in self.slots if slot is role)


def roles_shown(first: Build, one: Value, second: Build, other: Value) -> list[Role]:
    """Return the roles whose slots followed a hyperparameter from one value to the other."""
    if not is_number(one) or not is_number(other):
        return []
    return [
        role
        for role in Role
        if first.count(role, one) > second.count(role, one)
        and second.count(role, other) > first.count(role, other)
    ]


def is_indirect(role: Role, first: Build, second: Build) -> bool:
    """Return whether the slots of a role changed, so that a hyperparameter acts on them somehow."""
    return first.values(role) != second.values(role)


def _layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", None) or ():
        yield layer
        yield from _layers(layer)


def _config(part: Any) -> Mapping[str, Any]:
    if part is None or not callable(getattr(part, "get_config", None)):
        return {}
    try:
        config = part.get_config()
    except Exception:  # a user's class that does not say what it is made of is no evidence
        return {}
    return config if isinstance(config, Mapping) else {}


def _read(
    config: Mapping[str, Any], keys: Mapping[str, Role], owner: str = ""
) -> Iterator[tuple[Role, float]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            nested = value.get("config")
            if isinstance(nested, Mapping):  # a serialized schedule, initializer, regularizer, cell
                yield from _read(nested, keys, str(value.get("class_name", "")))
            continue
        role = keys.get(key)
        if key == "rate" and owner.endswith("Dropout"):
            role = Role.DROPOUT
        elif key == "scale" and owner == "VarianceScaling":
            role = Role.INIT_SCALE
        numbers = value if isinstance(value, (tuple, list)) else (value,)
        if role is not None:
            yield from ((role, float(number)) for number in numbers if is_number(number))
