"""The suggested space: the lines are code that runs, and leave the unstable region out."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import keras_tuner
import numpy as np
import optuna
import pytest

from robusttune import Report, TrialRecord
from robusttune._report.search_data import Search
from robusttune._space import Choice, Float, Int


def trial_record(number, params, bad, cause="divergent_learning_rate"):
    """Return the record of a trial that has failed or not."""
    return TrialRecord(
        trial_id=str(number),
        number=number,
        status="failed" if bad else "completed",
        unstable=bad,
        cause=cause if bad else None,
        params=params,
    )


def report(unstable, *, cause="divergent_learning_rate", seed=0, trials=150):
    """Return the report of a random search that fails where `unstable` says so."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(trials):
        params = {
            "learning_rate": float(10 ** rng.uniform(-5, 1)),
            "units": int(2 ** rng.uniform(3, 9)),
            "depth": int(rng.integers(1, 9)),
            "optimizer": str(rng.choice(["sgd", "adam", "rmsprop"])),
            "batch_norm": bool(rng.random() < 0.5),
        }
        bad = bool(unstable(params))
        records.append(trial_record(number, params, bad, cause))
    return Report.from_records(records)


SHAPES = {
    "upper": lambda p: p["learning_rate"] > 0.1,
    "lower": lambda p: p["units"] <= 32,
    "depth": lambda p: p["depth"] > 5,
    "choice": lambda p: p["optimizer"] == "sgd",
    "boolean": lambda p: not p["batch_norm"],
    "upper_for_one_choice": lambda p: p["learning_rate"] > 0.01 and p["optimizer"] == "sgd",
    "three": lambda p: p["learning_rate"] > 0.01 and p["optimizer"] == "sgd" and p["depth"] > 3,
    "product": lambda p: p["learning_rate"] * p["units"] > 3,
    "quotient": lambda p: p["learning_rate"] / p["units"] > 1e-3,
    "interval": lambda p: 0.001 < p["learning_rate"] <= 0.1,
}


def run_optuna(code, params, trial):
    """Run lines for Optuna with the other hyperparameters as variables; returns all of them."""
    variables = {**params, "trial": trial, "optuna": optuna}
    exec(code, variables)
    return {name: variables[name] for name in params}


@pytest.mark.parametrize("unstable", SHAPES.values(), ids=SHAPES)
def test_lines_for_optuna_leave_the_region_out(unstable):
    """What the lines draw is not in the region, for any values of the other hyperparameters."""
    made = report(unstable)
    (region,) = made.find_regions()
    (suggestion,) = made.suggest_space()
    assert suggestion.region == region.rule
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for record in made.records:
        try:
            drawn = run_optuna(suggestion.optuna, record.params, study.ask())
        except optuna.TrialPruned:
            continue
        assert not region.contains(drawn)


def run_keras_tuner(code, params, seed):
    """Run lines for Keras Tuner at a random point of their space; returns all hyperparameters."""
    space = keras_tuner.HyperParameters()
    if "conditional_scope" in code:
        space.Choice("optimizer", [params["optimizer"]])
    variables = {**params, "hp": space, "keras_tuner": keras_tuner}
    exec(code, variables)
    for drawn in space.space:
        space.values[drawn.name] = drawn.random_sample(seed)
    exec(code, variables)
    values = {name: variables[name] for name in params}
    if "conditional_scope" in code and params["optimizer"] == "sgd":
        values["learning_rate"] = variables["learning_rate_sgd"]
    return values


@pytest.mark.parametrize("unstable", SHAPES.values(), ids=SHAPES)
def test_lines_for_keras_tuner_leave_the_region_out(unstable):
    """What the lines draw is not in the region, or the trial is refused before it is built."""
    made = report(unstable)
    (region,) = made.find_regions()
    (suggestion,) = made.suggest_space()
    for seed, record in enumerate(made.records, start=1):
        scoped = "conditional_scope" in suggestion.keras_tuner
        if scoped and record.params["optimizer"] != "sgd":
            continue  # as before under the other values
        try:
            drawn = run_keras_tuner(suggestion.keras_tuner, record.params, seed)
        except keras_tuner.errors.FailedTrialError:
            continue
        assert not region.contains(drawn)


