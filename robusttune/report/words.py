"""Words: the sentences of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from robusttune.causes import FailureCause
from robusttune.records import TrialRecord
from robusttune.regions import Region
from robusttune.report.search import has_ended, has_failed
from robusttune.report.suggest import Suggestion

# With fewer trials than this, even a clear region is often missed.
FEW_TRIALS = 30


def verdict(
    records: Sequence[TrialRecord],
    regions: Sequence[Region],
    suggestions: Sequence[Suggestion],
    cause_regions: Mapping[FailureCause, Region],
) -> tuple[str, str]:
    """Return what happened, and what to do about it; the second is empty where nothing failed.

    Args:
        records: The trials.
        regions: The unstable regions, the most important first.
        suggestions: What to change in the search space, likewise.
        cause_regions: Where the failures of single causes are; used where there is no region of
            all failures together.
    """
    counts = Counter(record.cause for record in records if record.cause is not None)
    first = headline(records)
    running = sum(record.status == "running" for record in records)
    end = f"; {running} still running." if running else "."
    if regions:
        region = regions[0]
        cause = region.dominant_cause or FailureCause.UNKNOWN
        where = f"{region.failures} of them where {region.rule}: {named(region, records)}"
        narrowing = [s.text for s in suggestions if s.region == region.rule]
        advice = narrowing[0] if narrowing and cause.narrowing else cause.advice
        return f"{first}; {where}{end}", advice
    if not counts:
        return first + end, ""
    cause, count = counts.most_common(1)[0]
    if cause in cause_regions:
        place = cause_regions[cause]
        where = f"; {place.failures} of them where {place.rule}: "
    else:
        where = ": " if len(counts) == 1 else f"; {count} of them: "
    return f"{first}{where}{spoken(cause)}{end}", cause.advice


def named(region: Region, records: Sequence[TrialRecord]) -> str:
    """Return the cause of a region's failures as people say it, "mostly" where it is not all."""
    cause = region.dominant_cause
    if cause is None:
        return "no known cause"
    alike = sum(record.cause is cause and region.contains(record.params) for record in records)
    return spoken(cause) if alike >= region.failures else f"mostly {spoken(cause)}"


def counted(trials: int) -> str:
    """Return a number of trials as people say it."""
    return f"{trials} trial{'s' * (trials != 1)}"


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
    """Return how many trials failed, as a sentence without its full stop."""
    if not records:
        return "The search has no trials yet"
    failed = sum(record.status == "failed" for record in records)
    unstable = sum(has_failed(record) for record in records) - failed
    if len(records) == 1:
        if not failed and not unstable:
            return "The only trial did not fail"
        return "The only trial failed" if failed else "The only trial was unstable"
    trials = f"{len(records)} trials"
    if failed == len(records):
        return f"All {trials} failed"
    text = f"{failed or 'None'} of {trials} failed"
    if unstable and failed:
        text += f" and {unstable} more {'was' if unstable == 1 else 'were'} unstable"
    elif unstable:
        text += f", but {unstable} {'was' if unstable == 1 else 'were'} unstable"
    return text


def count_of_causes(records: Sequence[TrialRecord]) -> str:
    """Return how many trials failed, and how many of each cause, on one line.

    Example:
        >>> bad = TrialRecord(trial_id="1", status="failed", unstable=True, cause="unsafe_loss")
        >>> count_of_causes([bad, TrialRecord(trial_id="2", status="completed")])
        '1 of 2 trials failed: unsafe_loss 1'
    """
    counts = Counter(record.cause for record in records if record.cause is not None)
    causes = ", ".join(f"{cause} {count}" for cause, count in counts.most_common())
    return f"{headline(records)}: {causes}" if causes else headline(records)
