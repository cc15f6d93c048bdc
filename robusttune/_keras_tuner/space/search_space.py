"""SearchSpace: a Keras Tuner search's space, sanitized once and kept so for the whole search."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras_tuner

from robusttune._keras_tuner.hp_hooks import declarations_intercepted
from robusttune._keras_tuner.project.files import set_aside, write_atomically
from robusttune._keras_tuner.project.stored_names import PROJECT_FILE
from robusttune._keras_tuner.space.range_test import probe_learning_rates
from robusttune._keras_tuner.space.sanitizer import SpaceSanitizer, tune_clip_norm
from robusttune._policy import Policy
from robusttune._prior_searches import turned_away
from robusttune._records import plain
from robusttune._space import Adjustment
from robusttune._untrusted_json import read_object
from robusttune.errors import InstabilityWarning

_log = logging.getLogger("robusttune.tuners")


class SearchSpace:
    """Sanitizes what is new in an oracle's space, and stores what it changed with the project.

    Args:
        build: The hypermodel's build function; None where there is none.
        policy: `sanitize`, `keep` and `clip` count.
    """

    def __init__(self, build: Callable[[Any], Any] | None, policy: Policy) -> None:
        self.policy = policy
        self._build = build
        self._sanitizer = SpaceSanitizer(build, policy)
        self._began = self._busy = False
        self._stored = 0

    @property
    def adjustments(self) -> list[Adjustment]:
        """All changes of the search so far, oldest first."""
        return self._sanitizer.adjustments

    def watching(self, *, sanitize: bool = False) -> AbstractContextManager[None]:
        """Watch what the block's builds declare; see SpaceSanitizer.watching."""
        return self._sanitizer.watching(sanitize=sanitize)

    def populate(self, build_all: Callable[[], None]) -> None:
        """Build the initial space; where that fails at integers that are 0 by default, without 0.

        Args:
            build_all: Keras Tuner's own way to it.

        Raises:
            Exception: What the user's build function raises.
        """
        zero: set[str] = set()

        def intercept(container: keras_tuner.HyperParameters, hp: Any) -> Any:
            if isinstance(hp, keras_tuner.engine.hyperparameters.Int) and hp.default == 0:
                zero.update({hp.name} - self.policy.keep)
            return hp

        try:
            with declarations_intercepted(intercept):
                build_all()
        except Exception:
            if not zero or self.policy.sanitize != "fix":
                raise
            try:
                with self._sanitizer.without_zero(zero):
                    build_all()
                return
            except Exception:  # then it was not the zeros: the first one tells more
                _log.debug("the space cannot be built without 0 either", exc_info=True)
            raise

    def begin(self, oracle: keras_tuner.Oracle) -> None:
        """Sanitize the initial space, or take that of a search that goes on as it is."""
        oracle.robust_space = self
        self._began = True
        if self.policy.clip == "tune":
            tune_clip_norm(oracle.hyperparameters)
        path = _project_file(oracle)
        if os.path.exists(path):
            self.adjustments[:0] = _read(path)
            self._stored = len(self.adjustments)
            self._sanitizer.mark_sanitized(oracle.hyperparameters)
        elif oracle.start_order:  # begun by Keras Tuner itself
            self._sanitizer.mark_sanitized(oracle.hyperparameters)
        else:
            self._sanitizer.sanitize(oracle.hyperparameters)
        self._store(oracle)

    def extend(self, oracle: keras_tuner.Oracle) -> None:
        """Sanitize what has been added to the space since."""
        if not self._began or self._busy:  # finding out what a parameter does builds models
            return
        self._busy = True
        try:
            self._sanitizer.sanitize(oracle.hyperparameters)
            self._store(oracle)
        finally:
            self._busy = False

    def fit_to_data(
        self, oracle: keras_tuner.Oracle, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
    ) -> None:
        """Cap batch sizes at the rows of the data, and with `policy.probe` the learning rates."""
        if oracle.start_order:  # the space holds for the whole search, also on other data
            return
        x = fit_args[0] if fit_args else fit_kwargs.get("x")
        rows = tuple(getattr(x, "shape", ()))[:1]
        if rows and rows[0]:
            self._sanitizer.cap_batch_size(oracle.hyperparameters, int(rows[0]))
        if self.policy.probe and self._build is not None:
            probe_learning_rates(
                self._sanitizer, oracle.hyperparameters, self._build, fit_args, fit_kwargs
            )
        self._store(oracle)

    def count_turned_away(self, oracle: keras_tuner.Oracle, by: str) -> None:
        """Count a proposal that an earlier search turned away, for the report."""
        known = [each for each in self.adjustments if each.reason.endswith(f" turned away by {by}")]
        count = 1 + sum(each.before for each in known)
        self.adjustments[:] = [each for each in self.adjustments if each not in known]
        self.adjustments.append(Adjustment.from_dict(turned_away(count, by)))
        if self._began:
            self._stored = -1
            self._store(oracle)

    def _store(self, oracle: keras_tuner.Oracle) -> None:
        path = _project_file(oracle)
        if len(self.adjustments) == self._stored and os.path.exists(path):
            return
        self._stored = len(self.adjustments)
        changes = [change.to_dict() for change in self.adjustments]
        body = {"adjustments": changes, "search": _about(oracle, self.policy)}
        write_atomically(path, json.dumps(body, indent=1))


def _about(oracle: keras_tuner.Oracle, policy: Policy) -> dict[str, Any]:
    """Return what a report says of a search and Keras Tuner does not store."""
    own = type(getattr(oracle, "_oracle", oracle))  # a worker has a client of the chief's
    classes = (kind for kind in own.__mro__ if kind.__module__.startswith("keras_tuner."))
    objective = oracle.objective
    single = isinstance(objective, keras_tuner.Objective)
    return {
        "objective": objective.name if single else None,
        "direction": objective.direction if single else None,
        "tuner": next(classes, own).__name__.removesuffix("Oracle"),
        "max_trials": oracle.max_trials,
        "policy": plain(dataclasses.asdict(policy)),
    }


def _project_file(oracle: keras_tuner.Oracle) -> str:
    return os.path.join(oracle._project_dir, PROJECT_FILE)


def _read(path: str) -> list[Adjustment]:
    try:
        entries = read_object(path)["adjustments"]
        return [Adjustment.from_dict(entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        aside = os.path.basename(set_aside(path))
        warnings.warn(
            f"The adjustments of the search space cannot be read ({error!r}); their file was set"
            f" aside as {aside}, and the space is used as it is.",
            InstabilityWarning,
            stacklevel=2,
        )
        return []
