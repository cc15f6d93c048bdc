"""FailureModel: which failures the hyperparameters caused, and where proposals would fail again.

A sampler that treats every failure as a bad outcome is misled by failures that strike at random;
one that forgets failures proposes the same cliff again. So failures are told apart first: by their
cause where it settles it, and by a test of dependence where it does not. What is left is a model of
failing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._learning.logistic import LogisticModel
from robusttune._learning.outcomes import Outcome, recent
from robusttune._learning.permutation_test import dependent
from robusttune._learning.points import Bools, Floats, Points
from robusttune._regions.axes import axis_of
from robusttune._space.parameters import Parameter

# Failures that show no place yet where there are fewer: of one kind, and of those that count.
_ENOUGH = 3
_FEW = 5  # failures, up to which a trial must be surest to fail before it is turned away


@dataclass(frozen=True, slots=True, eq=False)
class FailureModel:
    """A model of where hyperparameters make trials fail, fitted to the outcomes of a search.

    Args:
        caused: For each outcome, in order, whether it is a failure that its hyperparameters
            caused. Shape (n,).
    """

    caused: Bools
    _space: Points
    _points: Floats  # the outcomes that count: caused failures and the others, shape (m, axes)
    _failed: Bools  # shape (m,)
    _model: LogisticModel | None  # None: nothing to tell apart

    @property
    def has_signal(self) -> bool:
        """Whether any failure was caused by hyperparameters."""
        return bool(self.caused.any())

    def is_unstable(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial with these hyperparameters is likely to fail."""
        return bool(self.risks([params])[0] > self.limit)

    @property
    def limit(self) -> float:
        """The risk above which a trial is likely to fail: the nearer to 0.5, the more have failed.

        Surer, and more proposals fail; less sure, and what was tried once may be closed for good:
        at 0.5 throughout, 10 % of the good places of the shapes in benchmarks/trap.py are lost, and
        at this limit 2 %.
        """
        return 0.5 + 1.0 / max(int(self._failed.sum()), _FEW)

    def risks(self, proposals: Sequence[Mapping[str, Any]]) -> Floats:
        """Return how sure it is that each proposal fails, 0..1, shape (len(proposals),).

        Where exactly these values were tried, that is the share of those trials that failed; 0
        where nothing is known. What is above `limit` is likely to fail.
        """
        if not self.has_signal:
            return np.zeros(len(proposals))
        points = self._space.encode(proposals)
        risks = np.zeros(len(points)) if self._model is None else self._model.likely(points)
        for row, point in enumerate(points):
            same = self._same(point)
            if np.any(same & self._failed):
                risks[row] = self._failed[same].mean()
        return risks

    @property
    def has_model(self) -> bool:
        """Whether it says anything of places that were not tried."""
        return self._model is not None

    def chances(self, places: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the chance of failing at places, whatever was tried there; needs a model."""
        assert self._model is not None
        return self._model.chances(self._space.encode(places))

    def knows(self, proposals: Sequence[Mapping[str, Any]]) -> Bools:
        """Return whether all choices of proposals are among those of its trials, shape (n,)."""
        points = self._space.encode(proposals)[:, self._space.nominal]
        seen = self._points[:, self._space.nominal]
        known = np.ones(len(points), dtype=bool)
        for column in range(points.shape[1]):
            values = points[:, column]
            known &= ~np.isfinite(values) | np.isin(values, seen[:, column])
        return known

    def _same(self, point: Floats) -> Bools:
        """Return which trials had these values, as far as they came to ask for them."""
        both_absent = np.isnan(self._points) & np.isnan(point)
        not_reached = np.isinf(self._points)
        same: Bools = ((self._points == point) | both_absent | not_reached).all(axis=1)
        return same


def learn(space: Iterable[Parameter], outcomes: Sequence[Outcome]) -> FailureModel:
    """Tell the failures that hyperparameters caused from the others, and model them.

    A failure counts as caused by hyperparameters where its cause says so
    (`FailureCause.depends_on_parameters`). Any other counts where failing of its kind (exception
    and place, or symptom) demonstrably depends on them; kinds of fewer than three failures are
    looked at together. Only the last 150 failures and the last 150 other outcomes are looked at.

    Args:
        space: The hyperparameters to look along. Values of others are not looked at.
        outcomes: Finished trials, oldest first.
    """
    kept = recent([outcome.failed for outcome in outcomes])
    looked_at = [outcomes[index] for index in kept]
    columns = Points.of([axis_of(parameter) for parameter in space], looked_at)
    failed = np.array([outcome.failed for outcome in looked_at], dtype=bool)
    points = columns.encode([outcome.params for outcome in looked_at])
    caused = np.array([_is_conclusive(outcome) for outcome in looked_at], dtype=bool)
    for group in _groups(looked_at):
        caused |= dependent(points, columns.nominal, group, ~failed | group, looked_at)
    counts = ~failed | caused
    points, failed = points[counts], failed[counts]
    everywhere = np.zeros(len(outcomes), dtype=bool)
    everywhere[kept] = caused
    model = None
    if failed.sum() >= _ENOUGH and not failed.all() and points.shape[1]:
        model = LogisticModel.fit(points, columns.nominal, failed)
    return FailureModel(everywhere, columns, points, failed, model)


def _is_conclusive(outcome: Outcome) -> bool:
    cause = outcome.cause
    return outcome.failed and cause is not None and cause.depends_on_parameters is True


def _groups(outcomes: Sequence[Outcome]) -> list[Bools]:
    """Return the failures of each kind that its cause does not settle, and all of rare kinds."""
    kinds = np.array(
        ["" if not o.failed or _is_conclusive(o) else f"{o.cause}: {o.kind}" for o in outcomes],
        dtype=object,
    )
    names, counts = np.unique(kinds[kinds != ""].astype(str), return_counts=True)
    common = [name for name, count in zip(names, counts, strict=True) if count >= _ENOUGH]
    groups = [kinds == name for name in common]
    rare = ~np.isin(kinds.astype(str), ["", *common])
    return [*groups, rare] if rare.any() else groups
