"""sanitize_trial: an Optuna trial whose suggestions come from sanitized ranges."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import BaseTrial, FixedTrial, FrozenTrial

from robusttune._compat.optuna import contains, drawn_distributions, values_of_fixed
from robusttune._policy import Policy
from robusttune._records import plain
from robusttune._space.notices import warn, warn_of_changes
from robusttune._space.parameters import Adjustment, Choice, Float, Int, Parameter
from robusttune._space.roles import role_by_name
from robusttune._space.rules import sanitize
from robusttune._validation import check_type
from robusttune.optuna._distributions import distribution_of, parameter_of
from robusttune.optuna._host import RUN_KEYS
from robusttune.optuna._sampler import given_values
from robusttune.optuna._stored_names import ADJUSTMENTS_KEY

_ATTEMPTS = 10  # to append to a list that other workers may be appending to

T = TypeVar("T", bound=BaseTrial)


def sanitize_trial(trial: T, policy: Policy | None = None) -> T:
    """Return the trial with `suggest_*` that sanitize what they are asked for.

    The result is the trial: it shares all its state, passes for one of its class, and is reported,
    pruned, told and stored as one. What was changed is noted once in the study, under the user
    attribute "robusttune:adjustments", and holds for the life of the study: Optuna does not take
    another scale or other choices for a name that it knows. So a name that the study has sampled
    before robusttune came is left as it is, and so is one for which a GridSampler or a
    PartialFixedSampler was given values outside of the sanitized range.

    A `FixedTrial` and a `FrozenTrial` give the values that they have.

    Args:
        trial: Any trial; one that is sanitized already, or of an unknown kind, comes back as it is.
        policy: `sanitize` and `keep` count; None: the default policy.

    Example:
        >>> import optuna, warnings
        >>> warnings.simplefilter("ignore")
        >>> study = optuna.create_study()
        >>> trial = sanitize_trial(study.ask())
        >>> 1e-5 <= trial.suggest_float("lr", 0.0, 10.0) <= 10.0
        True
        >>> trial.distributions["lr"].log
        True
    """
    check_type("trial", trial, BaseTrial, "an Optuna trial")
    policy = Policy.given(policy)
    if isinstance(cast(object, trial), _Sanitizing):
        return trial
    sanitize_range: Callable[[Parameter], Parameter]
    if isinstance(trial, optuna.Trial):
        sanitize_range = _StudySpace(trial, policy)
    elif isinstance(trial, FixedTrial):
        sanitize_range = functools.partial(_fixed, trial, policy)
    elif isinstance(trial, FrozenTrial):
        sanitize_range = functools.partial(_frozen, trial)
    else:
        return trial
    kind = _sanitizing(cast(Hashable, type(trial)))
    sanitized = kind.__new__(kind)
    sanitized.__dict__ = trial.__dict__
    sanitized._sanitize_range = sanitize_range
    sanitized._policy = policy
    return cast(T, sanitized)


class _Sanitizing:
    """Mixed into the class of a trial; its slots stay out of the `__dict__` that both share."""

    __slots__ = ("_policy", "_sanitize_range")
    _sanitize_range: Callable[[Parameter], Parameter]
    _policy: Policy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the trial without its run, which is this process's, and sanitize it again."""
        kind: Any = type(self).__bases__[1]
        trial = kind.__new__(kind)
        trial.__dict__ = {k: v for k, v in self.__dict__.items() if k not in RUN_KEYS}
        return sanitize_trial, (trial, self._policy)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        asked = Float(name, float(low), float(high), log, None if step is None else float(step))
        held = self._sanitize_range(asked)
        if held is not asked:
            assert isinstance(held, Float)
            low, high, step, log = held.low, held.high, held.step, held.log
        return super().suggest_float(name, low, high, step=step, log=log)  # type: ignore[misc,no-any-return]

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        asked = Int(name, int(low), int(high), log, None if log and step == 1 else int(step))
        held = self._sanitize_range(asked)
        if held is not asked:
            assert isinstance(held, Int)
            low, high, step, log = held.low, held.high, held.step or 1, held.log
        return super().suggest_int(name, low, high, step=step, log=log)  # type: ignore[misc,no-any-return]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        asked = Choice(name, tuple(choices))
        held = self._sanitize_range(asked)
        if held is not asked:
            assert isinstance(held, Choice)
            choices = held.choices
        return super().suggest_categorical(name, choices)  # type: ignore[misc]

    def _is_fixed_param(self, name: str, distribution: BaseDistribution) -> bool:
        try:
            return super()._is_fixed_param(name, distribution)  # type: ignore[misc,no-any-return]
        except ValueError as error:
            if (
                not isinstance(self._sanitize_range, _StudySpace)
                or name not in self._sanitize_range.changed
            ):
                raise
            warn(
                f"{name}: the enqueued value is not used: {error} A sampled value is used instead."
            )
            return False


@functools.cache
def _sanitizing(kind: Any) -> Any:
    body = {"__doc__": kind.__doc__, "__module__": kind.__module__, "__slots__": ()}
    return type(kind.__name__, (_Sanitizing, kind), body)


