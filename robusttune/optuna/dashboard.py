"""optuna-dashboard: a note on each failing trial, and on the study what fails and where.

Nothing here does anything where that package is not installed.
"""

from __future__ import annotations

import functools
import html
import importlib.util
from typing import TYPE_CHECKING, Any

from optuna.study import Study
from optuna.trial import Trial

from robusttune.arguments import instance
from robusttune.records import TrialRecord, one_line

if TYPE_CHECKING:
    from robusttune.regions import Axis, Condition, Region
    from robusttune.report import Report

_HEADING = "### robusttune"
_GRAPH_ID = "robusttune-regions"
_COLORS = {True: "#c0392b", False: "#2c7fb8"}


def note_failure(trial: Trial, record: TrialRecord) -> None:
    """Save a note on a failing trial; one that somebody else wrote is left alone."""
    if not _installed("optuna_dashboard"):
        return
    lines = [f"{_HEADING}: {record.cause}", "", _plain_text(record.advice or "")]
    if record.epoch is not None:
        lines += ["", f"Epoch {record.epoch}, step {record.step}."]
    if record.error is not None:
        lines += ["", _plain_text(record.error)]
    _save(trial, "\n".join(lines))


def publish_to_dashboard(study: Study) -> bool:
    """Save what fails in a study, and where, for optuna-dashboard.

    The study gets a note with its causes and unstable regions and, where plotly is installed and
    there is such a region, a graph of the trials with the first region shaded. Both replace those
    of an earlier call; a note that somebody else wrote is left alone.

    Args:
        study: Any study.

    Returns:
        Whether optuna-dashboard is installed.
    """
    instance("study", study, Study, "an Optuna study")
    if not _installed("optuna_dashboard"):
        return False
    from robusttune.report import Report

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
    if regions and _installed("plotly"):
        from optuna_dashboard import save_plotly_graph_object

        figure = _figure(regions[0], report)
        save_plotly_graph_object(study, figure, graph_object_id=_GRAPH_ID)
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


def _figure(region: Region, report: Report) -> Any:
    """Return the trials over the first two hyperparameters of a region's rule."""
    import plotly.graph_objects as go

    names = list(dict.fromkeys(n for c in region.conditions for n, _ in c.factors))
    names = [*names, *(name for name in report.axes if name not in names)][:2]
    x, y = names[0], names[-1]
    figure = go.Figure(layout={"template": "none", "title": {"text": html.escape(region.rule)}})
    for failed, label in ((False, "stable"), (True, "failed or unstable")):
        shown = [r for r in report.records if r.unstable == failed and set(names) <= set(r.params)]
        figure.add_scatter(
            x=[record.params[x] for record in shown],
            y=[record.params[y] for record in shown],
            text=[f"trial {r.number}" + (f": {r.cause}" if r.cause else "") for r in shown],
            mode="markers",
            name=label,
            marker={"color": _COLORS[failed]},
        )
    for condition in region.conditions:
        _shade(figure, condition, x, y, report.axes)
    for name, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
        update(title=html.escape(name), type="log" if report.axes[name].log else None)
    return figure


def _shade(figure: Any, condition: Condition, x: str, y: str, axes: dict[str, Axis]) -> None:
    """Shade what one condition on a number covers; choices and products are in the title."""
    if condition.values is not None or condition.name not in (x, y):
        return
    axis = axes[condition.name]
    low = axis.low if condition.low is None else condition.low
    high = axis.high if condition.high is None else condition.high
    if low is None or high is None:
        return
    look = {"fillcolor": _COLORS[True], "opacity": 0.12, "line_width": 0}
    if condition.name == x:
        figure.add_vrect(x0=low, x1=high, **look)
    else:
        figure.add_hrect(y0=low, y1=high, **look)
