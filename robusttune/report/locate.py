"""Locate: the regions of a search in which trials are unstable, stalled, or fail for one cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from robusttune.causes import FailureCause, Symptom
from robusttune.records import TrialRecord
from robusttune.regions import INACTIVE, Axis, Region, find_regions
from robusttune.report.frames import parameter_names
from robusttune.report.search import has_ended, has_failed


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
    params = {
        name: [record.params.get(name, INACTIVE) for record in ended]
        for name in parameter_names(ended)
    }
    seconds = [np.nan if record.seconds is None else record.seconds for record in ended]
    return find_regions(
        params,
        np.array([is_meant(record) for record in ended], dtype=bool),
        axes,
        causes=[record.cause for record in ended],
        seconds=np.array(seconds, dtype=float),
    )


def _meaning(of: str) -> Callable[[TrialRecord], bool]:
    if of == "unstable":
        return has_failed
    if of == "stalled":
        return lambda record: record.symptom is Symptom.STALLED
    if of in list(FailureCause):
        return lambda record: record.cause == of
    raise ValueError(f"of must be 'unstable', 'stalled' or a FailureCause, got {of!r}.")
