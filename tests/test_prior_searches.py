"""Earlier searches teach the next one, and are overruled where they do not apply."""

from __future__ import annotations

import math
import pickle

import keras_tuner
import numpy as np
import optuna
import pytest
from keras_tuner import oracles

from robusttune import FailureCause, Policy, Report, TrialRecord
from robusttune._keras_tuner.oracle import RobustOracle, make_robust
from robusttune._keras_tuner.oracles_learning import learning_mixin
from robusttune._learning import EarlierSearch, Guidance, Outcome, learn
from robusttune._learning.earlier import is_trusted
from robusttune._prior_searches import PriorSearches
from robusttune._space import Choice, Float
from robusttune.errors import SearchSpaceWarning, StoreError
from robusttune.optuna import CrashAwareSampler, robust

RATE = Float("learning_rate", 1e-5, 1.0, log=True)
SPACE = {"learning_rate": RATE, "optimizer": Choice("optimizer", ("sgd", "adam"))}


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def cliff(trial):
    """Raise above a rate of 0.02; the optimum is below it."""
    rate = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
    optimizer = trial.suggest_categorical("optimizer", ("sgd", "adam"))
    if rate > 0.02:
        raise RuntimeError("diverged")
    return (math.log10(rate) + 2.5) ** 2 + (optimizer == "sgd")


def run(objective, prior=(), n_trials=20, seed=1, storage=None, name=None):
    """Return a finished study of a random search."""
    base = optuna.samplers.RandomSampler(seed=seed)
    sampler = CrashAwareSampler(base, policy=Policy(prior_searches=prior))
    study = optuna.create_study(sampler=sampler, storage=storage, study_name=name)
    study.optimize(robust(objective), n_trials)
    return study


def failures(study):
    """Return how many trials of a study failed."""
    return sum(trial.state is optuna.trial.TrialState.FAIL for trial in study.trials)


@pytest.fixture
def url(tmp_path):
    """Return the URL of a storage with an earlier study."""
    url = f"sqlite:///{tmp_path}/earlier.db"
    run(cliff, n_trials=50, storage=url, name="search A")
    return url


@pytest.fixture
def table(url, tmp_path):
    """Return the earlier study as a table of a report."""
    paths = Report.from_storage(url).to_csv(tmp_path / "report")
    return next(str(path) for path in paths if str(path).endswith("trials.csv"))


def test_an_earlier_study_spares_the_next_its_failures(url):
    """Few of the first trials fail, and the report says who turned proposals away."""
    plain = [run(cliff, seed=seed) for seed in (5, 6, 7)]
    studies = [run(cliff, (url,), seed=seed) for seed in (5, 6, 7)]
    assert sum(map(failures, studies)) <= 0.75 * sum(map(failures, plain))
    taught = studies[-1]
    (row,) = Report.from_study(taught).adjustments.to_dict("records")
    assert row["field"] == "proposals"
    assert row["reason"] == f"{row['before']} proposals turned away by search A"
    again = run(cliff, (url,), seed=7)
    assert [trial.params for trial in taught.trials] == [trial.params for trial in again.trials]


def test_a_table_of_a_report_is_an_earlier_search(table):
    """As the storage itself, also for a sampler that was sent elsewhere."""
    taught = run(cliff, (table,), seed=7)
    assert failures(taught) < failures(run(cliff, seed=7))
    assert pickle.loads(pickle.dumps(taught.sampler))._earlier.searches[0].name == "trials"


@pytest.mark.parametrize("seed", range(4))
def test_an_earlier_search_is_overruled_where_it_is_wrong(url, seed):
    """Where nothing fails, and the best place is where all failed before, it is found."""

    def opposite(trial):
        rate = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
        trial.suggest_categorical("optimizer", ("sgd", "adam"))
        return (math.log10(rate) + 0.5) ** 2

    taught = run(opposite, (url,), n_trials=40, seed=seed)
    beyond = [trial.params["learning_rate"] > 0.02 for trial in taught.trials]
    assert sum(beyond[20:]) >= 4
    assert taught.best_trial.params["learning_rate"] > 0.02


def earlier(space=SPACE, n=80, limit=0.02):
    """Return an earlier search that failed above a rate."""
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(n):
        rate = float(10 ** rng.uniform(-5, 0))
        params = {next(iter(space)): rate, "optimizer": str(rng.choice(["sgd", "adam"]))}
        failed = rate > limit
        cause = FailureCause.CODE_ERROR if failed else None
        outcomes.append(Outcome(params, failed, cause))
    return EarlierSearch.of("A", space, outcomes)


def test_a_success_overrules_an_earlier_search():
    """Where it is sure of a failure; what fits it makes it no more stubborn than that."""
    failure_model, _ = earlier().failure_model_for(SPACE.values())
    sound = [Outcome({"learning_rate": 1e-3, "optimizer": "sgd"}, False)] * 5
    wrong = [Outcome({"learning_rate": 0.5, "optimizer": "sgd"}, False)]
    assert is_trusted(failure_model, [])
    assert is_trusted(failure_model, sound)
    assert not is_trusted(failure_model, [*sound, *wrong])


