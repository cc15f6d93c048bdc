"""The failure prior: calibrated, careful outside of what it knows, and overruled by own trials."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import optuna
import pytest

import robusttune
import robusttune._learning.failure_prior as module
from evaluation.failure_prior import tasks
from robusttune import Policy, Report, SearchSpaceWarning
from robusttune._learning import Guidance, Outcome, PriorAdvice, learn, shipped
from robusttune._space import Choice, Float, Int
from robusttune._space.fits import FitReader, fit_of_data, fit_of_model, roles_in
from robusttune.optuna import CrashAwareSampler, robust
from robusttune.optuna._stored_names import FIT_KEY
from tests import ROOT

FILE = Path(module.__file__).with_name(module.FILE)
STANDARD = {
    "loss": "cce",
    "columns": 16,
    "input_scale": 1.0,
    "target_scale": 1.0,
    "target_offset": 0.0,
    "steps": 200,
    "batch_size": 32,
    "depth": 2,
    "width": 32,
    "activation": "relu",
    "momentum": 0.0,
}


def advice(**fixed):
    """Return the shipped prior's advice for a rate and an optimizer."""
    roles = {"lr": "learning_rate", "optimizer": "optimizer", "momentum": "momentum"}
    return PriorAdvice(shipped(), FitReader(roles, {**STANDARD, **fixed}))


def trusted(outcomes):
    """Whether the prior is trusted after these trials."""
    return replace(advice(), outcomes=outcomes).is_trusted


# The model


def test_the_stored_model_is_small_and_calibrated_on_tasks_that_were_left_out():
    """At most 200 kB; what it calls sure failed in nine of ten cases, and the table is in order."""
    import json

    stored = json.loads(FILE.read_text(encoding="utf-8"))
    assert FILE.stat().st_size <= 200_000
    found = stored["left_out"]
    assert found["brier"] < 0.6 * found["brier_of_constant"]
    for low, high, count, rate in found["reliability"]:
        assert count >= 100
        assert low - 0.1 <= rate <= high + 0.1
    assert found["reliability"][-1][3] >= 0.93


@pytest.mark.parametrize(
    ("fit", "low", "high"),
    [
        ({"optimizer": "adam", "learning_rate": 5.0}, 0.9, 1.0),
        ({"optimizer": "adam", "learning_rate": 3e-3}, 0.0, 0.3),
        ({"optimizer": "sgd", "learning_rate": 3.0, "momentum": 0.9}, 0.9, 1.0),
        ({"optimizer": "sgd", "learning_rate": 0.1}, 0.0, 0.4),
        ({"optimizer": "sgd", "learning_rate": 1.0, "input_scale": 100.0}, 0.9, 1.0),
        ({"optimizer": "adam", "learning_rate": 1e-5, "steps": 30}, 0.9, 1.0),
    ],
)
def test_chances_are_those_of_experience(fit, low, high):
    """Rates that everybody knows to train, or not to."""
    chance = shipped().chances([{**STANDARD, **fit}])[0]
    assert low <= chance <= high


def test_a_low_rate_is_no_failure_where_there_are_many_steps():
    """Fits longer than those of the sweep are not called too short."""
    fits = [
        {**STANDARD, "optimizer": "adam", "learning_rate": 1e-5, "steps": n} for n in (30, 10**6)
    ]
    few, many = shipped().chances(fits)
    assert few > 0.9
    assert many < 0.5


def test_what_is_not_known_is_averaged_over():
    """Chances without the scales lie between those of the easiest and the hardest."""
    fit = {"optimizer": "sgd", "learning_rate": 0.3, "momentum": 0.9}
    known = shipped().chances([{**fit, **STANDARD, "input_scale": s} for s in (0.01, 1.0, 1000.0)])
    unknown = shipped().chances([fit])[0]
    assert known.min() < unknown < known.max()


# What is read


