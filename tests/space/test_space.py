"""The neutral space: what is sanitized, what is left alone, and what always holds."""

from __future__ import annotations

import math
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from robusttune import Policy
from robusttune._space import Adjustment, Choice, Float, Int, Role, role_by_name, sanitize
from robusttune._space.roles import RULES, is_number, rule_for
from tests.space.strategies import ROLES, choices, floats, ints

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("asked", "role", "sanitized"),
    [
        # Any role: bounds that are no numbers, in the wrong order, or no logarithm.
        (Float("x", 1e-5, INF), None, Float("x", 1e-5, 1e-5)),
        (Float("x", NAN, 1.0), None, Float("x", 1.0, 1.0)),
        (Float("x", NAN, NAN), None, Float("x", 0.0, 1.0)),
        (Float("x", -INF, INF), Role.DROPOUT, Float("x", 0.0, 0.9)),
        (Float("x", 1e-6, 1e300), Role.EPSILON, Float("x", 1e-6, 1e-6)),
        (Float("x", 2.0, 1.0), None, Float("x", 1.0, 2.0)),
        (Int("x", 64, 32), None, Int("x", 32, 64)),
        (Float("x", 0.0, 1.0, log=True), None, Float("x", 1e-4, 1.0, log=True)),
        (Float("x", -1.0, 1.0, log=True), None, Float("x", -1.0, 1.0)),
        (Int("x", 0, 64, log=True), None, Int("x", 1, 64, log=True)),
        # Any role: steps.
        (Float("x", 0.0, 1.0, step=0.0), None, Float("x", 0.0, 1.0)),
        (Float("x", 0.0, 1.0, step=NAN), None, Float("x", 0.0, 1.0)),
        (Int("x", 1, 8, step=-1), None, Int("x", 1, 8, step=1)),
        (Int("x", 1, 8, step=1, log=True), None, Int("x", 1, 8, log=True)),
        (Int("x", 32, 64, step=100), None, Int("x", 32, 64, step=32)),
        (Float("x", 1.0, 10.0, step=100.0, log=True), None, Float("x", 1.0, 10.0, True, 10.0)),
        (Float("x", 0.0, 1.0, step=1e-100), None, Float("x", 0.0, 1.0)),
        # Any role: defaults and choices.
        (Float("x", 0.0, 1.0, default=2.0), None, Float("x", 0.0, 1.0, default=1.0)),
        (Float("x", 0.0, 1.0, default=NAN), None, Float("x", 0.0, 1.0)),
        (Choice("x", (1, 2, 2)), None, Choice("x", (1, 2))),
        (Choice("x", ("a", "a")), None, Choice("x", ("a",))),
        (Choice("x", (0.1, NAN, INF)), None, Choice("x", (0.1,))),
        (Choice("x", (1, 2), default=3), None, Choice("x", (1, 2))),
        # Learning rates.
        (
            Float("lr", 0.0, 10.0),
            Role.LEARNING_RATE,
            Float("lr", 1e-5, 10.0, log=True),
        ),
        (Float("lr", 0.0, 1e-4), Role.LEARNING_RATE, Float("lr", 1e-7, 1e-4, log=True)),
        (Float("lr", 0.0, 5e-324), Role.LEARNING_RATE, Float("lr", 5e-324, 5e-324)),
        (Float("lr", 1e-4, 1.0), Role.LEARNING_RATE, Float("lr", 1e-4, 1.0, log=True)),
        (
            Float("lr", 1e-4, 100.0, log=True),
            Role.LEARNING_RATE,
            Float("lr", 1e-4, 10.0, log=True),
        ),
        (Float("lr", 0.0, 0.1, step=0.01), Role.LEARNING_RATE, Float("lr", 0.01, 0.1, step=0.01)),
        (Float("lr", 1e-3, INF), Role.LEARNING_RATE, Float("lr", 1e-3, 10.0, log=True)),
        (
            Float("lr", 1e-3, 1e3, log=True, step=10.0),
            Role.LEARNING_RATE,
            Float("lr", 1e-3, 10.0, log=True, step=10.0),
        ),
        (
            Choice("lr", (0.0, 0.01, 1.0, 100.0)),
            Role.LEARNING_RATE,
            Choice("lr", (0.01, 1.0)),
        ),
        (Choice("lr", (1, 0.1)), Role.LEARNING_RATE, Choice("lr", (1.0, 0.1))),
        (Choice("lr", (1, 0)), Role.LEARNING_RATE, Choice("lr", (1.0,))),
        (Choice("lr", (100.0, 1000.0)), Role.LEARNING_RATE, Choice("lr", (10.0,))),
        # Every other role's limits.
        (Float("m", 0.0, 1.0), Role.MOMENTUM, Float("m", 0.0, 0.999)),
        (Float("m", 0.5, 1.5), Role.MOMENTUM, Float("m", 0.5, 0.999)),
        (Float("m", 1.5, 2.0), Role.MOMENTUM, Float("m", 0.999, 0.999)),
        (Float("b", 0.9, 1.0), Role.BETA, Float("b", 0.9, 0.9999)),
        (Float("d", 0.0, 1.0), Role.DROPOUT, Float("d", 0.0, 0.9)),
        (Float("d", 0.0, 1.0, step=0.25), Role.DROPOUT, Float("d", 0.0, 0.75, step=0.25)),
        (Float("d", -0.1, 0.5), Role.DROPOUT, Float("d", 0.0, 0.5)),
        (Float("d", 0.95, 1.0), Role.DROPOUT, Float("d", 0.95, 0.95)),
        (Choice("d", (0.2, 0.5, 1.0)), Role.DROPOUT, Choice("d", (0.2, 0.5))),
        (Float("e", 0.0, 1e-3), Role.EPSILON, Float("e", 1e-8, 1e-3, log=True)),
        (Float("w", -1e-3, 1e-3), Role.WEIGHT_DECAY, Float("w", 0.0, 1e-3)),
        (Float("w", 1e-6, 1e-2), Role.WEIGHT_DECAY, Float("w", 1e-6, 1e-2, log=True)),
        (Float("c", -1.0, 1.0), Role.CLIP, Float("c", 0.0, 1.0)),
        (Float("s", -1.0, 1.0), Role.INIT_SCALE, Float("s", 0.0, 1.0)),
        (Int("u", 0, 64), Role.UNITS, Int("u", 1, 64)),
        (Int("u", 0, 64, step=16), Role.UNITS, Int("u", 16, 64, step=16)),
        (Int("k", 0, 5), Role.KERNEL_SIZE, Int("k", 1, 5)),
        (Int("b", -8, 64), Role.BATCH_SIZE, Int("b", 1, 64)),
        (Choice("u", (0, -1)), Role.UNITS, Choice("u", (1,))),
    ],
)
def test_sanitize_mends(asked, role, sanitized):
    """What cannot be meant is sanitized, and each changed field is on record."""
    result, adjustments = sanitize(asked, role)
    assert repr(result) == repr(sanitized)
    changed = {
        field
        for field in asked.__slots__
        if repr(getattr(asked, field)) != repr(getattr(sanitized, field))
    }
    assert {a.field for a in adjustments} == changed
    assert all(a.parameter == asked.name and a.reason for a in adjustments)


