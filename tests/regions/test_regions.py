"""Unstable regions: planted ones are found, noise shows none, rules say what they count."""

from __future__ import annotations

import numpy as np
import pytest

from robusttune import FailureCause, Report, TrialRecord
from robusttune._regions import Axis, Condition, Region, find_regions
from robusttune._regions.axes import axis_of, infer_axis
from robusttune._regions.boxes import Likelihood
from robusttune._regions.fit import round_between
from robusttune._regions.significance import wilson
from robusttune._space import Choice, Float, Int

AXES = {
    axis.name: axis
    for axis in (
        Axis(name="lr", kind="float", log=True),
        Axis(name="units", kind="int", log=True),
        Axis(name="dropout", kind="float"),
        Axis(name="momentum", kind="float"),
        Axis(name="optimizer", kind="choice"),
        Axis(name="bn", kind="choice"),
    )
}
SHAPES = {
    "threshold": lambda p: p["lr"] > 0.1,
    "upper_bound": lambda p: p["dropout"] <= 0.15,
    "choice": lambda p: p["optimizer"] == "sgd",
    "boolean_and_range": lambda p: p["lr"] > 0.01 and not p["bn"],
    "interval": lambda p: 0.001 < p["lr"] <= 0.1,
    "two_boxes": lambda p: (
        (p["lr"] > 0.1 and p["optimizer"] == "adam") or (p["dropout"] > 0.35 and p["units"] > 64)
    ),
    "hole": lambda p: p["lr"] > 0.3 or p["lr"] <= 1e-4,
    "product": lambda p: p["lr"] * p["units"] > 3,
    "quotient": lambda p: p["lr"] / p["units"] > 1e-3,
    "conditional": lambda p: p.get("momentum", 0.0) > 0.5,
    "two_of_three": lambda p: p["optimizer"] != "adam" and p["lr"] > 0.01,
}


def draw(trials, seed):
    """Return random hyperparameters; momentum is active with sgd only."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(trials):
        row = {
            "lr": float(10 ** rng.uniform(-5, 1)),
            "units": int(2 ** rng.uniform(3, 9)),
            "dropout": float(rng.uniform(0, 0.5)),
            "optimizer": str(rng.choice(["sgd", "adam", "rmsprop"])),
            "bn": bool(rng.random() < 0.5),
        }
        if row["optimizer"] == "sgd":
            row["momentum"] = float(rng.uniform(0, 1))
        rows.append(row)
    return rows


def columns(rows):
    """Return rows as columns, None where a hyperparameter is inactive."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def find(rows, failed, **more):
    """Return the regions of these trials."""
    return find_regions(columns(rows), np.array(failed, dtype=bool), AXES, **more)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_planted_regions_are_found(shape):
    """With 200 trials, a planted shape is found with at least nine tenths of its extent."""
    rows = draw(200, 1)
    regions = find(rows, [shape(row) for row in rows])
    fresh = draw(3000, 2)
    truth = np.array([shape(row) for row in fresh])
    found = np.array([any(region.contains(row) for region in regions) for row in fresh])
    assert (truth & found).sum() / (truth | found).sum() >= 0.9
    assert all(region.p_value <= 0.05 for region in regions)


def test_two_separate_parts_are_two_regions():
    """A healthy range between two unstable ones is left out of both."""
    rows = draw(200, 3)
    regions = find(rows, [SHAPES["hole"](row) for row in rows])
    assert len(regions) == 2
    assert all([c.name for c in region.conditions] == ["lr"] for region in regions)
    assert not any(region.contains({"lr": 0.01}) for region in regions)


def uniform(seed, trials, rate):
    """Return random values of five hyperparameters, their axes, and what fails at this rate."""
    rng = np.random.default_rng(seed)
    lr = 10 ** rng.uniform(-5, 1, trials)
    params = {
        "lr": lr.tolist(),
        "units": rng.integers(16, 512, trials).tolist(),
        "optimizer": rng.choice(["a", "b", "c"], trials).tolist(),
        "dropout": rng.uniform(0, 1, trials).tolist(),
        "momentum": rng.uniform(0, 1, trials).tolist(),
    }
    axes = {name: infer_axis(name, values) for name, values in params.items()}
    return params, rng.random(trials) < rate(lr), axes


