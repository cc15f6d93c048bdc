"""Read oracle.json: what is not as an oracle writes it counts as damaged, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from keras_tuner import HyperParameters

from robusttune._keras_tuner.project.stored_names import STATE_FILE
from robusttune._keras_tuner.project.stored_trials import check_space, made
from robusttune._untrusted_json import read_object


class OtherOracleError(ValueError):
    """The state is whole, but that of another kind of oracle."""


def read_state(path: str, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Read an oracle's state.

    Args:
        path: The project's oracle.json.
        fresh: State of a new oracle of the kind that is to go on with it.

    Raises:
        OSError: The file cannot be read.
        OtherOracleError: The state lacks what this kind of oracle keeps.
        ValueError: It is damaged.
    """
    state = read_object(path)
    missing = [name for name in fresh if name not in state and name not in _EVERY]
    if missing and set(_EVERY) <= set(state):
        raise OtherOracleError(f"its {STATE_FILE} has no {missing[0]}")
    for name in fresh:
        if name not in state or not _RULES.get(name, lambda _: True)(state[name]):
            raise ValueError(f"{name} is not in Keras Tuner's format")
    check_space(state["hyperparameters"])
    made(lambda: HyperParameters.from_config(state["hyperparameters"]))
    return state


def trial_ids_of(state: Mapping[str, Any]) -> list[str]:
    """Return the ids of all trials that a state speaks of, in the order of their start."""
    others = [*state["end_order"], *state["retry_queue"], *state["ongoing_trials"].values()]
    return list(dict.fromkeys([*state["start_order"], *others]))


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mapping_of(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, Mapping) and all(isinstance(item, kinds) for item in value.values())


def _counts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_integer, value.values()))


def _moment(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _display(value: Any) -> bool:
    if not isinstance(value, Mapping) or not _counts(value.get("trial_number")):
        return False
    begun, starts = value.get("search_start", ""), value.get("trial_start")
    known = begun is None or _moment(begun)
    return known and isinstance(starts, Mapping) and all(map(_moment, starts.values()))


def _brackets(value: Any) -> bool:
    return isinstance(value, list) and all(map(_bracket, value))


def _bracket(value: Any) -> bool:
    if not isinstance(value, Mapping) or not _integer(value.get("bracket_num")):
        return False
    rounds = value.get("rounds")
    if not isinstance(rounds, list) or len(rounds) != value["bracket_num"] + 1:
        return False
    return all(isinstance(level, list) and all(map(_place, level)) for level in rounds)


def _place(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("id"), str)
        and isinstance(value.get("past_id", 0), (str, type(None)))
    )


_EVERY: dict[str, Callable[[Any], bool]] = {
    "ongoing_trials": lambda value: _mapping_of(value, str),
    "hyperparameters": lambda value: isinstance(value, dict),
    "start_order": _names,
    "end_order": _names,
    "run_times": _counts,
    "retry_queue": _names,
    "seed": _integer,
    "seed_state": _integer,
    "tried_so_far": _names,
    "id_to_hash": lambda value: _mapping_of(value, (str, type(None))),
    "display": _display,
}
_RULES = {
    **_EVERY,
    # Hyperband
    "hyperband_iterations": _number,
    "max_epochs": lambda value: _number(value) and value >= 1,
    "min_epochs": lambda value: _number(value) and value >= 1,
    "factor": lambda value: _number(value) and value >= 2,
    "brackets": _brackets,
    "current_bracket": lambda value: _integer(value) and value >= 0,
    "current_iteration": lambda value: _integer(value) and value >= 0,
    # Bayesian optimization
    "num_initial_points": lambda value: value is None or _integer(value),
    "alpha": lambda value: _number(value) or isinstance(value, list),
    "beta": _number,
}