@pytest.mark.parametrize(
    ("sound", "role"),
    [
        (Float("lr", 1e-4, 1e-2), Role.LEARNING_RATE),
        (Float("lr", 1e-5, 1e-1, log=True), Role.LEARNING_RATE),
        (Float("lr", 1e-4, 1e-1, step=1e-4), Role.LEARNING_RATE),
        (Choice("lr", (1e-2, 1e-3, 1e-4)), Role.LEARNING_RATE),
        (Choice("lr", tuple(np.logspace(-4, -1, 4))), Role.LEARNING_RATE),
        (Float("d", 0.0, 0.95), Role.DROPOUT),
        (Float("m", 0.0, 0.9999), Role.MOMENTUM),
        (Float("w", 0.0, 0.1), Role.WEIGHT_DECAY),
        (Float("s", 0.0, 1.0), Role.INIT_SCALE),
        (Int("u", 32, 100, step=32), Role.UNITS),
        (Int("n", 5, 5), None),
        (Float("x", -5.0, 5.0), None),
        (Float("x", 0.0, 1e6), None),
        (Choice("a", ("relu", "tanh")), None),
        (Choice("flag", (True, False)), None),
        (Choice("mixed", (1, True, 1.0, None)), None),
    ],
)
def test_sanitize_leaves_sound_parameters_alone(sound, role):
    """A sound parameter comes back as the very same object."""
    assert sanitize(sound, role) == (sound, ())
    assert sanitize(sound, role)[0] is sound


