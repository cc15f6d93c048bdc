"""The benchmark beside the peers: its definitions, and a tiny run of the whole."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from benchmarks.peers.chart import chart
from benchmarks.peers.log import Epoch, Moment, SearchLog, Trial
from benchmarks.peers.summary import compare, search_row, trial_rows
from tests import ROOT

CONSTANT = 1.0


def trial(start, end, values, *, value, pruned=False):
    """A trial with epochs of equal length; the first epoch ends half a second after the start."""
    epochs = [
        Epoch(Moment(start + 0.5 + i, start + 0.5 + i), loss=v, value=v)
        for i, v in enumerate(values)
    ]
    return Trial(Moment(start, start), Moment(end, end), epochs, value, pruned)


def rows_of(*trials, contender="a"):
    """The rows of a search with these trials."""
    log = SearchLog("val_loss", trials=list(trials))
    return trial_rows("wine", 1, contender, log, CONSTANT)


@pytest.mark.parametrize(
    ("values", "value", "pruned", "failed", "wasted"),
    [
        pytest.param([0.9, 0.5], 0.5, False, False, 0.0, id="healthy"),
        pytest.param([math.nan, math.nan], None, False, True, 5.0, id="NaN from the start"),
        pytest.param([20.0, 30.0], 20.0, False, True, 5.0, id="diverged and scored all the same"),
        pytest.param([0.9, math.nan, math.nan], 0.9, False, False, 4.5, id="NaN after good epochs"),
        pytest.param([20.0, 0.5], 0.5, False, False, 0.0, id="a bad start that recovers"),
        pytest.param([0.9, 0.8], None, True, False, 0.0, id="pruned as unpromising"),
        pytest.param([0.9, math.nan], None, True, True, 5.0, id="pruned at NaN"),
        pytest.param([], None, False, True, 5.0, id="never trained"),
    ],
)
def test_wasted_seconds(values, value, pruned, failed, wasted):
    """Failed trials are wasted as a whole, others from their last good epoch on."""
    (row,) = rows_of(trial(10.0, 15.0, values, value=value, pruned=pruned))
    assert (row.failed, row.wasted) == (failed, pytest.approx(wasted))


def test_a_comparison_takes_the_time_to_the_final_best_of_the_peer():
    """The peer's best is its second trial's; a contender that has it sooner has a ratio below 1."""
    peer = rows_of(
        trial(0, 4, [math.nan], value=None),
        trial(4, 8, [0.5], value=0.5),
        trial(8, 10, [0.7], value=0.7),
        contender="peer",
    )
    mine = rows_of(trial(0, 1, [math.nan], value=None), trial(1, 5, [0.4], value=0.4))
    compared = compare([*peer, *mine], "a", "peer")
    assert (compared.cases, compared.reached) == (1, 1)
    assert compared.time_ratio == pytest.approx(5 / 10)
    assert compared.time_ratio_to_own == pytest.approx(5 / 8)
    assert compared.wasted_ratio == pytest.approx((1 / 2) / (4 / 3))


def test_a_contender_that_never_comes_to_the_best_is_infinitely_late():
    """It is not left out of the median."""
    peer = rows_of(trial(0, 4, [0.3], value=0.3), contender="peer")
    mine = rows_of(trial(0, 4, [0.4], value=0.4))
    compared = compare([*peer, *mine], "a", "peer")
    assert (compared.reached, compared.time_ratio) == (0, math.inf)


def test_a_failed_trial_is_no_best():
    """A diverged objective does not count, even if it was stored."""
    row = search_row(rows_of(trial(0, 4, [20.0], value=20.0)), finished=True)
    assert (row.failed, row.best) == (1, None)


def test_the_chart_is_an_image():
    """A browser reads it, and every contender is named in it."""
    searches = [search_row(rows_of(trial(0, 4, [0.5], value=0.5)), finished=True)]
    image = ElementTree.fromstring(chart([("a", [0.5, math.inf])], searches, reference="<b>"))
    assert image.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in image.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("a") == 2
    assert any("<b>" in text for text in texts)


@pytest.mark.full
def test_the_benchmark_runs(tmp_path):
    """All contenders run all their trials, and every result is written."""
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.bench"),
            *("--problems", "wine", "--trials", "1", "--epochs", "1", "--seeds", "1"),
            *("--jobs", "1", "--results", str(tmp_path)),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with (tmp_path / "searches.csv").open() as file:
        searches = list(csv.DictReader(file))
    assert len(searches) == 6
    assert {row["finished"] for row in searches} == {"True"}
    assert {row["trials"] for row in searches} == {"1"}
    assert "Optuna with robusttune" in (tmp_path / "chart.svg").read_text()
    assert {"trials.csv", "comparisons.csv", "machine.csv"} <= {p.name for p in tmp_path.iterdir()}
