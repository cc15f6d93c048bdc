"""A further host: what its author needs.

A host is who chooses hyperparameters and keeps the trials: Keras Tuner, Optuna, a plain fit. A
further one runs each trial through `TrialRun`, and gives `register` the names of two modules: one
that reads its stored searches into a `Search`, and one that writes a change of the search space as
lines of its own code.
"""

from __future__ import annotations

from robusttune._host import TrialHost
from robusttune._report.search_data import Search
from robusttune._report.sources import Host, register
from robusttune._report.space_change import Narrowing, ProductBound, SpaceChange
from robusttune._space import Choice, Float, Int, Parameter, role_by_name, sanitize
from robusttune._trial_run import NoObjectiveError, RecordCallback, TrialRun, notify_callbacks

__all__ = [
    "Choice",
    "Float",
    "Host",
    "Int",
    "Narrowing",
    "NoObjectiveError",
    "Parameter",
    "ProductBound",
    "RecordCallback",
    "Search",
    "SpaceChange",
    "TrialHost",
    "TrialRun",
    "notify_callbacks",
    "register",
    "role_by_name",
    "sanitize",
]
