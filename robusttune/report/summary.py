"""The summary: what happened to a search, in words and a small table for the terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robusttune.report.words import below_constant, duration, too_few

if TYPE_CHECKING:
    from robusttune.report.contents import Contents


def summary(report: Contents, *, width: int = 100, color: bool = False) -> str:
    """Return the report as text for a terminal.

    Args:
        report: The report.
        width: Characters a line.
        color: Whether to put in ANSI colors.
    """
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, highlight=False)
    console.print(_shown(report.verdict), style="bold")
    if note := below_constant(report.records):
        console.print(note)
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
    regions = report.find_regions()
    if regions:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("unstable region", ratio=1)
        table.add_column("failed", justify="right")
        table.add_column("p", justify="right")
        table.add_column("cause")
        for region in regions:
            failed = f"{region.failures} of {region.trials}"
            cause = region.dominant_cause or ""
            table.add_row(_shown(region.rule), failed, f"{region.p_value:.3f}", cause)
        console.print()
        console.print(table)
    elif (note := too_few(report.records)) and not report.cause_regions:
        console.print(f"\n{note}")
    causes_of = {region.rule: region.dominant_cause for region in regions}
    for suggestion in report.suggest_space():
        found = causes_of[suggestion.region]
        first = found is None or found.narrowing
        lead = "To leave out" if first else "Or else, to leave out"
        console.print(f"\n[dim]{lead}[/dim] {_shown(suggestion.region)}")
        code = suggestion.code.get(report.host or "", suggestion.keras_tuner)
        console.print(_shown(code), soft_wrap=True)
    if len(report.adjustments):
        console.print(f"\nAdjusted in the search space: {_shown(_adjusted(report))}.")
    for problem in report.problems[:5]:
        console.print(f"Not read: {_shown(problem)}", style="dim")
    if len(report.problems) > 5:
        console.print(f"... and {len(report.problems) - 5} more.", style="dim")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip("\n")


def _adjusted(report: Contents) -> str:
    """Return what the sanitizer changed, by hyperparameter."""
    changes: dict[str, list[str]] = {}
    for row in report.adjustments.fillna("?").to_dict("records"):
        change = f"{row['field']} {row['before']} -> {row['after']}"
        changes.setdefault(row["parameter"], []).append(change)
    return ", ".join(f"{name} ({', '.join(of)})" for name, of in changes.items())


def _shown(text: str) -> str:
    """Return a text that a terminal shows as it is: neither markup nor control characters."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))
