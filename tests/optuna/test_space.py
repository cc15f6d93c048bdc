"""Optuna's suggestions are sanitized, and stay in agreement with the study for all its life."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import warnings

import optuna
import pytest
from hypothesis import given, settings, strategies as st

from robusttune import Policy, SearchSpaceWarning
from robusttune._space import Choice, Float, Int
from robusttune._space.roles import is_number, role_by_name, rule_for
from robusttune.optuna._space import sanitize_trial
from robusttune.optuna._stored_names import ADJUSTMENTS_KEY
from tests.space.strategies import choices, floats, ints

optuna.logging.set_verbosity(optuna.logging.ERROR)

pytestmark = [
    pytest.mark.filterwarnings("ignore::robusttune.errors.SearchSpaceWarning"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),  # multivariate
]


@pytest.fixture(params=["memory", "sqlite", "journal"])
def storage(request, tmp_path):
    """Each kind of storage that a study can live in."""
    if request.param == "memory":
        return optuna.storages.InMemoryStorage()
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
    return optuna.storages.JournalStorage(backend)


def unsound(trial):
    """A space that asks for failing trials."""
    lr = trial.suggest_float("lr", 0.0, 10.0)
    dropout = trial.suggest_categorical("dropout", [0.2, 0.5, 1.0])
    units = trial.suggest_int("units", -8, 64)
    return lr + dropout + units


def sound(trial):
    """A space with nothing to mend."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.1)
    units = trial.suggest_int("units", 8, 64, log=True)
    layers = trial.suggest_int("layers", 1, 3)
    name = trial.suggest_categorical("optimizer", ["adam", "sgd", None])
    return lr + dropout + units + layers + len(name or "")


def under(objective, policy=None):
    """The objective, with a sanitized trial."""
    return lambda trial: objective(sanitize_trial(trial, policy))


def quiet(study, objective, n_trials):
    """Run trials without the warnings that other tests are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchSpaceWarning)
        study.optimize(objective, n_trials=n_trials)


def test_suggestions_are_sanitized_and_stored_so(storage):
    """What is sampled lies in the mended range, and the study stores that range."""
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.TPESampler(seed=0))
    quiet(study, under(unsound), 5)
    for trial in study.trials:
        assert trial.distributions["lr"] == optuna.distributions.FloatDistribution(
            1e-5, 10.0, log=True
        )
        assert trial.distributions["dropout"].choices == (0.2, 0.5)
        assert trial.distributions["units"] == optuna.distributions.IntDistribution(1, 64)
        assert trial.params["units"] >= 1
    noted = study.user_attrs[ADJUSTMENTS_KEY]
    assert {(a["parameter"], a["field"]) for a in noted} == {
        ("lr", "low"),
        ("lr", "log"),
        ("dropout", "choices"),
        ("units", "low"),
    }
    json.dumps(noted, allow_nan=False)


def test_sound_space_gives_the_same_trials():
    """Where nothing is sanitized, the same seed gives the same trials, and the study no note."""
    studies = []
    for objective in (sound, under(sound)):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1, multivariate=True))
        with warnings.catch_warnings():
            warnings.simplefilter("error", SearchSpaceWarning)
            study.optimize(objective, n_trials=30)
        studies.append(study)
    plain, wrapped = studies
    assert [t.params for t in plain.trials] == [t.params for t in wrapped.trials]
    assert [t.distributions for t in plain.trials] == [t.distributions for t in wrapped.trials]
    assert wrapped.user_attrs == {}


def test_each_change_is_announced_once():
    """One warning per parameter and study, at the user's own line."""
    study = optuna.create_study()
    with pytest.warns(SearchSpaceWarning) as caught:
        study.optimize(under(unsound), n_trials=5)
    messages = [str(w.message) for w in caught if w.category is SearchSpaceWarning]
    assert len(messages) == 3
    assert "lr: Float(0.0, 10.0) is searched as Float(1e-05, 10.0, log)" in messages[0]
    assert all(w.filename == __file__ for w in caught if w.category is SearchSpaceWarning)


