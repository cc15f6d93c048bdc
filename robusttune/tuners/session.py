"""TrialSession: one run of one Keras Tuner trial, from its start to its record."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from robusttune.causes import FailureCause, Symptom
from robusttune.diagnosis import judge
from robusttune.diagnosis.trace import failure_record
from robusttune.diagnosis.verdict import Verdict
from robusttune.errors import TrialFailure
from robusttune.guard import Guard
from robusttune.guard.clock import FitClock, TrialClock
from robusttune.records import TrialRecord, text_of
from robusttune.tuners.oracle import RobustOracle
from robusttune.tuners.parameters import without_bookkeeping
from robusttune.tuners.results import (
    NoObjectiveError,
    metric_names,
    objective_value,
    usable_results,
)
from robusttune.tuners.space import tune_clip_norm


class TrialSession:
    """Collects what happens in one trial.

    Args:
        tuner: The tuner that runs it.
        trial: The trial.
    """

    def __init__(self, tuner: Any, trial: Any) -> None:
        self.tuner = tuner
        self.trial = trial
        self.policy = tuner.robust_policy
        self.guards: list[Guard] = []
        self.results: Any = None
        self.clock = TrialClock(self.policy.trial_seconds)
        self.began = time.perf_counter()

    def make_guard(self, found: Guard | None) -> Guard:
        """Return the guard of the next fit, which knows of the trial.

        Args:
            found: The user's own among the callbacks of the fit; None: there is none.
        """
        guard = self._own_guard() if found is None else found
        guard.trial_params = self.params
        guard.siblings = self.siblings
        guard.clock = self._clock_of(guard)
        # A trial has one cause, and one diagnosis: of the first fit that failed.
        guard.diagnoses = not any(each.failed for each in self.guards if each is not guard)
        return guard

    def _own_guard(self) -> Guard:
        policy = self.policy
        if policy.clip == "tune":
            norm = tune_clip_norm(self.trial.hyperparameters)
            policy = dataclasses.replace(policy, clip=norm)
        return Guard(policy)

    def _clock_of(self, guard: Guard) -> TrialClock:
        limit = guard.policy.trial_seconds
        if limit is None or limit == self.policy.trial_seconds:
            return self.clock
        return FitClock(limit, self.clock)

    def watched(self, run_trial: Callable[..., Any]) -> Callable[..., Any]:
        """Return `run_trial` with its outcome noted, and without epochs that cannot be used."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.results = run_trial(*args, **kwargs)
            usable = usable_results(self.results, self.tuner.oracle.objective)
            self._reject_broken_weights()
            return usable

        return run

    @property
    def params(self) -> dict[str, Any]:
        """The trial's hyperparameter values, without the bookkeeping of Hyperband."""
        return without_bookkeeping(self.trial.hyperparameters.values)

    @property
    def siblings(self) -> Sequence[TrialRecord]:
        """Records of the other trials of the search that this process knows of."""
        oracle = self.tuner.oracle
        if not isinstance(oracle, RobustOracle):
            return []
        records = oracle.robusttune_records().items()
        return [record for trial_id, record in records if trial_id != self.trial.trial_id]

    def record(self, error: Exception | None) -> TrialRecord:
        """Return the record of the trial after it has run.

        Args:
            error: What ended it; None for a trial that completed.
        """
        found = self.findings(error)
        return found.replace(
            trial_id=str(self.trial.trial_id),
            number=self._number(),
            status="completed" if error is None else "failed",
            unstable=error is not None or found.unstable,
            value=self._value() if error is None else None,
            seconds=time.perf_counter() - self.began,
            error=found.error
            if error is None or isinstance(error, TrialFailure)
            else self._named(error),
            params=self.params,
        )

    def findings(self, error: Exception | None) -> TrialRecord:
        """Return what the trial's fits and its end say, without what the search knows of it."""
        steps, quiet = 0, TrialRecord(trial_id="")  # of the fits before the one that failed
        for guard in self.guards:
            record, trace = guard.record, guard.trace
            if record is not None and guard.failed:
                return record if record.step is None else record.replace(step=steps + record.step)
            if record is not None and record.unstable and not quiet.unstable:
                quiet = record
            if trace is not None:
                steps += trace.first_step + len(trace.losses)
        if isinstance(error, TrialFailure) and not isinstance(error, NoObjectiveError):
            return error.record or _declared(error)
        return quiet if error is None else self._judged(error)

    def _judged(self, error: Exception) -> TrialRecord:
        guard = self.guards[-1] if self.guards else None
        trace = guard.trace if guard is not None else None
        objective_only = isinstance(error, NoObjectiveError)
        symptom = Symptom.NON_FINITE_OBJECTIVE if objective_only else Symptom.EXCEPTION
        verdict = judge(
            symptom,
            model=None if guard is None else guard.fitted,
            trace=trace,
            error=None if objective_only else error,
            params=self.params,
            siblings=self.siblings,
            policy=self.policy,
        )
        return failure_record(symptom, verdict, trace)

    def _reject_broken_weights(self) -> None:
        """An objective that was measured on non-finite weights is no objective."""
        for guard in self.guards:
            trace = guard.trace
            if trace is None or trace.symptom is not Symptom.NON_FINITE_WEIGHTS:
                continue
            if not trace.epoch_logs:
                raise NoObjectiveError("the weights are not finite")

    def _value(self) -> float | None:
        objective = self.tuner.oracle.objective
        value = objective_value(self.results, objective)
        if value is None:  # reported through oracle.update_trial, as people did before 1.1
            metrics = self.tuner.oracle.get_trial(self.trial.trial_id).metrics
            if metrics.exists(objective.name):
                value = metrics.get_best_value(objective.name)
        return value

    def _number(self) -> int | None:
        order = getattr(self.tuner.oracle, "start_order", None) or []
        return order.index(self.trial.trial_id) if self.trial.trial_id in order else None

    def _named(self, error: BaseException) -> str:
        name = self.tuner.oracle.objective.name
        missing = self.results is not None and isinstance(error, KeyError) and error.args == (name,)
        if missing:
            return f"KeyError: {_what_is_missing(name, metric_names(self.results))}"
        return text_of(error)


def _what_is_missing(objective: str, reported: Sequence[str]) -> str:
    """Say that an objective is not in every epoch of a fit, and what would help."""
    what = f"{objective!r} is not in every epoch of the fit, which reports {', '.join(reported)}"
    validated = any(name.startswith("val_") for name in reported)
    if not objective.startswith("val_") or (validated and objective not in reported):
        return what  # a wrong name
    hint = "what begins with val_ needs validation data in search(), and no validation_freq"
    return f"{what}; {hint}"


def _declared(error: TrialFailure) -> TrialRecord:
    """Return the findings on a trial whose own code says that it failed."""
    verdict = Verdict(cause=FailureCause.UNKNOWN)
    return failure_record(Symptom.EXCEPTION, verdict, None).replace(error=str(error))
