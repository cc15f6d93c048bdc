"""Figures of a report with plotly, like those of optuna.visualization (pip install plotly)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from robusttune.arguments import collection, instance, require
from robusttune.causes import FailureCause
from robusttune.records import TrialRecord
from robusttune.regions import Axis, Condition, Region
from robusttune.regions.axes import is_number
from robusttune.report import Report
from robusttune.report.marks import (
    LIGHT,
    Mark,
    Marks,
    groups_of,
    in_plane,
    marginals_of,
    objectives_are_wide,
    plane_of,
    slanted_area,
)
from robusttune.report.words import spoken

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["plot_causes", "plot_marginals", "plot_regions", "plot_timeline"]

# A mark of no objective is this share of the scale above the largest one.
_ABOVE = 0.08
_STEPS = 60


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
    regions = report.find_regions()
    names = x, y = _two(report, regions, parameters)
    figure = graph.Figure()
    axes = report.axes[x], report.axes[y]
    records = [r for r in report.records if all(axis.active_in(r.params) for axis in axes)]
    for group in groups_of(records, _marks(report)):
        figure.add_trace(
            graph.Scatter(
                x=[_place(axes[0], record) for record in group.records],
                y=[_place(axes[1], record) for record in group.records],
                text=[escape(f"trial {record.trial_id}") for record in group.records],
                mode="markers",
                name=group.name,
                marker=_marker(group.mark),
            )
        )
    for region in regions:
        drawn, _ = in_plane(region.conditions, names)
        if drawn:
            for shape in _shapes(report, drawn, names):
                figure.add_shape(line_width=0, fillcolor=LIGHT["region"], layer="below", **shape)
    rules = "; ".join(region.rule for region in regions)
    title = f"Unstable where {rules}" if rules else "No unstable region"
    figure.update_layout(title=escape(title), xaxis_title=escape(x), yaxis_title=escape(y))
    figure.update_xaxes(**_axis(report, x))
    figure.update_yaxes(**_axis(report, y))
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
    groups = marginals_of(report.marginals.to_dict("records"), report.failure_rate)
    names = list(groups) if parameters is None else _names(parameters, list(groups))
    figure = graph.Figure()
    for name in names:
        rows = groups[name]
        figure.add_trace(
            graph.Bar(
                name=name,
                x=[[escape(name)] * len(rows), [escape(row["bin"]) for row in rows]],
                y=[row["failure_rate"] for row in rows],
                marker_color=LIGHT["bar"],
                showlegend=False,
                error_y={
                    "type": "data",
                    "array": [row["ci_high"] - row["failure_rate"] for row in rows],
                    "arrayminus": [row["failure_rate"] - row["ci_low"] for row in rows],
                },
            )
        )
    figure.add_hline(report.failure_rate, line_dash="dash", line_color=LIGHT["soft"])
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
    log = objectives_are_wide(report.records)
    top = _top([r.value for r in report.records if r.value is not None], log)
    for group in groups_of(report.records, _marks(report)):
        figure.add_trace(
            graph.Scatter(
                x=[record.number for record in group.records],
                y=[top if record.value is None else record.value for record in group.records],
                text=[_told(record) for record in group.records],
                hoverinfo="text",
                mode="markers",
                name=group.name,
                marker=_marker(group.mark),
            )
        )
    scaled = any(record.value is not None for record in report.records)
    figure.update_layout(title="The search", xaxis_title="trial", yaxis_title="objective")
    figure.update_yaxes(showticklabels=scaled, type="log" if log else "linear")
    return figure


def plot_causes(report: Report) -> Figure:
    """Plot the number of trials of each cause.

    Raises:
        ImportError: plotly is not installed.
    """
    graph = _plotly(report)
    rows = report.causes.iloc[::-1]
    marks = _marks(report)
    figure = graph.Figure(
        graph.Bar(
            x=rows["trials"].to_numpy(int),
            y=[spoken(cause) for cause in rows["cause"]],
            orientation="h",
            marker_color=[marks.of(FailureCause(cause)).colour for cause in rows["cause"]],
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


def _marks(report: Report) -> Marks:
    return Marks.ranked(report.causes["cause"])


def _two(
    report: Report, regions: Sequence[Region], parameters: Sequence[str] | None
) -> tuple[str, str]:
    if parameters is None:
        conditions = regions[0].conditions if regions else ()
        parameters = plane_of(conditions, report.records, report.axes)
    names = _names(parameters, list(report.axes))
    require(len(names) == 2, "parameters", "the names of two hyperparameters", parameters)
    return names[0], names[1]


def _names(parameters: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    rule = f"a list of names of hyperparameters, which are {', '.join(known)}"
    names = collection("parameters", parameters, str, rule, error=ValueError)
    require(set(names) <= set(known), "parameters", rule, parameters)
    return names


def _told(record: TrialRecord) -> str:
    value = "" if record.value is None else f", objective {record.value:.6g}"
    return escape(f"trial {record.trial_id}, {record.status}{value}")


def _top(values: Sequence[float], log: bool) -> float:
    """Return where trials without an objective are drawn: above all that have one."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return high * (high / low) ** _ABOVE if log else high + _ABOVE * (high - low)


