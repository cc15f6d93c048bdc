"""The failure model of a study, and a view of the study that shows it to a sampler."""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from robusttune._findings import Findings
from robusttune._learning import FailureModel, Outcome, learn, recent
from robusttune._space.parameters import Parameter
from robusttune.optuna._distributions import parameters_of
from robusttune.optuna._records import lost_its_worker, stored_record

# Failures shown for each trial with a value. TPE counts the best tenth of the trials as good ones;
# with more failures than this a failure would have to be among them.
_SHOWN_PER_SUCCESS = 8
_CONSTRAINTS = "constraints"


@dataclass(frozen=True, slots=True, eq=False)
class StudyFailureModel:
    """Finished trials of a study, and the failure model fitted to them.

    Args:
        failure_model: Says which places are unstable.
        shown: Failed trials by number, as trials with the worst values that were measured.
        space: The parameters that the latest trials have in common.
        parameters: All parameters of the latest trials, by name.
        outcomes: How the latest trials ended.
        earlier: What earlier searches teach, by their names.
    """

    failure_model: FailureModel
    shown: Mapping[int, FrozenTrial]
    space: Mapping[str, BaseDistribution]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    outcomes: Sequence[Outcome] = ()
    earlier: Mapping[str, FailureModel] = field(default_factory=dict)


def failure_model_of(
    trials: Sequence[FrozenTrial],
    directions: Sequence[StudyDirection],
    outcomes: dict[int, Outcome] | None = None,
) -> StudyFailureModel:
    """Return what the finished trials teach.

    Args:
        trials: All trials of the study, by number; not changed.
        directions: The study's directions.
        outcomes: Outcomes by number that were read before, of the same study; the others are added.
    """
    outcomes = {} if outcomes is None else outcomes
    finished = [trial for trial in trials if trial.state.is_finished()]
    finished = [finished[index] for index in recent([_failed(trial) for trial in finished])]
    for trial in finished:
        if trial.number not in outcomes:
            outcomes[trial.number] = _outcome(trial)
    parameters, ends = parameters_of(finished), [outcomes[trial.number] for trial in finished]
    failure_model = learn(parameters.values(), ends)
    caused = [trial for trial, taught in zip(finished, failure_model.caused, strict=True) if taught]
    successes = [trial for trial in finished if trial.state is TrialState.COMPLETE]
    failures = [trial for trial in caused if trial.state is TrialState.FAIL]
    common = _common_distributions(successes)
    # A trial that failed before it had drawn all parameters would shrink the sampler's space.
    whole = [t for t in failures if common.items() <= t.distributions.items()]
    least = min((len(trial.params) for trial in successes), default=0)
    grown = [trial for trial in failures if len(trial.params) >= least]
    space = _common_distributions([*successes, *grown])
    shown = _shown(whole, successes, directions)
    return StudyFailureModel(failure_model, shown, space, parameters, ends)


class LearningView(Study):
    """A study whose failures that teach are seen as complete; everything else is the study's own.

    A finished trial cannot be changed, and should not: only the sampler sees this view.
    """

    def __init__(self, study: Study, shown: Mapping[int, FrozenTrial]) -> None:
        self._study = study
        self._shown = shown

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_study"], name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = self._study._get_trials(deepcopy=False, use_cache=use_cache)
        seen = [self._shown.get(trial.number, trial) for trial in trials]
        if states is not None:
            seen = [trial for trial in seen if trial.state in states]
        return copy.deepcopy(seen) if deepcopy else seen

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials, failures that teach as complete ones with the worst values."""
        return self._get_trials(deepcopy, states)

    def stop(self) -> None:
        """Stop the study itself."""
        self._study.stop()


def _failed(trial: FrozenTrial) -> bool:
    """Whether a finished trial has no usable value; Optuna completes trials with infinite ones."""
    if trial.state is TrialState.COMPLETE:
        return not all(map(math.isfinite, trial.values))
    return trial.state is TrialState.FAIL


def _outcome(trial: FrozenTrial) -> Outcome:
    if not _failed(trial):
        return Outcome(trial.params, False)
    record = stored_record(trial)
    if record is not None and lost_its_worker(record):
        record = record.having(Findings.crashed())
    return Outcome.of_failure(trial.params, record)


def _shown(
    failures: Sequence[FrozenTrial],
    successes: Sequence[FrozenTrial],
    directions: Sequence[StudyDirection],
) -> dict[int, FrozenTrial]:
    worst = _worst_values(successes, directions)
    if worst is None:
        return {}
    constraints = _violated(successes)
    latest = failures[-_SHOWN_PER_SUCCESS * len(successes) :]
    return {trial.number: _completed(trial, worst, constraints) for trial in latest}


def _worst_values(
    successes: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[float] | None:
    """Return the worst finite value of each objective; None where one has none yet."""
    worst = []
    for column, direction in enumerate(directions):
        finite = [t.values[column] for t in successes if math.isfinite(t.values[column])]
        if not finite:
            return None
        worst.append(max(finite) if direction is StudyDirection.MINIMIZE else min(finite))
    return worst


def _common_distributions(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    common = dict(trials[0].distributions) if trials else {}
    for trial in trials:
        if trial.distributions != common:
            # Distributions of choices that have no hash, such as lists, have none themselves.
            common = {n: d for n, d in common.items() if trial.distributions.get(n) == d}
    return common


def _violated(successes: Sequence[FrozenTrial]) -> dict[str, Any]:
    """Return system attributes that violate each constraint of the study: by the worst seen, or 1.

    Optuna keeps all constraints of a trial in one list, or one attribute each since its version 5.
    """
    worst: dict[str, list[float]] = {}
    lists = set()
    for trial in successes:
        for key, value in trial.system_attrs.items():
            if not _is_constraint(key) or value is None:
                continue
            values = [value] if isinstance(value, (int, float)) else list(value)
            lists |= set() if isinstance(value, (int, float)) else {key}
            known = worst.setdefault(key, [0.0] * len(values))
            worst[key] = [max(pair) for pair in zip(known, values, strict=False)]
    violated = {key: [v if v > 0 else 1.0 for v in values] for key, values in worst.items()}
    return {key: values if key in lists else values[0] for key, values in violated.items()}


def _completed(
    trial: FrozenTrial, values: list[float], constraints: Mapping[str, Any]
) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state = TrialState.COMPLETE
    shown.values = values
    attrs = {key: value for key, value in trial.system_attrs.items() if not _is_constraint(key)}
    shown.system_attrs = {**attrs, **constraints}
    return shown


def _is_constraint(key: str) -> bool:
    return key == _CONSTRAINTS or key.startswith(f"{_CONSTRAINTS}:")
