"""MLflow beyond its public API. Imports no TensorFlow."""

from __future__ import annotations

from mlflow.tracking import fluent

DEFAULT_EXPERIMENT_ID = "0"  # in every store; `mlflow.store`'s name for it is not public


def active_experiment_id() -> str:
    """Return the experiment that `mlflow.start_run` would use, without starting a run there."""
    return str(fluent._get_experiment_id())
