"""The report: records in, tables and pages out; imports no TensorFlow, Keras Tuner or Optuna."""

from robusttune._report.report import Report
from robusttune._report.suggest import Suggestion

__all__ = ["Report", "Suggestion"]
