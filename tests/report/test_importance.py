"""Which hyperparameters decide whether trials fail."""

from __future__ import annotations

import numpy as np
import pytest

from robusttune import Report, TrialRecord


def drawn(fails, *, trials=120, seed=0, optional=False):
    """Return the report of a random search that fails where a rule says so."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(trials):
        params = {
            "lr": float(10 ** rng.uniform(-5, 1)),
            "units": int(rng.integers(8, 512)),
            "optimizer": str(rng.choice(["sgd", "adam"])),
            "noise": float(rng.random()),
        }
        if optional and params["optimizer"] == "adam":
            del params["lr"]
        bad = bool(fails(params, rng))
        status = "failed" if bad else "completed"
        record = TrialRecord(
            trial_id=str(number),
            status=status,
            unstable=bad,
            cause="unknown" if bad else None,
            params=params,
        )
        records.append(record)
    return Report.from_records(records)


def test_what_decides_alone_explains_all():
    """A threshold on one hyperparameter: its share is near 1, that of the others near 0."""
    found = drawn(lambda p, rng: p["lr"] > 0.05).importance
    assert next(iter(found)) == "lr"
    assert found["lr"].share > 0.8
    assert found["lr"].low <= found["lr"].share <= found["lr"].high
    assert all(each.share < 0.05 for name, each in found.items() if name != "lr")


def test_what_decides_together_with_another_counts():
    """Neither decides alone, so that a share of each by itself would be 0."""
    found = drawn(lambda p, rng: (p["lr"] > 1e-2) != (p["units"] > 260), trials=300).importance
    assert set(list(found)[:2]) == {"lr", "units"}
    assert min(found["lr"].low, found["units"].low) > 0.3


def test_noise_explains_nothing():
    """Of failures dealt out at random, the intervals reach 0, but for about one in twenty."""
    found = [drawn(lambda p, rng: rng.random() < 0.3, seed=seed).importance for seed in range(5)]
    lows = [each.low for one in found for each in one.values()]
    assert len(lows) == 20
    assert sum(low > 0 for low in lows) <= 3
    assert max(each.share for one in found for each in one.values()) < 0.15


def test_hyperparameter_that_some_trials_lack_is_a_value_of_its_own():
    """Where only the trials that have a learning rate fail."""
    found = drawn(lambda p, rng: "lr" in p and p["lr"] > 1e-3, optional=True).importance
    assert found["lr"].share > 0.5


def test_numbers_are_the_same_each_time():
    """A report is to say the same twice."""

    def fails(params, rng):
        return params["lr"] * params["units"] > 1

    assert drawn(fails).importance == drawn(fails).importance


@pytest.mark.parametrize("fails", [lambda p, r: True, lambda p, r: False, lambda p, r: p["lr"] > 9])
def test_too_few_of_either_say_nothing(fails):
    """With all trials failing, none, or a handful, there is nothing to explain."""
    assert drawn(fails, trials=60).importance == {}
