"""Keras Tuner's hyperparameters in neutral terms, and back.

Both the objects and their JSON are read here, and Keras Tuner is needed for neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from robusttune._space.parameters import Choice, Float, Int, Parameter, ParentCondition

_FAMILIES = frozenset({"Boolean", "Choice", "Fixed", "Float", "Int"})
# Hyperband keeps its own bookkeeping among the hyperparameter values.
_BOOKKEEPING = "tuner/"


def without_bookkeeping(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a trial's hyperparameter values without what Hyperband keeps among them."""
    return {str(name): value for name, value in values.items() if not _is_bookkeeping(str(name))}


def stored_parameters(items: Iterable[Any]) -> dict[str, Parameter]:
    """Return the hyperparameters of a stored space by name, without Hyperband's bookkeeping.

    The same name may be declared several times, under different conditions: the first one counts.

    Args:
        items: The entries as JSON has them; those that cannot be used are left out.
    """
    return _by_name(map(stored_parameter, items))


def parameters_of(space: Iterable[Any]) -> dict[str, Parameter]:
    """Return the hyperparameters of a space of Keras Tuner's objects; as `stored_parameters`."""
    return _by_name(map(parameter_of, space))


def parameter_of(hp: Any) -> Parameter | None:
    """Return one of Keras Tuner's hyperparameters in neutral terms; None for an unknown kind."""
    kinds = [kind.__name__ for kind in type(hp).__mro__ if kind.__name__ in _FAMILIES]
    return stored_parameter({"class_name": kinds[0], "config": hp.get_config()}) if kinds else None


def stored_parameter(item: Any) -> Parameter | None:
    """Return one entry of a stored space in neutral terms; None if it cannot be used.

    Args:
        item: {"class_name": "Float" | "Int" | "Choice" | "Boolean" | "Fixed", "config": {...}}.
    """
    config = item.get("config") if isinstance(item, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
        return None
    name, family = config["name"], item.get("class_name")
    conditions = _conditions(config.get("conditions"))
    if family in ("Float", "Int"):
        return _range(Int if family == "Int" else Float, config, conditions)
    values, default = config.get("values"), config.get("default")
    if family == "Boolean":
        values = [False, True]
    elif family == "Fixed":
        values, default = [config.get("value")], None
    elif family != "Choice" or not isinstance(values, list) or not values:
        return None
    # Keras Tuner's default is never None, and is stored as if the user had given it.
    return Choice(name, tuple(values), None if default == values[0] else default, conditions)


def _range(
    kind: type[Float] | type[Int],
    config: Mapping[str, Any],
    conditions: tuple[ParentCondition, ...],
) -> Parameter | None:
    low, high = _real(config.get("min_value")), _real(config.get("max_value"))
    if low is None or high is None:
        return None
    sampling, default = config.get("sampling"), _real(config.get("default"))
    return kind(
        config["name"],
        low,
        high,
        log=sampling in ("log", "reverse_log") and low > 0,
        step=_real(config.get("step")),
        default=None if default == low else default,
        reverse=sampling == "reverse_log",
        conditions=conditions,
    )


def keras_tuner_hyperparameter(parameter: Parameter, like: Any) -> Any:
    """Return a Keras Tuner hyperparameter for a neutral one; what that does not have is `like`."""
    config = like.get_config()
    config["default"] = parameter.default
    if isinstance(parameter, Choice):
        config["values"] = list(parameter.choices)
    else:
        config |= {
            "min_value": parameter.low,
            "max_value": parameter.high,
            "step": parameter.step,
            "sampling": sampling_of(parameter),
        }
    return type(like).from_config(config)


def sampling_of(parameter: Float | Int) -> str:
    """Return how Keras Tuner is to sample a range: "linear", "log" or "reverse_log"."""
    if not parameter.log:
        return "linear"
    return "reverse_log" if parameter.reverse else "log"


def _by_name(parameters: Iterable[Parameter | None]) -> dict[str, Parameter]:
    named: dict[str, Parameter] = {}
    for parameter in parameters:
        if parameter is not None and not _is_bookkeeping(parameter.name):
            named.setdefault(parameter.name, parameter)
    return named


def _is_bookkeeping(name: str) -> bool:
    return name.startswith(_BOOKKEEPING)


def _conditions(items: Any) -> tuple[ParentCondition, ...]:
    found = []
    for item in items if isinstance(items, list) else ():
        config = item.get("config") if isinstance(item, Mapping) else None
        if not isinstance(config, Mapping) or not isinstance(config.get("values"), list):
            continue
        found.append(ParentCondition(str(config.get("name")), tuple(config["values"])))
    return tuple(found)


def _real(value: Any) -> Any:
    return value if isinstance(value, Real) and value is not True and value is not False else None
