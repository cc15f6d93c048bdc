"""The parts of the diagnosis that need no model: rules over labels, exceptions, related_trials."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robusttune import FailureCause, Policy, Symptom, TrialRecord
from robusttune._diagnosis import confidence
from robusttune._diagnosis.arrays import shapes
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.data.labels import label_mismatch
from robusttune._diagnosis.diagnose_failure import diagnose_failure
from robusttune._diagnosis.model.info import LossFacts, OutputHead, model_facts
from robusttune._diagnosis.reference.baseline import constant_loss
from robusttune._diagnosis.related_trials import earlier_like_this, rate_parameter, search_evidence
from robusttune._diagnosis.replay.intervention import Intervention, ReplayResult
from robusttune._diagnosis.stalls.detection import is_gaining
from robusttune._diagnosis.trace import Batch, FitTrace
from robusttune._diagnosis.verdict import Verdict

CLASSES = np.array([0, 1, 2, 1])
ONE_HOT = np.eye(3)[CLASSES]
REALS = np.array([0.3, 20.0, -4.0, 7.5])


def _facts(name: str, *, from_logits: bool = False) -> LossFacts:
    return LossFacts(name=name, built_in=True, from_logits=from_logits)


@pytest.mark.parametrize(
    ("y", "loss", "units", "activation"),
    [
        (CLASSES, "sparse_categorical_crossentropy", 3, "softmax"),
        (ONE_HOT, "categorical_crossentropy", 3, "softmax"),
        (CLASSES > 0, "binary_crossentropy", 1, "sigmoid"),
        ([0.1, 0.9], "binary_crossentropy", 1, "sigmoid"),
        ([-1, 1, 1], "hinge", 1, "tanh"),
        (REALS, "mean_squared_error", 1, "linear"),
        ([0.2, 0.8], "mean_squared_error", 1, "sigmoid"),
        ([0, 3, 1], "poisson", 1, "exponential"),
        (REALS, "mean_absolute_error", None, None),
    ],
)
def test_labels_that_agree_are_left_alone(y, loss, units, activation):
    """Ordinary pairs of labels, loss and head are no mismatch."""
    assert label_mismatch(np.asarray(y), _facts(loss), OutputHead(units, activation)) is None


@pytest.mark.parametrize(
    ("y", "loss", "units", "activation", "certain"),
    [
        (CLASSES + 1, "sparse_categorical_crossentropy", 3, "softmax", True),
        (CLASSES - 1, "sparse_categorical_crossentropy", 3, "softmax", True),
        (CLASSES + 0.5, "sparse_categorical_crossentropy", 3, "softmax", True),
        (CLASSES, "sparse_categorical_crossentropy", 1, "softmax", True),
        (CLASSES, "sparse_categorical_crossentropy", 3, "linear", False),
        (CLASSES[:, None], "categorical_crossentropy", 1, "sigmoid", True),
        (ONE_HOT * 5, "categorical_crossentropy", 3, "softmax", True),
        ([-1, 1], "binary_crossentropy", 1, "sigmoid", True),
        ([0, 9], "binary_crossentropy", 1, "sigmoid", True),
        ([0, 1], "binary_crossentropy", 1, "softmax", True),
        ([0, 1], "binary_crossentropy", 1, "linear", False),
        ([0, 3], "hinge", 1, "tanh", True),
        (REALS, "mean_squared_error", 1, "sigmoid", True),
        (-np.abs(REALS) - 1, "mean_squared_error", 1, "relu", True),
        ([-2, 3], "poisson", 1, "exponential", True),
        ([2, 3], "poisson", 1, "linear", False),
    ],
)
def test_labels_that_disagree_are_named(y, loss, units, activation, certain):
    """Each disagreement has a reason and a fix, and says whether it is beyond doubt."""
    found = label_mismatch(np.asarray(y), _facts(loss), OutputHead(units, activation))
    assert found is not None
    assert (bool(found.reason), bool(found.fix), found.certain) == (True, True, certain)


@pytest.mark.parametrize(
    ("y", "name", "units"),
    [
        (CLASSES > 0, "binary_crossentropy", 1),
        (ONE_HOT, "categorical_crossentropy", 3),
        (CLASSES, "sparse_categorical_crossentropy", 3),
    ],
)
def test_logits_take_a_linear_head(y, name, units):
    """A loss with from_logits=True goes with a linear head."""
    loss = _facts(name, from_logits=True)
    assert label_mismatch(np.asarray(y), loss, OutputHead(units, "linear")) is None


def test_an_ignored_label_is_no_label():
    """Segmentation marks unlabelled pixels with a class that the loss ignores."""
    loss = LossFacts("sparse_categorical_crossentropy", built_in=True, ignore_class=255)
    assert label_mismatch(np.array([0, 1, 255]), loss, OutputHead(2, "softmax")) is None
    assert label_mismatch(np.array([0, 2, 255]), loss, OutputHead(2, "softmax")) is not None


def test_a_users_own_loss_is_not_judged_by_its_name():
    """A custom loss may take any labels."""
    loss = LossFacts(name="binary_crossentropy", built_in=False)
    assert label_mismatch(np.array([-1, 1]), loss, OutputHead(1, "sigmoid")) is None


def test_the_optimizers_of_an_own_train_step_are_those_it_uses():
    """compile() without arguments gives a GAN an optimizer that none of its players has."""

    class Optimizer:
        apply_gradients = None

        def __init__(self, rate):
            self.learning_rate = rate

    class RMSprop(Optimizer):
        pass

    class SGD(Optimizer):
        pass

    players = {"generator_optimizer": SGD(1e-3), "critic_optimizer": SGD(1e3)}
    facts = model_facts(SimpleNamespace(optimizer=RMSprop(1e-3), loss=None, **players))
    assert (facts.optimizer, facts.learning_rate) == ("sgd", 1e3)
    facts = model_facts(SimpleNamespace(optimizer=RMSprop(1e-3), loss="mse", **players))
    assert (facts.optimizer, facts.learning_rate) == ("rmsprop", 1e-3)
    facts = model_facts(SimpleNamespace(optimizer=RMSprop(1e-3), loss=None))
    assert (facts.optimizer, facts.learning_rate) == ("rmsprop", 1e-3)


@pytest.mark.parametrize(
    ("symptom", "cause"), [(Symptom.TIMEOUT, "timeout"), (Symptom.CRASHED, "crashed")]
)
def test_some_symptoms_are_their_own_cause(symptom, cause):
    """A timeout and a crash need no diagnosis."""
    assert diagnose_failure(symptom, policy=Policy()).cause == cause


def test_nothing_known_is_unknown():
    """Without model, trace or error the honest answer is unknown, with little confidence."""
    verdict = diagnose_failure(Symptom.NON_FINITE_LOSS, policy=Policy())
    assert verdict.cause is FailureCause.UNKNOWN
    assert verdict.confidence < 0.5
    assert verdict.advice


def _record(rate: float, *, bad: bool, **extra: object) -> TrialRecord:
    fields: dict[str, object] = {"params": {"lr": rate, "units": 8}, "status": "completed", **extra}
    if bad:
        fields |= {
            "status": "failed",
            "unstable": True,
            "symptom": "non_finite_loss",
            "cause": "divergent_learning_rate",
            "confidence": 0.95,
            "fix_verified": True,
            "advice": "Lower it.",
        }
    return TrialRecord(trial_id=f"t{rate:g}", **fields)


def test_a_threshold_in_the_rate_is_found():
    """Failures above a rate and health below it speak for the rate."""
    related_trials = [_record(10.0**k, bad=k >= 0) for k in range(-5, 3)]
    found = search_evidence({"lr": 5.0}, 5.0, related_trials)
    assert (found.parameter, found.threshold, found.failures, found.healthy) == ("lr", 1.0, 3, 5)
    assert found.speaks_for_rate
    assert not found.speaks_against_rate


def test_failures_at_all_rates_speak_against_the_rate():
    """Where everything fails, at rates over two decades or more, the rate is not to blame."""
    found = search_evidence({"lr": 0.1}, 0.1, [_record(10.0**k, bad=True) for k in range(-5, 0)])
    assert found.speaks_against_rate
    assert not found.speaks_for_rate


def test_few_siblings_say_nothing():
    """Two trials a side are no evidence."""
    found = search_evidence({"lr": 1.0}, 1.0, [_record(10.0, bad=True), _record(0.1, bad=False)])
    assert not found.speaks_for_rate
    assert not found.speaks_against_rate


@pytest.mark.parametrize(
    ("params", "rate", "name"),
    [
        ({"learning_rate": 0.1}, None, "learning_rate"),
        ({"adam_lr": 0.1, "dropout": 0.5}, None, "adam_lr"),
        ({"alpha": 0.02, "dropout": 0.5}, 0.02, "alpha"),
        ({"dropout": 0.5}, 0.1, None),
        ({"learning_rate": "high"}, None, None),
    ],
)
def test_the_rate_is_found_by_name_or_value(params, rate, name):
    """The learning rate is known by its name, else by the value that the optimizer has."""
    assert rate_parameter(params, rate) == name


@pytest.mark.parametrize(
    ("params", "symptom", "expected"),
    [
        ({"lr": 1.2, "units": 8}, Symptom.NON_FINITE_LOSS, True),
        ({"lr": 50.0, "units": 8}, Symptom.NON_FINITE_LOSS, True),  # a higher rate is no better
        ({"lr": 0.1, "units": 8}, Symptom.NON_FINITE_LOSS, False),
        ({"lr": 1.2, "units": 9}, Symptom.NON_FINITE_LOSS, False),
        ({"lr": 1.2, "units": 8}, Symptom.DIVERGED, False),
    ],
)
def test_a_proven_verdict_is_taken_over_only_by_its_like(params, symptom, expected):
    """Same symptom, same parameters, and a rate as high or higher."""
    found = earlier_like_this(symptom, params, "lr", [_record(1.0, bad=True)])
    assert (found is not None) is expected


@pytest.mark.parametrize(("verified", "expected"), [(True, True), (False, False), (None, False)])
def test_a_verdict_that_was_not_proven_is_not_taken_over(verified, expected):
    """The same trial again: only a cure that was seen to work spares the replays."""
    earlier = _record(1.0, bad=True).replace(fix_verified=verified)
    found = earlier_like_this(earlier.symptom, earlier.params, "lr", [earlier])
    assert (found is not None) is expected


@pytest.mark.parametrize(
    ("change", "text", "causes"),
    [
        (Intervention(), "nothing", ()),
        (Intervention(rate=0.01), "learning rate / 100", ("divergent_learning_rate",)),
        (Intervention(rate=10.0), "learning rate x 10", ("learning_rate_too_low",)),
        (
            Intervention(inputs=True, plain_loss=True),
            "inputs standardized + plain loss",
            ("unscaled_data", "unsafe_loss"),
        ),
        (Intervention(clip=1.0), "gradient norm clipped at 1", ()),  # a probe, never a cause
    ],
)
def test_changes_have_names_and_causes(change, text, causes):
    """A change reads as a phrase, and its cure speaks for its causes."""
    assert (str(change), change.causes) == (text, causes)


@pytest.mark.parametrize(
    ("losses", "baseline", "cured"),
    [
        ([[2.0, 1.0, 0.5, 0.1]], 1.0, True),
        ([[2.0, 1.5, 1.2, 0.99]], 1.0, False),  # finite, and no better than a constant
        ([[2.0, 0.1, 0.1, 0.1], [2.0, 1.0, np.nan, np.nan]], 1.0, False),
        ([[2.0, 1.0, 0.5, 0.1], [2.0, 1.5, 1.2, 1.1]], 1.0, False),  # on one seed only
        ([[-1.0, -2.0, -3.0, -4.0]], -2.0, True),
        ([[-1.0, -1.5, -1.8, -1.9]], -2.0, False),
        ([[2.0, 1.0, 0.5, 0.1]], None, True),  # against its own start
        ([[2.0, 2.0, 2.0, 2.0]], None, False),
        ([[2.0, 1.0, 0.5, 0.1], [2.0, 2.0, 2.0, 2.0]], None, False),
    ],
)
def test_a_cure_beats_the_constant_prediction_on_every_seed(losses, baseline, cured):
    """Finite is too weak: every seed must end better than the best constant prediction."""
    outcome = ReplayResult(
        intervention=Intervention(), losses=np.array(losses), baseline=baseline, margin=0.95
    )
    assert outcome.cured is cured


def test_a_cure_within_the_trials_length_has_shown_by_then():
    """A cure that takes longer than the trial is none of that trial."""
    slow = ReplayResult(
        intervention=Intervention(), losses=np.linspace(2, 0, 100)[None], baseline=1.0, margin=0.95
    )
    assert slow.cured
    assert slow.cured_within(80)
    assert not slow.cured_within(20)


@pytest.mark.parametrize("grounds", Grounds)
def test_every_ground_was_counted(grounds):
    """Nothing that a verdict may rest on is without a confidence, and none is certain."""
    assert 0.5 < grounds.confidence < 1


def test_a_verdict_is_as_sure_as_its_grounds():
    """The numbers behind a confidence are told, and a confidence of its own goes first."""
    verdict = diagnose_failure(Symptom.EXCEPTION, error=KeyError("units"), policy=Policy())
    assert verdict.confidence == Grounds.EXCEPTION.confidence
    assert verdict.evidence["grounds"] == str(Grounds.EXCEPTION)
    own = Verdict(cause=FailureCause.UNKNOWN, grounds=Grounds.RULE, confidence=0.3)
    assert own.confidence == 0.3


@pytest.mark.parametrize(
    ("curve", "gaining"),
    [
        ([9.0, 8.0, 7.0], True),
        ([9.0, 8.0, 8.0], False),  # at rest
        ([9.0], True),  # one epoch shows no course
        ([], False),  # none was fitted: the replay is the course
        ([1e9, 8.0, 7.0], False),  # thrown off at the start: that it falls since is no progress
    ],
)
def test_a_fit_gains_while_it_falls_from_its_start(curve, gaining):
    """The course of the epochs tells a short fit from one that has come to rest."""
    trace = FitTrace(start_loss=10.0, epoch_logs=[{"loss": loss} for loss in curve])
    assert is_gaining(trace) is gaining


@pytest.mark.parametrize(("start", "loss"), [(False, 4.0), (True, 104.0)])
def test_far_targets_are_compared_with_where_a_fit_starts(start, loss):
    """The best constant is the mean; a sound fit starts near 0."""
    batch = Batch(None, np.array([8.0, 12.0]))
    model = SimpleNamespace(optimizer=None, loss="mse")
    assert constant_loss(model, [batch], start=start) == pytest.approx(loss)


def test_inputs_in_a_list_may_differ_in_shape():
    """Lists of arrays of several widths, and lists of such lists, are leaves one by one."""
    wide, narrow = np.zeros((4, 3)), np.zeros((4, 1))
    assert shapes([[wide, narrow], narrow]) == ((4, 3), (4, 1), (4, 1))


def test_importing_the_diagnosis_loads_no_tensorflow():
    """Only a diagnosis with a model to look at needs TensorFlow."""
    code = "import robusttune._diagnosis, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_confidences_that_are_set_by_hand_are_in_one_place() -> None:
    """And the page that explains confidences has each of them."""
    package = Path(confidence.__file__).parent
    by_hand = re.compile(r"confidence=\d")
    assert [p.name for p in package.rglob("*.py") if by_hand.search(p.read_text())] == []
    docs = package.parents[1] / "docs"
    page = (docs / "explanation" / "how-it-works.md").read_text(encoding="utf-8")
    told = page[page.index("set by hand") :].partition("\n## ")[0]
    for name, value in vars(confidence).items():
        if name.isupper() and isinstance(value, float):
            assert str(value) in told, name
