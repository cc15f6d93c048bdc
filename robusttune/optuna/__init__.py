"""robusttune for Optuna: records on failing trials, and samplers that learn from them.

Names are loaded when they are first touched: only TrialGuard loads Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


if not TYPE_CHECKING:  # else a misspelt name would be Any

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = getattr(import_module(f"robusttune.optuna.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module 'robusttune.optuna' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
