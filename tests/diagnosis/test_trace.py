"""What is read off the trace of a fit, as tables."""

from __future__ import annotations

import pytest

from robusttune._diagnosis.trace import FitTrace, seconds_saved


@pytest.mark.parametrize(
    ("epochs", "epoch", "each", "saved"),
    [
        pytest.param(10, 0, 2.0, 18.0, id="ended in its first epoch"),
        pytest.param(10, 6, 2.0, 6.0, id="ended later"),
        pytest.param(10, 9, 2.0, 0.0, id="ended in its last epoch"),
        pytest.param(3, 4, 2.0, 0.0, id="ran on for longer than it was asked to"),
        pytest.param(None, 0, 2.0, None, id="of unknown length"),
        pytest.param(10, None, 2.0, None, id="ended nowhere"),
        pytest.param(10, 0, None, None, id="no epoch was timed"),
    ],
)
def test_seconds_saved(
    epochs: int | None, epoch: int | None, each: float | None, saved: float | None
) -> None:
    """The epochs that were not begun, times the seconds of one."""
    assert seconds_saved(FitTrace(epochs=epochs, epoch=epoch, seconds_per_epoch=each)) == saved
