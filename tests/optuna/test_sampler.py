"""CrashAwareSampler: drop-in behaviour, and what it learns."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import warnings

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from robusttune import FailureCause, Policy, TrialRecord
from robusttune.optuna import CrashAwareSampler
from robusttune.optuna._failure_model import LearningView, failure_model_of

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


GRID = {"rate": [1e-5, 1e-3, 1e-1], "x": [0.0, 0.5, 1.0]}
SAMPLERS = {
    "random": lambda: optuna.samplers.RandomSampler(seed=1),
    "tpe": lambda: optuna.samplers.TPESampler(seed=1, n_startup_trials=5),
    "tpe-univariate": lambda: optuna.samplers.TPESampler(seed=1, multivariate=False),
    "tpe-group": lambda: optuna.samplers.TPESampler(seed=1, multivariate=True, group=True),
    "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=6),
    "nsga3": lambda: optuna.samplers.NSGAIIISampler(seed=1, population_size=6),
    "qmc": lambda: optuna.samplers.QMCSampler(seed=1),
    "partial": lambda: optuna.samplers.PartialFixedSampler(
        {"x": 0.25}, optuna.samplers.TPESampler(seed=1)
    ),
    "grid": lambda: optuna.samplers.GridSampler(GRID, seed=1),
    "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=1),
    "gp": lambda: optuna.samplers.GPSampler(seed=1, n_startup_trials=5),
}
NEEDS = {"cmaes": "cmaes", "gp": "torch"}
LEARNING = [name for name in SAMPLERS if name != "grid"]


def make(name):
    """Return a sampler; skip the test where a package that it needs is missing."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return SAMPLERS[name]()


def cliff(trial, cause=None):
    """Fail with NaN above a learning rate of 0.02; the optimum is below it."""
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    x = trial.suggest_float("x", 0, 1)
    if rate > 0.02:
        if cause is not None:
            number = trial.number
            record = TrialRecord(trial_id=str(number), number=number, status="failed", cause=cause)
            trial.set_user_attr("robusttune:record", record.to_json())
        return math.nan
    return (math.log10(rate) + 2.5) ** 2 + (x - 0.5) ** 2


def run(sampler, objective=cliff, n_trials=30, **study):
    """Return a finished study."""
    study = optuna.create_study(sampler=sampler, **study)
    study.optimize(objective, n_trials=n_trials)
    return study


def bad_share(study, after=15):
    """Return the share of late proposals beyond the cliff."""
    return np.mean([trial.params["rate"] > 0.02 for trial in study.trials[after:]])


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_are_the_base_samplers_until_something_fails(name):
    """The same seed gives the same trials, bit by bit, where nothing fails."""
    base, ours = make(name), CrashAwareSampler(make(name))
    studies = [run(base, cliff_free, 12), run(ours, cliff_free, 12)]
    params = [[trial.params for trial in study.trials] for study in studies]
    assert params[0] == params[1]


def cliff_free(trial):
    """Never fail."""
    return trial.suggest_float("rate", 1e-5, 1.0, log=True) + trial.suggest_float("x", 0, 1)


def stray(trial, cause=None):
    """Fail at random, one trial in five, with an exception that a record tells of."""
    value = cliff_free(trial)
    if np.random.default_rng(trial.number).random() > 0.2:
        return value
    number = trial.number
    record = TrialRecord(trial_id=str(number), number=number, status="failed", cause=cause)
    trial.set_user_attr("robusttune:record", record.replace(error="OSError: no").to_json())
    return math.nan


@pytest.mark.parametrize("cause", [c for c in FailureCause if not c.depends_on_parameters])
def test_failures_at_random_change_nothing(cause):
    """A failure of the data, the code or the worker that strikes anywhere leaves the proposals."""
    plain = run(make("tpe"), lambda t: stray(t, cause))
    ours = run(CrashAwareSampler(make("tpe")), lambda t: stray(t, cause))
    assert [t.params for t in plain.trials] == [t.params for t in ours.trials]


@pytest.mark.parametrize("cause", [FailureCause.CODE_ERROR, FailureCause.CRASHED])
def test_the_sampler_goes_by_the_evidence(cause):
    """A cause that says nothing of the parameters teaches where failing depends on them."""
    plain = run(make("tpe"), lambda t: cliff(t, cause), 60)
    ours = run(CrashAwareSampler(make("tpe")), lambda t: cliff(t, cause), 60)
    assert bad_share(plain, after=30) > 0.3
    assert bad_share(ours, after=30) <= 0.2


