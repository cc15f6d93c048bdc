"""What a search may learn from its failures."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from robusttune._causes import FailureCause
from robusttune._learning import Outcome, is_free, learn, recent
from robusttune._space import Choice, Float, Int

RATE = Float("rate", 1e-5, 1.0, log=True)
SPACE = [RATE, Int("width", 1, 64), Choice("optimizer", ("sgd", "adam", "rmsprop"))]


def search(fails, n=60, seed=0, cause=None):
    """Return outcomes of a random search in which `fails(params, rng)` says which trials fail."""
    rng = np.random.default_rng(seed)
    outcomes = []
    for _ in range(n):
        params = {
            "rate": float(10 ** rng.uniform(-5, 0)),
            "width": int(rng.integers(1, 65)),
            "optimizer": str(rng.choice(["sgd", "adam", "rmsprop"])),
        }
        failed = bool(fails(params, rng))
        outcomes.append(Outcome(params, failed, cause if failed else None))
    return outcomes


def cliff(params, rng):
    """Fail above a learning rate."""
    return params["rate"] > 0.02


def share_caused(outcomes):
    """Return the share of the failures that count as caused by hyperparameters."""
    failure_model = learn(SPACE, outcomes)
    failed = np.array([outcome.failed for outcome in outcomes])
    assert not failure_model.caused[~failed].any()
    return failure_model.caused[failed].mean()


@pytest.mark.parametrize("cause", [c for c in FailureCause if c.depends_on_parameters is True])
def test_learn_counts_failures_with_a_cause_in_the_parameters(cause):
    """One failure is enough where its cause settles it."""
    failure_model = learn(
        SPACE, [Outcome({"rate": 0.5}, True, cause), Outcome({"rate": 0.1}, False)]
    )
    assert failure_model.caused.tolist() == [True, False]
    assert failure_model.has_signal


UNSETTLED = [None, *(c for c in FailureCause if not c.depends_on_parameters)]


@pytest.mark.parametrize("cause", UNSETTLED)
def test_learn_takes_no_lesson_from_failures_everywhere(cause):
    """A bug that hits every trial, or half of them wherever they are, teaches nothing."""
    assert share_caused(search(lambda p, r: True, cause=cause)) == 0
    assert share_caused(search(lambda p, r: r.random() < 0.5, cause=cause)) == 0


@pytest.mark.parametrize(
    "cause", [None, "unknown", "out_of_memory", "timeout", "label_mismatch", "unsafe_metric"]
)
def test_learn_takes_no_lesson_from_one_undetermined_failure(cause):
    """Named one by one: these may have struck anywhere, and a place is not to be closed for it."""
    cause = cause and FailureCause(cause)
    failure_model = learn(
        SPACE, [Outcome({"rate": 0.5}, True, cause), Outcome({"rate": 0.1}, False)]
    )
    assert not failure_model.has_signal


@pytest.mark.parametrize("cause", UNSETTLED)
def test_learn_goes_by_the_evidence_and_not_by_the_label(cause):
    """A code error counts as well where it depends on a place."""
    assert share_caused(search(cliff, cause=cause)) > 0.95


def test_learn_tells_kinds_of_one_cause_apart():
    """Of two code errors, the one that depends on the rate teaches, and the stray one does not."""
    outcomes = []
    for outcome in search(lambda p, r: cliff(p, r) or r.random() < 0.2, n=120):
        kind = "MemoryError at a.py:3" if cliff(outcome.params, None) else "OSError at b.py:7"
        outcomes.append(replace(outcome, cause=FailureCause.CODE_ERROR, kind=kind))
    caused = learn(SPACE, outcomes).caused
    beyond = np.array([cliff(o.params, None) for o in outcomes])
    assert caused[beyond].mean() > 0.95
    assert not caused[~beyond].any()


def test_learn_counts_exceptions_that_name_a_value():
    """Two are enough where each names the trial's own value of one hyperparameter."""
    widths = [16, 48, 7]
    outcomes = [
        Outcome(
            {"rate": 0.1, "width": width, "optimizer": "adam"},
            width > 10,
            FailureCause.CODE_ERROR,
            "ValueError at a.py:3",
            f"ValueError: {width} is too wide",
        )
        for width in widths
    ]
    assert learn(SPACE, outcomes).caused.tolist() == [True, True, False]


