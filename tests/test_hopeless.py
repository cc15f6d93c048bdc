"""When going on is pointless: as a table, and in searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import robusttune
from robusttune import HopelessSearchError, Policy, TrialRecord
from robusttune._hopeless import why_hopeless


def failed(cause: str, error: str | None = None) -> TrialRecord:
    """A failed trial."""
    return TrialRecord(trial_id="0", status="failed", unstable=True, cause=cause, error=error)


DATA = failed("non_finite_data")
ERROR = failed("code_error", "KeyError: 'a' at 0x7f12")
SAME = failed("code_error", "KeyError: 'a' at 0x9a00")
OTHER = failed("code_error", "TypeError: no")
GOOD = TrialRecord(trial_id="1", status="completed", value=1.0)
LATE = DATA.replace(status="completed", value=1.0)  # epochs were completed before the bad batch


@pytest.mark.parametrize(
    ("records", "after", "hopeless"),
    [
        ([DATA] * 5, 5, True),
        ([DATA] * 4, 5, False),
        ([DATA] * 5, None, False),
        ([GOOD, *[DATA] * 9], 5, False),
        ([LATE, *[DATA] * 9], 5, False),
        ([failed("label_mismatch")] * 5, 5, True),
        ([failed("divergent_learning_rate")] * 50, 5, False),
        ([failed("unknown")] * 50, 5, False),
        ([DATA, *[ERROR] * 9], 5, False),
        ([ERROR] * 9, 5, False),  # a combination of hyperparameters may yet avoid it
        ([*[ERROR] * 5, *[SAME] * 5], 5, True),  # the same but for an address
        ([*[ERROR] * 9, OTHER], 5, False),
        ([failed("code_error")] * 10, 5, False),  # nothing is known of the exception
        ([failed("crashed")] * 50, 5, False),
        ([failed("invalid_model", "FailedTrialError: too large")] * 50, 5, False),  # said
        ([], 5, False),
    ],
)
def test_why_hopeless(records: list[TrialRecord], after: Any, hopeless: bool) -> None:
    """Only one reason that no hyperparameter changes, in every trial, ends a search."""
    reason = why_hopeless(records, after)
    assert (reason is not None) is hopeless
    if reason is not None:
        assert str(len(records)) in reason
        assert reason.endswith(" Policy(hopeless_after=None) continues regardless.")


def bug_in(build: Any, hp: Any) -> keras.Model:
    """A mistake in the user's code, on a line of its own."""
    return {"model": build}["modle"](hp)


class Search:
    """A small search on two classes, whose data or code can be broken."""

    def __init__(self, directory: Path, policy: Policy) -> None:
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(200, 5)).astype("float32")
        self.y = (self.x[:, 0] > 0).astype("int32")
        self.broken = False
        self.tuner = robusttune.RandomSearch(
            self.build,
            objective="val_loss",
            max_trials=6,
            seed=1,
            directory=str(directory),
            policy=policy,
        )

    def model(self, hp: Any) -> keras.Model:
        """Two classes."""
        outputs = [keras.layers.Dense(hp.Int("units", 2, 8)), keras.layers.Dense(2, "softmax")]
        model = keras.Sequential([keras.Input((5,)), *outputs])
        rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        return model

    def build(self, hp: Any) -> keras.Model:
        """The model, or an error."""
        return bug_in(self.model, hp) if self.broken else self.model(hp)

    def run(self) -> None:
        """Search."""
        self.tuner.search(self.x, self.y, validation_split=0.25, epochs=1, verbose=0)


def nan_in_the_data(search: Search) -> None:
    """One value of column 2."""
    search.x[7, 2] = np.nan


def label_out_of_range(search: Search) -> None:
    """A tenth class."""
    search.y[3] = 9


def same_code_error(search: Search) -> None:
    """In every build of the search."""
    search.broken = True


@pytest.mark.parametrize(
    ("break_it", "trials", "cause", "place", "fix"),
    [
        (nan_in_the_data, 2, "non_finite_data", "column 2", "Drop or impute the rows"),
        (label_out_of_range, 2, "label_mismatch", "label value of 9", "labels from 0"),
        (same_code_error, 4, "KeyError: 'modle'", "test_hopeless.py:", "Fix the exception"),
    ],
)
def test_hopeless_search_ends_with_cause_place_and_fix(
    break_it: Any, trials: int, cause: str, place: str, fix: str, tmp_path: Path
) -> None:
    """After the evidence is in, and not before."""
    search = Search(tmp_path, Policy(hopeless_after=2, diagnosis_seconds=0.5))
    break_it(search)
    with pytest.raises(HopelessSearchError) as caught:
        search.run()
    message = str(caught.value)
    assert [part for part in (cause, place, fix) if part not in message] == []
    assert len(search.tuner.oracle.trials) == trials


def test_hopeless_search_goes_on_where_the_user_wants_it(tmp_path: Path) -> None:
    """hopeless_after=None runs every trial."""
    search = Search(tmp_path, Policy(hopeless_after=None, diagnosis_seconds=0.1))
    same_code_error(search)
    search.run()
    assert [t.status for t in search.tuner.oracle.trials.values()] == ["FAILED"] * 6


def test_search_goes_on_where_one_trial_shows_that_it_can(tmp_path: Path) -> None:
    """The same exception in all trials but one."""
    search = Search(tmp_path, Policy(hopeless_after=2, diagnosis_seconds=0.1))
    original, built = search.model, []

    def sometimes(hp: Any) -> keras.Model:
        built.append(hp)
        return bug_in(original, hp) if len(built) != 1 else original(hp)

    search.model = sometimes  # type: ignore[method-assign]
    search.run()
    statuses = [trial.status for trial in search.tuner.oracle.trials.values()]
    assert statuses == ["COMPLETED"] + ["FAILED"] * 5