@pytest.mark.parametrize("name", LEARNING)
def test_the_sampler_walks_away_from_the_cliff(name):
    """Few late proposals fail once the cause says that the parameters did it."""
    sampler = CrashAwareSampler(make(name))
    n_trials = 25 if name == "gp" else 40
    study = run(sampler, lambda t: cliff(t, FailureCause.DIVERGENT_LEARNING_RATE), n_trials)
    assert bad_share(study) <= 0.2


def test_the_sampler_finds_out_that_nan_depends_on_the_rate():
    """Nothing but NaN is known of the failures."""
    bases = [optuna.samplers.TPESampler(seed=seed) for seed in range(5)]
    ours = [run(CrashAwareSampler(copy.deepcopy(base)), n_trials=60) for base in bases]
    plain = [run(base, n_trials=60) for base in bases]
    assert np.mean([bad_share(study) for study in plain]) > 0.4
    assert np.mean([bad_share(study) for study in ours]) < 0.15
    assert all(a.best_value < b.best_value for a, b in zip(ours, plain, strict=True))


def test_storage_keeps_the_truth():
    """Failed trials stay failed, without a value, and the best trial is a real one."""
    study = run(CrashAwareSampler(make("tpe")), n_trials=40)
    failed = [trial for trial in study.trials if trial.params["rate"] > 0.02]
    assert {trial.state for trial in failed} == {TrialState.FAIL}
    assert {trial.values for trial in failed} == {None}
    assert study.best_trial.params["rate"] <= 0.02


def test_a_share_of_the_proposals_is_left_free():
    """With free_share=1 the base sampler is asked once, as with avoid_unstable=False."""
    studies = [
        run(CrashAwareSampler(make("random"), policy=policy))
        for policy in (Policy(free_share=1.0), Policy(avoid_unstable=False))
    ]
    studies.append(run(make("random")))
    params = [[trial.params for trial in study.trials] for study in studies]
    assert params[0] == params[1] == params[2]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_view_shows_the_worst_value(direction):
    """In the sampler's view a failure is complete with the worst value; the trial is untouched."""
    study = optuna.create_study(direction=direction)
    distributions = {"rate": optuna.distributions.FloatDistribution(0, 1)}
    for number, value in enumerate([3.0, 1.0, None, math.inf]):
        trial = study.ask(distributions)
        if value is None:
            cause = FailureCause.DIVERGENT_LEARNING_RATE
            record = TrialRecord(trial_id="", number=number, status="failed", cause=cause)
            trial.set_user_attr("robusttune:record", record.to_json())
        study.tell(trial, value, state=TrialState.FAIL if value is None else None)
    view = LearningView(study, failure_model_of(study.trials, study.directions).shown)
    seen = view.get_trials(states=[TrialState.COMPLETE])
    assert [trial.number for trial in seen] == [0, 1, 2, 3]
    assert seen[2].value == (3.0 if direction == "minimize" else 1.0)
    assert study.trials[2].state is TrialState.FAIL
    assert view.best_value == study.best_value


def test_multi_objective_studies_learn():
    """The worst value of each objective stands for a failure."""

    def objective(trial):
        value = cliff(trial, FailureCause.DIVERGENT_LEARNING_RATE)
        return value, trial.params["x"]

    sampler = CrashAwareSampler(optuna.samplers.TPESampler(seed=0))
    study = run(sampler, objective, 40, directions=["minimize", "maximize"])
    assert bad_share(study) <= 0.2


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="since Optuna 5")
@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_constrained_studies_learn(name):
    """A failure violates every constraint that the others have; samplers need one on each trial."""

    def objective(trial):
        value = cliff(trial, FailureCause.DIVERGENT_LEARNING_RATE)
        if not math.isnan(value):
            trial.set_constraint("size", trial.params["x"] - 0.8)
        return value

    study = run(CrashAwareSampler(make(name)), objective, 25)
    assert bad_share(study) <= 0.3


def test_a_trial_that_failed_early_does_not_shrink_the_space():
    """A trial that failed before it had drawn all parameters is not shown to the base sampler."""

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
        if trial.number == 7:
            record = TrialRecord(trial_id="7", number=7, status="failed", cause="invalid_model")
            trial.set_user_attr("robusttune:record", record.to_json())
            return math.nan
        return rate + trial.suggest_float("x", 0, 1)

    study = run(CrashAwareSampler(make("tpe")), objective, 12)
    assert failure_model_of(study.trials, study.directions).failure_model.has_signal
    space = study.sampler.infer_relative_search_space(study, study.ask()._cached_frozen_trial)
    assert set(space) == {"rate", "x"}


