"""Which of several proposals is given out: one mechanism for all hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from robusttune._learning.earlier import Guidance
from robusttune._learning.failure_model import FailureModel

_Proposal = TypeVar("_Proposal", bound=Mapping[str, Any])

# Proposals that are judged at once; the first one alone, since it is mostly taken.
_AT_ONCE = 16


def first_stable(
    failure_model: FailureModel | Guidance,
    proposals: Iterable[_Proposal],
    known: Mapping[str, Any] | None = None,
) -> _Proposal | None:
    """Return the first proposal that is not likely to fail, or else the least likely one.

    Args:
        failure_model: What was learned.
        proposals: What may be given out, in the order of preference; drawn as far as needed.
        known: Values that every proposal is completed with, and that overrule its own.

    Returns:
        None where there are no proposals.
    """
    known = known or {}
    least: tuple[float, _Proposal] | None = None
    waiting = iter(proposals)
    size = 1
    while some := list(islice(waiting, size)):
        risks = failure_model.risks([{**proposal, **known} for proposal in some])
        stable = np.flatnonzero(risks <= failure_model.limit)
        if len(stable):
            return some[int(stable[0])]
        best = int(np.argmin(risks))
        if least is None or risks[best] < least[0]:
            least = float(risks[best]), some[best]
        size = _AT_ONCE
    return None if least is None else least[1]
