"""The divergence rule, as a table, and that all who use it decide alike."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from robusttune._causes import Symptom
from robusttune._diagnosis import rules
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.diagnose import symptom_of
from robusttune._diagnosis.divergence import loss_limit
from robusttune._diagnosis.replay.intervention import Intervention, ReplayResult
from robusttune._diagnosis.trace import Batch, FitTrace
from robusttune._policy import Policy
from tests.zoo import linear

POLICY = Policy(divergence_factor=10.0)


@pytest.mark.parametrize(
    ("start", "baseline", "limit"),
    [
        (None, None, math.inf),  # nothing to compare with
        (None, 2.0, 20.0),
        (1.0, None, 10.0),
        (1.0, 0.5, 10.0),  # a start above the best constant prediction
        (1.0, 3.0, 30.0),  # a start below it: the model may come up to it
        (1e-6, 1.0, 10.0),
        (0.0, None, 10.0),  # no size to go by
        (-0.1, None, 9.9),
        (-5.0, None, 45.0),  # negative losses: ten times their size above them
        (-5.0, -20.0, 45.0),
        (-20.0, -5.0, 45.0),
        (-5.0, 2.0, 20.0),
        (2.0, -5.0, 20.0),
    ],
)
def test_loss_limit(start: float | None, baseline: float | None, limit: float) -> None:
    """The larger of both is what counts, and its sign is respected."""
    assert loss_limit(POLICY, start=start, baseline=baseline) == pytest.approx(limit)
    assert loss_limit(POLICY, start=start, baseline=baseline) > max(
        (loss for loss in (start, baseline) if loss is not None), default=0.0
    )


def model_of(loss: object) -> keras.Model:
    """Return a compiled model of one unit."""
    return linear(1e-6, inputs=4, loss=loss)


@pytest.mark.parametrize(
    ("start", "losses", "cause"),
    [
        (1.0, [1.0] * 9, "unsafe_metric"),
        (1.0, [20.0] * 9, None),  # it has diverged: the metric is not to blame
        (-5.0, [40.0] * 9, "unsafe_metric"),  # not ten times 5 above its start
        (-5.0, [46.0] * 9, None),
        (0.0, [1e-3] * 9, "unsafe_metric"),  # a start at 0 makes nothing far too high
    ],
)
def test_a_metric_is_blamed_where_training_went_well(
    start: float, losses: list[float], cause: str | None
) -> None:
    """Training that has diverged by the guard's rule has not gone well."""
    trace = FitTrace(
        losses=np.array(losses), start_loss=start, epoch_logs=[{"loss": 1.0, "val_ratio": math.nan}]
    )
    case = Case(
        symptom=Symptom.NON_FINITE_OBJECTIVE,
        model=model_of(lambda y, p: keras.ops.mean(y - p)),
        trace=trace,
        params={},
        related_trials=(),
        policy=POLICY,
    )
    verdict = rules.objective(case)
    assert (None if verdict is None else verdict.cause) == cause


def test_a_metric_is_blamed_after_a_lucky_start() -> None:
    """A first batch that was fitted by chance makes the best constant prediction no divergence."""
    y = np.arange(32.0).reshape(-1, 1)
    trace = FitTrace(
        losses=np.full(9, y.var()),
        start_loss=1e-3,
        first_batches=[Batch(np.zeros((32, 4)), y)],
        epoch_logs=[{"loss": y.var(), "val_ratio": math.nan}],
    )
    case = Case(
        symptom=Symptom.NON_FINITE_OBJECTIVE,
        model=model_of("mean_squared_error"),
        trace=trace,
        params={},
        related_trials=(),
        policy=POLICY,
    )
    verdict = rules.objective(case)
    assert verdict is not None
    assert verdict.cause == "unsafe_metric"


@pytest.mark.parametrize(
    ("losses", "baseline", "symptom"),
    [
        ([1.0] * 10, None, Symptom.STALLED),
        ([1.0] * 2 + [11.0] * 8, None, Symptom.DIVERGED),
        ([1.0] * 2 + [11.0] * 8, 2.0, Symptom.STALLED),
        ([1.0] * 2 + [21.0] * 8, 2.0, Symptom.DIVERGED),
        ([1.0] * 2 + [math.nan] * 8, 2.0, Symptom.NON_FINITE_LOSS),
        ([1.0] * 2 + [0.1] * 8, 2.0, None),
        ([-5.0] * 2 + [44.0] * 8, -6.0, Symptom.STALLED),
        ([-5.0] * 2 + [46.0] * 8, -6.0, Symptom.DIVERGED),
        ([-5.0] * 2 + [46.0] * 8, -50.0, Symptom.DIVERGED),  # a good baseline raises no limit
        ([-5.0] * 2 + [-60.0] * 8, -50.0, None),
    ],
)
def test_a_replay_goes_wrong_by_the_same_rule(
    losses: list[float], baseline: float | None, symptom: Symptom | None
) -> None:
    """As the guard would have it, negative losses too."""
    outcome = ReplayResult(
        intervention=Intervention(), losses=np.array([losses]), baseline=baseline, margin=0.9
    )
    assert symptom_of(outcome, POLICY) is symptom