def network(*layers, optimizer="adam", loss="mse"):
    """Return a compiled model of four inputs."""
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizer, loss)
    return model


def test_a_multilayer_perceptron_is_read():
    """Depth, width, activation, optimizer and loss."""
    dense = keras.layers.Dense
    model = network(dense(8, "relu"), keras.layers.Dropout(0.1), dense(16, "relu"), dense(1))
    fit = fit_of_model(model)
    assert fit == {
        "depth": 2,
        "width": 12.0,
        "activation": "relu",
        "optimizer": "adam",
        "momentum": 0.0,
        "rate": pytest.approx(1e-3),
        "loss": "mse",
    }


@pytest.mark.parametrize(
    "model",
    [
        lambda dense: network(dense(8, "relu"), keras.layers.BatchNormalization(), dense(1)),
        lambda dense: network(dense(8, "relu"), dense(1), optimizer="ftrl"),
        lambda dense: network(
            dense(8, "relu"), dense(1), optimizer=keras.optimizers.SGD(clipnorm=1)
        ),
        lambda dense: network(dense(8, "relu"), dense(1), loss=lambda y, p: keras.ops.abs(y - p)),
        lambda dense: network(dense(1)),
        lambda dense: network(
            dense(8, "relu"),
            dense(1),
            optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)),
        ),
    ],
)
def test_other_kinds_of_fits_are_not_known(model):
    """Normalization, other optimizers, clipping, own losses, linear models, schedules."""
    assert fit_of_model(model(keras.layers.Dense)) is None


@pytest.mark.parametrize(
    ("head", "loss", "kind"),
    [
        ("softmax", "sparse_categorical_crossentropy", "cce"),
        ("linear", keras.losses.SparseCategoricalCrossentropy(from_logits=True), "logits"),
        ("linear", "sparse_categorical_crossentropy", None),
        ("sigmoid", keras.losses.BinaryCrossentropy(), "bce"),
    ],
)
def test_probabilities_are_clipped_on_some_backends(head, loss, kind):
    """Keras finds the logits behind a softmax on TensorFlow only."""
    dense = keras.layers.Dense
    fit = fit_of_model(network(dense(8, "relu"), dense(3, head), loss=loss))
    if kind is None:
        assert fit is None
    elif kind == "logits":
        assert fit["loss"] == "cce"
    else:
        clipped = "" if keras.backend.backend() == "tensorflow" else " clipped"
        assert fit["loss"] == kind + clipped


def test_data_are_measured():
    """Columns, scale of the inputs, scale and offset of the targets."""
    x = np.array([[3.0, 4.0], [-3.0, 4.0]] * 5)
    fit = fit_of_data(x, np.array([9.0, 11.0] * 5), "mse")
    assert fit == {
        "columns": 2,
        "input_scale": pytest.approx(np.sqrt(12.5)),
        "target_scale": pytest.approx(1.0),
        "target_offset": pytest.approx(10.0),
    }
    assert fit_of_data(["a", "b"], None, "mse") == {}
    assert fit_of_data(np.array([[1.0, np.nan]]), None, "mse") == {}


def test_roles_are_read_from_names_and_choices():
    """An unknown optimizer makes the choice unknown; counts and rates are told by their names."""
    space = [
        Float("learning_rate", 1e-4, 1.0, log=True),
        Float("momentum", 0.0, 0.9),
        Int("num_layers", 1, 4),
        Int("units_1", 8, 64),
        Choice("opt", ("Adam", "SGD")),
        Choice("other", ("adam", "lion")),
        Choice("act", ("relu", "tanh")),
    ]
    assert roles_in(space) == {
        "learning_rate": "learning_rate",
        "momentum": "momentum",
        "num_layers": "depth",
        "units_1": "width",
        "opt": "optimizer",
        "act": "activation",
    }


