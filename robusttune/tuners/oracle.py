"""What is added to a Keras Tuner oracle: it survives failures, and a retry starts afresh."""

from __future__ import annotations

import functools
import logging
import math
import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import keras_tuner
from keras_tuner.src.engine import metrics_tracking
from keras_tuner.src.engine import oracle as oracle_module

from robusttune.errors import HopelessSearchError
from robusttune.hopeless import why_hopeless
from robusttune.policy import Policy
from robusttune.records import TrialRecord
from robusttune.tuners.oracles_learning import learning_mixin
from robusttune.tuners.search_space import SearchSpace

_log = logging.getLogger("robusttune.tuners")

RECORD_FILE = "robusttune.json"
_DEFAULT_LIMIT = 3  # Keras Tuner's default of max_consecutive_failed_trials


class RobustOracle(keras_tuner.Oracle):  # type: ignore[misc,unused-ignore]
    """Mixed into the class of an oracle that exists already, so it has no __init__ of its own."""

    robust_policy: Policy
    robust_limit_is_set: bool
    robust_space: SearchSpace
    _robust_records: dict[str, TrialRecord]

    def create_trial(self, tuner_id: str) -> Any:
        """Create the next trial.

        Raises:
            HopelessSearchError: No trial can succeed.
        """
        with _lock_released_on_error(self):
            if not self.robust_limit_is_set:
                records = self.robusttune_records()
                finished = [records[id_] for id_ in self.end_order if id_ in records]
                if len(finished) == len(self.end_order):
                    reason = why_hopeless(finished, self.robust_policy.hopeless_after)
                    if reason is not None:
                        raise HopelessSearchError(reason)
            return super().create_trial(tuner_id)

    def update_trial(self, *args: Any, **kwargs: Any) -> Any:
        """Update a trial."""
        with _lock_released_on_error(self):
            return super().update_trial(*args, **kwargs)

    def end_trial(self, *args: Any, **kwargs: Any) -> Any:
        """End a trial."""
        with _lock_released_on_error(self):
            return super().end_trial(*args, **kwargs)

    def update_space(self, hyperparameters: Any) -> None:
        """Add new hyperparameters to the space; they are sanitized like the first ones."""
        super().update_space(hyperparameters)
        self.robust_space.extend(self)

    def score_trial(self, trial: Any) -> None:
        """Score a trial; an infinite score counts as the failure that it is, like NaN."""
        super().score_trial(trial)
        if trial.score is not None and math.isinf(trial.score):
            trial.score = math.nan

    def _retry(self, trial: Any) -> bool:
        again = bool(super()._retry(trial))
        if again:  # what the failed run reported would be taken for the retry's own report
            trial.metrics = metrics_tracking.MetricsTracker()
            trial.best_step = 0
        if trial.score is not None and math.isnan(trial.score):
            trial.score = None
        return again

    def _check_consecutive_failures(self) -> None:
        if self.robust_limit_is_set:
            super()._check_consecutive_failures()

    def robusttune_records(self) -> dict[str, TrialRecord]:
        """Return the records of the finished trials by trial_id, read from the project once."""
        for trial_id in self.end_order:
            if trial_id not in self._robust_records:
                path = os.path.join(self._get_trial_dir(trial_id), RECORD_FILE)
                try:
                    with open(path, encoding="utf-8") as file:
                        self._robust_records[trial_id] = TrialRecord.from_json(file.read())
                except FileNotFoundError:
                    continue
                except (OSError, ValueError) as error:
                    _log.warning("no record of trial %s: %s", trial_id, error)
        return self._robust_records


def make_robust(oracle: keras_tuner.Oracle, policy: Policy, *, limit_is_set: bool) -> None:
    """Turn an oracle into a robust one, in place.

    Tuners make their oracle inside of `__init__` and reload it there: its class is changed before
    that, its state and its identity are not.
    """
    if not isinstance(oracle, RobustOracle):
        oracle.__class__ = robust_oracle_class(cast(Hashable, type(oracle)))
    robust = cast(RobustOracle, oracle)
    robust.robust_policy = policy
    robust.robust_limit_is_set = (
        limit_is_set or oracle.max_consecutive_failed_trials != _DEFAULT_LIMIT
    )
    robust._robust_records = {}
    robust.robust_space = SearchSpace(None, policy)  # until a tuner begins the search


@functools.cache
def robust_oracle_class(oracle_class: Any) -> Any:
    """Return the subclass of an oracle class that is robust and learns; it keeps the name."""
    bases = (RobustOracle, learning_mixin(oracle_class), oracle_class)
    return type(oracle_class.__name__, bases, {"__doc__": oracle_class.__doc__})


@contextmanager
def _lock_released_on_error(oracle: Any) -> Iterator[None]:
    """Release the oracle's lock if a synchronized method raises.

    Keras Tuner's `synchronized` keeps it then, and every other thread waits for ever.
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
