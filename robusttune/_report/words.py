"""Words: the sentences of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from robusttune._causes import FailureCause
from robusttune._records import TrialRecord
from robusttune._report.priorities import Priority
from robusttune._report.search_data import has_ended, has_failed, state_of

# With fewer trials than this, even a clear region is often missed.
FEW_TRIALS = 30


def verdict(records: Sequence[TrialRecord], priorities: Sequence[Priority]) -> tuple[str, str]:
    """Return what happened, and what to do about it; the second is empty where nothing failed.

    Args:
        records: The trials.
        priorities: What to fix, the most important first; all of them are named.
    """
    running = sum(record.status == "running" for record in records)
    end = f"; {running} still running." if running else "."
    text = headline(records)
    failing = sum(map(has_failed, records))
    if len(priorities) > 1 and not any(priority.rule for priority in priorities):
        text += ": " + ", ".join(f"{each.label} {each.trials}" for each in priorities)
        return text + end, priorities[0].advice
    for priority in priorities:
        if priority.rule:
            text += f"; {priority.trials} of them where {priority.rule}: {priority.label}"
        elif priority.trials == failing:
            text += f": {priority.label}"
        else:
            text += f"; {priority.trials} of them: {priority.label}"
    return text + end, priorities[0].advice if priorities else ""


def clipping_note(records: Iterable[TrialRecord]) -> str | None:
    """Return a sentence where completed trials were trained with clipped steps; else None."""
    clipped = sum(record.status == "completed" and bool(record.clipped_steps) for record in records)
    if not clipped:
        return None
    trials = f"{clipped} completed trial{'s' * (clipped != 1)}"
    return f"Steps were clipped in {trials}; Policy(clip=None) turns this off."


def values_note(records: Iterable[TrialRecord]) -> str | None:
    """Return a sentence where every value is of a trial whose labels do not suit; else None."""
    measured = [record for record in records if record.value is not None]
    if not measured or any(r.cause is not FailureCause.LABEL_MISMATCH for r in measured):
        return None
    values = sorted(record.value for record in measured if record.value is not None)
    span = f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} to {values[-1]:.4g}"
    return (
        f"The objective's values ({span}) come from mismatched labels: none of them says how good a"
        " model is."
    )


def counted(trials: int) -> str:
    """Return a number of trials as people say it."""
    return f"{trials:,} trial{'s' * (trials != 1)}"


def too_few(records: Sequence[TrialRecord]) -> str | None:
    """Return a sentence where there are too few trials to tell where they fail; else None."""
    ended = [record for record in records if has_ended(record)]
    failed = sum(map(has_failed, ended))
    if len(ended) >= FEW_TRIALS or not 0 < failed < len(ended):
        return None
    return f"{len(ended)} trials are too few to tell which hyperparameters make them fail."


def below_constant(records: Sequence[TrialRecord]) -> str | None:
    """Return a sentence where trials ended with a negative skill; None where none did."""
    below = sum(record.skill is not None and record.skill < 0 for record in records)
    if not below:
        return None
    return f"{below} of {counted(len(records))} ended worse than a constant prediction."


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
    unstable = sum(state_of(record) == "unstable" for record in records)
    completed = all(r.status == "completed" for r in records if state_of(r) == "unstable")
    were = ("completed but " if completed else "") + ("was" if unstable == 1 else "were")
    if len(records) == 1:
        if not failed and not unstable:
            return "The only trial did not fail"
        return "The only trial failed" if failed else f"The only trial {were} unstable"
    trials = f"{len(records)} trials"
    if failed == len(records):
        return f"All {trials} failed"
    text = f"{failed or 'None'} of {trials} failed"
    if unstable and failed:
        text += f" and {unstable} more {were} unstable"
    elif unstable:
        text += f"; {unstable} {were} unstable"
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