def test_change_is_announced_at_the_line_of_a_script(tmp_path):
    """A script of a few lines has no caller, and the line is found all the same."""
    script = tmp_path / "search.py"
    script.write_text(
        "import optuna\n"
        "from robusttune.optuna._space import sanitize_trial\n"
        "sanitize_trial(optuna.create_study().ask()).suggest_float('lr', 0.0, 1.0)\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert f"{script}:3: SearchSpaceWarning: lr: Float(0.0, 1.0)" in run.stderr


def test_trial_passes_for_the_one_it_wraps():
    """It is a Trial, shares its state, and can be reported, pruned, told and sanitized again."""
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=1.0))
    trial = study.ask()
    sanitized = sanitize_trial(trial)
    assert isinstance(sanitized, optuna.Trial)
    assert type(sanitized).__name__ == "Trial"
    assert sanitized.__dict__ is trial.__dict__
    assert sanitize_trial(sanitized) is sanitized
    sanitized.report(5.0, 0)
    assert sanitized.should_prune()
    sanitized.set_user_attr("a", 1)
    assert trial.user_attrs == {"a": 1}
    with pytest.warns(SearchSpaceWarning):
        value = sanitized.suggest_float("lr", 0.0, 10.0)
    assert sanitized.suggest_float("lr", 0.0, 10.0) == value
    study.tell(sanitized, 1.0)
    assert study.trials[0].params == {"lr": value}


