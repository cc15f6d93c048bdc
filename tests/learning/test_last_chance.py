"""Before a search is given up for its code, one trial is tried far from the failed ones."""

from __future__ import annotations

import optuna
import pytest

from robusttune import HopelessSearchError, Policy
from robusttune._hopeless import is_last_chance
from robusttune._learning import farthest
from robusttune._records import TrialRecord
from robusttune._space import Choice, Float, Int
from robusttune.optuna import robust


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def test_farthest_lies_inside_of_the_space_and_far_away():
    """Every value is one that the space has, and the corner opposite to the failures is taken."""
    space = [
        Float("rate", 1e-5, 1.0, log=True),
        Int("units", 16, 80, step=32),
        Int("width", 2, 64, log=True, step=2),
        Choice("optimizer", ("sgd", "adam")),
    ]
    tried = [{"rate": rate, "units": 80, "width": 64, "optimizer": "adam"} for rate in (0.5, 1.0)]
    far = farthest(space, tried)
    assert far["rate"] == pytest.approx(1e-5)
    assert (far["units"], far["width"], far["optimizer"]) == (16, 2, "sgd")
    for seed in range(5):
        values = farthest(space, [{}] * seed)
        assert 1e-5 <= values["rate"] <= 1.0
        assert values["units"] in (16, 48, 80)
        assert values["width"] in (2, 4, 8, 16, 32, 64)


def test_is_last_chance_comes_one_failure_before_the_end():
    """With hopeless_after=3 the same exception ends a search at its sixth trial."""
    failure = TrialRecord(trial_id="0", status="failed", cause="code_error", error="KeyError: 'a'")
    assert [is_last_chance([failure] * n, 3) for n in range(8)] == [False] * 5 + [True] * 3
    data = failure.replace(cause="non_finite_data")
    assert not any(is_last_chance([data] * n, 3) for n in range(8))
    assert not is_last_chance([failure] * 9, None)


@pytest.mark.parametrize("fails_everywhere", [True, False])
def test_a_study_tries_the_far_end_before_it_ends(fails_everywhere):
    """Where only small values succeed, and nothing proposes any, the last trial finds them."""

    def objective(trial):
        value = trial.suggest_float("x", 1e-3, 1.0, log=True)
        if fails_everywhere or value > 2e-3:
            raise KeyError("missing")
        return value

    class High(optuna.samplers.RandomSampler):
        """Proposes the upper end only."""

        def sample_independent(self, study, trial, name, distribution):
            return 0.9 + trial.number / 1000

    study = optuna.create_study(sampler=High())
    policy = Policy(hopeless_after=3)
    if fails_everywhere:
        with pytest.raises(HopelessSearchError, match="All 6 trials"):
            study.optimize(robust(objective, policy=policy), n_trials=20)
        assert len(study.trials) == 6
    else:
        study.optimize(robust(objective, policy=policy), n_trials=20)
        assert len(study.trials) == 20
    assert study.trials[5].params["x"] == pytest.approx(1e-3)
