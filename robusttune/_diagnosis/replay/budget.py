"""Budget: how many steps replays may take, counted in work: a busy machine says the same."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from robusttune._diagnosis.arrays import shapes
from robusttune._diagnosis.model.observe import LayerView, Observation, is_recurrent
from robusttune._diagnosis.trace import Batch

# Steps of a replay: the first of these that the work allows.
STEPS = (300, 100, 40)
# A diagnosis is about this many runs of full length; the work is shared out among them.
_RUNS = 12
# Multiply-adds for each of `Policy.diagnosis_seconds`. A processor core does about 2e10 in large
# products and convolutions, so that the default of 5 s is some 300 steps of a small image net.
_WORK_A_SECOND = 6e10
# What a layer costs beside its products, in multiply-adds: starting some ten small operations,
# forwards and backwards, takes about 30 us. A recurrent layer does so at each time step.
_A_CALL = 5e5
# From so many calls a step on, fusing them pays.
_MANY_CALLS = 20
# A backward pass takes twice what a forward pass does.
_PASSES = 3
# The wall clock ends a diagnosis only at this many times its seconds.
_LATENESS = 12.0


def work_of_step(seen: Observation, batch: Batch, weights: Sequence[tuple[int, ...]]) -> float:
    """Estimate the multiply-adds of one training step from shapes alone.

    Args:
        seen: A step on such a batch, for what comes out of each layer.
        batch: The batch.
        weights: Shapes of all trainable weights: where no layer was seen, each takes part once a
            row.
    """
    rows = max((shape[0] for shape in shapes(batch.x) if shape), default=1)
    layers = [view for view in seen.layers if view.kernels]
    if not layers:
        products = rows * sum(math.prod(shape) for shape in weights)
        return _PASSES * products + _A_CALL * max(len(weights), 1)
    return sum(_PASSES * _products(view) + _A_CALL * _calls(view) for view in layers) + _A_CALL


def many_small_operations(seen: Observation) -> bool:
    """Whether a step is mostly the start of operations, as a recurrent layer's over time is.

    Measured on two cores: XLA halves the time of a step of an LSTM over 30 time steps and takes a
    second to compile it; a small dense net gains less than that, and convolutions are 13 times
    slower.
    """
    layers = [view for view in seen.layers if view.kernels]
    convolves = any(_convolves(view) for view in layers)
    return not convolves and sum(_calls(view) for view in layers) >= _MANY_CALLS


def _convolves(view: LayerView) -> bool:
    return not is_recurrent(view) and any(len(kernel) > 2 for kernel in view.kernels)


def _calls(view: LayerView) -> int:
    """Return how often a layer's cell runs: once a time step in a recurrent layer."""
    if view.input is None or not is_recurrent(view) or view.input.ndim < 2:
        return 1
    return int(view.input.shape[1])


def _products(view: LayerView) -> float:
    """Return the multiply-adds of a layer: each kernel at each place that it is applied to."""
    rows = view.output.shape[0] if view.output.ndim else 1
    if is_recurrent(view):
        places = rows * _calls(view)
    elif _convolves(view):
        places = math.prod(view.output.shape[:-1])
    elif view.input is not None and view.input.ndim > 1:
        places = math.prod(view.input.shape[:-1])
    else:
        places = rows
    return float(places * sum(math.prod(kernel) for kernel in view.kernels))


class Budget:
    """Work that is left for the replays of one diagnosis.

    Args:
        seconds: `Policy.diagnosis_seconds`, in seconds of an ordinary processor core.
    """

    def __init__(self, seconds: float) -> None:
        self._work = seconds * _WORK_A_SECOND
        self._spent = 0.0
        self._late = time.monotonic() + seconds * _LATENESS

    def steps(self, work: float) -> int:
        """Return how many steps a replay can have whose steps take so much work each."""
        left = max(self._work - self._spent, 0.0)
        return next((n for n in STEPS if n * work * _RUNS <= left), STEPS[-1])

    def left(self, work: float) -> int:
        """Return how many steps of so much work each a half of what is left pays for."""
        return int(max(self._work - self._spent, 0.0) / 2 / work)

    def spend(self, work: float) -> None:
        """Count work that was done, in multiply-adds."""
        self._spent += work

    @property
    def reason(self) -> str | None:
        """Why no further replay should start; None while one may."""
        if self._spent >= self._work:
            return "not run: the work that policy.diagnosis_seconds allows was done"
        if time.monotonic() > self._late:
            return f"not run: it took more than {_LATENESS:g} times policy.diagnosis_seconds"
        return None
