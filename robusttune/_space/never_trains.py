"""How a proposal that never trains is reported, and told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robusttune._space.notices import tell
from robusttune._space.parameters import Adjustment

_FIELD = "proposal"


def never_trains(values: Mapping[str, Any], roles: Iterable[str], chance: float) -> Adjustment:
    """Return how a report lists a proposal that the failure prior turned away.

    Args:
        values: The proposal.
        roles: Names of the hyperparameters that the prior looks at; choices are shown as well.
        chance: Its chance never to train, 0..1.
    """
    named = set(roles)
    shown = {n: v for n, v in values.items() if n in named or isinstance(v, str)}
    text = ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value!r}"
        for name, value in shown.items()
    )
    reason = f"{chance:.0%} of such fits end no better than a constant (failure prior)"
    return Adjustment("", _FIELD, text, "another one", reason)


def announce_first(change: Adjustment, known: Sequence[Adjustment]) -> None:
    """Warn of the first proposal that is turned away; the report lists the others.

    Args:
        change: The proposal.
        known: The adjustments of the search so far.
    """
    if any(each.field == _FIELD for each in known):
        return
    tell(
        f"{change.before} is turned away, and so is what else practically never trains:"
        f" {change.reason}. The report lists each; the search's own trials overrule this, and"
        ' robusttune.Policy(sanitize="off") leaves all proposals alone.'
    )
