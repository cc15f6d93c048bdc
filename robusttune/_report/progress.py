"""Progress: how far a running search is, for a page that updates itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robusttune._report.search_data import has_failed, state_of
from robusttune._report.words import counted, duration

if TYPE_CHECKING:
    from robusttune._report.contents import Contents

_MOST_NEWEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a search is.

    Args:
        version: Differs from that of any earlier page of the same search.
        seconds: Until the page asks again (> 0).
        text: Finished, failed and running trials, and the time left, as one line.
        share: Of the planned trials that have finished, 0..1; None where no number is planned.
        newest: The trials that failed last, the newest first: number and what went wrong.
        trouble: Why the search cannot be read, or is waited for; "" where it was read.
    """

    version: str
    seconds: float
    text: str
    share: float | None = None
    newest: tuple[tuple[int, str], ...] = ()
    trouble: str = ""


def progress_of(
    report: Contents, *, version: str, seconds: float, planned: int | None, trouble: str
) -> Progress:
    """Return how far the search of a report is.

    Args:
        report: The report.
        version: See Progress.
        seconds: See Progress.
        planned: How many trials the search is to have; None: as the search says, if it does.
        trouble: See Progress.
    """
    records = report.records
    states = [state_of(record) for record in records]
    running = states.count("running")
    finished = len(records) - running
    planned = planned or report.search.planned
    if planned is not None and planned < len(records):
        planned = None
    done = f"{finished:,} of {counted(planned)}" if planned else counted(finished)
    text = f"{done} finished, {states.count('failed'):,} failed"
    text += f", {running:,} running"
    left = _time_left(report, planned, finished, running)
    if left is not None:
        text += f", about {duration(left)} left"
    failing = [record for record in records if has_failed(record)]
    newest = []
    for record in reversed(failing[-_MOST_NEWEST:]):
        kind = report.kinds.of(record)
        told = kind.label if kind else "failed"
        step = "" if record.step is None else f" at step {record.step}"
        newest.append((record.number or 0, f"trial {record.trial_id}: {told}{step}"))
    return Progress(
        version=version,
        seconds=seconds,
        text=text,
        share=finished / planned if planned else None,
        newest=tuple(newest),
        trouble=trouble,
    )


def _time_left(report: Contents, planned: int | None, finished: int, running: int) -> float | None:
    """Return an estimate: the mean time of a trial, for those left, as many at once as run now."""
    took = [r.seconds for r in report.records if r.seconds and r.status != "running"]
    if not planned or not took or finished >= planned:
        return None
    return sum(took) / len(took) * (planned - finished) / max(running, 1)
