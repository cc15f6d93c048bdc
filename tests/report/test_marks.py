"""Marks: what the pictures of a report show, on its page and in plotly."""

from __future__ import annotations

import re

import pytest

from robusttune import FailureCause, Report, TrialRecord, visualization as plots
from robusttune._regions import Axis, Condition
from robusttune._report.html import style_sheet
from robusttune._report.marks import (
    DARK,
    HEALTHY,
    LIGHT,
    OF_CAUSES,
    RUNNING,
    Marks,
    groups_of,
    in_plane,
    is_wide,
    marginals_of,
    plane_of,
    slanted_area,
)
from tests.report.test_html import search

CAUSES = tuple(FailureCause)[:8]


def record(number: int, cause: str | None = None, **fields: object) -> TrialRecord:
    """Return a trial, failing where it has a cause."""
    bad = cause is not None
    status = "failed" if bad else "completed"
    whole = {"trial_id": str(number), "status": status, "unstable": bad, "cause": cause, **fields}
    return TrialRecord(**whole)  # type: ignore[arg-type]


def test_palettes_have_the_same_names() -> None:
    """A colour of one theme is one of the other, and every mark has its own."""
    assert list(LIGHT) == list(DARK)
    assert {HEALTHY.kind, RUNNING.kind, *(mark.kind for mark in OF_CAUSES)} <= set(LIGHT)
    assert len({mark.outline for mark in OF_CAUSES}) == len(OF_CAUSES)
    assert len({mark.symbol for mark in OF_CAUSES}) == len(OF_CAUSES)


