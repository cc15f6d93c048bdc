"""The summary: what happened to a search, in words and a small table for the terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robusttune._records import one_line
from robusttune._report.words import (
    below_constant,
    clipping_note,
    duration,
    too_few,
    values_note,
)

if TYPE_CHECKING:
    from robusttune._report.contents import Contents
    from robusttune._report.suggest import Suggestion


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
    if report.kinds.order:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("cause")
        table.add_column("trials", justify="right")
        table.add_column("time lost", justify="right")
        table.add_column("what to do", ratio=1)
        for kind, members in report.kinds.members.items():
            seconds = sum(record.seconds or 0.0 for record in members)
            lost = duration(seconds) if seconds else ""
            advice = _shown(report.advice_of(kind))
            table.add_row(_shown(kind.name), str(len(members)), lost, advice)
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
            cause = str(region.dominant_cause or "")
            cause = f"{cause}: {one_line(region.exception, 60)}" if region.exception else cause
            table.add_row(_shown(region.rule), failed, f"{region.p_value:.3f}", _shown(cause))
        console.print()
        console.print(table)
    elif (note := too_few(report.records)) and not report.cause_regions:
        console.print(f"\n{note}")
    causes_of = {region.rule: region.dominant_cause for region in regions}
    by_code: dict[str, list[Suggestion]] = {}
    for suggestion in sorted(report.suggest_space(), key=lambda found: found.place):
        code = suggestion.code.get(report.host or "", suggestion.keras_tuner)
        by_code.setdefault(code, []).append(suggestion)
    for code, suggestions in by_code.items():
        found = [causes_of[suggestion.region] for suggestion in suggestions]
        first = any(cause is None or cause.narrowing for cause in found)
        lead = "To exclude" if first else "Alternatively, to exclude"
        rules = ", and ".join(suggestion.region for suggestion in suggestions)
        console.print(f"\n[dim]{lead}[/dim] {_shown(rules)}")
        console.print(_shown(code), soft_wrap=True)
    for told in (values_note(report.records), clipping_note(report.records)):
        if told is not None:
            console.print(f"\n{told}")
    if len(report.adjustments):
        console.print(f"\nAdjusted in the search space: {_shown(_adjusted(report))}.")
    if report.problems:
        console.print(f"\n{len(report.problems)} could not be read.", style="dim")
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
