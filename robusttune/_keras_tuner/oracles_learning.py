"""Keras Tuner oracles that learn from failing trials.

Mixed into the class of an oracle that exists already: they have no `__init__`, and keep nothing
that is not in the oracle's trials and their records. Until the first failure they propose what
Keras Tuner's classes propose, bit by bit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, takewhile
from typing import Any, NamedTuple

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from robusttune._keras_tuner.parameters import parameters_of, without_bookkeeping
from robusttune._learning import (
    FailureModel,
    Guidance,
    Outcome,
    farthest,
    first_stable,
    is_free,
    learn,
    recent,
)
from robusttune._policy import Policy
from robusttune._prior_searches import PriorSearches
from robusttune._records import TrialRecord

# Draws until a stable place is found.
_REDRAWS = 100
# A proposal this near to a failed trial, in every hyperparameter as a share of its range, repeats
# it: a Gaussian process that has learned nothing new proposes the same point up to rounding.
_NEAR = 0.01


def learning_mixin(oracle_class: type) -> type:
    """Return the mixin that teaches a class of oracles.

    Args:
        oracle_class: A subclass of `keras_tuner.Oracle`.
    """
    if issubclass(oracle_class, keras_tuner.oracles.BayesianOptimizationOracle):
        return LearningBayesianOracle
    if issubclass(oracle_class, keras_tuner.oracles.HyperbandOracle):
        return LearningHyperbandOracle
    return LearningOracle


class _Learned(NamedTuple):
    """Finished trials of Keras Tuner, and the failure model fitted to them."""

    trials: Sequence[Any]
    outcomes: Sequence[Outcome]
    failure_model: FailureModel


class LearningOracle(keras_tuner.Oracle):  # type: ignore[misc,unused-ignore]
    """Random proposals turn away from places where trials are likely to fail by their parameters.

    `policy.avoid_unstable` switches this off, `policy.free_share` of the proposals are left free.
    Grids are left alone: their oracle draws nothing at random.
    """

    robust_policy: Policy
    robust_earlier = PriorSearches(())
    farthest_is_due = False  # whether the next trial is to be as far from the failed ones as can be

    def robusttune_records(self) -> Mapping[str, TrialRecord]:
        """Return the records of the finished trials by trial_id; the host's adapter knows them."""
        raise NotImplementedError

    def _random_values(self) -> Any:
        first = super()._random_values()
        if first is None or not (self._any_failed() or self.robust_earlier):
            return first
        if self.farthest_is_due:
            self.farthest_is_due = False
            return self._farthest_values()
        guidance = self._guidance()
        if guidance is None:
            return first
        by = guidance.turned_away_by(first)
        if by is not None:
            self.count_turned_away(by)
        more = (super(LearningOracle, self)._random_values() for _ in range(_REDRAWS))
        proposals = takewhile(lambda values: values is not None, more)
        return first_stable(guidance, chain([first], proposals))

    def count_turned_away(self, by: str) -> None:
        """Count a proposal that an earlier search turned away; the host's adapter reports it."""
        raise NotImplementedError

    def _guidance(self, learned: _Learned | None = None) -> Guidance | None:
        """Return what turns the next proposal away; None where nothing does."""
        policy, number = self.robust_policy, len(self.trials)
        if not policy.avoid_unstable or is_free(number, policy.free_share):
            return None
        learned = learned or self._learned()
        earlier = self.robust_earlier.failure_models_for(parameters_of(self.hyperparameters.space))
        guidance = Guidance.of(learned.failure_model, earlier, learned.outcomes, number)
        return guidance if guidance.has_any else None

    def _farthest_values(self) -> dict[str, Any]:
        """Return values as far from those of the failed trials as the space allows."""
        space = self.hyperparameters.space
        tried = [without_bookkeeping(t.hyperparameters.values) for t in self._finished_trials()]
        far = farthest(parameters_of(space).values(), tried)
        values = keras_tuner.HyperParameters()
        for hp in space:
            values.merge([hp])
            if values.is_active(hp):
                values.values[hp.name] = far.get(hp.name, hp.default)
        return dict(values.values)

    def _any_failed(self) -> bool:
        """Whether any trial has failed; what was looked at before is not looked at again."""
        sound = min(self.__dict__.get("_robust_sound", 0), len(self.end_order))
        for trial_id in self.end_order[sound:]:
            if self.trials[trial_id].status == TrialStatus.FAILED:
                break
            sound += 1
        self._robust_sound = sound
        return bool(sound < len(self.end_order))

    def _finished_trials(self) -> Iterator[Any]:
        finished = (TrialStatus.COMPLETED, TrialStatus.FAILED)
        return (trial for trial in self.trials.values() if trial.status in finished)

    def _learned(self) -> _Learned:
        """Return what the latest finished trials teach."""
        finished = list(self._finished_trials())
        latest = recent([trial.status == TrialStatus.FAILED for trial in finished])
        finished = [finished[index] for index in latest]
        space = parameters_of(self.hyperparameters.space)
        outcomes = self._outcomes_of(finished)
        return _Learned(finished, outcomes, learn(space.values(), outcomes))

    def _outcomes_of(self, finished: list[Any]) -> list[Outcome]:
        records = self.robusttune_records()
        outcomes = []
        for trial in finished:
            record = records.get(trial.trial_id)
            tried = without_bookkeeping(trial.hyperparameters.values)
            if record is not None and record.params:  # the others had no part in it
                tried = {name: tried[name] for name in record.params if name in tried}
            if trial.status == TrialStatus.FAILED:
                outcomes.append(Outcome.of_failure(tried, record))
            else:
                outcomes.append(Outcome(tried, False))
        return outcomes


