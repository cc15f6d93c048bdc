"""The public names are a promise: adding or losing one is a decision."""

from __future__ import annotations

import pytest

import robusttune
from robusttune import FailureCause, Symptom

NAMES = {
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
}


def test_public_names() -> None:
    """What can be imported from robusttune."""
    assert set(robusttune.__all__) == NAMES
    assert robusttune.__all__ == sorted(robusttune.__all__)
    for name in NAMES:
        assert getattr(robusttune, name) is not None


def test_unknown_name() -> None:
    """A name that does not exist is an AttributeError, as everywhere."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = robusttune.no_such_name


def test_optuna_names() -> None:
    """What can be imported from robusttune.optuna."""
    import robusttune.optuna as host

    for name in (
        "CrashAwareSampler",
        "FailureReportCallback",
        "TrialGuard",
        "robust",
        "sanitize_trial",
    ):
        assert getattr(host, name) is not None


@pytest.mark.parametrize("cause", FailureCause)
def test_every_cause_has_advice(cause: FailureCause) -> None:
    """One actionable sentence."""
    assert cause.advice.endswith(".")
    assert len(cause.advice) < 200


def test_causes_and_symptoms_are_the_documented_strings() -> None:
    """Reports and checks elsewhere rely on them to the letter."""
    assert " ".join(FailureCause) == (
        "divergent_learning_rate unscaled_data unsafe_loss non_finite_data label_mismatch"
        " unsafe_metric bad_initialization exploding_gradients numeric_overflow"
        " vanishing_gradients dead_relu no_nonlinearity learning_rate_too_low"
        " insufficient_capacity over_regularized out_of_memory invalid_model code_error timeout"
        " crashed unknown"
    )
    assert " ".join(Symptom) == (
        "non_finite_loss non_finite_gradient non_finite_weights non_finite_objective diverged"
        " stalled exception timeout crashed"
    )
