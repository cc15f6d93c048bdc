"""Priorities: what to fix first, by how many trials and how much time it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from robusttune._causes import FailureCause
from robusttune._records import TrialRecord, one_line
from robusttune._regions import Region
from robusttune._report.kinds import Kind, Kinds
from robusttune._report.search_data import has_failed
from robusttune._report.suggest import Suggestion

_MOST = 3
# A region that holds this share of the failures of one kind tells where that kind is.
_MOSTLY = 0.5
# Characters of an exception in a sentence.
_ERROR = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """One thing to fix.

    Args:
        label: What goes wrong, as people say it.
        trials: Trials that fail of it.
        seconds: Wall time of these trials.
        rule: Where in the search space; "" where that is not known.
        advice: What to do; "" where nothing is known.
        cause: The cause; None: no cause is known.
    """

    label: str
    trials: int
    seconds: float
    rule: str
    advice: str
    cause: FailureCause | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A region, a kind or both, with its failing trials, and those that no other accounts for."""

    kind: Kind | None
    region: Region | None
    whole: frozenset[int]
    left: frozenset[int]


def rank(
    records: Sequence[TrialRecord],
    kinds: Kinds,
    regions: Sequence[Region],
    cause_regions: Mapping[FailureCause, Region],
    suggestions: Sequence[Suggestion],
    advise: Callable[[Kind], str],
) -> list[Priority]:
    """Return up to three things to fix, those first that cost most trials and time.

    A trial counts for one of them only: for the first.

    Args:
        records: The trials.
        kinds: Their kinds of failure.
        regions: The unstable regions of all failures together.
        cause_regions: Where the failures of single causes are; used where no region is.
        suggestions: What to change in the search space, by region.
        advise: Returns what to do about a kind.
    """
    failing = [record for record in records if has_failed(record)]
    places = {id(record): place for place, record in enumerate(failing)}
    of_kind = {
        kind: frozenset(places[id(record)] for record in members)
        for kind, members in kinds.members.items()
    }
    candidates = []
    for region in regions:
        inside = frozenset(places[id(r)] for r in failing if region.contains(r.params))
        candidates.append(_of_region(region, inside, of_kind))
    told = {candidate.kind for candidate in candidates}
    candidates += [
        _Candidate(kind, None, members, members)
        for kind, members in of_kind.items()
        if kind not in told
    ]
    seconds = [record.seconds or 0.0 for record in failing]
    chosen = _best(candidates, seconds)
    narrowing = {suggestion.region: suggestion.text for suggestion in suggestions}
    by_cause = {} if regions else cause_regions
    return [_priority(c, failing, of_kind, by_cause, narrowing, advise) for c in chosen]


def named(region: Region, kinds: Kinds) -> tuple[Kind | None, str]:
    """Return the kind of most failures of a region, and how people say it: "mostly" if not all."""
    counts = {
        kind: sum(region.contains(record.params) for record in members)
        for kind, members in kinds.members.items()
    }
    alike = {kind: n for kind, n in counts.items() if kind.cause == region.dominant_cause}
    if not alike or not max(alike.values()):
        return None, "no known cause"
    kind = max(alike, key=lambda one: alike[one])
    label = kind.label if alike[kind] >= region.failures else f"mostly {kind.label}"
    return kind, _with_exception(label, region)


def _with_exception(label: str, region: Region) -> str:
    """Return a label with the exception that all failures of a region end with, if one does."""
    if region.exception is None or region.exception in label:
        return label
    return f"{label} ({one_line(region.exception, _ERROR).rstrip('.')})"


def _of_region(
    region: Region, inside: frozenset[int], of_kind: Mapping[Kind, frozenset[int]]
) -> _Candidate:
    """Return a region's candidate, which speaks for a kind where it holds most of it."""
    counts = {kind: len(members & inside) for kind, members in of_kind.items()}
    kind = max(counts, key=lambda one: counts[one], default=None)
    if kind is None or counts[kind] < _MOSTLY * len(of_kind[kind]):
        return _Candidate(None, region, inside, inside)
    return _Candidate(kind, region, inside, inside | of_kind[kind])


def _best(candidates: Sequence[_Candidate], seconds: Sequence[float]) -> list[_Candidate]:
    """Return the candidates that cost most, each by the trials that those before it leave."""
    trials, time = len(seconds) or 1, sum(seconds) or 1.0

    def cost(candidate: _Candidate) -> float:
        lost = sum(seconds[place] for place in candidate.left)
        return len(candidate.left) / trials + lost / time

    left = list(candidates)
    chosen: list[_Candidate] = []
    while left and len(chosen) < _MOST:
        first = max(left, key=cost)
        left.remove(first)
        if first.left:
            chosen.append(first)
        left = [replace(c, left=c.left - first.left) for c in left]
    return chosen


def _priority(
    candidate: _Candidate,
    failing: Sequence[TrialRecord],
    of_kind: Mapping[Kind, frozenset[int]],
    cause_regions: Mapping[FailureCause, Region],
    narrowing: Mapping[str, str],
    advise: Callable[[Kind], str],
) -> Priority:
    members, region = candidate.whole, candidate.region
    counts = {kind: len(of & members) for kind, of in of_kind.items()}
    kind = max(counts, key=lambda one: counts[one])
    label = kind.label if counts[kind] == len(members) else f"mostly {kind.label}"
    place = None if kind.cause is None else cause_regions.get(kind.cause)
    if region is None and place is not None:
        within = frozenset(p for p in members if place.contains(failing[p].params))
        if len(within) >= _MOSTLY * len(members):
            region, members = place, within
    rule = region.rule if region else ""
    label = label if region is None else _with_exception(label, region)
    advice = advise(kind)
    if rule in narrowing and (kind.cause is None or kind.cause.narrowing):
        advice = narrowing[rule]
    return Priority(
        label=label,
        trials=len(members),
        seconds=sum(failing[place].seconds or 0.0 for place in members),
        rule=rule,
        advice=advice,
        cause=kind.cause,
    )
