"""Diagnosis: from what a failed trial left behind to its cause.

Importing it loads no TensorFlow; only a diagnosis that has a model to look at does.
"""

from robusttune._diagnosis.diagnose import diagnose
from robusttune._diagnosis.diagnose_failure import diagnose_failure, diagnose_stall
from robusttune._diagnosis.verdict import Verdict

__all__ = ["Verdict", "diagnose", "diagnose_failure", "diagnose_stall"]
