"""Locate: the regions of a search in which trials are unstable, stalled, or fail for one cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robusttune._causes import FailureCause, Symptom
from robusttune._error_kinds import kind_of_error
from robusttune._records import TrialRecord
from robusttune._regions import INACTIVE, Axis, Region, find_regions
from robusttune._regions.significance import wilson
from robusttune._report.frames import parameter_names
from robusttune._report.search_data import has_ended, has_failed


def locate(
    records: Sequence[TrialRecord], axes: Mapping[str, Axis], of: str = "unstable"
) -> list[Region]:
    """Return the regions of a search, the most important first.

    Args:
        records: The trials; those that still run well are left out.
        axes: The hyperparameters, by name.
        of: "unstable", "stalled" or a cause.

    Raises:
        ValueError: `of` is none of these.
    """
    is_meant = _meaning(of)
    ended = [record for record in records if has_ended(record)]
    kinds = [_kind(record) if is_meant(record) else None for record in ended]
    groups = [kind for kind, n in Counter(filter(None, kinds)).most_common() if n >= _FEWEST]
    if len(set(filter(None, kinds))) <= 1:
        return _regions(ended, np.array([kind is not None for kind in kinds]), axes, 0.05)
    found = [
        _counted(region, ended, kinds, kind)
        for kind in groups
        for region in _regions_of_kind(ended, kinds, kind, axes, 0.05 / len(groups))
    ]
    return sorted(found, key=lambda region: -region.failures)


# An exception of fewer trials has no region.
_FEWEST = 3
_TOGETHER = "whatever went wrong in numbers, in time or in memory"


def _kind(record: TrialRecord) -> str:
    """Return what a failure has in common with others: the exception of the user's code, if any.

    Different exceptions are different faults, and no rule covers both of them.
    """
    by_code = record.cause is not None and record.cause.ends_search == "code"
    if not by_code or not record.error:
        return _TOGETHER
    return kind_of_error(record.error, record.params)


def _regions(
    records: Sequence[TrialRecord], failed: Any, axes: Mapping[str, Axis], alpha: float
) -> list[Region]:
    params = {
        name: [record.params.get(name, INACTIVE) for record in records]
        for name in parameter_names(records)
    }
    seconds = [np.nan if record.seconds is None else record.seconds for record in records]
    return find_regions(
        params,
        np.asarray(failed, dtype=bool),
        axes,
        causes=[record.cause for record in records],
        seconds=np.array(seconds, dtype=float),
        alpha=alpha,
    )


def _regions_of_kind(
    records: Sequence[TrialRecord],
    kinds: Sequence[str | None],
    kind: str,
    axes: Mapping[str, Axis],
    alpha: float,
) -> list[Region]:
    """Return the regions of one kind among the trials that failed by it, or did not fail."""
    kept = [i for i, other in enumerate(kinds) if other in (None, kind)]
    failed = np.array([kinds[i] == kind for i in kept], dtype=bool)
    return _regions([records[i] for i in kept], failed, axes, alpha)


def _counted(
    region: Region, records: Sequence[TrialRecord], kinds: Sequence[str | None], kind: str
) -> Region:
    """Return a region of one kind of failure with its numbers among all trials of the search."""
    inside = [region.contains(record.params) for record in records]
    bad = [r for r, i, other in zip(records, inside, kinds, strict=True) if i and other == kind]
    trials, failures = sum(inside), len(bad)
    low, high = wilson(failures, trials)
    return replace(
        region,
        trials=trials,
        failures=failures,
        failure_rate=failures / trials,
        baseline_rate=sum(other is not None for other in kinds) / len(kinds),
        ci_low=low,
        ci_high=high,
        exception=None if kind == _TOGETHER else next((r.error for r in bad), None),
    )


def _meaning(of: str) -> Callable[[TrialRecord], bool]:
    if of == "unstable":
        return has_failed
    if of == "stalled":
        return lambda record: record.symptom is Symptom.STALLED
    if of in list(FailureCause):
        return lambda record: record.cause == of
    raise ValueError(f"of must be 'unstable', 'stalled' or a FailureCause, got {of!r}.")
