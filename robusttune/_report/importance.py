"""Importance: how much each hyperparameter explains of whether trials fail.

Trees predict from all hyperparameters whether a trial fails, each trial by trees that were not
fitted to it. Then the values of one hyperparameter are dealt out anew among the trials: by how much
that makes the squared error of the predictions worse, over twice the variance of failing, is what
it explains, alone and together with others: 1 where it decides by itself, about 0 where failing is
noise. Sources: permutation importance of Breiman, "Random Forests" (2001), section 10, on held out
trials; the scale is that of Jansen's estimate of the total effect (1999, Computer Physics
Communications 117); the intervals are percentiles of a bootstrap of the trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robusttune._records import TrialRecord
from robusttune._regions import INACTIVE, Axis
from robusttune._regions.features import features_of
from robusttune._report.search_data import has_ended, has_failed

Floats = np.ndarray[Any, np.dtype[np.float64]]

# With fewer failing or other trials than this, nothing can be told.
_FEWEST = 8
# More trials than these cost time and say no more: of trials a regular sample is taken.
_MOST_TRIALS = 1000
_FOLDS, _TREES, _SHUFFLES, _SAMPLES = 5, 40, 3, 400
_SEED = 0


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance of one hyperparameter for failing.

    Args:
        share: Of the variance of failing, 0..1; what several explain together counts for each, so
            that the shares of all of them may add up to more than 1.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    share: float
    low: float
    high: float


def importance_for_failing(
    records: Sequence[TrialRecord], axes: Mapping[str, Axis]
) -> dict[str, Importance]:
    """Return how much each hyperparameter explains of failing, the most important first.

    The same trials always give the same numbers.

    Args:
        records: The trials; those that still run well are left out.
        axes: The hyperparameters, by name.

    Returns:
        By name; {} where too few trials failed, or too few did not, to tell.
    """
    ended = [record for record in records if has_ended(record)]
    ended = ended[:: -(-len(ended) // _MOST_TRIALS) or 1]
    failed = np.array([has_failed(record) for record in ended], dtype=float)
    if min(failed.sum(), (1 - failed).sum()) < _FEWEST:
        return {}
    values = {name: [record.params.get(name, INACTIVE) for record in ended] for name in axes}
    features = [f for f in features_of(values, axes) if not f.is_product]
    if not features:
        return {}
    columns = np.column_stack([_filled(feature.column) for feature in features])
    worse = _worse_by(columns, failed)
    twice = 2 * float(failed.mean() * (1 - failed.mean()))
    rng = np.random.default_rng(_SEED)
    draws = rng.integers(0, len(failed), (_SAMPLES, len(failed)))
    found = {}
    for feature, each in zip(features, worse, strict=True):
        low, high = np.quantile(each[draws].mean(axis=1) / twice, (0.025, 0.975))
        shares = np.clip((each.mean() / twice, low, high), 0.0, 1.0)
        found[feature.name] = Importance(*map(float, shares))
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def _filled(column: Floats) -> Floats:
    """Return a column with a value of its own, below all others, where it is inactive."""
    known = column[~np.isnan(column)]
    return np.where(np.isnan(column), known.min() - 1.0, column)


def _worse_by(columns: Floats, failed: Floats) -> Floats:
    """Return by how much the squared error of each trial grows without each column, (p, n)."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedKFold

    rng = np.random.default_rng(_SEED)
    worse = np.zeros((columns.shape[1], len(failed)))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=_SEED)
    for fitted, held_out in folds.split(columns, failed):
        trees = ExtraTreesClassifier(
            _TREES, min_samples_leaf=2, max_features=None, random_state=_SEED
        ).fit(columns[fitted], failed[fitted])
        known = columns[held_out]
        error = (trees.predict_proba(known)[:, 1] - failed[held_out]) ** 2
        for place in range(columns.shape[1]):
            dealt = np.repeat(known[None], _SHUFFLES, axis=0)
            for copy in dealt:
                copy[:, place] = rng.permutation(copy[:, place])
            told = trees.predict_proba(dealt.reshape(-1, columns.shape[1]))[:, 1]
            errors = (told.reshape(_SHUFFLES, -1) - failed[held_out]) ** 2
            worse[place, held_out] = errors.mean(axis=0) - error
    return worse
