"""Figures of a report with plotly, like those of optuna.visualization (pip install plotly)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from robusttune.arguments import collection, instance, require
from robusttune.records import TrialRecord
from robusttune.regions import Axis
from robusttune.regions.axes import is_number
from robusttune.report import Report
from robusttune.report.search import has_ended, has_failed
from robusttune.report.words import spoken

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["plot_causes", "plot_marginals", "plot_regions", "plot_timeline"]

_HEALTHY = "#7d9db8"
# Colours that colour-blind people can tell apart; a symbol goes with each, for print.
_COLOURS = ("#c44e00", "#6a3fa0", "#00765a", "#b0338a", "#8a6500", "#444c56")
_SYMBOLS = ("x", "triangle-up", "square", "diamond", "cross", "triangle-down")


def plot_regions(report: Report, parameters: Sequence[str] | None = None) -> Figure:
    """Plot the trials over two hyperparameters, with the unstable regions shaded.

    Args:
        report: The report.
        parameters: Names of two hyperparameters; None: the two that the first region's rule, or
            else the space, names first.

    Raises:
        ImportError: plotly is not installed.
        ValueError: There are no such two hyperparameters.
    """
    graph = _plotly(report)
    x, y = _two(report, parameters)
    figure = graph.Figure()
    axes = report.axes[x], report.axes[y]
    records = [r for r in report.records if all(axis.active_in(r.params) for axis in axes)]
    for name, members in _by_cause(records).items():
        figure.add_trace(
            graph.Scatter(
                x=[_place(axes[0], record) for record in members],
                y=[_place(axes[1], record) for record in members],
                text=[escape(f"trial {record.trial_id}") for record in members],
                mode="markers",
                name=name,
                marker=_marker(report, members[0]),
            )
        )
    regions = report.find_regions()
    for region in regions:
        sides: dict[str, Any] = {}
        for condition in region.conditions:
            if condition.name in (x, y) and condition.values is None:
                along = "x" if condition.name == x else "y"
                sides |= _ends(report, condition.name, condition.low, condition.high, along)
        if sides:
            whole_x, whole_y = _ends(report, x, None, None, "x"), _ends(report, y, None, None, "y")
            figure.add_shape(
                type="rect",
                line_width=0,
                fillcolor="rgba(213, 94, 0, 0.13)",
                layer="below",
                **{**whole_x, **whole_y, **sides},
            )
    rules = "; ".join(region.rule for region in regions)
    title = f"Unstable where {rules}" if rules else "No unstable region"
    figure.update_layout(title=escape(title), xaxis_title=escape(x), yaxis_title=escape(y))
    figure.update_xaxes(type=_axis_type(report, x))
    figure.update_yaxes(type=_axis_type(report, y))
    return figure


def plot_marginals(report: Report, parameters: Sequence[str] | None = None) -> Figure:
    """Plot the failure rate per hyperparameter and bin, with 95 % intervals.

    Args:
        report: The report.
        parameters: Names of hyperparameters; None: all of them.

    Raises:
        ImportError: plotly is not installed.
        ValueError: A name is not that of a hyperparameter.
    """
    graph = _plotly(report)
    rows = report.marginals
    known = list(dict.fromkeys(rows["parameter"]))
    names = known if parameters is None else _names(parameters, known)
    figure = graph.Figure()
    for name in names:
        part = rows[rows["parameter"] == name]
        rate = part["failure_rate"].to_numpy(float)
        figure.add_trace(
            graph.Bar(
                name=name,
                x=[[escape(name)] * len(part), [escape(label) for label in part["bin"]]],
                y=rate,
                marker_color="#5b7f9e",
                showlegend=False,
                error_y={
                    "type": "data",
                    "array": part["ci_high"].to_numpy(float) - rate,
                    "arrayminus": rate - part["ci_low"].to_numpy(float),
                },
            )
        )
    figure.add_hline(report.failure_rate, line_dash="dash", line_color="#57606a")
    figure.update_layout(title="Failure rate by hyperparameter")
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def plot_timeline(report: Report) -> Figure:
    """Plot the objective of all trials in their order; failed ones without one are at the top.

    Raises:
        ImportError: plotly is not installed.
    """
    graph = _plotly(report)
    figure = graph.Figure()
    values = [record.value for record in report.records if record.value is not None]
    top = max(values, default=1.0) + 0.08 * ((max(values) - min(values)) if values else 1.0)
    for name, members in _by_cause(report.records).items():
        figure.add_trace(
            graph.Scatter(
                x=[record.number for record in members],
                y=[top if record.value is None else record.value for record in members],
                text=[_told(record) for record in members],
                hoverinfo="text",
                mode="markers",
                name=name,
                marker=_marker(report, members[0]),
            )
        )
    figure.update_layout(title="The search", xaxis_title="trial", yaxis_title="objective")
    figure.update_yaxes(showticklabels=bool(values))
    return figure


def plot_causes(report: Report) -> Figure:
    """Plot the number of trials of each cause.

    Raises:
        ImportError: plotly is not installed.
    """
    graph = _plotly(report)
    rows = report.causes.iloc[::-1]
    order = list(report.causes["cause"])
    figure = graph.Figure(
        graph.Bar(
            x=rows["trials"].to_numpy(int),
            y=[spoken(cause) for cause in rows["cause"]],
            orientation="h",
            marker_color=[_COLOURS[min(order.index(cause), 5)] for cause in rows["cause"]],
        )
    )
    figure.update_layout(title="Why trials fail", xaxis_title="trials")
    return figure


def _plotly(report: Report) -> Any:
    instance("report", report, Report, "a robusttune.Report")
    try:
        import plotly.graph_objects as graph
    except ImportError as error:
        raise ImportError(
            "robusttune.visualization needs plotly: pip install 'robusttune[plot]'."
        ) from error
    return graph


def _two(report: Report, parameters: Sequence[str] | None) -> tuple[str, str]:
    if parameters is None:
        ruled = [n for r in report.find_regions() for c in r.conditions for n, _ in c.factors]
        parameters = list(dict.fromkeys([*ruled, *report.axes]))[:2]
    names = _names(parameters, list(report.axes))
    require(len(names) == 2, "parameters", "the names of two hyperparameters", parameters)
    return names[0], names[1]


def _names(parameters: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    rule = f"a list of names of hyperparameters, which are {', '.join(known)}"
    names = collection("parameters", parameters, str, rule, error=ValueError)
    require(set(names) <= set(known), "parameters", rule, parameters)
    return names


def _by_cause(records: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Return the trials in groups to draw in one mark each, healthy ones first."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in sorted(records, key=has_failed):
        if has_failed(record):
            name = spoken(record.cause or "no cause")
        else:
            name = "healthy" if has_ended(record) else "running"
        groups.setdefault(name, []).append(record)
    return groups


def _told(record: TrialRecord) -> str:
    value = "" if record.value is None else f", objective {record.value:.6g}"
    return escape(f"trial {record.trial_id}, {record.status}{value}")


def _marker(report: Report, record: TrialRecord) -> dict[str, Any]:
    if not has_failed(record):
        return {"color": _HEALTHY, "symbol": "circle"}
    order = list(report.causes["cause"])
    index = min(order.index(record.cause) if record.cause in order else 5, 5)
    return {"color": _COLOURS[index], "symbol": _SYMBOLS[index]}


def _place(axis: Axis, record: TrialRecord) -> Any:
    value = record.params[axis.name]
    return escape(str(value)) if axis.kind == "choice" else value


def _axis_type(report: Report, name: str) -> str:
    axis = report.axes[name]
    if axis.kind == "choice":
        return "category"
    return "log" if axis.log else "linear"


def _ends(
    report: Report, name: str, low: float | None, high: float | None, along: str
) -> dict[str, Any]:
    """Return the two ends of a shape along one axis, the open ones at the trials' extremes."""
    if report.axes[name].kind == "choice":
        return {f"{along}ref": f"{along} domain", f"{along}0": 0, f"{along}1": 1}
    values = [r.params[name] for r in report.records if is_number(r.params.get(name))]
    ends = (min(values) if low is None else low, max(values) if high is None else high)
    return {f"{along}0": ends[0], f"{along}1": ends[1]}
