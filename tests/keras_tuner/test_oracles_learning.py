"""Keras Tuner oracles that learn from failing trials, driven without models."""

from __future__ import annotations

import keras_tuner
import numpy as np
import pytest
from keras_tuner import oracles

from robusttune import FailureCause, Policy, TrialRecord
from robusttune._keras_tuner.oracle import RobustOracle, make_robust
from robusttune._keras_tuner.oracles_learning import learning_mixin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RATE = FailureCause.DIVERGENT_LEARNING_RATE


def space():
    """Return the search space: a learning rate and two more."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-5, 1.0, sampling="log")
    hp.Float("x", 0.0, 1.0)
    hp.Choice("optimizer", ["sgd", "adam"])
    return hp


def make(kind, folder, policy=None, *, ours=True, direction="min", **options):
    """Return an oracle; ours has the class that the adapter gives it."""
    oracle = getattr(oracles, f"{kind}Oracle")(
        objective=keras_tuner.Objective("score", direction),
        hyperparameters=space(),
        seed=3,
        max_consecutive_failed_trials=1000,
        **options,
    )
    if ours:
        base = type(oracle)
        make_robust(oracle, policy or Policy(), limit_is_set=True)
        oracle.__class__ = type(base.__name__, (RobustOracle, learning_mixin(base), base), {})
    oracle._set_project_dir(str(folder), "project")
    return oracle


def cliff(values):
    """Return a score, None beyond a learning rate of 0.02."""
    if values["rate"] > 0.02:
        return None
    return (np.log10(values["rate"]) + 2.5) ** 2 + (values["x"] - 0.5) ** 2


def search(oracle, n_trials, score=cliff, cause=RATE):
    """Run trials one after the other; return their values and whether they failed."""
    trials = []
    for _ in range(n_trials):
        trial = oracle.create_trial("worker")
        if trial.status != "RUNNING":
            break
        values = dict(trial.hyperparameters.values)
        result = score(values)
        if result is None:
            trial.status, trial.message = "FAILED", "diverged"
            if isinstance(oracle, RobustOracle):
                record = TrialRecord(trial_id=trial.trial_id, status="failed", cause=cause)
                oracle.robusttune_records()[trial.trial_id] = record
        else:
            trial.status = "COMPLETED"
            oracle.update_trial(trial.trial_id, {"score": result})
        oracle.end_trial(trial)
        trials.append((values, result is None))
    return trials


def failures(trials, after=0):
    """Return how many of the later trials failed."""
    return sum(failed for _, failed in trials[after:])


KINDS = {
    "RandomSearch": {"max_trials": 30},
    "BayesianOptimization": {"max_trials": 8, "num_initial_points": 5},
    "Hyperband": {"max_epochs": 9},
    "GridSearch": {"max_trials": 20},
}


@pytest.mark.parametrize("kind", KINDS)
def test_proposals_are_keras_tuners_until_something_fails(kind, tmp_path):
    """The same seed gives the same values, bit by bit, where nothing fails."""
    runs = [
        search(make(kind, tmp_path / str(ours), ours=ours, **KINDS[kind]), 30, lambda v: v["x"])
        for ours in (False, True)
    ]
    assert runs[0] == runs[1]
    assert runs[0]


def test_random_search_turns_away_from_the_cliff(tmp_path):
    """Half as many trials fail, and with avoid_unstable=False as many as ever."""
    plain = search(make("RandomSearch", tmp_path / "a", ours=False, max_trials=80), 80)
    policy = Policy(avoid_unstable=False)
    off = search(make("RandomSearch", tmp_path / "b", policy, max_trials=80), 80)
    ours = search(make("RandomSearch", tmp_path / "c", max_trials=80), 80)
    assert plain == off
    assert failures(plain, 20) >= 15
    assert failures(ours, 20) <= failures(plain, 20) / 2


@pytest.mark.parametrize("cause", [FailureCause.CODE_ERROR, FailureCause.CRASHED, None])
def test_random_search_goes_by_the_evidence(cause, tmp_path):
    """A failure of the code or the worker teaches where failing depends on the values."""
    plain = search(make("RandomSearch", tmp_path / "a", ours=False, max_trials=60), 60, cause=cause)
    ours = search(make("RandomSearch", tmp_path / "b", max_trials=60), 60, cause=cause)
    assert failures(ours, 30) <= failures(plain, 30) / 2


@pytest.mark.parametrize("cause", [FailureCause.CODE_ERROR, FailureCause.CRASHED, None])
def test_random_search_learns_nothing_from_failures_at_random(cause, tmp_path):
    """What strikes anywhere turns nothing away."""

    def stray(values):
        return None if int(values["x"] * 1e6) % 5 == 0 else values["x"]

    plain = search(make("RandomSearch", tmp_path / "a", ours=False, max_trials=40), 40, stray)
    ours = search(make("RandomSearch", tmp_path / "b", max_trials=40), 40, stray, cause)
    assert failures(plain) >= 5
    assert plain == ours


@pytest.mark.full
@pytest.mark.parametrize("direction", ["min", "max"])
def test_bayesian_optimization_walks_away(direction, tmp_path):
    """Keras Tuner's runs into the cliff again and again; ours turns and finds the better trial."""
    sign = 1 if direction == "min" else -1

    def score(values):
        result = cliff(values)
        return None if result is None else sign * result

    def run(ours):
        oracle = make(
            "BayesianOptimization",
            tmp_path / str(ours),
            ours=ours,
            direction=direction,
            max_trials=18,
            num_initial_points=5,
        )
        trials = search(oracle, 18, score)
        return trials, min(cliff(values) for values, failed in trials if not failed)

    (plain, plain_best), (ours, our_best) = run(ours=False), run(ours=True)
    assert failures(plain, 8) >= 8
    assert failures(ours, 8) <= 2
    assert our_best <= plain_best