class LearningBayesianOracle(LearningOracle):
    """The Gaussian process sees failures that teach as trials with the worst score so far.

    A proposal that repeats a failed trial, whatever its cause, or is likely to fail by its
    parameters, is replaced by a random one.
    """

    def populate_space(self, trial_id: str) -> Any:
        """Fill the hyperparameter space with values."""
        failed = [t for t in self.trials.values() if t.status == TrialStatus.FAILED]
        if not failed:
            return super().populate_space(trial_id)
        learned = self._learned()
        response = self._populate_from(self._with_worst_scores(learned), trial_id)
        values = response.get("values")
        if response["status"] != TrialStatus.RUNNING or values is None:
            return response
        guidance = self._guidance(learned)
        insists = guidance is not None and guidance.risks([values])[0] > guidance.limit
        if insists or any(self._repeats(values, trial) for trial in failed):
            return self._random_populate_space()
        return response

    def _populate_from(self, trials: dict[str, Any], trial_id: str) -> Any:
        """Let Keras Tuner's oracle propose as if it had these trials.

        It works on a shallow copy, so that no other thread sees them, and what it changed beside
        the trials (the state of its random numbers) is kept.
        """
        seen = copy.copy(self)
        seen.trials = trials
        response = super(LearningBayesianOracle, seen).populate_space(trial_id)
        self.__dict__.update({k: v for k, v in seen.__dict__.items() if k != "trials"})
        return response

    def _with_worst_scores(self, learned: _Learned) -> dict[str, Any]:
        scores = [t.score for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        scores = [score for score in scores if score is not None and np.isfinite(score)]
        trials = dict(self.trials)
        if not scores:
            return trials
        worst = max(scores) if self.objective.direction == "min" else min(scores)
        for trial, caused in zip(learned.trials, learned.failure_model.caused, strict=True):
            if caused:
                shown = copy.copy(trial)
                shown.status, shown.score = TrialStatus.COMPLETED, worst
                trials[trial.trial_id] = shown
        return trials

    def _repeats(self, values: Mapping[str, Any], failed: Any) -> bool:
        tried = failed.hyperparameters.values
        for hp in self._nonfixed_space():
            here, there = (v.get(hp.name, hp.default) for v in (values, tried))
            if abs(hp.value_to_prob(here) - hp.value_to_prob(there)) > _NEAR:
                return False
        return True


class LearningHyperbandOracle(LearningOracle):
    """Successive halving with any number of failures: a failed trial is one that was thrown out.

    Keras Tuner promotes only once more trials of a round have completed than will be thrown out;
    with half of them failing, that is never.
    """

    def populate_space(self, trial_id: str) -> Any:
        """Fill the hyperparameter space with values."""
        if any(trial.status == TrialStatus.FAILED for trial in self.trials.values()):
            self._remove_completed_brackets()
            for bracket in self._brackets:
                if len(bracket["rounds"][0]) < self._get_size(bracket["bracket_num"], 0):
                    break  # it is filled first, as Keras Tuner does
                response = self._promote(trial_id, bracket)
                if response is not None:
                    return response
        return super().populate_space(trial_id)

    def _promote(self, trial_id: str, bracket: Mapping[str, Any]) -> dict[str, Any] | None:
        """Run the best trial of a round in the next round, if one may be; None otherwise."""
        number, rounds = bracket["bracket_num"], bracket["rounds"]
        never_comes = 0  # places of the last round that no trial will take
        for level in range(1, len(rounds)):
            size, past_size = (self._get_size(number, n) for n in (level, level - 1))
            past = [self.trials[info["id"]] for info in rounds[level - 1]]
            selected = {info["past_id"] for info in rounds[level]}
            ready = [
                trial
                for trial in past
                if trial.status == TrialStatus.COMPLETED and trial.trial_id not in selected
            ]
            failed = sum(trial.status == TrialStatus.FAILED for trial in past)
            thrown_out = past_size - size
            if ready and len(ready) + failed + never_comes > thrown_out:
                return self._run_longer(self._best(ready), trial_id, bracket, level)
            over = len(past) + never_comes == past_size and all(
                trial.status in (TrialStatus.COMPLETED, TrialStatus.FAILED) for trial in past
            )
            never_comes = size - len(rounds[level]) if over else 0
        return None

    def _best(self, trials: list[Any]) -> Any:
        choose = max if self.objective.direction == "max" else min
        return choose(trials, key=lambda trial: trial.score)

    def _run_longer(
        self, best: Any, trial_id: str, bracket: Mapping[str, Any], level: int
    ) -> dict[str, Any]:
        number = bracket["bracket_num"]
        bracket["rounds"][level].append({"past_id": best.trial_id, "id": trial_id})
        values = {
            **best.hyperparameters.values,
            "tuner/trial_id": best.trial_id,
            "tuner/epochs": self._get_epochs(number, level),
            "tuner/initial_epoch": self._get_epochs(number, level - 1),
            "tuner/bracket": number,
            "tuner/round": level,
        }
        return {"status": TrialStatus.RUNNING, "values": values}