class _StudySpace:
    """The search space of one trial, in agreement with the study that it belongs to."""

    def __init__(self, trial: optuna.Trial, policy: Policy) -> None:
        self.trial = trial
        self.study = trial.study
        self.policy = policy
        self.changed: set[str] = set()
        self._known: list[Adjustment] | None = None

    def __call__(self, asked: Parameter) -> Parameter:
        """Return what is suggested instead; what was asked for itself if that is sound."""
        drawn = drawn_distributions(self.trial).get(asked.name)
        if drawn is not None and _is(drawn, asked):
            return asked
        if self._known is None:
            self._known = _stored(self.study)
        known = [a for a in self._known if a.parameter == asked.name]
        held = _replay(asked, known) if known else None
        if held is None:
            held = self._sanitize(asked, first_time=not known)
        if held is not asked:
            self.changed.add(asked.name)
        return held

    def _sanitize(self, asked: Parameter, *, first_time: bool) -> Parameter:
        if self.policy.sanitize == "off":
            return asked
        fix = Policy(keep=self.policy.keep)
        sanitized, changes = sanitize(asked, role_by_name(asked), fix)
        if not changes:
            return asked
        memory = _memory_of(self.study)
        if self.policy.sanitize == "warn":
            if memory.is_news(asked.name):
                warn_of_changes(asked, sanitized, changes, self.policy)
            return asked
        if not first_time:
            return sanitized
        if f"{asked.name} {asked}" in memory.left_alone:
            return asked
        began = self._began_with(asked.name)
        given = given_values(self.study.sampler, asked.name)
        reason = None
        if began is not None and _holds_on_to(began, asked, sanitized):
            reason = "the study began with it"
        elif not all(_holds(sanitized, value) for value in given):
            reason = "the sampler was given values outside"
        if reason is not None:
            memory.left_alone.add(f"{asked.name} {asked}")
            if memory.is_news(asked.name):
                warn(
                    f"{asked.name}: {asked} should be searched as {sanitized}, but is left as it"
                    f" is, since {reason}."
                )
            return asked
        _note(self.study, changes)
        self._known = _stored(self.study)
        if memory.is_news(asked.name):
            warn_of_changes(asked, sanitized, changes, self.policy)
        return sanitized

    def _began_with(self, name: str) -> BaseDistribution | None:
        for trial in reversed(self.study.get_trials(deepcopy=False)):
            if name in trial.distributions:
                return trial.distributions[name]
        return None


def _holds_on_to(began: BaseDistribution, asked: Parameter, sanitized: Parameter) -> bool:
    """Return whether a study that began with a distribution has to go on with what is asked."""
    try:
        check_distribution_compatibility(began, distribution_of(sanitized))
    except ValueError:
        return True
    return _is(began, asked)


def _is(distribution: BaseDistribution, parameter: Parameter) -> bool:
    try:
        return distribution == distribution_of(parameter)
    except ValueError:  # Optuna does not take it, so nothing can have been drawn from it
        return False


def _holds(parameter: Parameter, value: Any) -> bool:
    distribution = distribution_of(parameter)
    try:
        return contains(distribution, value)
    except ValueError:
        return False


def _replay(asked: Parameter, known: Iterable[Adjustment]) -> Parameter | None:
    """Make the adjustments of the study's beginning again; None if something else is asked now."""
    held = asked
    for adjustment in known:
        field = adjustment.field
        if field not in held.__slots__ or plain(getattr(held, field)) != adjustment.before:
            return None
        after: Any = adjustment.after
        if isinstance(held, Choice) and field == "choices":
            if any(plain(value) != value for value in held.choices):
                return None  # an object that JSON does not have is not read back from it
            after = tuple(adjustment.after)
        held = replace(held, **{field: after})
    return held


def _fixed(trial: FixedTrial, policy: Policy, asked: Parameter) -> Parameter:
    """Return the sanitized range where it holds the fixed value, so that a replay is accepted."""
    sanitized, changes = sanitize(asked, role_by_name(asked), Policy(keep=policy.keep))
    given = values_of_fixed(trial)
    if not changes or policy.sanitize != "fix" or asked.name not in given:
        return asked
    return sanitized if _holds(sanitized, given[asked.name]) else asked


def _frozen(trial: FrozenTrial, asked: Parameter) -> Parameter:
    """Return the range that the trial was sampled from."""
    distribution = trial.distributions.get(asked.name)
    drawn = None if distribution is None else parameter_of(asked.name, distribution)
    return drawn if drawn is not None and type(drawn) is type(asked) else asked


def _stored(study: optuna.Study) -> list[Adjustment]:
    """Return the adjustments noted in a study; what cannot be read is as if it were not there."""
    noted = study.user_attrs.get(ADJUSTMENTS_KEY)
    if not isinstance(noted, list):
        return []
    adjustments = []
    for fields in noted:
        try:
            adjustments.append(Adjustment.from_dict(fields))
        except ValueError:
            continue
    return adjustments


_lock = threading.Lock()


def _note(study: optuna.Study, changes: Iterable[Adjustment]) -> None:
    """Append adjustments to those of the study, one per parameter and field.

    A user attribute is written whole, and the last writer wins: what is missing when it is read
    again is written again.
    """
    with _lock:
        for _ in range(_ATTEMPTS):
            stored = _stored(study)
            have = {(a.parameter, a.field) for a in stored}
            missing = [a for a in changes if (a.parameter, a.field) not in have]
            if not missing:
                return
            study.set_user_attr(ADJUSTMENTS_KEY, [a.to_dict() for a in (*stored, *missing)])


class _Memory:
    """Warnings that this process has given for a study, and ranges that it leaves as they are."""

    def __init__(self) -> None:
        self.warned: set[str] = set()
        self.left_alone: set[str] = set()

    def is_news(self, name: str) -> bool:
        """Return whether a parameter is spoken of for the first time."""
        with _lock:
            news = name not in self.warned
            self.warned.add(name)
            return news


_memories: weakref.WeakKeyDictionary[optuna.Study, _Memory] = weakref.WeakKeyDictionary()


def _memory_of(study: optuna.Study) -> _Memory:
    with _lock:
        return _memories.setdefault(study, _Memory())
