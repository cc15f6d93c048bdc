"""`robust`: any Optuna objective, made to survive failures and to say why they happened."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import optuna
from optuna.trial import BaseTrial

from robusttune.arguments import require
from robusttune.causes import Symptom
from robusttune.errors import HopelessSearchError, TrialFailure
from robusttune.optuna.results import problem_with
from robusttune.optuna.session import TrialSession
from robusttune.optuna.space import sanitize_trial
from robusttune.policy import Policy
from robusttune.records import TrialRecord

_log = logging.getLogger("robusttune.optuna")

# What an objective takes and returns; a trial's class is the user's choice (FixedTrial, say).
Objective: TypeAlias = Callable[[Any], Any]


def robust(objective: Objective, *, policy: Policy | None = None) -> Objective:
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
    if isinstance(objective, _RobustObjective):  # two sessions of one trial would be in conflict
        policy = objective._policy if policy is None else policy
        objective = objective._objective
    return _RobustObjective(objective, Policy.given(policy))


class _RobustObjective:
    """A class and not a closure, so that it can be sent to worker processes."""

    def __init__(self, objective: Objective, policy: Policy) -> None:
        functools.update_wrapper(self, objective)
        self._objective = objective
        self._policy = policy

    def __call__(self, trial: BaseTrial) -> Any:
        watched = sanitize_trial(trial, self._policy)
        session = TrialSession(watched, self._policy, returns=True)
        session.open()
        try:
            return _run(self._objective, watched, session)
        finally:
            session.close()


def _run(objective: Objective, trial: BaseTrial, session: TrialSession) -> Any:
    try:
        result = objective(trial)
    except (optuna.TrialPruned, HopelessSearchError):
        raise
    except Exception as error:
        failure = _failure_of(session, error)
        _log.warning(
            "Trial %d failed (%s): %s",
            trial.number,
            failure.cause,
            failure.advice,
            exc_info=None if isinstance(error, TrialFailure) else error,
        )
        session.raise_if_hopeless(failure)
        return math.nan
    except BaseException as error:
        session.interrupted(error)
        raise
    return _checked(result, trial, session)


def _failure_of(session: TrialSession, error: Exception) -> TrialRecord:
    if isinstance(error, TrialFailure):
        return session.declared(error)
    if session.failure is not None:  # what the guard saw is why the rest went wrong
        return session.note_exception(session.failure, error)
    return session.judge(Symptom.EXCEPTION, error)


def _checked(result: Any, trial: BaseTrial, session: TrialSession) -> Any:
    """Return the objective's result, NaN where the trial has failed."""
    directions = trial.study.directions if isinstance(trial, optuna.Trial) else None
    problem = problem_with(result, directions)
    seen = session.failure
    if problem is None and (seen is None or seen.status != "failed"):
        session.ended_well()
        return result
    if seen is not None:
        failure = session.note(seen.replace(status="failed"))
    elif problem is not None and problem.symptom is Symptom.EXCEPTION:
        failure = session.judge(problem.symptom, TypeError(problem.text))
    else:
        failure = session.judge(Symptom.NON_FINITE_OBJECTIVE)
    _log.warning("Trial %d failed (%s): %s", trial.number, failure.cause, failure.advice)
    session.raise_if_hopeless(failure)
    return math.nan