@pytest.mark.parametrize("seed", [123, 249])
def test_a_clean_border_is_one_region_in_a_large_search(seed):
    """A box whose failures are all in another one, which fails as often, is no second region."""
    params, failed, axes = uniform(seed, 1000, lambda lr: lr > 1)
    (region,) = find_regions(params, failed, axes)
    assert region.failures == region.trials == failed.sum()


def test_a_region_inside_of_a_milder_one_stays():
    """Where trials always fail, within where they often fail, is worth knowing."""

    def rate(lr):
        return np.select([lr > 1, lr > 0.1], [1.0, 0.4], 0.02)

    params, failed, axes = uniform(1, 1500, rate)
    always, often = find_regions(params, failed, axes)
    assert always.failure_rate == 1.0
    assert always.conditions[0].low == pytest.approx(1.0, rel=0.1)
    assert often.conditions[0].low == pytest.approx(0.1, rel=0.1)


def test_slanted_borders_are_named_as_a_product():
    """Where the product of two hyperparameters decides, the rule is about the product."""
    rows = draw(150, 4)
    (region,) = find(rows, [SHAPES["product"](row) for row in rows])
    assert region.conditions[0].factors == (("lr", 1), ("units", 1))
    assert region.rule.startswith("lr * units > ")


def test_rules_are_as_short_as_they_can_be():
    """A threshold is one condition at a round number, not a list of boxes."""
    rows = draw(100, 5)
    (region,) = find(rows, [row["lr"] > 0.1 for row in rows])
    (condition,) = region.conditions
    assert condition.name == "lr"
    assert condition.high is None
    assert condition.low == pytest.approx(0.1, rel=0.5)
    assert len(f"{condition.low:g}") <= 5


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_noise_shows_a_region_in_few_searches(rate):
    """Failures by chance show a region in about 5 % of searches: at most 4 of these 40.

    Without the test against noise it is 8 of them where every second trial fails.
    """
    rng = np.random.default_rng(0)
    shown = [bool(find(draw(60, seed), rng.random(60) < rate)) for seed in range(40)]
    assert sum(shown) <= 4


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_searches_without_a_contrast_have_no_regions(share):
    """Where all trials failed, or none, no region can be told."""
    rows = draw(50, 0)
    assert find(rows, np.full(50, share)) == []


def test_counts_of_a_region_are_those_of_its_rule():
    """The numbers of a region are those of the trials that its `contains` accepts."""
    for name, shape in SHAPES.items():
        rows = draw(120, 6)
        rng = np.random.default_rng(7)
        failed = np.array([shape(row) for row in rows]) ^ (rng.random(120) < 0.05)
        for region in find(rows, failed):
            inside = np.array([region.contains(row) for row in rows])
            assert (inside.sum(), (inside & failed).sum()) == (region.trials, region.failures), name
            assert region.failure_rate == region.failures / region.trials
            assert region.baseline_rate == failed.mean()
            assert (region.ci_low, region.ci_high) == wilson(region.failures, region.trials)


def test_counts_hold_on_a_grid_where_values_lie_on_the_border():
    """On a grid the border is one of its values, which belongs to one side only."""
    rng = np.random.default_rng(0)
    rows = [{"units": int(v), "lr": float(rng.random())} for v in rng.choice([16, 32, 64, 128], 80)]
    (region,) = find(rows, [row["units"] > 32 for row in rows])
    assert region.rule == "units > 32"
    assert [region.contains({"units": value}) for value in (32, 64)] == [False, True]
    assert region.failures == region.trials == sum(row["units"] > 32 for row in rows)


