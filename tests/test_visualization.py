"""Figures with plotly: they are made for any search, and show all trials."""

from __future__ import annotations

import sys

import pytest
from test_report_html import search

from robusttune import Report, TrialRecord
from robusttune import visualization as plots

FUNCTIONS = [plots.plot_regions, plots.plot_marginals, plots.plot_timeline, plots.plot_causes]


@pytest.mark.parametrize("plot", FUNCTIONS)
def test_figures_can_be_drawn(plot):
    """Each figure turns into the JSON that plotly draws."""
    pytest.importorskip("plotly")
    figure = plot(Report.from_records(search(60)))
    assert '"data"' in figure.to_json()
    assert len(figure.data) > 0


@pytest.mark.parametrize("plot", [plots.plot_regions, plots.plot_timeline])
def test_figures_show_every_trial(plot):
    """Each trial is one point."""
    pytest.importorskip("plotly")
    assert sum(len(trace.x) for trace in plot(Report.from_records(search(60))).data) == 60


def test_regions_are_shaded():
    """The region that the report found is a shape over its range."""
    pytest.importorskip("plotly")
    report = Report.from_records(search(60))
    (shape,) = plots.plot_regions(report).layout.shapes
    (region,) = report.find_regions()
    assert shape.x0 == region.conditions[0].low


def test_regions_are_shaded_where_values_are_zero_or_none():
    """An open side of a region reaches to 0 where that was tried; None is a choice to draw."""
    pytest.importorskip("plotly")
    records = [
        TrialRecord(
            trial_id=str(n),
            status="failed" if n < 20 else "completed",
            unstable=n < 20,
            params={"dropout": n / 100, "bn": None if n % 2 else "<b>yes</b>"},
        )
        for n in range(60)
    ]
    figure = plots.plot_regions(Report.from_records(records))
    (shape,) = figure.layout.shapes
    assert shape.x0 == 0.0
    assert sum(len(trace.y) for trace in figure.data) == 60
    assert {y for trace in figure.data for y in trace.y} == {"None", "&lt;b&gt;yes&lt;/b&gt;"}


def test_timeline_tells_no_objective_where_there_is_none():
    """A mark at the top stands for no value: under the pointer there is none either."""
    pytest.importorskip("plotly")
    records = search(20)
    figure = plots.plot_timeline(Report.from_records(records))
    told = [text for trace in figure.data for text in trace.text]
    assert {trace.hoverinfo for trace in figure.data} == {"text"}
    assert sum("objective" in text for text in told) == sum(r.value is not None for r in records)
    without = [record.replace(value=None) for record in records]
    assert not plots.plot_timeline(Report.from_records(without)).layout.yaxis.showticklabels


@pytest.mark.parametrize("plot", [plots.plot_marginals, plots.plot_timeline, plots.plot_causes])
def test_figures_of_an_empty_search_are_empty(plot):
    """A search without trials gives a figure without points."""
    pytest.importorskip("plotly")
    traces = plot(Report.from_records([])).data
    assert sum(len(trace.x) for trace in traces if trace.x is not None) == 0


@pytest.mark.parametrize(
    ("plot", "parameters"),
    [(plots.plot_regions, ["p0", "nope"]), (plots.plot_marginals, ["nope"])],
)
def test_unknown_parameters_are_named(plot, parameters):
    """The error for a name that is no hyperparameter lists those that are."""
    pytest.importorskip("plotly")
    with pytest.raises(ValueError, match="learning_rate"):
        plot(Report.from_records(search(20)), parameters)


def test_regions_need_two_hyperparameters():
    """With one hyperparameter there is no plane to draw."""
    pytest.importorskip("plotly")
    record = TrialRecord(trial_id="0", status="completed", params={"lr": 1.0})
    with pytest.raises(ValueError, match="parameters must be the names of two"):
        plots.plot_regions(Report.from_records([record]))


@pytest.mark.parametrize("plot", FUNCTIONS)
def test_missing_plotly_is_explained(plot, monkeypatch):
    """Without plotly, the error says what to install."""
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ImportError, match=r"pip install 'robusttune\[plot\]'"):
        plot(Report.from_records(search(20)))
