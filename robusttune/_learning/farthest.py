"""One trial as far from the failed ones as the space allows, before a search is given up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from robusttune._learning.outcomes import Outcome
from robusttune._learning.points import Floats, Points
from robusttune._regions.axes import axis_of
from robusttune._space.parameters import Choice, Int, Parameter

_DRAWS = 256


def farthest(space: Iterable[Parameter], tried: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return values whose nearest trial is as far away as in any of 256 draws.

    A distance is the sum over the hyperparameters of how far apart two values are on their scale,
    as a share of the range; of a choice without an order, 1 where they differ. Half of the draws
    are of the ends of the ranges.

    Args:
        space: What is to be chosen; a step is kept.
        tried: Hyperparameter values of the failed trials.
    """
    parameters = list(space)
    rng = np.random.default_rng(len(tried))
    draws = [
        {each.name: _draw(each, rng, at_an_end=bool(i % 2)) for each in parameters}
        for i in range(_DRAWS)
    ]
    columns = Points.of(
        [axis_of(each) for each in parameters], [Outcome(params, True) for params in tried]
    )
    distances = _distances(columns.encode(draws), columns.encode(tried), columns)
    return draws[int(np.argmax(distances.min(axis=1, initial=np.inf)))]


def _distances(draws: Floats, tried: Floats, columns: Points) -> Floats:
    gaps = np.abs(draws[:, None, :] - tried[None, :, :])
    gaps = np.where(columns.nominal, (gaps > 0).astype(float), gaps)
    distances: Floats = np.where(np.isfinite(gaps), gaps, 0.0).sum(axis=2)
    return distances


def _draw(parameter: Parameter, rng: np.random.Generator, *, at_an_end: bool) -> Any:
    if isinstance(parameter, Choice):
        return parameter.choices[int(rng.integers(len(parameter.choices)))]
    low, high = float(parameter.low), float(parameter.high)
    share = float(rng.integers(2)) if at_an_end else float(rng.random())
    log = parameter.log and low > 0 and high > low
    if parameter.step is None:
        value = low * (high / low) ** share if log else low + share * (high - low)
    elif log:
        steps = int(math.log(high / low) / math.log(parameter.step) + 1e-9)
        value = low * parameter.step ** round(share * steps)
    else:
        steps = int((high - low) / parameter.step + 1e-9)
        value = low + parameter.step * round(share * steps)
    value = min(max(value, low), high)
    return round(value) if isinstance(parameter, Int) else value
