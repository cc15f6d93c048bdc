"""Keras Tuner beyond its public API.

Handed on as they are:

- `OracleServicer`, `OracleClient`: the chief's and the workers' ends of a distributed search, from
  which the robust ones derive; `get_service`, `get_service_grpc`: the messages between them;
- `CHIEF_SECONDS`: for which a worker waits for a chief;
- `is_chief_oracle`: whether this process is the chief, by its environment;
- `has_chief_oracle`: whether it is a chief or a worker;
- `MetricsTracker`: what a trial has reported; a run that starts afresh gets an empty one;
- `Display`: what an oracle shows of its trials (`oracle._display`).

Protected methods that robust oracles and tuners override or call, as subclasses do:

- oracles: `_retry`, `_check_consecutive_failures`, `_save_trial`, `_get_trial_dir`,
  `_get_oracle_fname`, `_random_values`, `_record_values`, `_random_populate_space`,
  `_nonfixed_space`, and of Hyperband `_remove_completed_brackets`, `_get_size`, `_get_epochs`,
  `_get_num_brackets`, `_start_new_bracket`, `_increment_bracket_num`;
- tuners: `_populate_initial_space`, `_configure_tensorboard_dir`, `_build_and_fit_model`,
  `_deepcopy_callbacks`, `_try_run_and_update_trial`,
  `_run_and_update_trial`, `_is_worker`, `_get_tuner_fname`.

Attributes of an oracle that a search that goes on restores, as `Oracle.reload` does:
`_project_dir`, `_run_times`, `_retry_queue`, `_seed_state`, and of Hyperband `_brackets`,
`_current_bracket`, `_current_iteration`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras_tuner
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import TIMEOUT as CHIEF_SECONDS, OracleClient
from keras_tuner.src.distribute.utils import has_chief_oracle, is_chief_oracle
from keras_tuner.src.engine import oracle as oracle_module
from keras_tuner.src.engine.metrics_tracking import MetricsTracker
from keras_tuner.src.protos import get_service, get_service_grpc
from keras_tuner.src.tuners.gridsearch import LinkedList

__all__ = [
    "CHIEF_SECONDS",
    "Display",
    "MetricsTracker",
    "OracleClient",
    "OracleServicer",
    "declare",
    "get_service",
    "get_service_grpc",
    "give_out_next_cell",
    "has_chief_oracle",
    "is_chief_oracle",
    "is_declared",
    "lock_released_on_error",
    "replace_declare",
    "replace_declared",
    "set_grid_order",
]

Display = oracle_module.Display

# How any hyperparameter is declared in a container: declare(container, hp) -> its value.
declare: Callable[[Any, Any], Any] = keras_tuner.HyperParameters._retrieve


def replace_declare(replacement: Callable[[Any, Any], Any] | None) -> None:
    """Let all containers declare by another function; None: by `declare`, as they did.

    All of `hp.Float`, `hp.Int` and the like come to this one place, and the public methods of
    users' own subclasses as well.
    """
    keras_tuner.HyperParameters._retrieve = replacement or declare


def is_declared(container: Any, hp: Any) -> bool:
    """Whether a container has a hyperparameter of this name under these conditions.

    The public `name in container` is of the active ones, whatever their conditions.
    """
    return bool(container._exists(hp.name, hp.conditions))


def replace_declared(container: Any, old: Any, new: Any) -> None:
    """Put a hyperparameter in the place of another one of its name, which keeps the order."""
    for held in (container._space, container._hps[old.name]):
        held[next(i for i, hp in enumerate(held) if hp is old)] = new


def set_grid_order(oracle: Any, trial_ids: Iterable[str]) -> None:
    """Let a grid go on behind these trials, in this order, which Keras Tuner does not store.

    Each may have a next combination that was not tried; those that were are skipped.
    """
    ordered = list(trial_ids)
    oracle._ordered_ids = LinkedList()
    for trial_id in ordered:
        oracle._ordered_ids.insert(trial_id)
    oracle._populate_next = ordered


def give_out_next_cell(oracle: Any, trial_id: str) -> None:
    """Let a grid give out the combination after that of a trial before the trial has ended.

    Keras Tuner does so for the first trial alone. Where a trial declares something new, what comes
    between is found when it ends.
    """
    oracle._populate_next.append(trial_id)


@contextmanager
def lock_released_on_error(oracle: Any) -> Iterator[None]:
    """Release the oracle's lock if a method under `keras_tuner.synchronized` raises in a block.

    Keras Tuner keeps it then, and every other thread waits for ever.
    """
    name = threading.current_thread().name
    outermost = oracle_module.THREADS[oracle] != name
    try:
        yield
    except BaseException:
        if outermost and oracle_module.THREADS[oracle] == name:
            oracle_module.THREADS[oracle] = None
            oracle_module.LOCKS[oracle].release()
        raise