@pytest.mark.parametrize("above", [True, False])
def test_borders_on_a_grid_of_floats_do_not_split_one_value(above):
    """Three steps of 0.1 are 0.30000000000000004, which is what the rule calls 0.3."""
    rows = [{"dropout": 0.1 * (n % 6), "lr": (n * 7 % 60) / 60} for n in range(60)]
    failed = [(row["dropout"] > 0.35) is above for row in rows]
    (region,) = find(rows, failed)
    assert region.rule == f"dropout {'>' if above else '<='} 0.3"
    assert region.failures == region.trials == sum(failed)
    assert [region.contains({"dropout": value}) is above for value in (0.3, 3 * 0.1, 0.4)] == [
        False,
        False,
        True,
    ]


def test_regions_carry_their_cause_and_time():
    """The most frequent cause of a region's failures, and their seconds, come with it."""
    rows = draw(100, 5)
    failed = np.array([row["lr"] > 0.1 for row in rows])
    causes = [FailureCause.DIVERGENT_LEARNING_RATE if bad else None for bad in failed]
    causes[int(np.flatnonzero(failed)[0])] = FailureCause.UNSAFE_LOSS
    (region,) = find(rows, failed, causes=causes, seconds=np.full(100, 2.0))
    assert region.dominant_cause is FailureCause.DIVERGENT_LEARNING_RATE
    assert region.seconds_lost == 2.0 * region.failures


def test_regions_are_the_same_each_time():
    """The permutations are seeded: the same trials give the same regions."""
    rows = draw(80, 8)
    failed = [SHAPES["two_boxes"](row) for row in rows]
    assert find(rows, failed) == find(rows, failed)


@pytest.mark.parametrize(
    "values",
    [
        [None] * 40,
        [1.0] * 40,
        [["a", n] for n in range(40)],
        [n if n % 2 else "x" for n in range(40)],
        [10.0**300 * (1 + n) for n in range(40)],
        [10**400 + n for n in range(40)],
        [0.0 if n % 2 else -float(n) for n in range(40)],
        [True if n % 2 else 1 for n in range(40)],
    ],
    ids=["inactive", "constant", "lists", "mixed", "huge", "beyond_float", "negative", "bool_int"],
)
def test_odd_values_are_no_error(values):
    """Whatever hyperparameter values a study has, looking for regions does not fail."""
    failed = np.arange(40) % 4 == 0
    regions = find_regions({"p": values}, failed, {"p": infer_axis("p", values)})
    assert all(region.trials for region in regions)


def test_values_that_are_not_on_the_scale_of_a_declared_axis_are_no_error():
    """Zero on a logarithmic axis, and text on a numeric one, are left to other rules."""
    axes = {"lr": Axis(name="lr", kind="float", log=True), "n": Axis(name="n", kind="int")}
    params = {"lr": [0.0, 0.1, 1.0, 10.0] * 20, "n": ["many", 1, 2, 3] * 20}
    regions = find_regions(params, np.arange(80) % 4 == 3, axes)
    assert regions[0].trials == regions[0].failures == 20


def test_hundreds_of_hyperparameters_are_looked_at():
    """The one that decides is found among 300."""
    rng = np.random.default_rng(0)
    values = rng.random((300, 100))
    params = {f"p{k}": values[k].tolist() for k in range(300)}
    axes = {name: Axis(name=name, kind="float") for name in params}
    regions = find_regions(params, values[123] > 0.7, axes)
    assert [c.name for c in regions[0].conditions] == ["p123"]


@pytest.mark.full
def test_regions_of_100_000_trials_are_found():
    """Many trials are searched by a sample, and counted in full."""
    rng = np.random.default_rng(0)
    lr, dropout = 10 ** rng.uniform(-5, 1, 100_000), rng.uniform(0, 0.5, 100_000)
    failed = (lr > 0.1) ^ (rng.random(100_000) < 0.05)
    params = {"lr": lr.tolist(), "dropout": dropout.tolist()}
    (region,) = find_regions(params, failed, {n: AXES[n] for n in params})
    assert region.conditions[0].low == pytest.approx(0.1, rel=0.05)
    assert region.trials == (lr > region.conditions[0].low).sum()


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Condition(name="lr", factors=(("lr", 1),), low=0.03), "lr > 0.03"),
        (Condition(name="n", factors=(("n", 1),), high=4.0), "n <= 4"),
        (Condition(name="n", factors=(("n", 1),), low=2.0, high=4.0), "2 < n <= 4"),
        (Condition(name="o", factors=(("o", 1),), values=("sgd",)), "o == 'sgd'"),
        (Condition(name="o", factors=(("o", 1),), values=("a", "b")), "o in ('a', 'b')"),
        (Condition(name="b", factors=(("b", 1),), values=(False,)), "b == False"),
    ],
)
def test_conditions_read_as_code(condition, text):
    """A condition reads like the Python that it stands for."""
    assert str(condition) == text