def test_choices_of_numbers_are_learned_in_their_order():
    """Beyond the largest of 16, 32, ... that works, one that was never tried is unstable too."""
    distributions = {
        "units": optuna.distributions.CategoricalDistribution([16, 32, 64, 128, 256, 512])
    }
    record = TrialRecord(trial_id="", status="failed", cause=FailureCause.DIVERGENT_LEARNING_RATE)
    study = optuna.create_study()
    for units in [16, 32, 64, 128, 256] * 3:
        failed = units == 256
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=None if failed else 1.0,
                params={"units": units},
                distributions=distributions,
                user_attrs={"robusttune:record": record.to_json()} if failed else {},
            )
        )
    failure_model = failure_model_of(study.trials, study.directions).failure_model
    assert failure_model.is_unstable({"units": 512})
    assert not failure_model.is_unstable({"units": 16})


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_failures_before_all_parameters_are_drawn_teach_as_well(name):
    """A model that cannot be built fails before the objective asks for the rest."""

    def objective(trial):
        if trial.suggest_float("rate", 1e-5, 1.0, log=True) > 0.02:
            return math.nan
        return trial.suggest_float("x", 0, 1)

    policy = Policy(free_share=0.0)  # the base sampler alone is not shown such failures
    study = run(CrashAwareSampler(make(name), policy=policy), objective, 60)
    assert bad_share(study, after=30) <= 0.2


def test_conditional_spaces_learn():
    """A choice that always fails is left, though its branch has parameters of its own."""

    def objective(trial):
        kind = trial.suggest_categorical("kind", ["a", "b"])
        value = trial.suggest_float(f"{kind}_x", 0, 1)
        return math.nan if kind == "b" else value

    study = run(CrashAwareSampler(make("random")), objective, 60)
    late = [trial.params["kind"] for trial in study.trials[30:]]
    assert late.count("b") <= 6


def test_a_failed_point_is_not_proposed_again():
    """In a small discrete space a combination that failed by itself is visited once."""

    def objective(trial):
        cell = (trial.suggest_int("i", 0, 3), trial.suggest_int("j", 0, 3))
        if cell != (1, 2):
            return sum(cell)
        number = trial.number
        record = TrialRecord(trial_id="", number=number, cause=FailureCause.INVALID_MODEL)
        record = record.replace(status="failed")
        trial.set_user_attr("robusttune:record", record.to_json())
        return math.nan

    sampler = CrashAwareSampler(make("random"), policy=Policy(free_share=0.0))
    study = run(sampler, objective, 80)
    visits = [t for t in study.trials if (t.params["i"], t.params["j"]) == (1, 2)]
    assert len(visits) == 1


def test_enqueued_parameters_are_kept():
    """What the user enqueues is run, unstable or not."""
    study = run(CrashAwareSampler(make("tpe")), n_trials=30)
    study.enqueue_trial({"rate": 0.9, "x": 0.125})
    study.enqueue_trial({"x": 0.125})
    study.optimize(cliff, n_trials=2)
    assert study.trials[-2].params == {"rate": 0.9, "x": 0.125}
    assert study.trials[-1].params["x"] == 0.125


def test_an_enqueued_value_is_part_of_the_place_that_is_judged():
    """Where only a was enqueued, b is proposed for that a, and not for one that is not run."""

    def diagonal(trial):
        a, b = trial.suggest_float("a", 0, 1), trial.suggest_float("b", 0, 1)
        if a + b < 1:
            return b
        number, cause = trial.number, FailureCause.DIVERGENT_LEARNING_RATE
        record = TrialRecord(trial_id=str(number), number=number, status="failed", cause=cause)
        trial.set_user_attr("robusttune:record", record.to_json())
        return math.nan

    base = optuna.samplers.TPESampler(seed=0, multivariate=True)
    sampler = CrashAwareSampler(base, policy=Policy(free_share=0.0))
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for a, b in itertools.product(np.linspace(0, 1, 9), repeat=2):
        study.enqueue_trial({"a": a, "b": b})
    for _ in range(20):
        study.enqueue_trial({"a": 0.7})
    study.optimize(diagonal, n_trials=101)
    late = study.trials[81:]
    assert {trial.params["a"] for trial in late} == {0.7}
    assert sum(trial.state is TrialState.FAIL for trial in late) <= 4


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_fixed_parameters_stay_fixed(name):
    """What a PartialFixedSampler holds on to is not drawn anew where proposals are turned away."""
    base = optuna.samplers.PartialFixedSampler({"x": 0.25}, make(name))
    study = run(CrashAwareSampler(base), lambda t: cliff(t, "divergent_learning_rate"), 60)
    assert {trial.params["x"] for trial in study.trials} == {0.25}
    assert bad_share(study) <= 0.2


