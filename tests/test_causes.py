"""Causes: each is one row, and all that is decided by a cause is read from it."""

from __future__ import annotations

import copy
import pickle

import pytest

from robusttune._causes import FailureCause, Treatment
from robusttune._diagnosis.replay.intervention import Intervention

INDEPENDENT = {"non_finite_data", "code_error", "crashed"}
OPEN = {"label_mismatch", "unsafe_metric", "out_of_memory", "timeout", "unknown"}
NARROWING = {
    "divergent_learning_rate",
    "learning_rate_too_low",
    "insufficient_capacity",
    "over_regularized",
    "out_of_memory",
    "invalid_model",
    "timeout",
    "unknown",
}
STRUCTURAL = {
    "label_mismatch",
    "bad_initialization",
    "vanishing_gradients",
    "dead_relu",
    "no_nonlinearity",
}


@pytest.mark.parametrize("cause", FailureCause)
def test_every_cause_has_all_that_is_known_of_it(cause: FailureCause) -> None:
    """A member of its row, which copies and pickles of it keep."""
    assert cause.advice.endswith(".")
    assert FailureCause(cause.value) is cause
    assert pickle.loads(pickle.dumps(cause)) is copy.deepcopy(cause) is cause
    depends = False if cause in INDEPENDENT else (None if cause in OPEN else True)
    assert cause.depends_on_parameters is depends
    assert cause.narrowing is (cause in NARROWING)
    assert cause.structural is (cause in STRUCTURAL)


def test_what_ends_a_search_is_in_the_data_or_in_the_code() -> None:
    """No other cause makes every trial fail whatever its hyperparameters are."""
    ends = {str(cause): cause.ends_search for cause in FailureCause if cause.ends_search}
    assert ends == {
        "non_finite_data": "data",
        "label_mismatch": "data",
        "invalid_model": "code",
        "code_error": "code",
    }


@pytest.mark.parametrize("treatment", Treatment)
def test_every_treatment_speaks_for_one_cause(treatment: Treatment) -> None:
    """Otherwise a cure would leave the cause open."""
    assert [cause.proven_by for cause in FailureCause].count(treatment) == 1


@pytest.mark.parametrize(
    ("change", "causes"),
    [
        (Intervention(), []),
        (Intervention(rate=0.1), ["divergent_learning_rate"]),
        (Intervention(rate=10.0), ["learning_rate_too_low"]),
        (Intervention(inputs=True), ["unscaled_data"]),
        (Intervention(targets=True), ["unscaled_data"]),
        (Intervention(plain_loss=True), ["unsafe_loss"]),
        (Intervention(initialization=True), ["bad_initialization"]),
        (Intervention(float32=True), ["numeric_overflow"]),
        (Intervention(activation="relu"), []),
        (Intervention(clip=1.0), []),
        (Intervention(rate=0.1, inputs=True), ["divergent_learning_rate", "unscaled_data"]),
        (Intervention(plain_loss=True, inputs=True), ["unscaled_data", "unsafe_loss"]),
    ],
)
def test_a_cure_speaks_for_the_causes_of_what_was_changed(
    change: Intervention, causes: list[str]
) -> None:
    """The causes of a change are those that its treatments prove."""
    assert list(change.causes) == causes
