"""`robust`: any Keras Tuner tuner, made robust by one class put right under it."""

from __future__ import annotations

import copy
import functools
import importlib.util
import inspect
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.oracles import GridSearchOracle

from robusttune._causes import FailureCause
from robusttune._compat.keras_tuner import is_chief_oracle
from robusttune._isolation.garbage import collecting_only_what_is_new
from robusttune._keras_tuner.durable import DurableTuner
from robusttune._keras_tuner.host import TunerTrial, watched
from robusttune._keras_tuner.hp_hooks import requested_names
from robusttune._keras_tuner.objective_check import (
    cannot_report_objective,
    warn_of_missing_objective,
)
from robusttune._keras_tuner.oracle import RobustOracle, make_robust
from robusttune._keras_tuner.own_arguments import own_doc, own_signature
from robusttune._keras_tuner.space.search_space import SearchSpace
from robusttune._policy import Policy
from robusttune._records import TrialRecord, text_of
from robusttune._report.words import values_note
from robusttune._trial_run import RecordCallback, TrialRun, checked_callbacks
from robusttune._validation import require
from robusttune.errors import InstabilityWarning, RobustTuneWarning, StoreError, TrialFailure

if TYPE_CHECKING:
    from robusttune._diagnosis.postponed import PostponedDiagnoses
    from robusttune._keras_tuner.isolation.process import Isolation
    from robusttune._keras_tuner.parallel.placement import Placement
    from robusttune._keras_tuner.parallel.search import ArrivedResult
    from robusttune._report import Report

_log = logging.getLogger("robusttune.tuners")

T = TypeVar("T", bound=type)


