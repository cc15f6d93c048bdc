"""The report: records in, tables and pages out; imports no TensorFlow, Keras Tuner or Optuna."""

from robusttune.report.report import Report

__all__ = ["Report"]
