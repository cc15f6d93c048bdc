"""Figures of a report with plotly, like those of optuna.visualization (pip install plotly)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from robusttune._records import TrialRecord
from robusttune._regions import Axis, Condition, Region
from robusttune._regions.axes import is_number
from robusttune._report import Report
from robusttune._report.marks import (
    LIGHT,
    Mark,
    Marks,
    bin_labels,
    groups_of,
    in_plane,
    marginals_of,
    objectives_are_wide,
    plane_of,
    slanted_area,
)
from robusttune._report.search_data import objective_of
from robusttune._validation import check_items, check_type, require

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["plot_causes", "plot_marginals", "plot_regions", "plot_timeline"]

_STEPS = 60
# Opacity of what is in the shade of a rule and does not satisfy all of it.
_PALE = 0.35
_LABEL = {"textposition": "top left", "font": {"size": 11}}
# Height of the band of trials without an objective, as a share of the figure's.
_BAND = 0.12
_NO_VALUE = "no value"
# Pictures of marginals in a row, the height of one in pixels.
_ACROSS, _TALL = 3, 220


def plot_regions(report: Report, parameters: Sequence[str] | None = None) -> Figure:
    """Plot the trials over two hyperparameters, with the unstable regions shaded.

    A rule may have conditions on further hyperparameters. Its shade is paler then, and says them;
    trials that are within the shade and do not satisfy them are pale.

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
    outside = _outside(records, regions, names)
    for group in groups_of(records, _marks(report)):
        figure.add_trace(
            graph.Scatter(
                x=[_place(axes[0], record) for record in group.records],
                y=[_place(axes[1], record) for record in group.records],
                text=[_placed_told(record, outside) for record in group.records],
                hoverinfo="text",
                mode="markers",
                name=escape(group.name),
                marker=_marker(group.mark)
                | {"opacity": [_PALE if id(r) in outside else 1.0 for r in group.records]},
            )
        )
    for region in regions:
        drawn, others = in_plane(region.conditions, names)
        if drawn:
            told = " and ".join(map(str, others))
            label = {"label": {"text": escape(f"where {told}"), **_LABEL}} if others else {}
            for shape in _shapes(report, drawn, names):
                figure.add_shape(
                    line_width=0,
                    fillcolor=LIGHT["region"],
                    opacity=_PALE if others else 1.0,
                    layer="below",
                    **shape,
                    **label,
                )
    rules = "; ".join(region.rule for region in regions)
    title = f"Unstable where {rules}" if rules else "No unstable region"
    figure.update_layout(title=escape(title), xaxis_title=escape(x), yaxis_title=escape(y))
    figure.update_xaxes(**_axis(report, x))
    figure.update_yaxes(**_axis(report, y))
    return figure


