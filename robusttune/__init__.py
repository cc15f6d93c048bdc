"""robusttune: hyperparameter searches that survive NaN, say why trials fail, and learn from it.

Names are loaded when they are first touched, so that importing robusttune does not load TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robusttune._deprecation import find_moved_modules
from robusttune._lazy import lazy_names
from robusttune._version import __version__ as __version__

if TYPE_CHECKING:
    from robusttune._causes import FailureCause as FailureCause, Symptom as Symptom
    from robusttune._data import DataFinding as DataFinding, check_data as check_data
    from robusttune._diagnosis.diagnose import diagnose as diagnose
    from robusttune._keras_tuner import (
        BayesianOptimization as BayesianOptimization,
        GridSearch as GridSearch,
        Hyperband as Hyperband,
        RandomSearch as RandomSearch,
        SklearnTuner as SklearnTuner,
        robust as robust,
    )
    from robusttune._plain_fit import Guard as Guard
    from robusttune._policy import Policy as Policy
    from robusttune._records import TrialRecord as TrialRecord
    from robusttune._regions import Region as Region
    from robusttune._report import Report as Report, Suggestion as Suggestion
    from robusttune.errors import (
        DataError as DataError,
        HopelessSearchError as HopelessSearchError,
        InstabilityWarning as InstabilityWarning,
        RobustTuneError as RobustTuneError,
        RobustTuneWarning as RobustTuneWarning,
        SearchSpaceWarning as SearchSpaceWarning,
        StoreError as StoreError,
        TrialFailure as TrialFailure,
    )


# The list of public names, each with the module that defines it.
_HOMES = {
    "BayesianOptimization": "_keras_tuner",
    "DataError": "errors",
    "DataFinding": "_data",
    "FailureCause": "_causes",
    "GridSearch": "_keras_tuner",
    "Guard": "_plain_fit",
    "HopelessSearchError": "errors",
    "Hyperband": "_keras_tuner",
    "InstabilityWarning": "errors",
    "Policy": "_policy",
    "RandomSearch": "_keras_tuner",
    "Region": "_regions",
    "Report": "_report",
    "RobustTuneError": "errors",
    "RobustTuneWarning": "errors",
    "SearchSpaceWarning": "errors",
    "SklearnTuner": "_keras_tuner",
    "StoreError": "errors",
    "Suggestion": "_report",
    "Symptom": "_causes",
    "TrialFailure": "errors",
    "TrialRecord": "_records",
    "check_data": "_data",
    "diagnose": "_diagnosis.diagnose",
    "robust": "_keras_tuner",
}

if not TYPE_CHECKING:
    __all__ = sorted(_HOMES)
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)

find_moved_modules()