@pytest.mark.parametrize(
    "fails",
    [
        pytest.param(cliff, id="threshold"),
        pytest.param(lambda p, r: p["width"] > 52, id="integer"),
        pytest.param(lambda p, r: p["optimizer"] == "sgd", id="choice"),
        pytest.param(lambda p, r: p["rate"] * p["width"] > 0.3, id="diagonal"),
        pytest.param(lambda p, r: p["optimizer"] == "sgd" and p["rate"] > 1e-3, id="both"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_learn_finds_undetermined_failures_of_many_shapes(fails, seed):
    """Most failures count, whatever shape the unstable region has."""
    assert share_caused(search(fails, n=100, seed=seed)) > 0.6


def test_learn_is_rarely_misled_by_failures_at_random():
    """One trial in ten fails anywhere: in 60 searches, almost none teaches anything."""
    at_random = [search(lambda p, r: r.random() < 0.1, seed=seed) for seed in range(60)]
    assert sum(learn(SPACE, outcomes).has_signal for outcomes in at_random) <= 4


def test_learn_leaves_out_the_random_failures_of_a_search_with_a_cliff():
    """Where some failures depend on the rate, those far from the cliff still teach nothing."""
    outcomes = search(lambda p, r: cliff(p, r) or r.random() < 0.1, n=150)
    failure_model = learn(SPACE, outcomes)
    stray = np.array([o.failed and o.params["rate"] < 1e-3 for o in outcomes])
    assert stray.sum() >= 5
    assert failure_model.caused[stray].mean() <= 0.1


def test_learn_handles_searches_without_a_contrast():
    """Nothing, only successes, only failures, no hyperparameters at all."""
    assert not learn(SPACE, []).has_signal
    assert not learn(SPACE, [Outcome({"rate": 0.1}, False)] * 9).has_signal
    assert not learn(SPACE, [Outcome({"rate": 0.1}, True)] * 9).has_signal
    assert not learn([], [Outcome({}, True)] * 5 + [Outcome({}, False)] * 5).has_signal


def test_lesson_knows_unstable_places():
    """Far beyond the cliff is unstable, far before it is not."""
    failure_model = learn(SPACE, search(cliff))
    assert failure_model.is_unstable({"rate": 0.6, "width": 9, "optimizer": "adam"})
    assert not failure_model.is_unstable({"rate": 1e-4, "width": 9, "optimizer": "adam"})
    assert failure_model.is_unstable({"rate": 0.6})


def test_lesson_never_takes_a_failed_point_again():
    """The very values that failed are unstable after one failure; those beside them are not yet."""
    cause = FailureCause.INVALID_MODEL
    failed = {"rate": 0.1, "width": 3, "optimizer": "sgd"}
    failure_model = learn(
        SPACE, [Outcome(failed, True, cause), Outcome({**failed, "width": 40}, False)]
    )
    assert failure_model.is_unstable(failed)
    assert not failure_model.is_unstable({**failed, "width": 4})


def test_lesson_on_conditional_parameters():
    """A parameter that is only there in some trials can be what failing depends on."""
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(60):
        params = {"rate": float(10 ** rng.uniform(-5, 0))}
        if rng.random() < 0.4:
            params["width"] = int(rng.integers(1, 65))
        outcomes.append(Outcome(params, "width" in params))
    failure_model = learn(SPACE, outcomes)
    assert failure_model.is_unstable({"rate": 0.01, "width": 30})
    assert not failure_model.is_unstable({"rate": 0.01})


@pytest.mark.parametrize("cause", [FailureCause.INVALID_MODEL, None])
def test_lesson_of_trials_that_ended_before_they_had_all_parameters(cause):
    """What a failed trial did not come to ask for is not why it failed."""
    outcomes = [
        Outcome({"rate": o.params["rate"]}, True, cause) if o.failed else o for o in search(cliff)
    ]
    failure_model = learn(SPACE, outcomes)
    assert failure_model.has_signal
    rest = {"width": 32, "optimizer": "adam"}
    assert failure_model.is_unstable({"rate": 0.5, **rest})
    assert not failure_model.is_unstable({"rate": 1e-4, **rest})


def test_learn_reads_odd_values():
    """Values that are no numbers, unseen choices and unknown hyperparameters do no harm."""
    outcomes = [*search(cliff), Outcome({"rate": "high", "width": None, "other": []}, True)]
    failure_model = learn(SPACE, outcomes)
    assert 0 <= failure_model.risks([{"rate": "?", "optimizer": "lion", "more": 1}])[0] <= 1


def test_learn_looks_at_a_bounded_past():
    """10,000 outcomes cost no more than a few tenths of a second."""
    outcomes = search(cliff, n=10_000)
    start = time.perf_counter()
    failure_model = learn(SPACE, outcomes)
    assert time.perf_counter() - start < 5
    assert len(failure_model.caused) == len(outcomes)
    assert 140 <= failure_model.caused.sum() <= 150


def test_recent_keeps_the_last_of_both_kinds():
    """An old failure is not forgotten because many successes followed."""
    kept = recent([True] + [False] * 1000)
    assert kept[0] == 0
    assert len(kept) == 151


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.05, 5), (0.25, 25), (1.0, 100)])
def test_is_free_spreads_the_share_evenly(share, count):
    """Of 100 proposals exactly the share is free."""
    assert sum(is_free(number, share) for number in range(100)) == count