def test_resumed_study_goes_on_as_it_began(storage):
    """Whatever the policy of the day, the ranges of the study's first day hold."""
    name = "resumed"
    study = optuna.create_study(storage=storage, study_name=name)
    quiet(study, under(unsound), 2)
    noted = study.user_attrs[ADJUSTMENTS_KEY]
    for policy in (Policy(), Policy(sanitize="off"), Policy(keep=frozenset({"lr"}))):
        again = optuna.load_study(storage=storage, study_name=name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again.optimize(under(unsound, policy), n_trials=2)
        assert again.user_attrs[ADJUSTMENTS_KEY] == noted
    assert len({str(t.distributions) for t in again.trials}) == 1


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.TPESampler(seed=0, multivariate=True, n_startup_trials=3),
        optuna.samplers.RandomSampler(seed=0),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_study_that_began_without_is_left_as_it_is(sampler):
    """A name that was sampled before keeps its scale, choices and bounds; that is said once."""
    study = optuna.create_study(sampler=sampler)

    def began(trial):
        lr = trial.suggest_float("lr", 0.0, 10.0)
        return lr + trial.suggest_categorical("dropout", [0.2, 0.5, 1.0])

    study.optimize(began, n_trials=5)
    with pytest.warns(SearchSpaceWarning) as caught:
        study.optimize(under(unsound), n_trials=5)
    told = [str(w.message) for w in caught if w.category is SearchSpaceWarning]
    assert sum("since the study began with it" in message for message in told) == 2
    assert {str(t.distributions["lr"]) for t in study.trials} == {
        "FloatDistribution(high=10.0, log=False, low=0.0, step=None)"
    }
    assert {a["parameter"] for a in study.user_attrs[ADJUSTMENTS_KEY]} == {"units"}
    assert all(t.state == optuna.trial.TrialState.COMPLETE for t in study.trials)


def test_ranges_that_change_with_the_trial_are_mended_each_time():
    """A range that depends on another value may be unsound in one trial only."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial):
        high = trial.suggest_int("first", 1, 8)
        return trial.suggest_int("units", 4, high) + trial.suggest_float("lr", 1e-3, high)

    quiet(study, under(objective), 20)
    assert all(t.state == optuna.trial.TrialState.COMPLETE for t in study.trials)
    for trial in study.trials:
        low, high = sorted((4, trial.params["first"]))
        assert low <= trial.params["units"] <= high
        assert trial.distributions["lr"].log
    notes = study.user_attrs[ADJUSTMENTS_KEY]
    assert len({(a["parameter"], a["field"]) for a in notes}) == len(notes)


def test_enqueued_trials():
    """An enqueued value is the user's own; only one that cannot be stored is sampled instead."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({"lr": 0.5, "dropout": 0.5, "units": 8})
    study.enqueue_trial({"lr": 0.0, "dropout": 1.0, "units": 8})
    with pytest.warns(SearchSpaceWarning, match="enqueued value is not used"):
        study.optimize(under(unsound), n_trials=2)
    assert study.trials[0].params == {"lr": 0.5, "dropout": 0.5, "units": 8}
    assert study.trials[1].params["lr"] >= 1e-5
    assert study.trials[1].params["dropout"] in (0.2, 0.5)
    assert study.trials[1].params["units"] == 8


def test_fixed_and_frozen_trials_replay_what_they_have():
    """The best trial of a sanitized study can be run again, as Optuna's users do."""
    study = optuna.create_study()
    quiet(study, under(unsound), 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert under(unsound)(study.best_trial) == study.best_value
        assert under(unsound)(optuna.trial.FixedTrial(study.best_params)) == study.best_value
        log = optuna.trial.FixedTrial({"lr": 0.1})
        assert sanitize_trial(log).suggest_float("lr", 0.0, 1.0, log=True) == 0.1
        outside = optuna.trial.FixedTrial({"lr": 50.0})
        assert sanitize_trial(outside).suggest_float("lr", 0.0, 100.0) == 50.0


def test_policy_decides():
    """Off and keep do nothing, warn only warns; the study is told nothing of these."""
    for policy in (
        Policy(sanitize="off"),
        Policy(keep=frozenset({"lr", "dropout", "units"})),
        Policy(sanitize="warn"),
    ):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            study.optimize(under(unsound, policy), n_trials=2)
        assert study.trials[0].distributions["lr"].low == 0.0
        assert ADJUSTMENTS_KEY not in study.user_attrs
        messages = [str(w.message) for w in caught if w.category is SearchSpaceWarning]
        assert len(messages) == (3 if policy.sanitize == "warn" else 0)


def test_several_workers_note_each_change_once(storage):
    """Workers that begin at once agree, and lose no note of each other."""
    study = optuna.create_study(storage=storage)
    barrier = threading.Barrier(4)

    def worker(index):
        mine = optuna.load_study(study_name=study.study_name, storage=study._storage)
        barrier.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine.optimize(
                under(lambda t: unsound(t) + t.suggest_float(f"lr_{index}", 0.0, 1.0)), n_trials=2
            )

    threads = [threading.Thread(target=worker, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    notes = [(a["parameter"], a["field"]) for a in study.user_attrs[ADJUSTMENTS_KEY]]
    assert len(set(notes)) == len(notes) == 4 + 4 * 2
    assert len(study.trials) == 8
    assert all(t.state == optuna.trial.TrialState.COMPLETE for t in study.trials)


def test_no_choice_is_made_up_where_there_is_none():
    """An empty list of choices is Optuna's to refuse, as without us."""
    with pytest.raises(ValueError, match="one or more"):
        sanitize_trial(optuna.create_study().ask()).suggest_categorical("x", [])


def test_choices_that_are_any_object_are_left_alone():
    """Two objects that look alike are two choices."""

    class Same:
        def __repr__(self):
            return "same"

    study = optuna.create_study()
    options = [Same(), Same()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sanitize_trial(study.ask()).suggest_categorical("x", options)
    assert len(study.trials[0].distributions["x"].choices) == 2


NAMES = st.sampled_from(["x", "lr", "momentum", "dropout", "units", "weight_decay", "batch_size"])


@settings(max_examples=200, deadline=None)
@given(st.one_of(floats(), ints(), choices()), NAMES, st.integers(0, 2**31))
def test_optuna_samples_what_the_sanitized_space_holds(asked, name, seed):
    """Whatever is asked for, Optuna takes it once it is sanitized, and samples from it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        trial = sanitize_trial(study.ask())
        if isinstance(asked, Choice):
            value = trial.suggest_categorical(name, asked.choices)
            declared = Choice(name, asked.choices)
        else:
            if asked.log and asked.step is not None:
                return  # Optuna has no steps on a logarithmic scale, and says so
            step = {} if asked.step is None else {"step": asked.step}
            suggest = trial.suggest_int if isinstance(asked, Int) else trial.suggest_float
            value = suggest(name, asked.low, asked.high, log=asked.log, **step)
            declared = (Int if isinstance(asked, Int) else Float)(name, asked.low, asked.high)
    assert not is_number(value) or math.isfinite(value)
    role = role_by_name(declared)
    if is_number(value):
        assert rule_for(role).allows(value)
    distribution = study.trials[0].distributions[name]
    assert distribution._contains(distribution.to_internal_repr(value))
