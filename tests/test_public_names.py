"""The public names are a promise: adding or losing one is a decision."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import cast

import pytest

import robusttune
import robusttune.tuners
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


@pytest.mark.parametrize("name", sorted({*NAMES} & {*robusttune.tuners.__all__} - {"robust"}))
def test_type_checkers_see_the_tuners_as_they_are(name: str) -> None:
    """The stub has the arguments of what runs, with those that have a default."""
    stub = ast.parse(Path(robusttune.tuners.__file__).with_suffix(".pyi").read_text())
    (found,) = (n for n in stub.body if isinstance(n, ast.ClassDef) and n.name == name)
    arguments = cast(ast.FunctionDef, found.body[0]).args
    first, *given = arguments.args
    optional = [a.arg for a in given[len(given) - len(arguments.defaults) :]]
    parameters = inspect.signature(getattr(robusttune, name)).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert first.arg == "self"
    assert [a.arg for a in given] == [p.name for p in positional]
    assert optional == [p.name for p in positional if p.default is not p.empty]
    own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert [a.arg for a in arguments.kwonlyargs] == own


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
