"""Words: the sentences of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from robusttune.records import TrialRecord
from robusttune.regions import Region
from robusttune.report.search import has_ended, has_failed
from robusttune.report.suggest import Suggestion

# With fewer trials than this, even a clear region is often missed.
FEW_TRIALS = 30


def verdict(
    records: Sequence[TrialRecord], regions: Sequence[Region], suggestions: Sequence[Suggestion]
) -> tuple[str, str]:
    """Return what happened, and what to do about it; the second is empty where nothing failed.

    Args:
        records: The trials.
        regions: The unstable regions, the most important first.
        suggestions: What to change in the search space, likewise.
    """
    counts = Counter(record.cause for record in records if record.cause is not None)
    first = headline(records)
    if not counts:
        return first, ""
    first = first.rstrip(".")
    if regions:
        region = regions[0]
        cause = region.dominant_cause or counts.most_common(1)[0][0]
        advice = [s.text for s in suggestions if s.region == region.rule]
        what = f"{first}; {region.failures} of them where {region.rule}: {spoken(cause)}."
        return what, advice[0] if advice else cause.advice
    cause, count = counts.most_common(1)[0]
    share = ": " if len(counts) == 1 else f"; {count} of them: "
    return f"{first}{share}{spoken(cause)}.", cause.advice


def spoken(name: str) -> str:
    """Return a cause or symptom as people say it."""
    return str(name).replace("_", " ")


def too_few(records: Sequence[TrialRecord]) -> str | None:
    """Return a sentence where there are too few trials to tell where they fail; else None."""
    ended = [record for record in records if has_ended(record)]
    failed = sum(map(has_failed, ended))
    if len(ended) >= FEW_TRIALS or not 0 < failed < len(ended):
        return None
    return f"{len(ended)} trials are too few to tell which hyperparameters make them fail."


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    Example:
        >>> duration(4000)
        '1 h 7 min'
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return " ".join([f"{hours} h"] * (hours > 0) + [f"{rest} min"] * (rest > 0))


def headline(records: Sequence[TrialRecord]) -> str:
    """Return the first sentence: how many trials failed."""
    if not records:
        return "The search has no trials yet."
    running = sum(record.status == "running" for record in records)
    failed = sum(record.status == "failed" for record in records)
    unstable = sum(has_failed(record) for record in records) - failed
    trials = f"{len(records)} trial{'s' * (len(records) != 1)}"
    if not failed and not unstable:
        text = f"None of {trials} failed" if len(records) != 1 else "The only trial did not fail"
    elif len(records) == 1:
        text = "The only trial failed" if failed else "The only trial became unstable"
    elif failed == len(records):
        text = f"All {trials} failed"
    else:
        text = f"{failed or 'None'} of {trials} failed"
        if unstable:
            text += f"{' and' if failed else ', but'} {unstable} became unstable after good epochs"
    return text + (f"; {running} still running." if running else ".")