def plot_marginals(report: Report, parameters: Sequence[str] | None = None) -> Figure:
    """Plot the failure rate per hyperparameter and bin, with 95 % intervals.

    Each hyperparameter has a picture of its own, those that matter most first.

    Args:
        report: The report.
        parameters: Names of hyperparameters; None: all of them.

    Raises:
        ImportError: plotly is not installed.
        ValueError: A name is not that of a hyperparameter.
    """
    graph = _plotly(report)
    from plotly.subplots import make_subplots

    groups = marginals_of(report.marginals.to_dict("records"), report.failure_rate)
    names = list(groups) if parameters is None else _names(parameters, list(groups))
    across = min(_ACROSS, max(len(names), 1))
    down = max(-(-len(names) // across), 1)
    titles = [escape(name) for name in names]
    figure = make_subplots(down, across, subplot_titles=titles, shared_yaxes=True)
    for place, name in enumerate(names):
        rows = groups[name]
        figure.add_trace(
            graph.Bar(
                name=escape(name),
                x=[place + 0.5 for place in range(len(rows))],
                y=[row["failure_rate"] for row in rows],
                hovertext=[
                    escape(f"{row['bin']}: {row['failures']} of {row['trials']} failed")
                    for row in rows
                ],
                hoverinfo="text",
                marker_color=LIGHT["bar"],
                showlegend=False,
                error_y={
                    "type": "data",
                    "array": [row["ci_high"] - row["failure_rate"] for row in rows],
                    "arrayminus": [row["failure_rate"] - row["ci_low"] for row in rows],
                },
            ),
            row=place // across + 1,
            col=place % across + 1,
        )
        labels = bin_labels(rows)
        figure.update_xaxes(
            tickvals=[bins for bins, _ in labels],
            ticktext=[escape(label) for _, label in labels],
            row=place // across + 1,
            col=place % across + 1,
        )
    if names:
        figure.add_hline(report.failure_rate, line_dash="dash", line_color=LIGHT["soft"])
    figure.update_layout(title="Failure rate by hyperparameter", height=120 + _TALL * down)
    figure.update_xaxes(tickmode="array", tickangle=0)
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def plot_timeline(report: Report) -> Figure:
    """Plot the objective of all trials in their order; those without one are in a band above.

    A trial that was pruned has none: its last value is not that of a whole training.

    Raises:
        ImportError: plotly is not installed.
    """
    graph = _plotly(report)
    figure = graph.Figure()
    log = objectives_are_wide(report.records)
    for group in groups_of(report.records, _marks(report)):
        scored = [record for record in group.records if objective_of(record) is not None]
        others = [record for record in group.records if objective_of(record) is None]
        for records, axis in ((scored, "y"), (others, "y2")):
            if not records:
                continue
            figure.add_trace(
                graph.Scatter(
                    x=[record.number for record in records],
                    y=[record.value if axis == "y" else _NO_VALUE for record in records],
                    yaxis=axis,
                    text=[_told(record) for record in records],
                    hoverinfo="text",
                    mode="markers",
                    name=escape(group.name),
                    legendgroup=group.name,
                    showlegend=axis == "y" or not scored,
                    marker=_marker(group.mark),
                )
            )
    scaled = any(objective_of(record) is not None for record in report.records)
    objective = escape(report.search.objective or "objective")
    figure.update_layout(
        title="The search",
        xaxis={"title": "trial", "anchor": "y"},
        yaxis={
            "title": objective if scaled else "",
            "type": "log" if log else "linear",
            "showticklabels": scaled,
            "domain": [0, 1 - 1.4 * _BAND],
        },
        yaxis2={
            "type": "category",
            "categoryarray": [_NO_VALUE],
            "domain": [1 - _BAND, 1],
            "showgrid": False,
        },
    )
    return figure


def plot_causes(report: Report) -> Figure:
    """Plot the number of trials of each cause; of an unknown one, by message or symptom.

    Raises:
        ImportError: plotly is not installed.
    """
    graph = _plotly(report)
    marks = _marks(report)
    kinds = list(reversed(report.kinds.members.items()))
    figure = graph.Figure(
        graph.Bar(
            x=[len(members) for _, members in kinds],
            y=[escape(kind.label) for kind, _ in kinds],
            orientation="h",
            marker_color=[marks.of(kind).colour for kind, _ in kinds],
        )
    )
    figure.update_layout(title="Why trials fail", xaxis_title="trials")
    return figure


def _plotly(report: Report) -> Any:
    check_type("report", report, Report, "a robusttune.Report")
    try:
        import plotly.graph_objects as graph
    except ImportError as error:
        raise ImportError(
            "robusttune.visualization needs plotly: pip install 'robusttune[plot]'."
        ) from error
    return graph


def _marks(report: Report) -> Marks:
    return Marks.of_kinds(report.kinds)


def _outside(
    records: Sequence[TrialRecord], regions: Sequence[Region], names: Sequence[str]
) -> frozenset[int]:
    """Return the `id` of each trial that is in a shade and in no region."""
    found = set()
    for record in records:
        if any(region.contains(record.params) for region in regions):
            continue
        for region in regions:
            drawn, others = in_plane(region.conditions, names)
            if drawn and others and all(c.holds(record.params) for c in drawn):
                found.add(id(record))
    return frozenset(found)


def _placed_told(record: TrialRecord, outside: frozenset[int]) -> str:
    note = ", not in the region: other conditions of its rule do not hold"
    return _told(record) + note * (id(record) in outside)


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
    names = check_items("parameters", parameters, str, rule, error=ValueError)
    require(set(names) <= set(known), "parameters", rule, parameters)
    return names


def _told(record: TrialRecord) -> str:
    value = objective_of(record)
    told = "" if value is None else f", objective {value:.6g}"
    return escape(f"trial {record.trial_id}, {record.status}{told}")


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