@pytest.mark.parametrize(
    ("params", "inside"),
    [
        ({"lr": 0.2, "opt": "sgd"}, True),
        ({"lr": np.float32(0.2), "opt": "sgd"}, True),
        ({"lr": 0.1, "opt": "sgd"}, False),
        ({"lr": 0.2, "opt": "adam"}, False),
        ({"lr": 0.2}, False),
        ({"opt": "sgd"}, False),
        ({"lr": None, "opt": "sgd"}, False),
        ({"lr": "nan", "opt": "sgd"}, False),
        ({}, False),
    ],
)
def test_a_missing_hyperparameter_satisfies_no_condition(params, inside):
    """`contains` is False for a trial in which a hyperparameter of the rule is inactive."""
    region = Region(
        conditions=(
            Condition(name="lr", factors=(("lr", 1),), low=0.1),
            Condition(name="opt", factors=(("opt", 1),), values=("sgd",)),
        ),
        trials=1,
        failures=1,
        failure_rate=1.0,
        baseline_rate=0.5,
        ci_low=0.2,
        ci_high=1.0,
        p_value=0.01,
    )
    assert region.contains(params) is inside


def test_one_is_not_true():
    """A choice of 1 does not hold where the value is True."""
    condition = Condition(name="p", factors=(("p", 1),), values=(1,))
    assert condition.holds({"p": 1})
    assert not condition.holds({"p": True})


@pytest.mark.parametrize(
    ("low", "high", "number"),
    [(0.087, 0.13, 0.1), (0.0301, 0.0341, 0.032), (-0.2, 0.3, 0.05), (41.0, 59.0, 50.0)],
)
def test_borders_are_round_numbers(low, high, number):
    """Among equally good borders the one with the fewest digits is taken."""
    assert round_between(low, high) == number


@pytest.mark.parametrize(
    ("failures", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)],
)
def test_wilson_interval_has_its_published_values(failures, trials, low, high):
    """The interval agrees with tabulated values of Wilson's interval."""
    assert wilson(failures, trials) == pytest.approx((low, high), abs=1e-4)


def test_gain_is_largest_for_a_pure_split():
    """Of all groups of 10 of 40 trials, the one with all 10 failures explains most."""
    gain = Likelihood(40, 10).gain(np.full(11, 10), np.arange(11))
    assert np.argmax(gain) == 10
    assert gain[2] == -np.inf  # a group that fails less often than the others is no region


