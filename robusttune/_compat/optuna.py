"""Optuna beyond its public API. Imports no TensorFlow.

In use elsewhere: `Trial._is_fixed_param` and `Study._get_trials`, which subclasses of robusttune
override (`_get_trials` is what samplers read a study by).
"""

from __future__ import annotations

import copy
import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.progress_bar import _ProgressBar
from optuna.samplers import BaseSampler, GridSampler, PartialFixedSampler
from optuna.storages import RDBStorage
from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled
from optuna.study import Study, study as study_module
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from sqlalchemy import event

# Processes that write to one database file wait so long for each other.
_LOCK_SECONDS = 120.0


def source_of(study: Study) -> tuple[Hashable, int]:
    """Return what tells a study from all others, also from those of its name elsewhere.

    Hyperband's brackets are one study each to their samplers, and the same study here.
    """
    return weakref.ref(study._storage), study._study_id


def stale_trial_ids(study: Study) -> set[int]:
    """Return the ids of trials whose worker's heart stopped beating, where the storage listens.

    The public `fail_stale_trials` would change them.
    """
    storage = study._storage
    if not is_heartbeat_enabled(storage):
        return set()
    assert isinstance(storage, BaseHeartbeat)
    return set(storage._get_stale_trial_ids(study._study_id))


def _storage_of(study: Study) -> Any:
    """Return the storage of a study, also behind Optuna's cache."""
    return getattr(study._storage, "_backend", study._storage)


def url_of(study: Study) -> str | None:
    """Return the URL of the database that holds a study; None where there is none."""
    storage = _storage_of(study)
    return storage.url if isinstance(storage, RDBStorage) else None


def note_of_trial(study: Study, trial: FrozenTrial, key: str, value: str) -> None:
    """Store what a sampler has to say of a trial that it proposes for, as Optuna's samplers do."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def id_of(trial: FrozenTrial) -> int:
    """Return a trial's id in its storage; `trial.number` counts within the study."""
    return trial._trial_id


_optimizing: dict[int, int] = {}  # calls of optimize that run, by the id of their study
_optimizing_lock = threading.Lock()


def when_optimize_ends(hook: Callable[[Study], object]) -> bool:
    """Call a function when a later `study.optimize` has ended, however it ends; then it returns.

    Optuna has callbacks for the end of each trial, and none for that of all. `Study.optimize` hands
    everything to one function of its module, which is replaced for good.

    Returns:
        Whether that function is where it was; else nothing is called.
    """
    original = getattr(study_module, "_optimize", None)
    if original is None or "study" not in inspect.signature(original).parameters:
        return False

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        study = inspect.signature(original).bind(*args, **kwargs).arguments["study"]
        with _optimizing_lock:
            _optimizing[id(study)] = _optimizing.get(id(study), 0) + 1
        try:
            return original(*args, **kwargs)
        finally:
            with _optimizing_lock:
                _optimizing[id(study)] -= 1
                if not _optimizing[id(study)]:
                    del _optimizing[id(study)]
            hook(study)

    setattr(study_module, "_optimize", watched)  # noqa: B010
    return True


def is_optimizing(study: Study) -> bool:
    """Whether this thread runs a trial for a `study.optimize` whose end will be heard of."""
    return id(study) in _optimizing and bool(study._thread_local.in_optimize_loop)


def stored_trial(trial: optuna.Trial) -> FrozenTrial:
    """Return a running trial as its storage has it now.

    A `Trial` knows only the attributes that it has set itself.
    """
    return trial.storage.get_trial(trial._trial_id)


def drawn_distributions(trial: optuna.Trial) -> Mapping[str, BaseDistribution]:
    """Return what a running trial was drawn from so far, without asking the storage each time."""
    return trial._cached_frozen_trial.distributions


def values_of_fixed(trial: FixedTrial) -> Mapping[str, Any]:
    """Return the values that a FixedTrial was given, those not asked for yet as well."""
    return trial._params


def trials_for_sampling(study: Study) -> list[FrozenTrial]:
    """Return a study's trials as samplers read them: once for each proposal, and not copied."""
    return study._get_trials(deepcopy=False, use_cache=True)