RATE = Float("learning_rate", 1e-5, 10.0, log=True)
UNITS = Int("units", 8, 128, log=True)


def report_of_a_product(space, unstable, *, trials=250):
    """Return the report of a random search of a declared space that fails where `unstable` says."""
    rng = np.random.default_rng(0)

    def draw(parameter):
        if isinstance(parameter, Choice):
            return parameter.choices[rng.integers(len(parameter.choices))]
        value = float(np.exp(rng.uniform(np.log(parameter.low), np.log(parameter.high))))
        return round(value) if isinstance(parameter, Int) else value

    records = []
    for number in range(trials):
        params = {parameter.name: draw(parameter) for parameter in space}
        bad = bool(unstable(**params))
        records.append(trial_record(number, params, bad))
    return Report(Search.of(records, space={parameter.name: parameter for parameter in space}))


# The two factors, where their product fails, and what the lines for Optuna begin with.
PRODUCTS = {
    "the_continuum_follows_the_integer": (
        (UNITS, RATE),
        lambda units, learning_rate: units * learning_rate > 7,
        "learning_rate = trial.suggest_float('learning_rate', 1e-05, min(10, ",
    ),
    "the_continuum_follows_the_choice": (
        (Choice("units", (8, 16, 32, 64, 128, 256, 512)), RATE),
        lambda units, learning_rate: units * learning_rate > 7,
        "learning_rate = trial.suggest_float('learning_rate', 1e-05, min(10, ",
    ),
    "a_quotient": (
        (RATE, UNITS),
        lambda units, learning_rate: learning_rate / units > 1e-3,
        "learning_rate = trial.suggest_float('learning_rate', 1e-05, min(10, ",
    ),
    "the_upper_factor_of_a_quotient_is_an_integer": (
        (UNITS, RATE),
        lambda units, learning_rate: units / learning_rate > 1e5,
        "if units / learning_rate > ",
    ),
    "two_integers": (
        (UNITS, replace(UNITS, name="width", high=512)),
        lambda units, width: units * width > 4000,
        "if units * width > ",
    ),
    "nothing_would_be_left_of_the_continuum": (
        (UNITS, replace(RATE, low=0.1)),
        lambda units, learning_rate: units * learning_rate > 7,
        "if units * learning_rate > ",
    ),
}


@pytest.mark.parametrize(("space", "unstable", "line"), PRODUCTS.values(), ids=PRODUCTS)
def test_lines_for_a_product_stay_in_the_declared_ranges(space, unstable, line):
    """Whatever the lines draw is in the range that was declared, and not in the region."""
    made = report_of_a_product(space, unstable)
    (region,) = made.find_regions()
    (suggestion,) = made.suggest_space()
    assert len(region.conditions[0].factors) == 2
    assert suggestion.optuna.startswith(line)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for seed, record in enumerate(made.records, start=1):
        drawn = []
        with contextlib.suppress(optuna.TrialPruned):
            drawn.append(run_optuna(suggestion.optuna, record.params, study.ask()))
        with contextlib.suppress(keras_tuner.errors.FailedTrialError):
            drawn.append(run_keras_tuner(suggestion.keras_tuner, record.params, seed))
        for params in drawn:
            assert not region.contains(params)
            for parameter in space:
                value = params[parameter.name]
                if isinstance(parameter, Choice):
                    assert value in parameter.choices
                else:
                    assert parameter.low <= value <= parameter.high