def test_the_names_may_differ_where_the_roles_agree():
    """A learning rate is one, whatever it is called."""
    space = {"lr": Float("lr", 1e-4, 1.0, log=True), "optimizer": SPACE["optimizer"]}
    failure_model, problems = earlier().failure_model_for(space.values())
    assert problems == []
    guidance = Guidance.of(learn(space.values(), []), {"A": failure_model}, [], 0)
    assert guidance.turned_away_by({"lr": 0.9, "optimizer": "adam"}) == "A"
    assert guidance.turned_away_by({"lr": 1e-3, "optimizer": "adam"}) is None
    assert guidance.turned_away_by({"lr": 0.9, "optimizer": "lion"}) is None  # not known there


def test_renamed_choices_are_told_once(url):
    """None of the optimizers is known there, so the choice says nothing here."""

    def renamed(trial):
        trial.suggest_categorical("optimizer", ("lion", "muon"))
        return trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)

    with pytest.warns(SearchSpaceWarning, match="'optimizer' has none of its choices") as told:
        run(renamed, (url,), n_trials=6)
    assert len([each for each in told if "prior search" in str(each.message)]) == 1


def test_an_unrelated_search_changes_nothing(table):
    """No name and no role agrees: bit by bit the proposals of the base sampler."""

    def other(trial):
        return trial.suggest_float("alpha", 0, 1) + trial.suggest_int("beta", 1, 9)

    params = [[t.params for t in run(other, prior).trials] for prior in ((), (table,))]
    assert params[0] == params[1]


@pytest.mark.parametrize("source", ["nowhere", "nowhere.csv", "sqlite:///nowhere/a.db"])
def test_a_missing_source_is_an_error(source, tmp_path, monkeypatch):
    """It names the setting and the source."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=f"prior_searches: '{source}' cannot be read"):
        CrashAwareSampler(policy=Policy(prior_searches=(source,)))


def test_a_table_without_trials_is_an_error(tmp_path):
    """Any CSV file is not a search."""
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match="no columns status and params_"):
        PriorSearches([str(path)])


def test_a_study_cannot_be_its_own_earlier_search(url):
    """The error says so, before a proposal is made of it."""
    sampler = CrashAwareSampler(policy=Policy(prior_searches=(url,)))
    study = optuna.load_study(study_name="search A", storage=url, sampler=sampler)
    with pytest.raises(ValueError, match="names the study 'search A' itself"):
        study.optimize(robust(cliff), 1)


@pytest.mark.parametrize("prior", ["folder", b"folder", (1,), None])
def test_the_policy_takes_texts_only(prior):
    """A single text is no tuple of texts."""
    with pytest.raises(TypeError, match="prior_searches must be a tuple of texts"):
        Policy(prior_searches=prior)


def make_oracle(folder, policy):
    """Return a robust random oracle, without a tuner."""
    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-5, 1.0, sampling="log")
    hp.Choice("optimizer", ["sgd", "adam"])
    oracle = oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "min"),
        hyperparameters=hp,
        seed=3,
        max_trials=40,
        max_consecutive_failed_trials=1000,
    )
    base = type(oracle)
    make_robust(oracle, policy, limit_is_set=True)
    oracle.__class__ = type(base.__name__, (RobustOracle, learning_mixin(base), base), {})
    oracle._set_project_dir(str(folder), "project")
    return oracle


def search(oracle):
    """Return how many of the trials failed."""
    failed = 0
    while (trial := oracle.create_trial("worker")).status == "RUNNING":
        if trial.hyperparameters.values["learning_rate"] > 0.02:
            failed += 1
            trial.status, trial.message = "FAILED", "diverged"
            record = TrialRecord(trial_id=trial.trial_id, status="failed", cause="unknown")
            oracle.robusttune_records()[trial.trial_id] = record
        else:
            trial.status = "COMPLETED"
            oracle.update_trial(trial.trial_id, {"score": 1.0})
        oracle.end_trial(trial)
    return failed


def test_an_earlier_search_spares_an_oracle_its_failures(table, tmp_path):
    """A study teaches a search of Keras Tuner, which counts what was turned away."""
    plain = search(make_oracle(tmp_path / "a", Policy()))
    oracle = make_oracle(tmp_path / "b", Policy(prior_searches=(table,)))
    assert plain >= 5
    assert search(oracle) <= 0.75 * plain
    (change,) = oracle.robust_space.adjustments
    assert change.reason == f"{change.before} proposals turned away by trials"


def test_a_search_cannot_be_its_own_earlier_search(table, tmp_path):
    """The folder of the project itself is an error."""
    policy = Policy(prior_searches=(table,))
    oracle = make_oracle(tmp_path / "a", policy)
    own = Policy(prior_searches=(oracle._project_dir,))
    oracle.robust_policy = own
    with pytest.raises(ValueError, match="names the search's own folder"):
        oracle.create_trial("worker")
