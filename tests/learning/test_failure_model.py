"""The model of failing, and the choice between proposals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robusttune import FailureCause
from robusttune._learning import Outcome, first_stable, learn
from robusttune._space import Choice, Float, Int

RATE = Float("rate", 1e-5, 1.0, log=True)
OTHERS = [Float(f"x{i}", 0, 1) for i in range(4)]
TEN = Choice("layer", tuple(f"kind {i}" for i in range(10)))
LIMITS = dict(zip(TEN.choices, (0.3, 0.9, 0.5, 0.8, 0.4, 1.0, 0.6, 1.0, 0.7, 0.35), strict=True))


def height(params):
    """Return the rate's position on its scale."""
    return (math.log10(params["rate"]) + 5) / 5


SHAPES = {
    "sum": ([Int("a", 3, 10), Int("b", 6, 12), *OTHERS], lambda p: p["a"] + p["b"] > 15),
    "product": (
        [Int("units", 16, 1024), Int("layers", 1, 8), Int("batch", 16, 512, log=True)],
        lambda p: p["units"] * p["layers"] * p["batch"] > 300_000,
    ),
    "ratio": ([Int("k", 1, 9), Int("w", 4, 32), RATE], lambda p: p["k"] > p["w"] // 2),
    "order": ([*OTHERS, RATE], lambda p: p["x0"] > p["x1"] / 2),
    "choices": ([Choice(n, (0, 1, 9)) for n in "abcde"], lambda p: sum(p.values()) >= 18),
    "a limit each": ([RATE, TEN, *OTHERS], lambda p: height(p) > LIMITS[p["layer"]]),
    "band": ([RATE, *OTHERS[:2]], lambda p: abs(p["x0"] - 0.5) < 0.2),
}


def draw(space, rng):
    """Return values drawn at random."""
    params = {}
    for each in space:
        if isinstance(each, Choice):
            params[each.name] = each.choices[int(rng.integers(len(each.choices)))]
        elif each.log:
            value = math.exp(rng.uniform(math.log(each.low), math.log(each.high)))
            params[each.name] = round(value) if isinstance(each, Int) else value
        elif isinstance(each, Int):
            params[each.name] = int(rng.integers(each.low, each.high + 1))
        else:
            params[each.name] = float(rng.uniform(each.low, each.high))
    return params


def learned_from(space, fails, n, seed=0):
    """Return what n trials drawn at random teach."""
    rng = np.random.default_rng(seed)
    outcomes = []
    for _ in range(n):
        params = draw(space, rng)
        failed = bool(fails(params))
        outcomes.append(Outcome(params, failed, FailureCause.CODE_ERROR if failed else None))
    return learn(space, outcomes)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_model_fits_the_shapes_that_people_have(shape):
    """After 150 trials most places that fail are known, and few of the others are lost."""
    space, fails = SHAPES[shape]
    failure_model = learned_from(space, fails, 150)
    rng = np.random.default_rng(99)
    places = [draw(space, rng) for _ in range(400)]
    failing = np.array([bool(fails(params)) for params in places])
    turned_away = failure_model.risks(places) > failure_model.limit
    assert turned_away[failing].mean() >= 0.7
    assert turned_away[~failing].mean() <= 0.15


def test_a_whole_choice_is_not_lost_for_one_failure():
    """One failure of a choice among others that fail by their rate does not close it."""
    space = [RATE, Choice("optimizer", ("sgd", "adam", "rmsprop"))]
    outcomes = [
        Outcome({"rate": 10**-e, "optimizer": name}, e < 2, FailureCause.DIVERGENT_LEARNING_RATE)
        for e in (0.5, 1.5, 2.5, 3.5)
        for name in ("adam", "rmsprop")
    ]
    failed = Outcome({"rate": 0.5, "optimizer": "sgd"}, True, FailureCause.DIVERGENT_LEARNING_RATE)
    failure_model = learn(space, [*outcomes, failed])
    assert not failure_model.is_unstable({"rate": 1e-4, "optimizer": "sgd"})
    assert failure_model.is_unstable({"rate": 0.5, "optimizer": "sgd"})


def test_a_branch_is_judged_by_what_it_will_have():
    """A child that is not drawn yet is not taken for one that is inactive."""
    space = [RATE, Choice("kind", ("dense", "conv")), Int("units", 1, 64), Int("kernel", 1, 9)]
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(80):
        params = draw(space, rng)
        del params["kernel" if params["kind"] == "dense" else "units"]
        failed = params.get("units", 0) > 32
        outcomes.append(Outcome(params, failed, FailureCause.OUT_OF_MEMORY if failed else None))
    failure_model = learn(space, outcomes)
    assert not failure_model.is_unstable({"rate": 0.01, "kind": "dense"})
    assert not failure_model.is_unstable({"rate": 0.01, "kind": "conv", "kernel": 3})
    assert failure_model.is_unstable({"rate": 0.01, "kind": "dense", "units": 60})
    assert not failure_model.is_unstable({"rate": 0.01, "kind": "dense", "units": 10})


def test_first_stable_keeps_the_order_and_takes_the_least_failing_of_bad_ones():
    """Proposals are drawn as far as needed; where all are bad, the best of them is given out."""
    failure_model = learned_from([RATE, *OTHERS], lambda p: height(p) > 0.5, 80)
    drawn = []

    def proposals(*rates):
        for rate in rates:
            drawn.append(rate)
            yield {"rate": rate}

    assert first_stable(failure_model, proposals(1e-4, 1e-3, 0.9)) == {"rate": 1e-4}
    assert drawn == [1e-4]
    assert first_stable(failure_model, proposals(0.9, 1e-4)) == {"rate": 1e-4}
    assert first_stable(failure_model, proposals(0.9, 0.05, 0.5)) == {"rate": 0.05}
    assert first_stable(failure_model, proposals(0.9, 1e-4), {"rate": 0.8}) == {"rate": 0.9}
    assert first_stable(failure_model, []) is None
