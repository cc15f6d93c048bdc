"""The benchmark of short searches: what is bad, what is compared, and what is not run again."""

from __future__ import annotations

import math

import pytest

from benchmarks import short_searches
from benchmarks.peers.log import Epoch, Moment, SearchLog, Trial

CONSTANT = 1.0


def trial(start, end, values, *, value, pruned=False):
    """A trial with these validation losses, one an epoch."""
    epochs = [Epoch(Moment(end, end), loss=v, value=v) for v in values]
    return Trial(Moment(start, start), Moment(end, end), epochs, value, pruned)


def rows_of(*trials, contender="ours", seed=1):
    """The rows of a search with these trials."""
    log = SearchLog("val_loss", trials=list(trials))
    return short_searches.rows_of(log, CONSTANT, "digits", seed, "random", contender)


@pytest.mark.parametrize(
    ("values", "pruned", "bad"),
    [
        ([2.0, 0.5], False, 0),
        ([0.5, 1.1], False, 1),
        ([0.5, math.nan], False, 1),
        ([], False, 1),
        ([1.1], True, 0),
        ([math.inf], True, 1),
    ],
)
def test_a_fit_is_bad_by_its_last_epoch(values, pruned, bad):
    """Not finite, or worse than a constant; one that was pruned only where it is not finite."""
    assert rows_of(trial(0, 1, values, value=0.5, pruned=pruned))[0].bad == bad


def test_a_search_is_compared_with_its_peer():
    """Seconds to the peer's best, as a share of the peer's; best value; bad fits."""
    mine = rows_of(trial(0, 1, [2.0], value=2.0), trial(1, 3, [0.4], value=0.4))
    theirs = rows_of(
        trial(0, 2, [2.0], value=2.0), trial(2, 4, [3.0], value=3.0), trial(4, 6, [0.5], value=0.5)
    )
    pair = short_searches.pair_of(mine, theirs)
    assert (pair.bad, pair.peer_bad) == (1, 2)
    assert (pair.seconds, pair.to_best, pair.to_best_of_whole) == (0.5, 0.5, 0.5)
    assert pair.best == pytest.approx(0.8)
    never = short_searches.pair_of(theirs, mine)
    assert never.to_best == math.inf


def test_intervals_are_those_of_a_bootstrap_over_the_pairs():
    """The statistic of all pairs lies within; of equal pairs the interval is a point."""
    rows = [trial(0, 1, [2.0], value=2.0), trial(1, 2, [0.5], value=0.5)]
    same = [short_searches.pair_of(rows_of(*rows), rows_of(*rows))] * 3
    bad = short_searches.STATISTICS["bad fits"]
    assert short_searches.interval(same, bad) == (1.0, 1.0, 1.0)


def test_a_file_is_read_as_it_was_written(tmp_path):
    """What is in the file is not run again; the table has a row for each problem in it."""
    path = tmp_path / "results.csv"
    some = [trial(0, 1, [2.0], value=None), trial(1, 3, [0.5], value=0.5)]
    for contender in ("peer", "ours"):
        short_searches.append(path, rows_of(*some, contender=contender))
    found = short_searches.read(path)
    assert set(found) == {("digits", 1, "random", "peer"), ("digits", 1, "random", "ours")}
    row = found["digits", 1, "random", "ours"][0]
    assert math.isnan(row.value)
    assert (row.epochs, row.bad) == (1, 1)
    lines = short_searches.table(found, "ours")
    assert any(line.startswith("digits") and "1/1" in line for line in lines)