@pytest.mark.parametrize(
    ("values", "kind", "log"),
    [
        ([1e-4, 1e-3, 1e-2, 1e-1], "float", True),
        ([0.1, 0.2, 0.3], "float", False),
        ([1, 500, 1000], "int", False),
        ([8, 16, 32, 64, 512], "int", True),
        ([0.0, 1e-3, 1.0], "float", False),
        (["a", "b"], "choice", False),
        ([True, False], "choice", False),
        ([1, "a"], "choice", False),
        ([], "choice", False),
    ],
)
def test_undeclared_axes_are_inferred(values, kind, log):
    """Kind and scale of a hyperparameter follow from its values where nothing declares them."""
    axis = infer_axis("p", values)
    assert (axis.kind, axis.log) == (kind, log)


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (
            Float("p", 0.1, 1.0, log=True),
            Axis(name="p", kind="float", log=True, low=0.1, high=1.0),
        ),
        (
            Float("p", 0.1, 1.0, log=True, reverse=True),
            Axis(name="p", kind="float", low=0.1, high=1.0),
        ),
        (
            Int("p", 8, 64, step=8),
            Axis(name="p", kind="int", low=8.0, high=64.0, step=8.0),
        ),
        (Float("p", 0.0, float("inf")), Axis(name="p", kind="float", low=0.0)),
        (Choice("p", (False, True)), Axis(name="p", kind="choice", choices=(False, True))),
        (Choice("p", ("a", "b")), Axis(name="p", kind="choice", choices=("a", "b"))),
        (Choice("p", (3,)), Axis(name="p", kind="choice", choices=(3,))),
        (Choice("p", (16, 64)), Axis(name="p", kind="choice", choices=(16, 64))),
        (
            Choice("p", (64, 16, 32)),
            Axis(name="p", kind="int", choices=(64, 16, 32)),
        ),
        (
            Choice("p", (1e-2, 1e-3, 1e-4, 1e-1)),
            Axis(name="p", kind="float", log=True, choices=(1e-2, 1e-3, 1e-4, 1e-1)),
        ),
        (Choice("p", (1, 2, None)), Axis(name="p", kind="choice", choices=(1, 2, None))),
    ],
    ids=str,
)
def test_axes_of_declared_parameters(parameter, expected):
    """Kind and scale are those of the range; three or more numbers have an order."""
    assert axis_of(parameter) == expected


def report_of(rows, failed, **more):
    """Return the report of these trials."""
    return Report.from_records(
        TrialRecord(
            trial_id=str(n),
            status="failed" if bad else "completed",
            unstable=bool(bad),
            params=row,
            **(more if bad else {}),
        )
        for n, (row, bad) in enumerate(zip(rows, failed, strict=True))
    )


def test_bounds_of_a_hyperparameter_do_not_replace_the_interval():
    """One named "ci" would otherwise have the columns of the rate's interval."""
    values = np.arange(60) / 10
    report = report_of([{"ci": float(value)} for value in values], values > 3)
    row = report.regions.iloc[0]
    assert row["ci_low"] < row["failure_rate"] == row["ci_high"] == 1.0
    assert row["params_ci_low"] == report.find_regions()[0].conditions[0].low


def test_report_has_one_row_a_region():
    """The frame has the columns of the contract, then the bounds of the rules' parameters."""
    rows = draw(200, 1)
    frame = report_of(rows, [SHAPES["two_boxes"](row) for row in rows]).regions
    assert list(frame.columns[:10]) == [
        "region",
        "trials",
        "failures",
        "failure_rate",
        "baseline_rate",
        "ci_low",
        "ci_high",
        "p_value",
        "dominant_cause",
        "seconds_lost",
    ]
    assert set(frame.columns[10:]) == {
        "lr_low",
        "lr_high",
        "optimizer_values",
        "dropout_low",
        "dropout_high",
        "units_low",
        "units_high",
    }
    row = frame[frame.optimizer_values.notna()].iloc[0]
    assert row.optimizer_values == '["adam"]'
    assert row.lr_low == pytest.approx(0.1, rel=0.5)


def test_report_looks_for_regions_of_one_kind_of_failure():
    """Stalled trials, or those of one cause, have regions of their own."""
    rows = draw(100, 5)
    failed = [row["lr"] > 0.1 for row in rows]
    report = report_of(rows, failed, symptom="stalled", cause="dead_relu")
    assert report.find_regions("stalled")[0].rule == report.find_regions()[0].rule
    assert report.find_regions(FailureCause.DEAD_RELU) == report.find_regions("dead_relu")
    assert report.find_regions("unsafe_loss") == []
    with pytest.raises(ValueError, match="of must be 'unstable', 'stalled' or a FailureCause"):
        report.find_regions("everything")


def test_few_trials_are_said_to_be_too_few():
    """Under 30 trials without a clear region, the report says that it cannot tell."""
    rows = draw(12, 0)
    report = report_of(rows, [n % 4 == 0 for n in range(12)])
    assert report.find_regions() == []
    assert "12 trials are too few to tell" in report.summary()