def test_epochs_of_a_trials_own_are_counted():
    """Hyperband gives each trial its own; a proposal has those of the longest."""
    reader = FitReader({}, {"batch_size": 32}, rows=64, epochs=9, epochs_name="tuner/epochs")
    assert reader({})["steps"] == 18
    assert reader({"tuner/epochs": 2})["steps"] == 4


# What is turned away


def test_what_is_outside_of_its_knowledge_is_not_turned_away():
    """No rate, an optimizer that was not swept, a choice whose effect is not known."""
    reader = FitReader(
        {"lr": "learning_rate", "optimizer": "optimizer"},
        STANDARD,
        {"norm": {"False": {}, "True": None}},
    )
    says = PriorAdvice(shipped(), reader)
    proposals = [
        {"lr": 20.0, "optimizer": "sgd", "norm": False},
        {"lr": 20.0, "optimizer": "sgd", "norm": True},
        {"lr": 20.0, "optimizer": "lion", "norm": False},
        {"optimizer": "sgd", "norm": False},
    ]
    assert (says.risks(proposals) > 0).tolist() == [True, False, False, False]


def test_own_trials_overrule_it_within_ten():
    """Two of ten that succeed where it is sure of failing are enough; so are failures elsewhere."""
    good = Outcome({"lr": 3e-3, "optimizer": "adam"}, False, skill=0.5)
    sure = Outcome({"lr": 5.0, "optimizer": "adam"}, False, skill=0.5)
    bad = Outcome({"lr": 3e-3, "optimizer": "adam"}, True)
    assert trusted([])
    assert trusted([good] * 8)
    assert not trusted([*[good] * 8, sure, sure])
    assert not trusted([good, *[bad] * 4, *[good] * 4])


def test_trials_that_ended_worse_than_a_constant_speak_for_it():
    """A trial that completes without having trained is foreseen; an exception says nothing."""
    good = [Outcome({"lr": 3e-3, "optimizer": "adam"}, False, skill=0.5)] * 4
    useless = Outcome({"lr": 5.0, "optimizer": "adam"}, False, skill=-9.0)
    raised = Outcome({"lr": 3e-3, "optimizer": "adam"}, True, error="OSError: no")
    assert trusted([*good, *[useless] * 4])
    assert trusted([*good, *[raised] * 8])


def test_every_fifth_of_the_first_proposals_is_tried_out():
    """So that a prior that is wrong here is found out."""
    lesson = learn((), ())
    asked = [Guidance.of(lesson, {}, (), n, advice()).prior is not None for n in range(15)]
    assert asked == [True] * 4 + [False] + [True] * 4 + [False] + [True] * 5


# Keras Tuner


