"""RunResult: how a run of a trial ended in another process, and the run there that makes it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import keras

from robusttune._findings import Findings
from robusttune._guard.clock import TrialClock
from robusttune._keras_tuner.host import TunerTrial, watched
from robusttune._keras_tuner.hp_hooks import requested_names
from robusttune._random_states import (
    RandomStates,
    capture_random_states,
    restore_random_states,
    seed_all,
)
from robusttune._records import TrialRecord, text_of
from robusttune._trial_run import TrialRun


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run of a trial ended in another process.

    Args:
        results: What run_trial returned, pickled; no epoch is unusable. None after an error.
        error: What ended it; None for a run that returned.
        traceback: The error's, as text.
        findings: What the guards and the diagnosis say; None: nothing went wrong.
        skill: Of the trial's last fit that has one; None if no fit has.
        clipped_steps: Steps that the guards clipped; None: no fit was watched.
        why_not: What a closer look at its last fit could not tell.
        scores: Single values of its executions, as evidence.
        hyperparameters: The trial's, with what was declared while it ran.
        asked: Names of those that the trial asked for; None: nobody knows.
        adjustments: What the sanitizer changed in it.
        random_states: From where the next trial goes on.
    """

    results: bytes | None
    error: Exception | None
    traceback: str
    findings: Findings | None
    skill: float | None
    clipped_steps: int | None
    why_not: Mapping[str, str]
    scores: dict[str, Any]
    hyperparameters: Any
    asked: frozenset[str] | None
    adjustments: Sequence[Any]
    random_states: RandomStates = field(repr=False)


def run_for_result(
    tuner: Any,
    trial: Any,
    states: RandomStates | int,
    fit_args: Any,
    fit_kwargs: Any,
    related_trials: Sequence[TrialRecord],
    clock: TrialClock,
) -> RunResult:
    """Run a trial here, where its search is not.

    Args:
        tuner: A copy of the search's tuner.
        trial: A copy of the trial.
        states: Of the random generators, or a seed for all of them.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
        related_trials: Records of the search's other trials.
        clock: The trial's.
    """

    class DistantTrial(TunerTrial):
        def related_trials(self) -> Sequence[TrialRecord]:
            return related_trials

    known = len(tuner._robust_space.adjustments)
    host = DistantTrial(tuner, trial)
    run = TrialRun(host, tuner.robust_policy)
    run.clock = clock
    if isinstance(states, int):
        seed_all(states)
    else:
        restore_random_states(states)
    results = error = None
    text = ""
    try:
        with (
            tuner._robust_space.watching(sanitize=True),
            requested_names() as asked,
            run.guarding(),
        ):
            host.asked = asked
            returned = watched(host, run, tuner.run_trial)(trial, *fit_args, **fit_kwargs)
            results = cloudpickle.dumps(portable(returned))  # here, where failing is the trial's
    except Exception as caught:
        error, text = caught, _traceback(caught)
    with clock.paused():
        findings = run.findings(error)
    return RunResult(
        results=results,
        error=_portable_error(error),
        traceback=text,
        findings=findings,
        skill=run.skill,
        clipped_steps=run.clipped_steps,
        why_not=run.why_not,
        scores=host.scores(),
        hyperparameters=trial.hyperparameters,
        asked=frozenset(asked) or None,
        adjustments=tuner._robust_space.adjustments[known:],
        random_states=capture_random_states(),
    )


def portable(results: Any) -> Any:
    """Return results without the models and callbacks that hang on them."""
    if isinstance(results, list):
        return [portable(result) for result in results]
    if isinstance(results, keras.callbacks.History):
        history = keras.callbacks.History()
        history.history, history.epoch = results.history, getattr(results, "epoch", [])
        history.params = results.params
        return history
    return results


def _portable_error(error: Exception | None) -> Exception | None:
    if error is None:
        return None
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        return RuntimeError(text_of(error))
    return error


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