def grid_values(sampler: GridSampler, name: str) -> Sequence[Any]:
    """Return the values that a grid has of a parameter; empty for one that it does not know."""
    return sampler._search_space.get(name, ())


def unwrapped(sampler: PartialFixedSampler) -> tuple[BaseSampler, dict[str, Any]]:
    """Return the sampler inside, and the parameters that are fixed around it."""
    return sampler._base_sampler, dict(sampler._fixed_params)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value could have been drawn from a distribution.

    Raises:
        ValueError: It is of a kind that the distribution does not have.
    """
    return distribution._contains(distribution.to_internal_repr(value))


def is_in_memory(study: Study) -> bool:
    """Whether a study's storage is in the memory of this process."""
    inner = _storage_of(study)
    url = str(getattr(inner, "url", ""))
    nameless = url.startswith("sqlite") and (url.endswith("//") or ":memory:" in url)
    return nameless or isinstance(inner, optuna.storages.InMemoryStorage)


def wait_for_locks(study: Study) -> None:
    """Let this process wait 120 s, not SQLite's 5, for others that use a study's database file.

    A commit on a slow disk takes seconds, and waits for all that read. A limit of the user's own
    (`engine_kwargs={"connect_args": {"timeout": ...}}`) stays; other databases wait anyway.
    """
    storage = _storage_of(study)
    if not isinstance(storage, RDBStorage) or storage.engine.dialect.name != "sqlite":
        return
    of_users_own = "timeout" in storage.engine_kwargs.get("connect_args", {})
    if of_users_own or event.contains(storage.engine, "connect", _wait_long):
        return
    event.listen(storage.engine, "connect", _wait_long)
    storage.engine.dispose()  # connections that are open have not heard of it


def _wait_long(connection: Any, record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * _LOCK_SECONDS)}")


def was_stopped(study: Study) -> bool:
    """Whether somebody has called `study.stop()` since its optimization began."""
    return bool(study._stop_flag)


@contextmanager
def optimizing(study: Study) -> Iterator[None]:
    """Let a study be in its optimization loop for a block, so that `study.stop()` can end it.

    Raises:
        RuntimeError: It is in one already.
    """
    if study._thread_local.in_optimize_loop:
        raise RuntimeError("Nested invocation of `optimize` isn't allowed.")
    study._stop_flag = False
    study._thread_local.in_optimize_loop = True
    try:
        yield
    finally:
        study._thread_local.in_optimize_loop = False


def with_fewer_trials(study: Study, most: int) -> Study:
    """Return the study as if it had only every n-th of its completed trials, `most` of them."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    step = -(-len(trials) // most)
    if step < 2:
        return study
    some = copy.copy(study)
    some.get_trials = lambda *args, **kwargs: trials[::step]  # type: ignore[method-assign]
    return some


class StoredTrial:
    """A trial by its id, for a process that does not run it: no sampler is asked.

    Args:
        study: Its study.
        trial_id: In the storage.
    """

    def __init__(self, study: Study, trial_id: int) -> None:
        self._storage = study._storage
        self.trial_id = trial_id
        self.number = self.frozen().number

    def frozen(self) -> FrozenTrial:
        """Return the trial as its storage has it now."""
        return self._storage.get_trial(self.trial_id)

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The user attributes."""
        return self.frozen().user_attrs

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set a user attribute."""
        self._storage.set_trial_user_attr(self.trial_id, key, value)


def begin_trial(study: Study) -> StoredTrial:
    """Take the next trial that was enqueued, or else a new one, as `study.ask` does first."""
    study._thread_local.cached_all_trials = None
    trial_id = study._pop_waiting_trial_id()
    if trial_id is None:
        trial_id = study._storage.create_new_trial(study._study_id)
    return StoredTrial(study, trial_id)


def progress_bar(shown: bool, n_trials: int | None, timeout: float | None) -> Any:
    """Return Optuna's progress bar, which has `update(seconds, study)` and `close()`."""
    return _ProgressBar(shown, n_trials, timeout)