@pytest.mark.full
@pytest.mark.parametrize("cause", [FailureCause.CODE_ERROR, None])
def test_bayesian_optimization_never_repeats_a_failed_point(cause, tmp_path):
    """Even where the failure teaches nothing: the model alone would propose the same again."""
    oracle = make("BayesianOptimization", tmp_path, max_trials=14, num_initial_points=5)
    trials = search(oracle, 14, cause=cause)
    failed = []
    for values, has_failed in trials:
        point = np.array([np.log10(values["rate"]) / 5, values["x"], values["optimizer"] == "sgd"])
        assert not any((np.abs(point - other) <= 0.01).all() for other in failed)
        if has_failed:
            failed.append(point)
    assert failed


def promotions(trials):
    """Return how many trials went on from an earlier round, and the rounds there were."""
    rounds = [values["tuner/round"] for values, _ in trials]
    return sum(number > 0 for number in rounds), set(rounds)


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.9])
def test_hyperband_promotes_with_any_number_of_failures(rate, tmp_path):
    """Keras Tuner's promotes nothing once half of the trials fail, and never says so."""
    chance = np.random.default_rng(1)
    fate = {}

    def score(values):
        if values["tuner/round"] > 0:
            return values["x"]
        fails = fate.setdefault((values["rate"], values["x"]), chance.random() < rate)
        return None if fails else values["x"]

    options = {"max_epochs": 27, "hyperband_iterations": 1}
    ours = search(make("Hyperband", tmp_path, **options), 400, score, FailureCause.CRASHED)
    promoted, rounds = promotions(ours)
    assert promoted >= 5
    assert rounds == {0, 1, 2, 3}
    assert all(not failed for values, failed in ours if values["tuner/round"] > 0)


def test_hyperband_promotes_the_best_and_ends(tmp_path):
    """With failures in every round: the next round has the best of the last, and the end comes."""
    seen = []

    def score(values):
        seen.append(values)
        return None if len(seen) % 3 == 0 else values["x"]

    options = {"max_epochs": 9, "hyperband_iterations": 1}
    oracle = make("Hyperband", tmp_path, **options)
    trials = search(oracle, 300, score, FailureCause.CRASHED)
    assert len(trials) < 300
    assert oracle.create_trial("worker").status == "STOPPED"
    by_id = dict(oracle.trials)
    for trial in by_id.values():
        source = by_id.get(trial.hyperparameters.values.get("tuner/trial_id"))
        if source is None:
            continue
        tuned = {"rate", "x", "optimizer"}
        assert {k: source.hyperparameters.values[k] for k in tuned} == {
            k: trial.hyperparameters.values[k] for k in tuned
        }
        assert source.status == "COMPLETED"
        level = source.hyperparameters.values["tuner/round"]
        bracket = source.hyperparameters.values["tuner/bracket"]
        assert trial.hyperparameters.values["tuner/round"] == level + 1
        assert trial.hyperparameters.values["tuner/bracket"] == bracket
    went_on = {trial.hyperparameters.values.get("tuner/trial_id") for trial in by_id.values()}
    rounds = {}
    for trial in by_id.values():
        if trial.status == "COMPLETED":
            values = trial.hyperparameters.values
            place = rounds.setdefault((values["tuner/bracket"], values["tuner/round"]), ([], []))
            place[trial.trial_id in went_on].append(trial.score)
    chosen = [(stayed, best) for stayed, best in rounds.values() if stayed and best]
    assert len(chosen) >= 2
    assert all(max(best) <= min(stayed) for stayed, best in chosen)


def test_hyperband_without_failures_is_keras_tuners(tmp_path):
    """A whole Hyperband, promotions included, is the same trial by trial."""
    options = {"max_epochs": 9, "hyperband_iterations": 1}
    runs = [
        search(make("Hyperband", tmp_path / str(o), ours=o, **options), 300, lambda v: v["x"])
        for o in (False, True)
    ]
    assert runs[0] == runs[1]
    assert promotions(runs[0])[0] > 5


@pytest.mark.parametrize("kind", ["RandomSearch", "Hyperband"])
def test_a_reloaded_oracle_goes_on_alike(kind, tmp_path):
    """All that is learned is in the project: after a reload the next proposal is the same."""
    oracle = make(kind, tmp_path, **KINDS[kind])
    search(oracle, 10)
    oracle.save()
    records = dict(oracle.robusttune_records())
    again = make(kind, tmp_path, **KINDS[kind])
    again.reload()
    again.robusttune_records().update(records)
    assert oracle.create_trial("a").hyperparameters.values == (
        again.create_trial("a").hyperparameters.values
    )
