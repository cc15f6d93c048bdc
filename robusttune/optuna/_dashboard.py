"""optuna-dashboard: a note on each failing trial, and on the study what fails and where.

Nothing here does anything where that package is not installed.
"""

from __future__ import annotations

import functools
import html
import importlib.util

from optuna.study import Study
from optuna.trial import Trial

from robusttune._records import TrialRecord, one_line
from robusttune._validation import check_type

_HEADING = "### robusttune"
_GRAPH_ID = "robusttune-regions"


def note_failure(trial: Trial, record: TrialRecord) -> None:
    """Save a note on a failing trial; one that somebody else wrote is left alone."""
    if not _installed("optuna_dashboard"):
        return
    lines = [f"{_HEADING}: {record.cause}", "", _plain_text(record.advice or "")]
    if record.epoch is not None:
        step = "" if record.step is None else f", step {record.step}"
        lines += ["", f"Epoch {record.epoch}{step}."]
    if record.error is not None:
        lines += ["", _plain_text(record.error)]
    _save(trial, "\n".join(lines))


def publish_to_dashboard(study: Study) -> bool:
    """Save what fails in a study, and where, for optuna-dashboard.

    The study gets a note with its causes and unstable regions and, where plotly is installed and
    there is such a region, the graph of `robusttune.visualization.plot_regions`, which needs two
    hyperparameters. Both replace those of an earlier call; a note that somebody else wrote is left
    alone.

    Args:
        study: Any study.

    Returns:
        Whether optuna-dashboard is installed.
    """
    check_type("study", study, Study, "an Optuna study")
    if not _installed("optuna_dashboard"):
        return False
    from robusttune._report import Report

    report = Report.from_study(study)
    regions = report.find_regions()
    failing = [record for record in report.records if record.cause is not None]
    lines = [f"{_HEADING}: {len(failing)} of {len(report.records)} trials failed or were unstable"]
    for cause, count, advice in report.causes[["cause", "trials", "advice"]].itertuples(
        index=False
    ):
        lines.append(f"- **{cause}**, {count} trials: {_plain_text(str(advice))}")
    for region in regions:
        rule = _plain_text(region.rule)
        lines.append(f"- {region.failures} of {region.trials} trials failed where {rule}")
    _save(study, "\n".join(lines))
    if regions and len(report.axes) > 1 and _installed("plotly"):
        from optuna_dashboard import save_plotly_graph_object

        from robusttune.visualization import plot_regions

        save_plotly_graph_object(study, plot_regions(report), graph_object_id=_GRAPH_ID)
    return True


@functools.cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _save(target: Study | Trial, body: str) -> None:
    from optuna_dashboard import get_note, save_note

    known = get_note(target)
    if not known or known.startswith(_HEADING):
        save_note(target, body)


def _plain_text(text: str) -> str:
    """Return text that Markdown shows as it is."""
    escaped = html.escape(one_line(text, 500), quote=False)
    return "".join(f"\\{sign}" if sign in r"\`*_[]()#|~!" else sign for sign in escaped)