def build(hp):
    """A build function as it is written first."""
    model = keras.Sequential([keras.Input((4,))])
    for _ in range(hp.Int("layers", 1, 3)):
        model.add(keras.layers.Dense(hp.Int("units", 8, 32, 8), "relu"))
    model.add(keras.layers.Dense(1))
    rate = hp.Float("learning_rate", 1e-4, 100.0, sampling="log")
    name = hp.Choice("optimizer", ["adam", "sgd"])
    model.compile({"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[name](rate), "mse")
    return model


def sound(hp):
    """The same where everything trains."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "relu")])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 3e-3, 3e-2)), "mse")
    return model


X = np.random.default_rng(0).normal(size=(64, 4))
Y = X.sum(axis=1)


def proposals(
    folder,
    function=build,
    kind="RandomSearch",
    own=True,
    count=12,
    limit_of_training=0.3,
    **policy,
):
    """Return a tuner, and what it proposes; all trials complete, those up to a rate train."""
    options = {"policy": Policy(**policy)} if own else {}
    limit = {"max_epochs": 4} if kind == "Hyperband" else {"max_trials": count}
    tuner = getattr(robusttune if own else keras_tuner, kind)(
        function,
        objective=keras_tuner.Objective("score", "min"),
        seed=1,
        directory=str(folder),
        **limit,
        **options,
    )
    if own:
        tuner._robust_space.fit_to_data(tuner.oracle, (X, Y), {"epochs": 20}, own_fit=False)
    proposed = []
    for _ in range(count):
        trial = tuner.oracle.create_trial("worker")
        if trial.status != "RUNNING":
            break
        proposed.append(dict(trial.hyperparameters.values))
        rate = trial.hyperparameters["learning_rate"]
        tuner.oracle.update_trial(trial.trial_id, {"score": rate})
        trial.status = "COMPLETED"
        if own:
            skill = -9.0 if rate > limit_of_training else 0.5
            tuner.oracle.robusttune_records()[trial.trial_id] = robusttune.TrialRecord(
                trial_id=trial.trial_id, status="completed", skill=skill
            )
        tuner.oracle.end_trial(trial)
    return tuner, proposed


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchSpaceWarning)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        yield
        optuna.logging.set_verbosity(optuna.logging.INFO)


@pytest.mark.parametrize("kind", ["RandomSearch", "BayesianOptimization", "Hyperband"])
def test_proposals_of_tuners_are_turned_away_and_listed(kind, tmp_path):
    """Nothing that it is sure of is proposed but what is tried out; the report lists the others."""
    tuner, proposed = proposals(tmp_path / "a", kind=kind)
    listed = [a for a in tuner._robust_space.adjustments if a.field == "proposal"]
    assert listed
    assert all("end no better than a constant (failure prior)" in a.reason for a in listed)
    assert "learning_rate=" in listed[0].before
    says = tuner.oracle.robust_prior
    if kind != "Hyperband":  # whose rounds repeat what was tried
        rejected = says.risks(proposed) > 0
        assert not rejected[[n for n in range(12) if n not in (4, 9)]].any()
    again = proposals(tmp_path / "b", kind=kind)[1]
    drop = "tuner/trial_id"
    assert [{k: v for k, v in p.items() if k != drop} for p in proposed] == [
        {k: v for k, v in p.items() if k != drop} for p in again
    ]
    table = tuner.report().adjustments
    assert (table["field"] == "proposal").sum() == len(listed)


@pytest.mark.parametrize("kind", ["RandomSearch", "BayesianOptimization", "Hyperband"])
def test_where_it_turns_nothing_away_proposals_are_keras_tuners(kind, tmp_path):
    """Bit by bit, in a space in which everything trains."""
    tuner, ours = proposals(tmp_path / "a", sound, kind)
    assert tuner.oracle.robust_prior is not None
    plain = proposals(tmp_path / "b", sound, kind, own=False)[1]
    drop = "tuner/trial_id"
    assert [{k: v for k, v in p.items() if k != drop} for p in ours] == [
        {k: v for k, v in p.items() if k != drop} for p in plain
    ]


@pytest.mark.parametrize(
    "policy",
    [{"sanitize": "warn"}, {"sanitize": "off"}, {"keep": {"learning_rate"}}, {"free_share": 1.0}],
)
def test_policies_under_which_nothing_is_turned_away(policy, tmp_path):
    """Only "fix" changes a search, nothing that is to be kept, and no free proposal."""
    tuner, ours = proposals(tmp_path / "a", **policy)
    assert not [a for a in tuner._robust_space.adjustments if a.field == "proposal"]
    if policy.get("sanitize") or "keep" in policy:
        assert ours == proposals(tmp_path / "b", own=False)[1]


def test_the_first_one_is_announced_once(tmp_path):
    """One warning, however many are turned away."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuner, _ = proposals(tmp_path / "a", count=30)
    told = [str(w.message) for w in caught if "turned away" in str(w.message)]
    assert len(told) == 1
    assert len([a for a in tuner._robust_space.adjustments if a.field == "proposal"]) > 1


def test_a_grid_is_left_alone(tmp_path):
    """It visits each point once."""
    tuner, _ = proposals(tmp_path / "a", kind="GridSearch")
    assert tuner.oracle.robust_prior is None


def test_a_search_that_is_wrong_for_it_gets_rid_of_it(tmp_path):
    """Where all that it is sure of trains, those that are tried out tell; then all is proposed."""
    tuner, proposed = proposals(tmp_path / "a", count=30, limit_of_training=np.inf)
    says = tuner.oracle.robust_prior
    assert not replace(says, outcomes=tuner.oracle._learned().outcomes).is_trusted
    sure = says.risks(proposed) > 0
    assert sure[:11].any()
    assert sure[11:].sum() >= 2


# Optuna


def objective(trial):
    """A space as it is written first; no fit, only what TrialGuard would have noted."""
    rate = trial.suggest_float("learning_rate", 1e-5, 10.0, log=True)
    name = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    trial.set_user_attr(FIT_KEY, '{"loss": "mse", "columns": 8, "input_scale": 50.0}')
    return rate + (name == "sgd") + momentum


def study(sampler, function=objective, n_trials=20):
    """Return a study with a sampler."""
    made = optuna.create_study(sampler=sampler)
    made.optimize(robust(function), n_trials)
    return made


@pytest.mark.parametrize(
    "base", [optuna.samplers.RandomSampler, optuna.samplers.TPESampler], ids=["random", "tpe"]
)
def test_proposals_of_samplers_are_turned_away_and_listed(base):
    """Without a failure; the report lists them, and the same seed gives the same proposals."""
    made = study(CrashAwareSampler(base(seed=0)))
    table = Report.from_study(made).adjustments
    rows = table[table["field"] == "proposal"]
    assert len(rows)
    assert rows["reason"].str.contains("failure prior").all()
    again = study(CrashAwareSampler(base(seed=0)))
    assert [t.params for t in made.trials] == [t.params for t in again.trials]
    off = study(CrashAwareSampler(base(seed=0), policy=Policy(sanitize="warn")))
    plain = study(base(seed=0))
    assert [t.params for t in off.trials] == [t.params for t in plain.trials]


@pytest.mark.parametrize(
    "base", [optuna.samplers.RandomSampler, optuna.samplers.TPESampler], ids=["random", "tpe"]
)
def test_where_it_turns_nothing_away_proposals_are_the_base_samplers(base):
    """Bit by bit: in a sound space, and where nothing says that an optimizer is at work."""

    def trains(trial):
        rate = trial.suggest_float("learning_rate", 3e-3, 3e-2, log=True)
        return rate + (trial.suggest_categorical("optimizer", ["adam", "rmsprop"]) == "adam")

    def boosting(trial):
        return trial.suggest_float("learning_rate", 0.01, 10.0) + trial.suggest_int("depth", 1, 9)

    for function in (trains, boosting):
        ours, plain = (
            study(CrashAwareSampler(base(seed=0)), function),
            study(base(seed=0), function),
        )
        assert [t.params for t in ours.trials] == [t.params for t in plain.trials]


# The sweep


def test_the_sweep_knows_no_data_set_of_a_benchmark():
    """Its tasks come from a random generator alone, and none has the name of a data set in use."""
    folder = ROOT / "evaluation" / "failure_prior"
    used = set()
    for path in [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "evaluation").rglob("*.py")]:
        used |= set(re.findall(r"\b(?:load|make|fetch)_(\w+)\(", path.read_text(encoding="utf-8")))
    assert {"digits", "diabetes", "wine", "breast_cancer"} <= used
    relatives = {"moons", "circles", "blobs", "classification", "regression", "friedman", "mnist"}
    words = {word for name in tasks.FAMILIES for word in name.split()}
    assert words.isdisjoint(used | relatives)
    imported = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module)
    assert not [name for name in imported if "datasets" in str(name)]
    rng = np.random.default_rng(0)
    for name in tasks.FAMILIES:
        task = tasks.draw(name, rng)
        assert np.isfinite(task.x).all()
        assert np.isfinite(task.y).all()
