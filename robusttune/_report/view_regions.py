"""The regions of a search as its page tells them, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robusttune._regions import Region
from robusttune._report.kinds import Kind
from robusttune._report.priorities import named
from robusttune._report.search_data import has_ended, has_failed
from robusttune._report.sources import hosts
from robusttune._report.suggest import Suggestion
from robusttune._report.words import duration, too_few

if TYPE_CHECKING:
    from robusttune._report.contents import Contents


@dataclass(frozen=True, slots=True)
class RegionView:
    """A region as the page tells it.

    Args:
        region: The region.
        label: The kind of its failures, "mostly" where it is not that of all.
        kind: That kind; None: no cause is known.
        p: The p-value, with its sign.
        interval: Of the failure rate.
        lost: Time lost; "" for none.
        advice: What to do but for narrowing the space; "" where narrowing is what to do.
        suggestion: How to narrow the space; None: not at all.
        code: Lines to paste, by the host's name.
    """

    region: Region
    label: str
    kind: Kind | None
    p: str
    interval: str
    lost: str
    advice: str
    suggestion: Suggestion | None
    code: list[tuple[str, str]]


def regions_of(report: Contents) -> list[RegionView]:
    """Return the regions of a report as its page tells them."""
    suggestions = {suggestion.region: suggestion for suggestion in report.suggest_space()}
    views = []
    for region in report.find_regions():
        kind, label = named(region, report.kinds)
        suggestion = suggestions.get(region.rule)
        mends = kind is not None and kind.cause is not None and not kind.cause.narrowing
        small = region.p_value <= 0.005
        views.append(
            RegionView(
                region=region,
                label=label,
                kind=kind,
                p=f"{'≤' if small else '='} {region.p_value:.3f}",
                interval=f"{region.ci_low:.0%} to {region.ci_high:.0%}",
                lost=duration(region.seconds_lost) if region.seconds_lost else "",
                advice=report.advice_of(kind) if kind and mends else "",
                suggestion=suggestion,
                code=[] if suggestion is None else _code(suggestion, report.host),
            )
        )
    return views


def _code(suggestion: Suggestion, host: str | None) -> list[tuple[str, str]]:
    """Return the name of each host and its lines: of one host, or of all where it is not known."""
    code = suggestion.code
    known = hosts()
    names = [host] if host in code else list(code)
    return [(known[name].title if name in known else name, code[name]) for name in names]


def note_of(report: Contents) -> str:
    """Return why there are no regions; "" where there are, or where nothing failed."""
    if report.find_regions():
        return ""
    note = too_few(report.records)
    if note and not report.cause_regions:
        return note
    ended = [record for record in report.records if has_ended(record)]
    failed = sum(map(has_failed, ended))
    if not failed:
        return ""
    if failed == len(ended):
        return "All trials failed, so hyperparameters cannot explain why."
    if report.cause_regions:
        return "Trials fail throughout the search space; each cause has its own region, see below."
    return "No part of the search space fails more often than chance would explain."
