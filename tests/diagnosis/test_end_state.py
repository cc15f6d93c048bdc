"""The end state of a fit: its course, the gradient and the curvature."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robusttune._diagnosis.stalls.end_state import EndState, EndStateKind, more_epochs


@pytest.mark.parametrize(
    ("curve", "target", "epochs"),
    [
        ([10.0, 9.0, 8.0, 7.0], 5.0, 2.0),
        ([10.0, 9.0], 5.0, 4.0),
        ([3.0, 2.0, 1.0], 1.5, 0.0),
        ([2.0, 2.0, 2.0, 2.0], 1.0, math.inf),
        ([1.0, 2.0, 3.0], 0.5, math.inf),
        ([5.0], 1.0, math.inf),
        ([], 1.0, math.inf),
        ([2.0, math.nan], 1.0, math.inf),
    ],
)
def test_epochs_to_a_target_are_on_a_line(curve: list[float], target: float, epochs: float) -> None:
    """Through the last half of the course."""
    assert more_epochs(curve, target) == pytest.approx(epochs)


def test_noise_is_no_course() -> None:
    """A slope within its standard error is none."""
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=20)
    assert more_epochs(list(noise), 0.5) == math.inf


def test_states_are_told_with_their_numbers() -> None:
    """As the end of a sentence."""
    saddle = EndState(
        EndStateKind.SADDLE, gradient_norm=1e-4, largest_curvature=2.0, smallest_curvature=-0.3
    )
    assert str(saddle) == "it ended in a saddle: the smallest curvature is -0.3"
    assert saddle.as_evidence() == {
        "state": "saddle",
        "gradient_norm": 1e-4,
        "largest_curvature": 2.0,
        "smallest_curvature": -0.3,
    }
    assert "in 7 more epochs" in str(EndState(EndStateKind.STILL_LEARNING, more_epochs=7))
