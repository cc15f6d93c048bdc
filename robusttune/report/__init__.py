"""The report: records in, tables and pages out; imports no TensorFlow, Keras Tuner or Optuna."""

from robusttune.report.report import Report
from robusttune.report.suggest import Suggestion

__all__ = ["Report", "Suggestion"]
