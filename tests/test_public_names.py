"""The public names are a promise: adding or losing one is a decision."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import cast

import pytest

import robusttune
import robusttune._keras_tuner
import robusttune.errors
from robusttune import FailureCause, Symptom
from tests import ROOT

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


PUBLIC = ["", ".cli", ".errors", ".executors", ".hosts", ".optuna", ".trackers", ".visualization"]
LAZY = ["", ".executors", ".optuna", ".trackers"]
PACKAGE = Path(robusttune.__file__).parent


def test_public_names() -> None:
    """What can be imported from robusttune."""
    assert set(robusttune.__all__) == NAMES
    for name in NAMES:
        assert getattr(robusttune, name) is not None


def test_public_modules() -> None:
    """All others have an underscore somewhere in their path."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            found.add("".join(f".{part}" for part in parts))
    assert sorted(found) == PUBLIC


@pytest.mark.parametrize("module", PUBLIC)
def test_public_modules_list_their_names_and_the_api_documents_each(module: str) -> None:
    """`__all__`, what exists and the API page agree."""
    home = importlib.import_module(f"robusttune{module}")
    api = (ROOT / "docs" / "reference" / "api.rst").read_text(encoding="utf-8")
    assert home.__all__ == sorted(home.__all__)
    for name in home.__all__:
        assert hasattr(home, name)
        full = f"robusttune{module}.{name}"
        wholly = f"automodule:: robusttune{module}\n" in api and module
        if not wholly and full != "robusttune.cli.main":  # the command has a page of its own
            documented = rf"^(\.\. .*::| +) {re.escape(full)}\b"
            in_errors = not module and name in robusttune.errors.__all__
            assert in_errors or re.search(documented, api, re.MULTILINE), full


@pytest.mark.parametrize("module", LAZY)
def test_type_checkers_see_the_names_that_are_listed(module: str) -> None:
    """The imports for them are those of the list, each from the same module."""
    home = importlib.import_module(f"robusttune{module}")
    assert home.__file__ is not None
    tree = ast.parse(Path(home.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    seen = {
        alias.asname: statement.module.removeprefix(f"robusttune{module}.")
        for statement in block
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    }
    assert seen == home._HOMES


@pytest.mark.parametrize("name", sorted({*NAMES} & {*robusttune._keras_tuner.__all__} - {"robust"}))
def test_type_checkers_see_the_tuners_as_they_are(name: str) -> None:
    """The stub has the arguments of what runs, with those that have a default."""
    stub = ast.parse(Path(robusttune._keras_tuner.__file__).with_suffix(".pyi").read_text())
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