@pytest.mark.parametrize(
    ("optimizers", "cap"),
    [
        ((), 10.0),
        (("Adam",), 1.0),
        (("adam", "RMSprop"), 1.0),
        (("Adam", "SGD"), 10.0),
        (("Homemade",), 10.0),
    ],
)
def test_learning_rate_cap_is_that_of_the_most_lenient_optimizer(optimizers, cap):
    """A cap may only cut what trains with none of the optimizers in the search."""
    lr, adjustments = sanitize(
        Float("lr", 1e-4, 1e3, log=True), Role.LEARNING_RATE, optimizers=optimizers
    )
    assert lr == Float("lr", 1e-4, cap, log=True)
    assert f"above {cap:g}" in adjustments[0].reason


def test_batch_size_is_capped_by_the_data():
    """Batches larger than the data are all the same batch."""
    asked = Int("batch_size", 16, 1024, step=16)
    assert sanitize(asked, Role.BATCH_SIZE)[0] is asked
    assert sanitize(asked, Role.BATCH_SIZE, samples=100)[0] == Int("batch_size", 16, 96, step=16)


def test_range_test_caps_a_learning_rate():
    """The cap is three times the highest rate that survived, and says so."""
    lr, adjustments = sanitize(Float("lr", 1e-4, 1.0, log=True), Role.LEARNING_RATE, survived=0.02)
    assert lr == Float("lr", 1e-4, 0.06, log=True)
    assert "0.02 was the highest rate that survived a range test" in adjustments[0].reason


def test_policy_decides():
    """Off and keep do nothing; warn says what would be changed and changes nothing."""
    asked = Float("lr", 0.0, 10.0)
    role = Role.LEARNING_RATE
    assert sanitize(asked, role, Policy(sanitize="off")) == (asked, ())
    assert sanitize(asked, role, Policy(keep=frozenset({"lr"}))) == (asked, ())
    unchanged, proposals = sanitize(asked, role, Policy(sanitize="warn"))
    assert unchanged is asked
    assert proposals == sanitize(asked, role)[1]


def test_adjustment_reads_well_and_survives_json():
    """An adjustment is one line for people, and strict JSON for storage."""
    change = sanitize(Float("lr", 1e-3, INF), Role.LEARNING_RATE)[1][0]
    assert str(change) == "high inf -> 10.0 (the bound is not a finite float32 number)"
    assert Adjustment.from_dict(change.to_dict()) == change
    assert change.to_dict()["before"] == "inf"
    with pytest.raises(ValueError, match="Not an adjustment"):
        Adjustment.from_dict({"parameter": "lr"})


@pytest.mark.parametrize(
    ("parameter", "role"),
    [
        (Float("lr", 0.0, 10.0), Role.LEARNING_RATE),
        (Float("learning_rate", 0.0, 1.0), Role.LEARNING_RATE),
        (Float("learningRate", 0.0, 1.0), Role.LEARNING_RATE),
        (Float("optimizer/adam_lr", 1e-5, 1.0), Role.LEARNING_RATE),
        (Float("learning_rate_init", 1e-5, 1.0), Role.LEARNING_RATE),
        (Choice("lr", (0.1, 0.01)), Role.LEARNING_RATE),
        (Float("lr", NAN, 1.0), Role.LEARNING_RATE),
        (Float("log_lr", -5.0, -1.0), None),
        (Float("lr", -5.0, -1.0), None),
        (Float("lr", -5.0, 0.5), None),
        (Float("lr", 1.0, 100.0), None),
        (Int("lr", 1, 10), None),
        (Choice("lr", (-4, -3)), None),
        (Float("lr_decay", 0.0, 1.0), None),
        (Float("min_lr", 0.0, 1.0), None),
        (Float("lr_factor", 0.1, 10.0), None),
        (Float("momentum", 0.0, 1.0), Role.MOMENTUM),
        (Float("momentum_decay", 0.0, 1.0), None),
        (Float("dropout_1", 0.0, 1.0), Role.DROPOUT),
        (Float("drop_rate", 0.0, 1.0), Role.DROPOUT),
        (Float("dropout", 0.0, 50.0), None),
        (Int("dropout", 10, 50), None),
        (Float("dropout_keep", 0.0, 1.0), None),
        (Float("beta_1", 0.8, 1.0), Role.BETA),
        (Float("beta", 0.0, 5.0), None),
        (Float("epsilon", 0.0, 1.0), None),
        (Float("adam_epsilon", 0.0, 1e-3), Role.EPSILON),
        (Float("weight_decay", 0.0, 0.1), Role.WEIGHT_DECAY),
        (Float("l2", 0.0, 0.1), Role.WEIGHT_DECAY),
        (Float("dropout_l2", 0.0, 1.0), Role.DROPOUT),
        (Float("scale_l2", 0.0, 1.0), None),
        (Float("clipnorm", 0.0, 1.0), Role.CLIP),
        (Int("n_units_l1", 4, 128), Role.UNITS),
        (Int("units_3", 0, 128), None),
        (Int("units_3", -8, 128), Role.UNITS),
        (Int("filters", 16, 64), Role.UNITS),
        (Int("kernel_size", 1, 5), Role.KERNEL_SIZE),
        (Choice("batch_size", (16, 32)), Role.BATCH_SIZE),
        (Float("alpha", 0.0, 1.0), None),
        (Float("lr_C", 1e-4, 1e2), None),
        (Float("lr_2", 1e-4, 1e2), Role.LEARNING_RATE),
        (Float("learning_rate_disc", 1e-4, 1.0), Role.LEARNING_RATE),
        (Float("lr_sgd", 1e-4, 1.0), Role.LEARNING_RATE),
        (Float("momentum_weight", 0.0, 2.0), None),
        (Float("momentum", 0.0, 20.0), None),
        (Float("sgd_momentum", 0.5, 1.5), Role.MOMENTUM),
        (Float("beta1", 0.0, 5.0), None),
        (Float("l1", -1.0, 1.0), None),
        (Float("weight_decay", -1.0, 1.0), Role.WEIGHT_DECAY),
        (Choice("lr_schedule", ("cosine", "step")), None),
        (Float("cholright", 0.0, 1.0), None),
    ],
)
def test_role_by_name(parameter, role):
    """A name gives a role only where it can hardly mean anything else."""
    assert role_by_name(parameter) is role


