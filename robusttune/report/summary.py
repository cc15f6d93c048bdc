"""The summary: what happened to a search, in words and a small table for the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robusttune.records import TrialRecord
from robusttune.report.search import has_failed

if TYPE_CHECKING:
    from robusttune.report.report import Report


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    Example:
        >>> duration(4000)
        '1 h 7 min'
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


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


def summary(report: Report, *, width: int = 100, colour: bool = False) -> str:
    """Return the report as text for a terminal.

    Args:
        report: The report.
        width: Characters a line.
        colour: Whether to put in ANSI colours.
    """
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, highlight=False)
    console.print(escape(report.verdict), style="bold")
    causes = report.causes
    if len(causes):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("cause")
        table.add_column("trials", justify="right")
        table.add_column("time lost", justify="right")
        table.add_column("what to do", ratio=1)
        for row in causes.to_dict("records"):
            lost = duration(row["seconds_lost"]) if row["seconds_lost"] else ""
            table.add_row(row["cause"], str(row["trials"]), lost, row["advice"])
        console.print()
        console.print(table)
    adjusted = len(report.adjustments)
    if adjusted:
        console.print(f"\nThe search space was adjusted in {adjusted} place{'s' * (adjusted > 1)}.")
    for problem in report.problems[:5]:
        console.print(f"Not read: {escape(problem)}", style="dim")
    if len(report.problems) > 5:
        console.print(f"... and {len(report.problems) - 5} more.", style="dim")
    return out.getvalue().rstrip("\n")