class RobustBase(DurableTuner):
    """Mixin placed last in the MRO, so user overrides win without calling super().

    Keras Tuner's own checks (whether `run_trial` was overridden, say) see the user's class too.
    """

    robust_policy: Policy
    _robust_limit_is_set: bool
    _robust_isolation: Isolation | ArrivedResult | None = None
    _robust_initializer: Callable[[], object] | None
    _robust_warned = False  # of labels

    def __init__(self, oracle: Any, hypermodel: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(oracle, keras_tuner.Oracle):
            make_robust(oracle, self.robust_policy, limit_is_set=self._robust_limit_is_set)
            # With the oracle, which stays in this process where trials run in another one.
            oracle.record_callbacks = self.__dict__.pop("_robust_callbacks", ())
            oracle.robust_executor = self.__dict__.pop("_robust_executor", None)
        self._robust_space = SearchSpace(
            None if hypermodel is None else lambda hp: self.hypermodel.build(hp),
            self.robust_policy,
        )
        with self._robust_space.watching():
            super().__init__(oracle, hypermodel, *args, **kwargs)
        if isinstance(self.oracle, RobustOracle):  # a worker's chief has the space
            self._robust_space.begin(self.oracle)
        elif self._is_worker():
            from robusttune._keras_tuner.distributed.worker import connect

            connect(self.oracle, self.project_dir, self.robust_policy.worker_silence)

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Search as Keras Tuner does, in a space that suits the data."""
        if isinstance(self.oracle, RobustOracle):
            self.oracle.notify_of_records()  # of trials that an earlier process ended
            self._robust_space.fit_to_data(self.oracle, fit_args, fit_kwargs)
            self.oracle.cannot_report_objective = lambda: cannot_report_objective(self)
            if not self.oracle.end_order:
                warn_of_missing_objective(self, fit_args, fit_kwargs)
        if self._is_worker():
            self._robust_work(fit_args, fit_kwargs)
            return
        try:
            if is_chief_oracle():
                self._robust_serve(fit_kwargs.get("verbose", self.oracle.verbose))
            else:
                self._robust_search_here(fit_args, fit_kwargs)
        finally:
            try:
                self.oracle.conclude_diagnoses()
            finally:
                self.oracle.notify_search_end()
        self._robust_conclude()

    def _robust_conclude(self) -> None:
        """Say what failed: before, Keras Tuner clears the cell of a notebook at each trial."""
        best = self.oracle.get_best_trials() if self.oracle.end_order else [None]
        if not best:
            verdict = self.report().verdict
            _log.warning("No trial has completed, so there is no best one. %s", verdict)
            return
        records = self.oracle.ended_records()
        if any(record.unstable for record in records):
            from robusttune._report.words import count_of_causes

            _log.warning("%s; tuner.report() has more", count_of_causes(records))
        if best[0] is not None and (note := values_note(records)):
            _log.warning("The best trial is %s. %s", best[0].trial_id, note)

    def _robust_serve(self, verbose: Any) -> None:
        from robusttune._keras_tuner.distributed.chief import serve

        self.oracle.verbose = verbose
        self.save()
        try:
            serve(self.oracle)
        finally:
            self.oracle.save_now()

    def _robust_work(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
        from robusttune._keras_tuner.distributed.worker import ChiefEndedError

        try:
            with self.oracle.alive():
                self._robust_search_here(fit_args, fit_kwargs)
        except ChiefEndedError as ended:
            warnings.warn(str(ended), RobustTuneWarning, stacklevel=3)

    def _robust_search_here(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
        executor = getattr(self.oracle, "robust_executor", None)
        if executor is not None or self.robust_policy.n_jobs is not None:
            self._robust_search_at_once(fit_args, fit_kwargs)
            return
        if not self.robust_policy.isolate:
            initializer, self._robust_initializer = self._robust_initializer, None
            if initializer is not None:  # this is the process that trains
                initializer()
            with collecting_only_what_is_new():
                super().search(*fit_args, **fit_kwargs)
            return
        from robusttune._keras_tuner.isolation.process import Isolation

        with Isolation(self, fit_args, fit_kwargs) as isolation:
            self._robust_isolation = isolation
            try:
                super().search(*fit_args, **fit_kwargs)
            finally:
                self._robust_isolation = None

    def _robust_search_at_once(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
        from robusttune._keras_tuner.parallel.placement import InChildren, OnExecutor
        from robusttune._keras_tuner.parallel.search import most_trials_at_once, search_in_places

        executor = self.oracle.robust_executor
        most = most_trials_at_once(self.oracle)
        self.oracle.gives_out_ahead = isinstance(self.oracle, GridSearchOracle)
        with collecting_only_what_is_new():
            placement: Placement
            if executor is None:
                placement = InChildren(self, fit_args, fit_kwargs, most)
            else:
                placement = OnExecutor(self, executor, fit_args, fit_kwargs, most)
            try:
                search_in_places(self, placement, fit_args, fit_kwargs)
            finally:
                self.oracle.save_now()

    def _robust_run_trial(self, host: TunerTrial, run: TrialRun) -> Callable[..., Any]:
        if self._robust_isolation is None:
            return watched(host, run, self.run_trial)
        from robusttune._keras_tuner.isolation.process import run_isolated

        return functools.partial(run_isolated, self._robust_isolation, host, run)

    def _robust_postponed(self) -> PostponedDiagnoses | None:
        """Where diagnoses wait: not in a worker, whose chief has the records, nor for a child."""
        here = isinstance(self.oracle, RobustOracle) and self._robust_isolation is None
        return self.oracle.postponed if here else None

    def _robust_warn_of_labels(self, record: TrialRecord) -> None:
        """Warn once where every trial so far has labels that do not suit: no score means much."""
        others = [] if self._robust_warned else _records_of(self.oracle)
        if self._robust_warned or any(other.cause is not record.cause for other in others):
            return
        self._robust_warned = True
        warnings.warn(
            f"Trial {record.trial_id} completed, but its objective is meaningless, as it is"
            f" for any trial whose labels do not fit. {record.advice}",
            InstabilityWarning,
            stacklevel=2,
        )

    def _try_run_and_update_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> None:
        host = TunerTrial(self, trial)
        run = TrialRun(host, self.robust_policy, self._robust_postponed())
        self._robust_attempt(host, run, self._run_noted(run), *fit_args, **fit_kwargs)

    def _robust_attempt(
        self,
        host: TunerTrial,
        run: TrialRun,
        noted: AbstractContextManager[None],
        *fit_args: Any,
        **fit_kwargs: Any,
    ) -> None:
        """Run a trial and store how it ended.

        Args:
            host: The trial.
            run: Its run.
            noted: Notes that it runs.
            fit_args: Positional arguments of `search`.
            fit_kwargs: Keyword arguments of `search`.
        """
        trial = host.trial
        # An attribute of the instance, for this trial only: the class's run_trial stays as it is.
        own = self.__dict__.get("run_trial")
        self.__dict__["run_trial"] = self._robust_run_trial(host, run)
        error: Exception | None = None
        try:
            with (
                noted,
                self._robust_space.watching(sanitize=True),
                requested_names() as asked,
                run.guarding(),
            ):
                if self._robust_isolation is None:  # else the child listens
                    host.asked = asked
                self._run_and_update_trial(trial, *fit_args, **fit_kwargs)
            trial.status, trial.message = TrialStatus.COMPLETED, None
        except (FatalError, StoreError):  # no trial's fault: the tuner is misused, the disk full
            raise
        except Exception as caught:
            error = host.explained(caught)
            failed = isinstance(error, FailedTrialError)  # what the user does not want tried again
            trial.status = TrialStatus.FAILED if failed else TrialStatus.INVALID
        finally:
            del self.__dict__["run_trial"]
            if own is not None:
                self.__dict__["run_trial"] = own
        value = None if error is not None else host.value(host.results)
        record = run.end(error, value, **host.scores())
        if error is not None:
            trial.message = (
                record.message() if isinstance(error, TrialFailure) else _traceback(error)
            )
        if record.cause is FailureCause.LABEL_MISMATCH and record.value is not None:
            self._robust_warn_of_labels(record)
        if record.unstable:
            told = isinstance(error, TrialFailure) or record.cause is FailureCause.OUT_OF_MEMORY
            shown = None if told else error
            _log.warning("Trial %s: %s", trial.trial_id, record.message(), exc_info=shown)


class RobustEntry:
    """Mixin placed first in the MRO: takes our own arguments before the tuner's own class."""

    _robust_space: SearchSpace
    robust_run: TrialRun | None = None  # of the trial that runs
    _robust_executions: tuple[TrialRun | None, int] = (None, 0)  # that have begun, of which run

    def __init__(
        self,
        *args: Any,
        policy: Policy | None = None,
        record_callbacks: Iterable[RecordCallback] = (),
        initializer: Callable[[], object] | None = None,
        executor: Any = None,
        **kwargs: Any,
    ) -> None:
        self.robust_policy = Policy.given(policy)
        self._robust_callbacks = checked_callbacks(record_callbacks)
        fits = initializer is None or callable(initializer)
        rule = "a function without arguments, or None"
        require(fits, "initializer", rule, initializer, error=TypeError)
        self._robust_initializer = initializer
        if self.robust_policy.n_jobs is not None or executor is not None:
            from robusttune._keras_tuner.parallel.checks import check_at_once

            check_at_once(self.robust_policy, executor)
        self._robust_executor = executor
        given = inspect.signature(super().__init__).bind_partial(*args, **kwargs)
        self._robust_limit_is_set = "max_consecutive_failed_trials" in {**given.arguments, **kwargs}
        super().__init__(*args, **kwargs)

    def _populate_initial_space(self) -> None:
        if not self.resumes_without_tuner_file():  # type: ignore[attr-defined]
            self._robust_space.populate(super()._populate_initial_space)  # type: ignore[misc]

    def report(self) -> Report:
        """Return the report of the search so far."""
        from robusttune._report import Report

        return Report.from_tuner(self)

    def search_space_summary(self, extended: bool = False) -> None:
        """Print the summary of the search space, and what was changed in it."""
        super().search_space_summary(extended)  # type: ignore[misc]
        for change in self._robust_space.adjustments:
            # Keras Tuner's method prints, and this is the rest of what it prints.
            sys.stdout.write(
                f"{change.parameter}: {change.field} {change.before} -> {change.after}"
                f" ({change.reason})\n"
            )

    def _build_and_fit_model(self, *args: Any, **kwargs: Any) -> Any:
        # Of which Keras Tuner calls one an execution.
        run, (last, begun) = self.robust_run, self._robust_executions
        if run is not None and getattr(self, "executions_per_trial", 1) > 1:
            begun = begun if last is run else 0
            run.execution_begins(begun)
            self._robust_executions = (run, begun + 1)
        return super()._build_and_fit_model(*args, **kwargs)  # type: ignore[misc]

    def _deepcopy_callbacks(self, callbacks: Any) -> Any:
        # Keras Tuner ends the search where a callback holds what cannot be copied, a lock, say.
        if not isinstance(callbacks, (list, tuple)):
            return super()._deepcopy_callbacks(callbacks)  # type: ignore[misc]
        return [_copied(callback) for callback in callbacks]

    def _configure_tensorboard_dir(self, callbacks: Any, trial: Any, execution: int = 0) -> None:
        # Keras Tuner imports tensorboard here in every trial, and TensorFlow no longer brings it.
        boards = [c for c in callbacks if type(c).__name__ == "TensorBoard"]
        if not boards:
            return
        if importlib.util.find_spec("tensorboard") is None:
            _warn_without_tensorboard()
            for board in boards:  # TensorFlow raises at the first summary: every trial would fail
                callbacks.remove(board)
            return
        super()._configure_tensorboard_dir(callbacks, trial, execution)  # type: ignore[misc]


def robust(tuner_class: T) -> T:
    """Return a subclass of a Keras Tuner tuner whose searches survive failing trials.

    The signature is that of the class, plus `policy`, `record_callbacks`, `initializer` and
    `executor`. Works as a decorator too.

    Args:
        tuner_class: `keras_tuner.Tuner` or a subclass of it; a subclass of its `BaseTuner`.

    Raises:
        TypeError: It is not such a class.

    Example:
        >>> import keras_tuner
        >>> issubclass(robust(keras_tuner.RandomSearch), keras_tuner.RandomSearch)
        True
    """
    fits = isinstance(tuner_class, type) and issubclass(tuner_class, base_tuner.BaseTuner)
    rule = "keras_tuner.Tuner, BaseTuner or a subclass of these"
    require(fits, "tuner_class", rule, tuner_class, error=TypeError)
    if issubclass(tuner_class, RobustBase):
        return tuner_class
    return cast(T, _robust_class(cast(Hashable, tuner_class)))


@functools.cache
def _robust_class(tuner_class: Any) -> Any:
    return type(
        tuner_class.__name__,
        (RobustEntry, tuner_class, RobustBase),
        {
            "__doc__": own_doc(tuner_class),
            "__module__": tuner_class.__module__,
            "__qualname__": tuner_class.__qualname__,
            "__signature__": own_signature(tuner_class),
            "robust_made_by": (robust, (tuner_class,)),  # how a child process gets it
        },
    )


def _records_of(oracle: Any) -> list[TrialRecord]:
    known = isinstance(oracle, RobustOracle)
    return list(oracle.robusttune_records().values()) if known else []


def _copied(callback: Any) -> Any:
    try:
        return copy.deepcopy(callback)
    except Exception as error:
        _warn_of_shared_callback(type(callback).__name__, text_of(error))
        return callback


@functools.cache
def _warn_of_shared_callback(name: str, why: str) -> None:
    warnings.warn(
        f"The callback {name} cannot be copied ({why}), so all trials share it. Reset its state in"
        " on_train_begin, or give it a method __deepcopy__(self, memo) that returns a fresh one.",
        RobustTuneWarning,
        stacklevel=2,
    )


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


@functools.cache
def _warn_without_tensorboard() -> None:
    warnings.warn(
        "The TensorBoard callback is left out of the trials, since it needs the tensorboard"
        " package: pip install tensorboard.",
        RobustTuneWarning,
        stacklevel=2,
    )