def test_the_core_imports_no_host():
    """The neutral space loads neither TensorFlow, Keras Tuner nor Optuna."""
    code = (
        "import robusttune._space, sys;"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras_tuner', 'optuna')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What always holds -----------------------------------------------------------------------------

PARAMETERS = st.one_of(floats(), ints(), choices())
OPTIMIZERS = st.sampled_from([(), ("adam",), ("adam", "sgd")])


@settings(max_examples=500, deadline=None)
@given(PARAMETERS, ROLES, OPTIMIZERS, st.none() | st.integers(1, 500))
def test_sanitize_is_idempotent(asked, role, optimizers, samples):
    """Sanitizing what was sanitized changes nothing."""
    given_facts = {"optimizers": optimizers, "samples": samples}
    once, _ = sanitize(asked, role, **given_facts)
    assert sanitize(once, role, **given_facts) == (once, ())


@settings(max_examples=500, deadline=None)
@given(PARAMETERS, ROLES, OPTIMIZERS)
def test_sanitize_never_widens(asked, role, optimizers):
    """The result lies in what was asked for, or is one value where none of that works."""
    result, _ = sanitize(asked, role, optimizers=optimizers)
    assert type(result) is type(asked)
    if isinstance(asked, Choice):
        assert len(result.choices) == 1 or set(result.choices) <= set(asked.choices)
    elif all(abs(v) < 3e38 for v in (asked.low, asked.high)) and result.low < result.high:
        low, high = sorted((asked.low, asked.high))
        assert low <= result.low
        assert result.high <= high


@settings(max_examples=500, deadline=None)
@given(PARAMETERS, ROLES, OPTIMIZERS)
def test_sanitize_returns_values_that_work(asked, role, optimizers):
    """Each value of the result is finite and allowed for the role."""
    result, _ = sanitize(asked, role, optimizers=optimizers)
    rule = rule_for(role, optimizers=optimizers)
    if isinstance(result, Choice):
        assert result.choices
        assert result.default is None or result.default in result.choices
        assert all(math.isfinite(v) and rule.allows(v) for v in result.choices if is_number(v))
        return
    assert math.isfinite(result.low)
    assert math.isfinite(result.high)
    assert result.low <= result.high
    assert rule.allows(result.low)
    assert rule.allows(result.high)
    assert not result.log or result.low > 0
    assert result.step is None or result.step > (1 if result.log else 0)
    assert result.default is None or result.low <= result.default <= result.high


@pytest.mark.parametrize("role", Role)
def test_every_role_has_a_rule_that_mends_to_what_it_allows(role):
    """A new role cannot be forgotten, and its floor and ceiling work."""
    rule = RULES[role]
    assert rule.allows(rule.floor) or rule.low is None
    assert rule.allows(rule.ceiling) or rule.high is None