def test_lines_for_optuna_ask_whether_a_trial_has_a_hyperparameter():
    """Where a rule speaks of one that not every trial has, the lines run in the others too."""

    def search(trial, alpha=None):
        optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
        variables = {"trial": trial, "optuna": optuna}
        if optimizer == "sgd":
            variables["momentum"] = trial.suggest_float("momentum", 0, 0.99)
        if alpha is None:
            variables["alpha"] = trial.suggest_float("alpha", 1e-5, 10, log=True)
        else:
            exec(alpha, variables)
        bad = variables.get("momentum", 0.0) > 0.5 and variables["alpha"] > 0.1
        return float("nan") if bad else 1.0

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(search, n_trials=200)
    made = Report.from_study(study)
    (region,) = made.find_regions()
    (suggestion,) = made.suggest_space()
    assert " if 'momentum' in trial.params and momentum > " in suggestion.optuna
    narrowed = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    narrowed.optimize(lambda trial: search(trial, suggestion.optuna), n_trials=100)
    assert not any(region.contains(trial.params) for trial in narrowed.trials)
    assert max(trial.params["alpha"] for trial in narrowed.trials) > 1


@pytest.mark.parametrize("scoped", [True, False], ids=["conditional_scope", "if"])
def test_lines_for_keras_tuner_ask_whether_a_trial_has_a_hyperparameter(scoped):
    """They run in trials without it, under a conditional scope and under an `if`."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(200):
        params = {"optimizer": str(rng.choice(["sgd", "adam"])), "alpha": float(rng.random())}
        if params["optimizer"] == "sgd":
            params["momentum"] = float(rng.random())
        bad = params.get("momentum", 0.0) > 0.5 and params["alpha"] > 0.5
        records.append(trial_record(number, params, bad))
    (suggestion,) = Report.from_records(records).suggest_space()

    def build(space):
        variables = {"hp": space, "keras_tuner": keras_tuner}
        optimizer = space.Choice("optimizer", ["adam", "sgd"])
        variables["alpha"] = space.Float("alpha", 0.0, 1.0)
        scope = space.conditional_scope("optimizer", ["sgd"])
        with scope if scoped else contextlib.nullcontext():
            if optimizer == "sgd":
                variables["momentum"] = space.Float("momentum", 0.0, 1.0)
        exec(suggestion.keras_tuner, variables)

    space = keras_tuner.HyperParameters()
    build(space)
    space.values = {"optimizer": "sgd", "alpha": 0.9, "momentum": 0.9}
    with pytest.raises(keras_tuner.errors.FailedTrialError):
        build(space)
    space.values = {"optimizer": "sgd", "alpha": 0.9, "momentum": 0.1}
    build(space)
    space.values = {"optimizer": "adam", "alpha": 0.9} | ({} if scoped else {"momentum": 0.1})
    build(space)


def test_lines_for_a_product_take_each_name_whole():
    """One name may be a part of the other one."""
    space = (replace(UNITS, name="u v"), replace(UNITS, name="u v w"))
    made = report_of_a_product(space, lambda **p: p["u v"] * p["u v w"] > 2000)
    (suggestion,) = made.suggest_space()
    assert suggestion.region.startswith("u v * u v w > ")
    assert suggestion.optuna.startswith("if u_v * u_v_w > ")


def test_lines_with_fewer_choices_say_that_they_need_a_new_study():
    """Optuna lets no study change its choices; the line that changes them says so, and runs."""
    suggestion, other = (report(SHAPES[n]).suggest_space()[0] for n in ("choice", "upper"))
    assert suggestion.optuna.endswith("  # in a new study: the choices of this one are fixed")
    assert "new study" not in suggestion.keras_tuner + other.optuna


def test_text_names_the_change():
    """The sentence says which bound to move, to where, and under which condition."""
    text = str(report(SHAPES["upper_for_one_choice"]).suggest_space()[0])
    assert text.startswith("Lower the upper bound of learning_rate to 0.01")
    assert text.endswith(" where optimizer == 'sgd'.")


def test_healthy_trials_that_would_be_lost_are_counted():
    """A suggestion says how many healthy trials lie in the region that it leaves out."""
    made = report(lambda p: p["learning_rate"] > 0.1 and p["depth"] != 3, trials=300)
    lost = sum(
        region.trials - region.failures
        for region in made.find_regions()
        if "depth" not in region.rule
    )
    assert lost == sum(s.healthy_trials_lost for s in made.suggest_space())


@pytest.mark.parametrize("cause", ["non_finite_data", "code_error", "crashed"])
def test_causes_that_no_hyperparameter_avoids_give_no_suggestion(cause):
    """Where the data or the code is at fault, the space is left alone."""
    made = report(SHAPES["upper"], cause=cause)
    assert len(made.find_regions()) == 1
    assert made.suggest_space() == []


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("divergent_learning_rate", "\nTo exclude learning_rate > "),
        ("unscaled_data", "\nAlternatively, to exclude learning_rate > "),
    ],
)
def test_summary_offers_a_narrower_space_second_where_the_cure_keeps_the_range(cause, words):
    """Data are scaled; a range that only unscaled data need narrow is the second choice."""
    text = report(SHAPES["upper"], cause=cause).summary()
    assert words in text
    assert [line for line in text.split("\n") if line != line.rstrip()] == []


@pytest.mark.parametrize("name", ['opt.lr "x"\n', "lambda", "1st", "x²", "学習率"])
def test_names_that_are_no_python_names_become_variables(name):
    """Hyperparameters with spaces, dots or quotes, or that are keywords, give lines that run."""
    rng = np.random.default_rng(0)
    records = [
        TrialRecord(
            trial_id=str(n),
            status="failed" if n < 30 else "completed",
            unstable=n < 30,
            cause="divergent_learning_rate" if n < 30 else None,
            params={name: float(1 + rng.random() if n < 30 else rng.random())},
        )
        for n in range(90)
    ]
    (suggestion,) = Report.from_records(records).suggest_space()
    trial = optuna.create_study().ask()
    exec(suggestion.optuna, {"trial": trial})
    assert list(trial.params) == [name]


@pytest.mark.parametrize(
    ("parameter", "values", "line"),
    [
        (
            Int("p", 8, 64, step=8),
            range(8, 72, 8),
            "p = hp.Int('p', 40, 64, step=8)",
        ),
        (
            Float("p", 0.1, 0.8, step=0.1),
            [k / 10 for k in range(1, 9)],
            "p = hp.Float('p', 0.4, 0.8, step=0.1)",
        ),
        (
            Int("p", 8, 512, log=True, step=2),
            [2**k for k in range(3, 10)],
            "p = hp.Int('p', 64, 512, step=2, sampling=\"log\")",
        ),
        (
            Choice("p", (1e-4, 1e-3, 1e-2, 1e-1)),
            [1e-4, 1e-3, 1e-2, 1e-1],
            "p = hp.Choice('p', [0.01, 0.1])",
        ),
    ],
    ids=["int", "float", "log_int", "choice_of_numbers"],
)
def test_bounds_stay_on_the_grid_of_the_space(parameter, values, line):
    """A raised lower bound is the next value of the grid, not one in between."""
    values = list(values)
    limit = {8: 32, 0.1: 0.3, 1e-4: 1e-3}[values[0]]
    records = [
        TrialRecord(
            trial_id=str(n),
            status="failed" if value <= limit else "completed",
            unstable=value <= limit,
            cause="divergent_learning_rate" if value <= limit else None,
            params={"p": value},
        )
        for n, value in enumerate(values * 10)
    ]
    (suggestion,) = Report(Search.of(records, space={"p": parameter})).suggest_space()
    assert suggestion.keras_tuner == line


@pytest.mark.parametrize(("high", "bounds"), [(True, "0, 489"), (False, "492, 3000")])
def test_bounds_stay_on_a_fine_grid(high, bounds):
    """Of a grid with many values a border is a round number in between; a bound is none."""
    parameter = Int("p", 0, 3000, step=3)
    records = [
        trial_record(n, {"p": value}, bad)
        for n, value in enumerate([*range(240, 480, 3), *range(501, 741, 3)])
        for bad in [(value > 490) is high]
    ]
    (suggestion,) = Report(Search.of(records, space={"p": parameter})).suggest_space()
    assert suggestion.optuna == f"p = trial.suggest_int('p', {bounds}, step=3)"
