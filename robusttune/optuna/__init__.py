"""robusttune for Optuna: records on failing trials, and samplers that learn from them.

Names are loaded when they are first touched: only TrialGuard loads Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robusttune._lazy import lazy_names

if TYPE_CHECKING:
    from robusttune.optuna._callback import FailureReportCallback as FailureReportCallback
    from robusttune.optuna._dashboard import publish_to_dashboard as publish_to_dashboard
    from robusttune.optuna._guard import TrialGuard as TrialGuard
    from robusttune.optuna._objective import robust as robust
    from robusttune.optuna._optimize import optimize as optimize
    from robusttune.optuna._records import records_of as records_of
    from robusttune.optuna._sampler import CrashAwareSampler as CrashAwareSampler
    from robusttune.optuna._space import sanitize_trial as sanitize_trial

# The list of public names, each with the module that defines it.
_HOMES = {
    "CrashAwareSampler": "_sampler",
    "FailureReportCallback": "_callback",
    "TrialGuard": "_guard",
    "optimize": "_optimize",
    "publish_to_dashboard": "_dashboard",
    "records_of": "_records",
    "robust": "_objective",
    "sanitize_trial": "_space",
}

if not TYPE_CHECKING:
    __all__ = sorted(_HOMES)
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
