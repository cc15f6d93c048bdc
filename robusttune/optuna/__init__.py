"""robusttune for Optuna: records on failing trials, and samplers that learn from them.

Names are loaded when they are first touched: only TrialGuard loads Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robusttune._lazy import lazy_names

if TYPE_CHECKING:
    from robusttune.optuna.callback import FailureReportCallback
    from robusttune.optuna.dashboard import publish_to_dashboard
    from robusttune.optuna.guard import TrialGuard
    from robusttune.optuna.objective import robust
    from robusttune.optuna.optimize import optimize
    from robusttune.optuna.records import records_of
    from robusttune.optuna.sampler import CrashAwareSampler
    from robusttune.optuna.space import sanitize_trial

# Public name -> the module of this package that defines it.
_HOMES = {
    "CrashAwareSampler": "sampler",
    "FailureReportCallback": "callback",
    "TrialGuard": "guard",
    "optimize": "optimize",
    "publish_to_dashboard": "dashboard",
    "records_of": "records",
    "robust": "objective",
    "sanitize_trial": "space",
}

__all__ = [
    "CrashAwareSampler",
    "FailureReportCallback",
    "TrialGuard",
    "optimize",
    "publish_to_dashboard",
    "records_of",
    "robust",
    "sanitize_trial",
]


if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