def test_a_grid_stays_a_grid_where_a_parameter_is_fixed():
    """The grid inside of a PartialFixedSampler is not left either."""
    base = optuna.samplers.PartialFixedSampler({"x": 0.5}, make("grid"))
    study = run(CrashAwareSampler(base), lambda t: cliff(t, "divergent_learning_rate"), 9)
    assert {trial.params["rate"] for trial in study.trials} == set(GRID["rate"])


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_choices_may_be_lists_in_a_space_that_changes():
    """Optuna takes any object for a choice, also one that has no hash."""

    def objective(trial):
        trial.suggest_categorical("layers", [[32, 16], [64]])
        if trial.number % 2:
            trial.suggest_float("dropout", 0, 0.5)
        return cliff(trial, FailureCause.DIVERGENT_LEARNING_RATE)

    study = run(CrashAwareSampler(make("tpe")), objective, 30)
    assert bad_share(study) <= 0.3


def test_pruned_trials_and_hyperband_go_together():
    """Hyperband hands samplers a filtered study; a pruned trial is no failure."""

    def objective(trial):
        value = cliff(trial, FailureCause.DIVERGENT_LEARNING_RATE)
        for step in range(9):
            if not math.isnan(value):
                trial.report(value + 1 / (1 + step), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.HyperbandPruner(max_resource=9)
    study = run(CrashAwareSampler(make("tpe")), objective, 40, pruner=pruner)
    assert {TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE} == {
        trial.state for trial in study.trials
    }
    assert bad_share(study) <= 0.2


def test_brackets_of_hyperband_are_not_mistaken_for_each_other():
    """Two brackets of as many trials, which are one study by name, have models of their own."""
    study = run(make("random"), lambda t: cliff(t, FailureCause.DIVERGENT_LEARNING_RATE), 20)
    sampler = CrashAwareSampler(make("random"))
    for part in (study.trials[::2], study.trials[1::2]):
        bracket = LearningView(study, {})
        bracket._get_trials = lambda part=part, **_: part
        shown = sampler._failure_model(bracket).shown
        assert shown
        assert set(shown) <= {trial.number for trial in part}


def test_studies_of_the_same_name_are_not_mistaken_for_each_other():
    """One sampler for two studies in two storages, which take turns: each has its own model."""
    sampler = CrashAwareSampler(make("random"))
    studies = [optuna.create_study(study_name="same", sampler=sampler) for _ in range(2)]
    objectives = [
        lambda trial: cliff(trial, FailureCause.DIVERGENT_LEARNING_RATE),
        lambda trial: math.nan if trial.suggest_float("y", 0, 1) > 0.5 else 1.0,
    ]
    for _ in range(20):
        for study, objective in zip(studies, objectives, strict=True):
            study.optimize(objective, n_trials=1)
    for study in studies:
        study.add_trial(optuna.create_trial(state=TrialState.FAIL))
    for study, name in zip(studies, ["rate", "y"], strict=True):
        assert name in sampler._failure_model(study).space


def test_threads_share_one_sampler():
    """n_jobs=4: every trial is finished and the cliff is left."""
    study = optuna.create_study(sampler=CrashAwareSampler(make("tpe")))
    study.optimize(lambda t: cliff(t, FailureCause.DIVERGENT_LEARNING_RATE), n_trials=48, n_jobs=4)
    assert all(trial.state.is_finished() for trial in study.trials)
    assert bad_share(study, after=20) <= 0.3


def test_a_sampler_can_be_pickled_and_goes_on_elsewhere():
    """What was learned is read from the study again."""
    study = run(CrashAwareSampler(make("tpe")), n_trials=30)
    copy = pickle.loads(pickle.dumps(study.sampler))
    study.sampler = copy
    study.optimize(cliff, n_trials=20)
    assert bad_share(study, after=30) < 0.2
    assert "TPESampler" in str(copy)


def test_a_long_study_stays_cheap():
    """After 5,000 trials a proposal takes a fraction of a second more than the base sampler's."""
    study = optuna.create_study(sampler=CrashAwareSampler(make("random")))
    rng = np.random.default_rng(0)
    space = {
        "rate": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True),
        "x": optuna.distributions.FloatDistribution(0, 1),
    }
    for _ in range(5000):
        params = {"rate": float(10 ** rng.uniform(-5, 0)), "x": float(rng.random())}
        failed = params["rate"] > 0.02
        study.add_trial(
            optuna.create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                params=params,
                distributions=space,
                value=None if failed else params["x"],
            )
        )
    study.optimize(cliff, n_trials=10)
    seconds = [trial.duration.total_seconds() for trial in study.trials[-10:]]
    assert np.median(seconds) < 2


def test_the_base_must_be_a_sampler():
    """The error names the argument."""
    with pytest.raises(TypeError, match="base must be an Optuna sampler or None, got 'tpe'"):
        CrashAwareSampler("tpe")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "TPESampler" in str(CrashAwareSampler())
