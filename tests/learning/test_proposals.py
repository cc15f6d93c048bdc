"""What holds of every proposal, of Optuna's samplers and of Keras Tuner's oracles alike."""

from __future__ import annotations

import keras_tuner
import numpy as np
import optuna
import pytest
from keras_tuner import oracles

from robusttune import Policy, TrialRecord
from robusttune._keras_tuner.oracle import RobustOracle, make_robust
from robusttune._keras_tuner.oracles_learning import learning_mixin
from robusttune.optuna import CrashAwareSampler, robust

SEEDS = (1, 2, 3)  # Keras Tuner takes 0 for none
SAMPLERS = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=5),
    "univariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=6),
}


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def random_objective(seed):
    """Return an objective on a space drawn at random that raises in a part of it."""
    rng = np.random.default_rng(seed)
    low, span, step = int(rng.integers(-5, 5)), int(rng.integers(3, 20)), int(rng.integers(1, 4))
    sizes = [int(value) for value in rng.integers(1, 500, size=4)]
    limit = float(rng.uniform(0.3, 0.9))

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-6, 1.0, log=True)
        count = trial.suggest_int("count", low, low + span * step, step=step)
        size = trial.suggest_categorical("size", sorted(set(sizes)))
        share = trial.suggest_float("share", 0.0, 1.0, step=0.125)
        if trial.suggest_categorical("kind", ("a", "b", None)) == "a":
            share += trial.suggest_float("only a", 0.0, 1.0)
        if (np.log10(rate) + 6) / 6 + share / 2 > 2 * limit or count > low + span * step * limit:
            raise RuntimeError("no memory")
        return float(rate + share + size / 500)

    return objective


def run_study(name, seed, objective, n_trials=40, policy=None, *, ours=True):
    """Return the parameters of a study's trials."""
    base = SAMPLERS[name](seed)
    sampler = CrashAwareSampler(base, policy=policy) if ours else base
    study = optuna.create_study(sampler=sampler)
    study.optimize(robust(objective) if ours else objective, n_trials, catch=(RuntimeError,))
    return study.trials


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_of_samplers_lie_in_the_space_and_can_be_repeated(name, seed):
    """Each value is one that its distribution has, and the same seed gives the same values."""
    trials = run_study(name, seed, random_objective(seed))
    for trial in trials:
        for parameter, distribution in trial.distributions.items():
            value = trial.params[parameter]
            assert distribution._contains(distribution.to_internal_repr(value))
    again = run_study(name, seed, random_objective(seed))
    assert [trial.params for trial in trials] == [trial.params for trial in again]
    assert any(trial.state is optuna.trial.TrialState.FAIL for trial in trials)


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_is_turned_away_without_failures(name):
    """Bit by bit as the base sampler, also where some parameters are there in some trials only."""

    def sound(trial):
        value = trial.suggest_float("x", 0, 1)
        return value + (trial.suggest_int("n", 1, 9) if value > 0.5 else 0)

    plain = run_study(name, 1, sound, 25, ours=False)
    ours = run_study(name, 1, sound, 25)
    assert [trial.params for trial in plain] == [trial.params for trial in ours]


def make_oracle(kind, folder, seed, max_trials):
    """Return a robust oracle on a space with a condition."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-5, 1.0, sampling="log")
    hp.Int("units", 8, 64, step=8)
    hp.Choice("optimizer", ["sgd", "adam", "lion"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.9)
    options = {"max_epochs": 4} if kind == "Hyperband" else {"max_trials": max_trials}
    oracle = getattr(oracles, f"{kind}Oracle")(
        objective=keras_tuner.Objective("score", "min"),
        hyperparameters=hp,
        seed=seed,
        max_consecutive_failed_trials=1000,
        **options,
    )
    base = type(oracle)
    make_robust(oracle, Policy(), limit_is_set=True)
    oracle.__class__ = type(base.__name__, (RobustOracle, learning_mixin(base), base), {})
    oracle._set_project_dir(str(folder), "project")
    return oracle


def search(oracle, max_trials):
    """Return the values of trials of which those with a large product fail with an exception."""
    proposed = []
    for _ in range(max_trials):
        trial = oracle.create_trial("worker")
        if trial.status != "RUNNING":
            break
        values = dict(trial.hyperparameters.values)
        proposed.append(values)
        if values["rate"] * values["units"] > 0.05:
            trial.status, trial.message = "FAILED", "no"
            oracle.robusttune_records()[trial.trial_id] = TrialRecord(
                trial_id=trial.trial_id, status="failed", cause="code_error", error="OSError: no"
            )
        else:
            trial.status = "COMPLETED"
            oracle.update_trial(trial.trial_id, {"score": values["rate"] + values["units"]})
        oracle.end_trial(trial)
    return proposed


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["RandomSearch", "Hyperband"])
def test_proposals_of_oracles_lie_in_the_space_and_can_be_repeated(kind, seed, tmp_path):
    """Inactive hyperparameters stay inactive, and the same seed gives the same values."""
    runs = [search(make_oracle(kind, tmp_path / str(i), seed, 40), 40) for i in range(2)]
    without_ids = [
        [{k: v for k, v in values.items() if k != "tuner/trial_id"} for values in run]
        for run in runs
    ]
    assert without_ids[0] == without_ids[1]
    for values in runs[0]:
        assert 1e-5 <= values["rate"] <= 1.0
        assert values["units"] in range(8, 65, 8)
        assert values["optimizer"] in ("sgd", "adam", "lion")
        assert ("momentum" in values) == (values["optimizer"] == "sgd")


@pytest.mark.parametrize("seed", SEEDS)
def test_oracles_find_a_product_that_raises(seed, tmp_path):
    """Fewer than one in five of the last proposals fail, where a third of all places do."""
    proposed = search(make_oracle("RandomSearch", tmp_path, seed, 80), 80)
    failed = [values["rate"] * values["units"] > 0.05 for values in proposed]
    assert np.mean(failed[40:]) <= 0.2
