"""The tuners for type checkers: Keras Tuner's own methods, and those that robusttune adds."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import keras_tuner

from robusttune._policy import Policy
from robusttune._report import Report
from robusttune._trial_run import RecordCallback

__all__ = [
    "BayesianOptimization",
    "GridSearch",
    "Hyperband",
    "RandomSearch",
    "SklearnTuner",
    "robust",
]

_HyperModel = keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], Any]
_OneObjective = str | keras_tuner.Objective
_Objective = _OneObjective | Sequence[_OneObjective]

class _RobustTuner(keras_tuner.Tuner):
    """A tuner that `robust` returned; its class's own attributes are Any."""

    robust_policy: Policy

    def report(self) -> Report: ...
    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None: ...
    def get_best_models(self, num_models: int = 1) -> list[keras.Model]: ...
    def get_best_hyperparameters(
        self, num_trials: int = 1
    ) -> list[keras_tuner.HyperParameters]: ...
    def __getattr__(self, name: str) -> Any: ...

class RandomSearch(keras_tuner.RandomSearch, _RobustTuner):
    def __init__(
        self,
        hypermodel: _HyperModel | None = ...,
        objective: _Objective | None = ...,
        max_trials: int = ...,
        seed: int | None = ...,
        hyperparameters: keras_tuner.HyperParameters | None = ...,
        tune_new_entries: bool = ...,
        allow_new_entries: bool = ...,
        max_retries_per_trial: int = ...,
        max_consecutive_failed_trials: int = ...,
        *,
        policy: Policy | None = ...,
        record_callbacks: Iterable[RecordCallback] = ...,
        initializer: Callable[[], object] | None = ...,
        executor: Any = ...,
        **kwargs: Any,
    ) -> None: ...

class BayesianOptimization(keras_tuner.BayesianOptimization, _RobustTuner):
    def __init__(
        self,
        hypermodel: _HyperModel | None = ...,
        objective: _Objective | None = ...,
        max_trials: int = ...,
        num_initial_points: int | None = ...,
        alpha: float = ...,
        beta: float = ...,
        seed: int | None = ...,
        hyperparameters: keras_tuner.HyperParameters | None = ...,
        tune_new_entries: bool = ...,
        allow_new_entries: bool = ...,
        max_retries_per_trial: int = ...,
        max_consecutive_failed_trials: int = ...,
        *,
        policy: Policy | None = ...,
        record_callbacks: Iterable[RecordCallback] = ...,
        initializer: Callable[[], object] | None = ...,
        executor: Any = ...,
        **kwargs: Any,
    ) -> None: ...

class GridSearch(keras_tuner.GridSearch, _RobustTuner):
    def __init__(
        self,
        hypermodel: _HyperModel | None = ...,
        objective: _Objective | None = ...,
        max_trials: int | None = ...,
        seed: int | None = ...,
        hyperparameters: keras_tuner.HyperParameters | None = ...,
        tune_new_entries: bool = ...,
        allow_new_entries: bool = ...,
        max_retries_per_trial: int = ...,
        max_consecutive_failed_trials: int = ...,
        *,
        policy: Policy | None = ...,
        record_callbacks: Iterable[RecordCallback] = ...,
        initializer: Callable[[], object] | None = ...,
        executor: Any = ...,
        **kwargs: Any,
    ) -> None: ...

class Hyperband(keras_tuner.Hyperband, _RobustTuner):
    def __init__(
        self,
        hypermodel: _HyperModel | None = ...,
        objective: _Objective | None = ...,
        max_epochs: int = ...,
        factor: int = ...,
        hyperband_iterations: int = ...,
        seed: int | None = ...,
        hyperparameters: keras_tuner.HyperParameters | None = ...,
        tune_new_entries: bool = ...,
        allow_new_entries: bool = ...,
        max_retries_per_trial: int = ...,
        max_consecutive_failed_trials: int = ...,
        *,
        policy: Policy | None = ...,
        record_callbacks: Iterable[RecordCallback] = ...,
        initializer: Callable[[], object] | None = ...,
        executor: Any = ...,
        **kwargs: Any,
    ) -> None: ...

class SklearnTuner(keras_tuner.SklearnTuner, _RobustTuner):
    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        hypermodel: _HyperModel,
        scoring: Any = ...,
        metrics: Any = ...,
        cv: Any = ...,
        *,
        policy: Policy | None = ...,
        record_callbacks: Iterable[RecordCallback] = ...,
        initializer: Callable[[], object] | None = ...,
        executor: Any = ...,
        **kwargs: Any,
    ) -> None: ...

def robust(tuner_class: type) -> type[_RobustTuner]: ...
