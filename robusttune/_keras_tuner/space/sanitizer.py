"""SpaceSanitizer: corrects the hyperparameters of a Keras Tuner search, each once."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as hp_types

from robusttune._compat.keras_tuner import is_declared, replace_declared
from robusttune._keras_tuner.hp_hooks import declarations_intercepted
from robusttune._keras_tuner.parameters import keras_tuner_hyperparameter, parameter_of
from robusttune._keras_tuner.space.build_probe import BuildProbe
from robusttune._policy import Policy
from robusttune._space.notices import warn, warn_of_changes
from robusttune._space.parameters import Adjustment, Int, Parameter, Value
from robusttune._space.questions import (
    COUNTS,
    cap_matters,
    reaches_zero,
    roles_that_matter,
    two_values,
)
from robusttune._space.roles import Role, role_by_name
from robusttune._space.rules import sanitize

CLIP_NORM = "robusttune/clip_norm"
_RANGES = (hp_types.Float, hp_types.Int, hp_types.Choice)


def neutral(hp: Any) -> Parameter | None:
    """Return a hyperparameter that may be sanitized in neutral terms; None for the others.

    Those are Fixed and Boolean: they have no range that could be wrong.
    """
    return parameter_of(hp) if isinstance(hp, _RANGES) else None


class SpaceSanitizer:
    """Sanitizes the hyperparameters of one search, each once.

    Args:
        build: The hypermodel's build function, which is asked what a hyperparameter does; None:
            its name has to say it. Nothing is built for hyperparameters that are sound whatever
            they do.
        policy: `sanitize` and `keep` count.
        known: The adjustments that were made when the search began, of a search that goes on.

    Attributes:
        adjustments: All adjustments of the search so far, oldest first.
    """

    def __init__(
        self,
        build: Callable[[Any], Any] | None,
        policy: Policy,
        known: Iterable[Adjustment] = (),
    ) -> None:
        self.policy = policy
        self.adjustments = list(known)
        self._build_probe = BuildProbe(build)
        self._sanitized: list[tuple[str, Any]] = []
        self._began = False
        self._declared: dict[str, list[tuple[Any, Parameter]]] = {}

    def mark_sanitized(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Take hyperparameters as they are: those of a search that goes on were sanitized."""
        self._began = True
        self._sanitized.extend(
            (hp.name, hp.conditions) for hp in hyperparameters.space if not self._is_sanitized(hp)
        )

    def sanitize(self, hyperparameters: keras_tuner.HyperParameters) -> list[Adjustment]:
        """Replace the hyperparameters that are new and ask for failing trials, in place.

        A sound one stays the object that it is. A build function reads its values by name, so a
        user's own gets those of the replaced range. What appears later was declared in a trial and
        has its default there, which oracles take for a value of the range: such a hyperparameter
        stays as it is where its default could not; `watching(sanitize=True)` comes before that.

        Args:
            hyperparameters: Those of the oracle.

        Returns:
            The new adjustments; with `policy.sanitize == "warn"` none, and nothing is replaced.
        """
        late = self._began
        fresh = [hp for hp in hyperparameters.space if not self._is_sanitized(hp)]
        self.mark_sanitized(hyperparameters)
        if self.policy.sanitize == "off":
            return []
        parameters = [(hp, parameter) for hp in fresh if (parameter := neutral(hp)) is not None]
        pairs = {
            parameter.name: pair
            for _, parameter in parameters
            if parameter.name not in self.policy.keep
            and (pair := two_values(parameter, roles_that_matter(parameter))) is not None
        }
        base = {name: one for name, (one, _) in pairs.items()}
        roles = [
            (hp, parameter, self._role(hyperparameters, hp, parameter, pairs, base))
            for hp, parameter in parameters
        ]
        made: list[Adjustment] = []
        for hp, parameter, role in roles:
            facts: dict[str, Any] = {}
            if role is Role.LEARNING_RATE and cap_matters(parameter):
                facts["optimizers"] = self._build_probe.optimizers(hyperparameters, hp, base)
            made.extend(self._apply(hyperparameters, hp, parameter, role, facts, late=late))
        return made

    def cap_batch_size(
        self, hyperparameters: keras_tuner.HyperParameters, samples: int
    ) -> list[Adjustment]:
        """Leave no batch sizes that are larger than the data; as `sanitize`, once it is known.

        Args:
            hyperparameters: Those of the oracle.
            samples: Rows of training data (>= 1).
        """
        if self.policy.sanitize == "off":
            return []
        made: list[Adjustment] = []
        for hp in list(hyperparameters.space):
            parameter = neutral(hp)
            if parameter is not None and role_by_name(parameter) is Role.BATCH_SIZE:
                facts = {"samples": samples}
                made.extend(self._apply(hyperparameters, hp, parameter, Role.BATCH_SIZE, facts))
        return made

    def shown_role(self, hyperparameters: keras_tuner.HyperParameters, hp: Any) -> Role | None:
        """Return what a model shows that a hyperparameter does; None where it shows nothing."""
        parameter = neutral(hp)
        pair = None if parameter is None else two_values(parameter, [Role.LEARNING_RATE])
        finding = None if pair is None else self._build_probe.ask(hyperparameters, hp, pair, {})
        return finding.roles[0] if finding is not None and finding.roles else None

    def cap_learning_rate(
        self, hyperparameters: keras_tuner.HyperParameters, hp: Any, survived: float
    ) -> list[Adjustment]:
        """Cap a learning rate after a range test; as `sanitize`.

        Args:
            hyperparameters: Those of the oracle.
            hp: One of them, a learning rate.
            survived: The highest rate that survived (> 0).
        """
        parameter = neutral(hp)
        if parameter is None or self.policy.sanitize == "off":
            return []
        facts = {"survived": survived}
        return self._apply(hyperparameters, hp, parameter, Role.LEARNING_RATE, facts)

    def watching(self, *, sanitize: bool = False) -> AbstractContextManager[None]:
        """Watch what is declared while the block builds models, in this thread.

        A name that is declared twice with different ranges is noted: Keras Tuner takes the first
        declaration and drops the other silently.

        Args:
            sanitize: Whether a new hyperparameter is sanitized by its name before it has a value.
                For trials: what appears in one for the first time is used there at once.
        """
        if self.policy.sanitize == "off":
            return contextlib.nullcontext()

        def intercept(container: keras_tuner.HyperParameters, hp: Any) -> Any:
            declared = neutral(hp)
            if declared is None:
                return hp
            self._compare_declarations(hp, declared)
            new = sanitize and not is_declared(container, hp)
            return self._admit(hp, declared) if new else hp

        return declarations_intercepted(intercept)

    def _admit(self, hp: Any, declared: Parameter) -> Any:
        """Return a new hyperparameter of a trial as it may be used."""
        fix = Policy(keep=self.policy.keep)
        sanitized, changes = sanitize(declared, role_by_name(declared), fix)
        known = self._is_sanitized(hp)
        if not known:
            self._sanitized.append((hp.name, copy.deepcopy(hp.conditions)))
        if not changes:
            return hp
        if not known:
            warn_of_changes(declared, sanitized, changes, self.policy)
        if self.policy.sanitize == "warn":
            return hp
        if not known:
            self.adjustments.extend(changes)
        return keras_tuner_hyperparameter(sanitized, hp)

    def _compare_declarations(self, hp: Any, declared: Parameter) -> None:
        seen = self._declared.setdefault(hp.name, [])
        first = next((p for conditions, p in seen if conditions == hp.conditions), None)
        if first is None:
            seen.append((copy.deepcopy(hp.conditions), declared))
        elif str(first) != str(declared):
            self._note_conflict(first, declared)

    @contextlib.contextmanager
    def without_zero(self, names: Collection[str]) -> Iterator[None]:
        """Let integers from 0, of these names, begin with their first step while a block builds.

        For a build that fails at Keras Tuner's default, the lower bound: a layer of 0 units, say.
        """
        reason = "the model cannot be built with 0"
        changed: dict[str, tuple[Parameter, Parameter]] = {}

        def intercept(container: keras_tuner.HyperParameters, hp: Any) -> Any:
            parameter = neutral(hp)
            if hp.name not in names or not isinstance(parameter, Int) or parameter.low != 0:
                return hp
            sanitized = replace(parameter, low=parameter.step or 1, default=None)
            changed[hp.name] = (parameter, sanitized)
            return keras_tuner_hyperparameter(sanitized, hp)

        with declarations_intercepted(intercept):
            yield
        for parameter, sanitized in changed.values():
            assert isinstance(parameter, Int)
            assert isinstance(sanitized, Int)
            made = (Adjustment(parameter.name, "low", parameter.low, sanitized.low, reason),)
            warn_of_changes(parameter, sanitized, made, self.policy)
            self.adjustments.extend(made)

    def _note_conflict(self, first: Parameter, other: Parameter) -> None:
        if first.name in self.policy.keep or any(
            known.parameter == first.name and known.field == "declaration"
            for known in self.adjustments
        ):
            return
        reason = "declared twice, and Keras Tuner takes the first"
        self.adjustments.append(
            Adjustment(first.name, "declaration", str(other), str(first), reason)
        )
        warn(f"{first.name}: {first} is used, not {other}: {reason}.")

    def _role(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        hp: Any,
        parameter: Parameter,
        pairs: Mapping[str, tuple[Value, Value]],
        base: Mapping[str, Value],
    ) -> Role | None:
        """Return what a hyperparameter does: what a model shows, or else what its name says."""
        named = role_by_name(parameter)
        pair = pairs.get(parameter.name)
        if pair is None:
            return named
        finding = self._build_probe.ask(hyperparameters, hp, pair, base)
        if finding is None:
            return named
        if not finding.roles:
            return None if named in finding.indirect else named
        role = finding.roles[0]
        if role in COUNTS and reaches_zero(parameter):
            left_out = self._build_probe.leaves_out(hyperparameters, hp, role, base)
            return None if left_out else role
        return role

    def _is_sanitized(self, hp: Any) -> bool:
        return any(name == hp.name and hp.conditions == c for name, c in self._sanitized)

    def _apply(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        hp: Any,
        parameter: Parameter,
        role: Role | None,
        facts: Mapping[str, Any],
        *,
        late: bool = False,
    ) -> list[Adjustment]:
        """Replace one hyperparameter where that is needed, and warn of it."""
        keep = Policy(keep=self.policy.keep)
        sanitized, changes = sanitize(parameter, role, keep, **facts)
        if not changes:
            return []
        new = keras_tuner_hyperparameter(sanitized, hp)
        if late and not _holds(new, hp.default):
            warn(
                f"{hp.name}: {parameter} should be searched as {sanitized}, but is left as it is,"
                f" since trials have the value {hp.default!r}."
            )
            return []
        warn_of_changes(parameter, sanitized, changes, self.policy)
        if self.policy.sanitize == "warn":
            return []
        _replace(hyperparameters, hp, new)
        self.adjustments.extend(changes)
        return list(changes)


def _replace(hyperparameters: keras_tuner.HyperParameters, old: Any, new: Any) -> None:
    replace_declared(hyperparameters, old, new)
    value = hyperparameters.values.get(old.name)
    if value is not None and not _holds(new, value):
        hyperparameters.values[old.name] = new.default


def _holds(hp: Any, value: Any) -> bool:
    if isinstance(hp, hp_types.Choice):
        return value in hp.values
    return bool(hp.min_value <= value <= hp.max_value)


def tune_clip_norm(hyperparameters: keras_tuner.HyperParameters) -> float:
    """Return the global clip norm of a trial, which becomes a hyperparameter of the search.

    For `Policy(clip="tune")`: 0.1 to 10 in the logarithm, around the usual 1 (Keras Tuner's value
    in the trial; the default before anything is sampled).
    """
    norm: float = hyperparameters.Float(CLIP_NORM, 0.1, 10.0, sampling="log", default=1.0)
    return norm
