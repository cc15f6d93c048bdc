"""robusttune: hyperparameter searches that survive NaN, say why trials fail, and learn from it.

Names are loaded when they are first touched, so that importing robusttune does not load TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robusttune._lazy import lazy_names
from robusttune._version import __version__ as __version__

if TYPE_CHECKING:
    from robusttune.causes import FailureCause, Symptom
    from robusttune.data import DataFinding, check_data
    from robusttune.diagnosis import diagnose
    from robusttune.errors import (
        DataError,
        HopelessSearchError,
        InstabilityWarning,
        RobustTuneError,
        RobustTuneWarning,
        SearchSpaceWarning,
        StoreError,
        TrialFailure,
    )
    from robusttune.plain_fit import Guard
    from robusttune.policy import Policy
    from robusttune.records import TrialRecord
    from robusttune.regions import Region
    from robusttune.report import Report, Suggestion
    from robusttune.tuners import (
        BayesianOptimization,
        GridSearch,
        Hyperband,
        RandomSearch,
        SklearnTuner,
        robust,
    )


# Public name -> the module that defines it.
_HOMES = {
    "BayesianOptimization": "tuners",
    "DataError": "errors",
    "DataFinding": "data",
    "FailureCause": "causes",
    "GridSearch": "tuners",
    "Guard": "plain_fit",
    "HopelessSearchError": "errors",
    "Hyperband": "tuners",
    "InstabilityWarning": "errors",
    "Policy": "policy",
    "RandomSearch": "tuners",
    "Region": "regions",
    "Report": "report",
    "RobustTuneError": "errors",
    "RobustTuneWarning": "errors",
    "SearchSpaceWarning": "errors",
    "SklearnTuner": "tuners",
    "StoreError": "errors",
    "Suggestion": "report",
    "Symptom": "causes",
    "TrialFailure": "errors",
    "TrialRecord": "records",
    "check_data": "data",
    "diagnose": "diagnosis",
    "robust": "tuners",
}

__all__ = [
    "BayesianOptimization",
    "DataError",
    "DataFinding",
    "FailureCause",
    "GridSearch",
    "Guard",
    "HopelessSearchError",
    "Hyperband",
    "InstabilityWarning",
    "Policy",
    "RandomSearch",
    "Region",
    "Report",
    "RobustTuneError",
    "RobustTuneWarning",
    "SearchSpaceWarning",
    "SklearnTuner",
    "StoreError",
    "Suggestion",
    "Symptom",
    "TrialFailure",
    "TrialRecord",
    "check_data",
    "diagnose",
    "robust",
]


if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