def _marker(mark: Mark) -> dict[str, Any]:
    return {"color": mark.colour, "symbol": mark.symbol}


def _place(axis: Axis, record: TrialRecord) -> Any:
    value = record.params[axis.name]
    return escape(str(value)) if axis.kind == "choice" else value


def _choices(report: Report, name: str) -> list[str]:
    axis = report.axes[name]
    return sorted({_place(axis, r) for r in report.records if axis.active_in(r.params)})


def _axis(report: Report, name: str) -> dict[str, Any]:
    axis = report.axes[name]
    if axis.kind == "choice":
        return {"type": "category", "categoryarray": _choices(report, name)}
    return {"type": "log" if axis.log else "linear"}


def _shapes(
    report: Report, conditions: Sequence[Condition], names: tuple[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the shapes that fill the part of the plane in which all conditions hold."""
    product = next((c for c in conditions if len(c.factors) > 1), None)
    if product is not None:
        first, second = (name for name, _ in product.factors)
        values = _spread(*_whole(report, first), report.axes[first].log)
        corners = slanted_area(product, values, _whole(report, second))
        if corners:
            swapped = names[0] != first
            ends = (corner[::-1] if swapped else corner for corner in corners)
            path = " L ".join(f"{x:.12g},{y:.12g}" for x, y in ends)
            yield {"type": "path", "path": f"M {path} Z"}
        return
    sides = [
        [side for c in conditions if c.name == name for side in _sides(report, c, along)]
        or [{f"{along}ref": f"{along} domain", f"{along}0": 0, f"{along}1": 1}]
        for name, along in zip(names, "xy", strict=True)
    ]
    for across in sides[0]:
        for upright in sides[1]:
            yield {"type": "rect", **across, **upright}


def _sides(report: Report, condition: Condition, along: str) -> Iterator[dict[str, Any]]:
    """Yield both ends of each stretch of an axis on which a condition holds."""
    if condition.values is None:
        low, high = _whole(report, condition.name)
        low = low if condition.low is None else condition.low
        high = high if condition.high is None else condition.high
        yield {f"{along}0": low, f"{along}1": high}
        return
    choices = _choices(report, condition.name)
    for text in (escape(str(value)) for value in condition.values):
        if text in choices:
            place = choices.index(text)
            yield {f"{along}0": place - 0.5, f"{along}1": place + 0.5}


def _whole(report: Report, name: str) -> tuple[float, float]:
    """Return the extremes of a hyperparameter over all trials."""
    values = [r.params[name] for r in report.records if is_number(r.params.get(name))]
    return min(values), max(values)


def _spread(low: float, high: float, log: bool) -> list[float]:
    shares = [step / _STEPS for step in range(_STEPS + 1)]
    return [low * (high / low) ** s if log else low + s * (high - low) for s in shares]