def test_style_sheet_uses_no_colour_but_those_of_the_palette() -> None:
    """A colour is written down once, in the palette."""
    sheet = style_sheet()
    assert set(re.findall(r"var\(--(\w+)\)", sheet)) <= set(LIGHT)
    rules = sheet.rpartition("/* The colours")[2]
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgba?\(", rules)


def test_marks_of_the_most_frequent_causes_are_their_own() -> None:
    """The sixth and all later causes share the last mark, as trials of no cause do."""
    marks = Marks.ranked(CAUSES)
    assert [marks.of(cause) for cause in CAUSES[:5]] == list(OF_CAUSES[:5])
    assert {marks.of(cause) for cause in [*CAUSES[5:], None]} == {OF_CAUSES[5]}
    assert [mark for mark, _ in marks.legend()] == list(OF_CAUSES)
    assert marks.legend()[5][1] == "unsafe metric, bad initialization, exploding gradients"


def test_groups_are_in_the_order_in_which_they_are_drawn() -> None:
    """Healthy, running, then the causes by their marks; every trial is in one group."""
    records = [
        record(0, "unsafe_loss"),
        record(1),
        record(2, "unscaled_data"),
        record(3, status="running"),
        record(4, status="failed", unstable=True),
        record(5, "unscaled_data"),
    ]
    marks = Marks.ranked(["unscaled_data", "unsafe_loss", "dead_relu"])
    groups = groups_of(records, marks)
    assert [(group.name, [r.trial_id for r in group.records]) for group in groups] == [
        ("healthy", ["1"]),
        ("running", ["3"]),
        ("unscaled data", ["2", "5"]),
        ("unsafe loss", ["0"]),
        ("no cause", ["4"]),
    ]
    assert [group.mark for group in groups] == [
        HEALTHY,
        RUNNING,
        OF_CAUSES[0],
        OF_CAUSES[1],
        OF_CAUSES[5],
    ]


@pytest.mark.parametrize(
    ("values", "wide"),
    [([], False), ([1, 31], True), ([1, 29], False), ([0, 99], False), ([-1, 99], False)],
)
def test_wide_values_are_positive_and_far_apart(values: list[float], wide: bool) -> None:
    """A logarithmic scale has no place for 0 and below."""
    assert is_wide(values, 30) is wide


def test_plane_is_that_of_the_rule_and_of_numbers_next() -> None:
    """A product comes first, then other conditions, then numbers that all trials have."""
    axes = {
        "optimizer": Axis(name="optimizer", kind="choice", choices=("sgd", "adam")),
        "momentum": Axis(name="momentum", kind="float"),
        "units": Axis(name="units", kind="int"),
        "lr": Axis(name="lr", kind="float"),
    }
    records = [record(n, params={"optimizer": "sgd", "units": 8, "lr": 0.1}) for n in range(3)]
    single = Condition(name="optimizer", factors=(("optimizer", 1),), values=("sgd",))
    product = Condition(name="lr * units", factors=(("lr", 1), ("units", 1)), low=1.0)
    assert plane_of([], records, axes) == ["units", "lr"]
    assert plane_of([single], records, axes) == ["optimizer", "units"]
    assert plane_of([single, product], records, axes) == ["lr", "units"]
    assert in_plane([single, product], ["lr", "units"]) == ([product], [single])
    assert in_plane([single, product], ["lr", "momentum"]) == ([], [single, product])


def test_slanted_area_is_where_the_product_satisfies_the_rule() -> None:
    """Above the border of lr * units > 1, within both axes."""
    product = Condition(name="lr * units", factors=(("lr", 1), ("units", 1)), low=1.0)
    corners = slanted_area(product, [0.0, 0.1, 0.5, 1.0], (1.0, 4.0))
    assert corners == [(0.5, 2.0), (1.0, 1.0), (1.0, 4.0), (0.5, 4.0)]
    quotient = Condition(name="lr / units", factors=(("lr", 1), ("units", -1)), high=0.25)
    assert slanted_area(quotient, [1.0], (1.0, 8.0)) == [(1.0, 4.0), (1.0, 8.0)]
    assert slanted_area(product, [0.01], (1.0, 4.0)) == []


def test_marginals_that_matter_most_come_first() -> None:
    """The hyperparameter whose bins are the farthest from the whole search's rate."""
    rows = [
        {"parameter": name, "failure_rate": rate, "trials": 50}
        for name, rates in {"flat": (0.3, 0.3), "steep": (0.0, 0.6)}.items()
        for rate in rates
    ]
    assert list(marginals_of(rows, 0.3)) == ["steep", "flat"]


def test_page_and_figures_show_the_same_marks() -> None:
    """The legend of a figure has the groups of the page, in the same colours."""
    pytest.importorskip("plotly")
    report = Report.from_records([*search(60), record(60, status="pruned", params={"p0": 0.5})])
    marks = Marks.of_kinds(report.kinds)
    groups = groups_of(report.records, marks)
    names = [group.name for group in groups]
    assert names == ["healthy", "pruned", "divergent learning rate"]
    assert {trace.name for trace in plots.plot_timeline(report).data} == set(names)
    for figure in (plots.plot_timeline(report), plots.plot_regions(report)):
        colours = {group.name: group.mark.colour for group in groups}
        assert all(trace.marker.color == colours[trace.name] for trace in figure.data)
    page = report.html()
    assert all(f'class="mark {g.mark.kind}"' in page for g in groups if g.mark.outline)


def planted(bad: object) -> Report:
    """Return a search that fails where a rule says so."""
    records = []
    for n in range(120):
        params = {"lr": 10 ** -((n % 12) / 3), "units": 2 ** (n // 12), "opt": "ab"[n % 2]}
        cause = "unknown" if bad(params) else None  # type: ignore[operator]
        records.append(record(n, cause, params=params))
    return Report.from_records(records)


def test_a_region_over_a_choice_is_shaded_there_alone() -> None:
    """Each of its values has a band of its own."""
    pytest.importorskip("plotly")
    report = planted(lambda params: params["opt"] == "b" and params["lr"] > 0.01)
    figure = plots.plot_regions(report, ["lr", "opt"])
    shapes = [shape for shape in figure.layout.shapes if (shape.y0, shape.y1) == (0.5, 1.5)]
    assert len(shapes) == len(figure.layout.shapes) > 0
    assert figure.layout.yaxis.categoryarray == ("a", "b")


@pytest.mark.parametrize("names", [["lr", "units"], ["units", "lr"]])
def test_a_region_of_a_product_is_shaded_along_its_border(names: list[str]) -> None:
    """In either orientation the border runs within the trials."""
    pytest.importorskip("plotly")
    report = planted(lambda params: params["lr"] * params["units"] > 3)
    slanted = [c for r in report.find_regions() for c in r.conditions if len(c.factors) > 1]
    if not slanted:
        pytest.skip("the rule that was found is no product")
    figure = plots.plot_regions(report, names)
    (path,) = [shape.path for shape in figure.layout.shapes if shape.type == "path"]
    corners = [tuple(map(float, pair.split(","))) for pair in path[2:-2].split(" L ")]
    for x, y in corners:
        lr, units = (x, y) if names[0] == "lr" else (y, x)
        assert 1e-4 < lr <= 1.0
        assert 1 <= units <= 512
