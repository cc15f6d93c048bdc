"""CrashAwareSampler: any Optuna sampler, made to learn from failures that parameters caused."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    GridSampler,
    NSGAIIISampler,
    NSGAIISampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from robusttune._compat.optuna import (
    grid_values,
    note_of_trial,
    source_of,
    trials_for_sampling,
    unwrapped,
    url_of,
)
from robusttune._learning import Guidance, Outcome, first_stable, is_free
from robusttune._policy import Policy
from robusttune._prior_searches import PriorSearches
from robusttune._validation import check_type
from robusttune.optuna._failure_model import LearningView, StudyFailureModel, failure_model_of
from robusttune.optuna._stored_names import TURNED_AWAY_KEY

# They visit every point once, a failed one included: there is nothing to learn or to turn away.
_EXHAUSTIVE = (GridSampler, BruteForceSampler)
# They keep the best of each generation by themselves, and store who that is.
_GENETIC = (
    NSGAIISampler,
    NSGAIIISampler,
    getattr(optuna.samplers, "BaseGASampler", NSGAIISampler),  # since Optuna 4.3
)
# Further draws where the base sampler proposes an unstable place, and draws from the whole space
# where it insists. More of the former cost time and gain nothing (benchmarks/trap.py).
_REDRAWS = 2
_RANDOM_DRAWS = 100
_RANDOM_VALUES = 20  # of one hyperparameter that only some trials have


class CrashAwareSampler(BaseSampler):
    """Let a sampler learn from failures that hyperparameters caused, and from no others.

    Failed trials stay failed in the storage. The base sampler alone sees those whose parameters
    made them fail, as trials with the worst value that was measured. It is asked again where it
    proposes what is likely to fail, and where it insists the values are drawn from the whole space;
    where nothing else is left, the least likely one is given out. Which failures teach is a matter
    of evidence: failures of a kind (exception and place, or symptom) whose cause does not settle it
    do where failing depends on the parameters, by a permutation test. Until the first failure that
    teaches, the proposals are those of the base sampler, bit by bit. Grid and brute-force samplers
    are left alone: they visit each point once.

    Args:
        base: The sampler that proposes; None is Optuna's default, TPESampler().
        policy: `avoid_unstable`, `prior_searches` and `free_share` apply; None is Policy().

    Raises:
        StoreError: One of the prior searches is missing or cannot be read.

    Example:
        >>> import optuna
        >>> from robusttune.optuna import CrashAwareSampler
        >>> sampler = CrashAwareSampler(optuna.samplers.TPESampler(seed=0))
        >>> study = optuna.create_study(sampler=sampler)
    """

    def __init__(self, base: BaseSampler | None = None, *, policy: Policy | None = None) -> None:
        rule, way_out = "an Optuna sampler or None", "None is TPESampler()."
        check_type("base", base, (BaseSampler, type(None)), rule, way_out)
        self._base = TPESampler() if base is None else base
        self._core, self._held = _unwrapped(self._base)
        self._policy = Policy.given(policy)
        self._earlier = PriorSearches(self._policy.prior_searches)
        self._learned: tuple[tuple[Any, ...], StudyFailureModel] | None = None
        self._outcomes: tuple[tuple[Any, ...], dict[int, Outcome]] | None = None

    def __str__(self) -> str:
        return f"{type(self).__name__}({self._base})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_learned": None, "_outcomes": None}

    def reseed_rng(self) -> None:
        """Reseed the base sampler."""
        self._base.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the base sampler's space; with failures to avoid, all that trials share."""
        learned = self._failure_model(study)
        space = self._base.infer_relative_search_space(self._view(study, learned), trial)
        if learned is None or self._guidance(learned, trial) is None:
            return space
        shared = {name: drawn for name, drawn in learned.space.items() if not drawn.single()}
        return {**shared, **space}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the base sampler's proposal; where that is unstable, a further one."""
        learned = self._failure_model(study)
        if learned is None:
            return self._base.sample_relative(study, trial, search_space)
        view = self._view(study, learned)
        related = self._base.infer_relative_search_space(view, trial)
        related = {name: search_space[name] for name in related if name in search_space}
        guidance = self._guidance(learned, trial)
        if guidance is None:
            return self._base.sample_relative(view, trial, related)
        # Whatever is proposed for what is fixed, that is what is run.
        known = {**trial.params, **self._fixed(trial)}
        proposals = self._proposals(view, trial, related, search_space)
        first = next(proposals)
        by = guidance.turned_away_by({**first, **known}) if first else None
        if by is not None:
            note_of_trial(study, trial, TURNED_AWAY_KEY, by)
        return first_stable(guidance, chain([first], proposals), known) or {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the base sampler's value; where that is unstable, a further one."""
        learned = self._failure_model(study)
        view = self._view(study, learned)

        def draw(sampler: BaseSampler) -> dict[str, Any]:
            value = sampler.sample_independent(view, trial, param_name, param_distribution)
            return {param_name: value}

        guidance = None if learned is None else self._guidance(learned, trial)
        if guidance is None or param_name in self._fixed(trial):
            return draw(self._base)[param_name]
        anywhere = RandomSampler(seed=trial.number)
        samplers = chain(repeat(self._base, 1 + _REDRAWS), repeat(anywhere, _RANDOM_VALUES))
        known = {name: value for name, value in trial.params.items() if name != param_name}
        values = first_stable(guidance, map(draw, samplers), known)
        assert values is not None
        return values[param_name]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let the base sampler prepare.

        Raises:
            ValueError: The study is one of `Policy.prior_searches` itself.
        """
        url = url_of(study) if self._earlier else None
        for search in self._earlier.searches:
            if url is not None and search.source == url and search.name == study.study_name:
                raise ValueError(f"prior_searches names the study {search.name!r} itself.")
        self._base.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Let the base sampler see the end of the trial as it is."""
        self._base.after_trial(study, trial, state, values)

    def _failure_model(self, study: Study) -> StudyFailureModel | None:
        if isinstance(self._core, _EXHAUSTIVE):
            return None
        trials = trials_for_sampling(study)
        finished = [trial for trial in trials if trial.state.is_finished()]
        if all(trial.state is not TrialState.FAIL for trial in finished) and not (
            self._earlier and finished
        ):
            return None
        # Finished trials do not change: what they teach depends on which they are. Hyperband's
        # brackets are one study of the storage, each with trials of its own.
        key = (*source_of(study), len(finished), finished[-1].number)
        known = self._learned  # of one study; threads may replace it by that of another
        if known is None or known[0] != key:
            if self._outcomes is None or self._outcomes[0] != key[:2]:
                self._outcomes = key[:2], {}
            learned = failure_model_of(finished, study.directions, self._outcomes[1])
            if self._earlier:
                earlier = self._earlier.failure_models_for(learned.parameters)
                learned = replace(learned, earlier=earlier)
            known = (key, learned)
            self._learned = known
        return known[1]

    def _view(self, study: Study, learned: StudyFailureModel | None) -> Study:
        if learned is None or not learned.shown or isinstance(self._core, _GENETIC):
            return study
        return LearningView(study, learned.shown)

    def _guidance(self, learned: StudyFailureModel, trial: FrozenTrial) -> Guidance | None:
        """Return what turns proposals of a trial away; None where nothing does."""
        policy = self._policy
        if not policy.avoid_unstable or is_free(trial.number, policy.free_share):
            return None
        outcomes = learned.outcomes
        guidance = Guidance.of(learned.failure_model, learned.earlier, outcomes, trial.number)
        return guidance if guidance.has_any else None

    def _proposals(
        self,
        study: Study,
        trial: FrozenTrial,
        related: dict[str, BaseDistribution],
        space: dict[str, BaseDistribution],
    ) -> Iterator[dict[str, Any]]:
        """Draw from the base sampler; where it insists, from the whole space."""
        for _ in range(1 + _REDRAWS):
            yield self._propose(study, trial, related, space)
        anywhere = RandomSampler(seed=trial.number)
        drawn = [name for name in space if name not in self._fixed(trial)]
        for _ in range(_RANDOM_DRAWS):
            yield {
                name: anywhere.sample_independent(study, trial, name, space[name]) for name in drawn
            }

    def _propose(
        self,
        study: Study,
        trial: FrozenTrial,
        related: dict[str, BaseDistribution],
        space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draw the parameters that belong together, then the others one by one."""
        proposal = self._base.sample_relative(study, trial, related)
        so_far = copy.copy(trial)
        so_far.params = dict(trial.params)
        so_far.distributions = dict(trial.distributions)
        fixed = self._fixed(trial)
        for name in fixed.keys() & space.keys():
            so_far.params[name] = fixed[name]
            so_far.distributions[name] = space[name]
        for name, distribution in space.items():
            if name not in proposal and name not in fixed:
                proposal[name] = self._base.sample_independent(study, so_far, name, distribution)
                so_far.params[name] = proposal[name]
                so_far.distributions[name] = distribution
        return proposal

    def _fixed(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the parameters that the user set: of an enqueued trial, and of all trials."""
        return {**self._held, **trial.system_attrs.get("fixed_params", {})}


def given_values(sampler: BaseSampler, name: str) -> Sequence[Any]:
    """Return the values that a sampler was given for a parameter: one, or those of a grid."""
    core, held = _unwrapped(sampler)
    if name in held:
        return [held[name]]
    return grid_values(core, name) if isinstance(core, GridSampler) else ()


def _unwrapped(base: BaseSampler) -> tuple[BaseSampler, dict[str, Any]]:
    """Return the sampler that proposes, and the parameters that are fixed around it."""
    held: dict[str, Any] = {}
    while isinstance(base, (PartialFixedSampler, CrashAwareSampler)):
        if isinstance(base, CrashAwareSampler):
            base = base._base
        else:
            base, fixed = unwrapped(base)
            held = {**fixed, **held}
    return base, held
