"""Earlier searches as prior knowledge, until the search's own trials contradict them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._learning.failure_model import FailureModel, learn
from robusttune._learning.outcomes import Outcome
from robusttune._learning.points import Bools, Floats
from robusttune._space.parameters import Choice, Parameter
from robusttune._space.roles import role_by_name

# Trials of either end that are kept of an earlier search.
_KEPT = 60
# Odds, before any trial, that failing depends on the same things as in the earlier search. One
# trial that succeeds where it is sure that it fails overrules it.
_ODDS = 4.0
# Each own trial speaks for or against an earlier search by no more than this chance of failing.
_SUREST = 0.95
# Of so many first proposals, every fifth is not turned away by earlier searches, so that a wrong
# one is found out.
_TRIED_OUT, _EVERY = 10, 5


@dataclass(frozen=True, slots=True, eq=False)
class EarlierSearch:
    """A small table of an earlier search: where its hyperparameters made trials fail.

    Args:
        name: What a report calls it.
        space: Its hyperparameters by name.
        outcomes: Trials that succeeded, and those that failed because of their hyperparameters.
        source: Where it was read from.
    """

    name: str
    space: Mapping[str, Parameter]
    outcomes: tuple[Outcome, ...]
    source: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        space: Mapping[str, Parameter],
        outcomes: Sequence[Outcome],
        source: str = "",
    ) -> EarlierSearch:
        """Reduce the finished trials of a search to the latest 60 of either end that teach."""
        caused = learn(space.values(), outcomes).caused
        failed = [
            replace(outcome, cause=FailureCause.INVALID_MODEL, kind="", error="")
            for outcome, counts in zip(outcomes, caused, strict=True)
            if counts
        ]
        sound = [outcome for outcome in outcomes if not outcome.failed]
        return cls(name, space, (*sound[-_KEPT:], *failed[-_KEPT:]), source)

    def failure_model_for(
        self, space: Iterable[Parameter]
    ) -> tuple[FailureModel | None, list[str]]:
        """Return what it teaches of a space, and what of it could not be used.

        Hyperparameters are the same by their name, or by what they do where only one of either
        search does that. Choices of which none has kept its value are not the same.

        Returns:
            None where it teaches nothing of this space.
        """
        names, problems = self._names_in({each.name: each for each in space})
        if not names:
            return None, problems
        shared = [replace(self.space[own], name=name) for own, name in names.items()]
        outcomes = [
            replace(outcome, params={names[n]: v for n, v in outcome.params.items() if n in names})
            for outcome in self.outcomes
        ]
        failure_model = learn(shared, outcomes)
        return (failure_model if failure_model.has_model else None), problems

    def _names_in(self, space: Mapping[str, Parameter]) -> tuple[dict[str, str], list[str]]:
        """Return the names there of what both have, by the names here."""
        names, problems = {}, []
        ours, theirs = _by_role(self.space.values()), _by_role(space.values())
        for name, parameter in self.space.items():
            role = role_by_name(parameter)
            unique = role is not None and ours.get(role) == name
            there = name if name in space else (theirs.get(role) if unique else None)
            if there is None:
                continue
            other = space[there]
            if isinstance(parameter, Choice) != isinstance(other, Choice):
                problems.append(f"{name!r} is a choice in one of them only")
            elif isinstance(parameter, Choice) and not _share_a_value(parameter, other):
                problems.append(f"{name!r} has none of its choices there")
            else:
                names[name] = there
        return names, problems


@dataclass(frozen=True, slots=True, eq=False)
class Guidance:
    """Failure models of a search and of the earlier searches that it trusts.

    Args:
        failure_model: What was learned here.
        earlier: What each earlier search teaches, by its name.
    """

    failure_model: FailureModel
    earlier: Mapping[str, FailureModel]

    @classmethod
    def of(
        cls,
        failure_model: FailureModel,
        earlier: Mapping[str, FailureModel],
        outcomes: Sequence[Outcome],
        number: int,
    ) -> Guidance:
        """Return the guidance of a proposal.

        Args:
            failure_model: What was learned here.
            earlier: What each earlier search teaches, by its name.
            outcomes: The search's own finished trials.
            number: Number of the proposal, from 0.
        """
        if number < _TRIED_OUT and number % _EVERY == _EVERY - 1:
            return cls(failure_model, {})
        trusted = {name: one for name, one in earlier.items() if is_trusted(one, outcomes)}
        return cls(failure_model, trusted)

    @property
    def has_any(self) -> bool:
        """Whether there is anything to turn a proposal away for."""
        return self.failure_model.has_signal or bool(self.earlier)

    @property
    def limit(self) -> float:
        """The risk above which a trial is likely to fail."""
        return self.failure_model.limit

    def risks(self, proposals: Sequence[Mapping[str, Any]]) -> Floats:
        """Return how sure it is that each proposal fails, 0..1, shape (len(proposals),)."""
        risks = self.failure_model.risks(proposals)
        for failure_model in self.earlier.values():
            risks = np.where(_turned_away(failure_model, proposals), 1.0, risks)
        return risks

    def turned_away_by(self, proposal: Mapping[str, Any]) -> str | None:
        """Return which earlier search rejects a proposal; None: the search itself, or none."""
        if self.failure_model.is_unstable(proposal):
            return None
        names = (n for n, one in self.earlier.items() if _turned_away(one, [proposal])[0])
        return next(names, None)


def is_trusted(earlier: FailureModel, outcomes: Sequence[Outcome]) -> bool:
    """Whether own trials do not speak against an earlier search.

    Its predictions are compared with those of a constant chance of failing, by the ratio of their
    likelihoods.

    Args:
        earlier: What the earlier search teaches.
        outcomes: The search's own finished trials.
    """
    odds = math.log(_ODDS)
    if outcomes:
        failed = np.array([outcome.failed for outcome in outcomes], dtype=bool)
        share = (failed.sum() + 1) / (len(failed) + 2)
        chances = earlier.chances([outcome.params for outcome in outcomes])
        chances = np.clip(chances, 1 - _SUREST, _SUREST)
        constant = np.where(failed, share, 1 - share)
        odds += float(np.log(np.where(failed, chances, 1 - chances) / constant).sum())
    return odds > 0


def _turned_away(failure_model: FailureModel, proposals: Sequence[Mapping[str, Any]]) -> Bools:
    turned_away: Bools = (
        failure_model.risks(proposals) > failure_model.limit
    ) & failure_model.knows(proposals)
    return turned_away


def _by_role(space: Iterable[Parameter]) -> dict[Any, str]:
    """Return the hyperparameter of each role that only one of them has."""
    found: dict[Any, list[str]] = {}
    for parameter in space:
        found.setdefault(role_by_name(parameter), []).append(parameter.name)
    return {role: names[0] for role, names in found.items() if role and len(names) == 1}


def _share_a_value(one: Choice, other: Parameter) -> bool:
    assert isinstance(other, Choice)
    return not {repr(v) for v in one.choices}.isdisjoint(repr(v) for v in other.choices)
