"""`robust`: any Optuna objective, made to survive failures and to say why they happened."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import optuna
from optuna.trial import BaseTrial

from robusttune._causes import FailureCause
from robusttune._guard.clock import TrialClock
from robusttune._policy import Policy
from robusttune._records import TrialRecord
from robusttune._trial_run import RecordCallback, checked_callbacks, notify_callbacks
from robusttune._validation import require
from robusttune.errors import HopelessSearchError, TrialFailure
from robusttune.optuna._host import StudyRun
from robusttune.optuna._search_end import listen
from robusttune.optuna._space import sanitize_trial

_log = logging.getLogger("robusttune.optuna")

# What an objective takes and returns; a trial's class is the user's choice (FixedTrial, say).
Objective: TypeAlias = Callable[[Any], Any]


def robust(
    objective: Objective,
    *,
    policy: Policy | None = None,
    record_callbacks: Iterable[RecordCallback] = (),
) -> RobustObjective:
    """Return an objective whose failures are recorded and do not end the study.

    Suggestions are sanitized (`sanitize_trial`). An exception, and a result that is no number, is
    diagnosed, and its record is stored with the trial before it ends; then NaN is returned, so that
    Optuna stores the trial as failed, calls the callbacks, and goes on. A trial that a `TrialGuard`
    found failing before its first epoch ended has failed, whatever the objective returns. Pruning
    stays pruning, and KeyboardInterrupt ends the study as it does without this.

    Args:
        objective: Takes a trial and returns a number, or one for each objective of the study. One
            that `robust` has returned is not wrapped again; a policy that is given takes effect.
        policy: `hopeless_after`, and what the sanitizer, the guard and the diagnosis look at; None
            is Policy().
        record_callbacks: Each is called as `callback(trial, record)` once a trial, when its record
            is stored and before Optuna ends it: in the process that ran it, one at a time. One that
            raises is logged, and the study goes on.

    Raises:
        HopelessSearchError: From the returned objective; no parameter changes why trials fail.

    Example:
        >>> import optuna
        >>> from robusttune.optuna import robust
        >>> def objective(trial):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x if x < 0.3 else float("nan")
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(robust(objective), n_trials=4)
        >>> sorted({trial.state.name for trial in study.trials})
        ['COMPLETE', 'FAIL']
    """
    require(callable(objective), "objective", "callable", objective, error=TypeError)
    callbacks = checked_callbacks(record_callbacks)
    if isinstance(objective, RobustObjective):  # two runs of one trial would be in conflict
        policy = objective._policy if policy is None else policy
        callbacks = objective._record_callbacks + callbacks
        objective = objective._objective
    policy = Policy.given(policy)
    if policy.diagnosis == "search_end":
        listen()
    return RobustObjective(objective, policy, callbacks)


class RobustObjective:
    """A robust objective; a class and not a closure, so that it can be sent to other processes."""

    def __init__(
        self, objective: Objective, policy: Policy, record_callbacks: tuple[RecordCallback, ...]
    ) -> None:
        functools.update_wrapper(self, objective)
        self._objective = objective
        self._policy = policy
        self._record_callbacks = record_callbacks
        self.make_clock: Callable[[float | None], TrialClock] = TrialClock

    @property
    def policy(self) -> Policy:
        """Thresholds and switches."""
        return self._policy

    def __call__(self, trial: BaseTrial) -> Any:
        """Run a trial, and return what the objective returned, or NaN where it failed."""
        watched = sanitize_trial(trial, self._policy)
        run = StudyRun(watched, self._policy, whole=True)
        run.clock = self.make_clock(self._policy.trial_seconds)
        run.open()
        try:
            return self._run(watched, run)
        finally:
            run.close()

    def _run(self, trial: BaseTrial, run: StudyRun) -> Any:
        try:
            with run.noting_refusals():
                result = self._objective(trial)
            value = run.value(result)
        except optuna.TrialPruned:
            self._notify(trial, run, run.pruned())
            raise
        except HopelessSearchError:
            raise
        except Exception as error:
            record = run.end(error)
            self._notify(trial, run, record)
            _log.warning(
                "Trial %d failed (%s): %s",
                trial.number,
                record.cause,
                record.advice,
                exc_info=None if _is_told(error, record) else error,
            )
            run.raise_if_hopeless(record)
            return math.nan
        except BaseException as error:
            self._notify(trial, run, run.interrupted(error))
            raise
        self._notify(trial, run, run.end(value=value))
        return result

    def _notify(self, trial: BaseTrial, run: StudyRun, record: TrialRecord) -> None:
        tell = functools.partial(notify_callbacks, self._record_callbacks, trial)
        if run.postponed is not None and record.trial_id in run.postponed:
            run.postponed.then(record.trial_id, tell)  # once, with the final record
        else:
            tell(record)


def _is_told(error: Exception, record: TrialRecord) -> bool:
    """Whether a record says all that a traceback would."""
    return isinstance(error, TrialFailure) or record.cause is FailureCause.OUT_OF_MEMORY
