"""Figures with plotly: they are made for any search, and show all trials."""

from __future__ import annotations

import sys

import pytest

from robusttune import Report, TrialRecord, visualization as plots
from tests.report.test_html import search

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


def test_timeline_puts_trials_without_an_objective_in_a_band_of_their_own():
    """Neither a failure nor a pruned trial looks as if it had scored."""
    pytest.importorskip("plotly")
    pruned = TrialRecord(trial_id="p", number=20, status="pruned", value=0.1)
    figure = plots.plot_timeline(Report.from_records([*search(20), pruned]))
    assert figure.layout.yaxis.domain[1] < figure.layout.yaxis2.domain[0]
    for trace in figure.data:
        above = trace.yaxis == "y2"
        assert set(trace.y) == {"no value"} or not above
        assert above or trace.name == "healthy"
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(names) == ["divergent learning rate", "healthy", "pruned"]


def three_conditions():
    """Return the report of a search whose rule speaks of three hyperparameters."""
    records = []
    for n in range(480):
        params = {"lr": 10 ** -((n % 12) / 3), "units": 2 ** (n // 12 % 8), "opt": "abcde"[n // 96]}
        bad = params["lr"] > 0.01 and params["units"] > 4 and params["opt"] == "b"
        status = "failed" if bad else "completed"
        cause = "unsafe_loss" if bad else None
        records.append(
            TrialRecord(
                trial_id=str(n), number=n, status=status, unstable=bad, cause=cause, params=params
            )
        )
    return Report.from_records(records)


def test_region_with_further_conditions_is_pale_and_says_them():
    """Healthy trials under the shade of a cut through a rule are told from the region's own."""
    pytest.importorskip("plotly")
    report = three_conditions()
    (region,) = report.find_regions()
    assert {condition.name for condition in region.conditions} == {"lr", "units", "opt"}
    figure = plots.plot_regions(report, ["lr", "units"])
    (shape,) = figure.layout.shapes
    assert shape.opacity < 1
    assert shape.label.text == "where opt == &#x27;b&#x27;"
    (healthy,) = [trace for trace in figure.data if trace.name == "healthy"]
    low, bound = region.conditions, {c.name: c for c in region.conditions}
    inside = [
        bound["lr"].low < x and y > bound["units"].low
        for x, y in zip(healthy.x, healthy.y, strict=True)
    ]
    assert len(low) == 3
    assert [opacity < 1 for opacity in healthy.marker.opacity] == inside
    (failed,) = [trace for trace in figure.data if trace.name != "healthy"]
    assert set(failed.marker.opacity) == {1.0}


def test_marginals_have_a_picture_each_and_few_labels():
    """Labels are level, and no more than people can read."""
    pytest.importorskip("plotly")
    figure = plots.plot_marginals(Report.from_records(search(60)))
    titles = [note.text for note in figure.layout.annotations]
    assert "learning_rate" in titles
    assert len({trace.xaxis for trace in figure.data}) == len(figure.data) == len(titles)
    axes = [figure.layout[f"xaxis{n or ''}"] for n in (None, *range(2, len(titles) + 1))]
    assert all(axis.tickangle == 0 and 0 < len(axis.ticktext) <= 6 for axis in axes)
    assert all(len(text) <= 16 for axis in axes for text in axis.ticktext)
