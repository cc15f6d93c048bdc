"""Parallel trials: in child processes or on an executor."""
