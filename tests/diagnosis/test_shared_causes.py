"""What replays of one trial prove of the data is said of the other trials of its search."""

from __future__ import annotations

from typing import Any

from robusttune import Report, TrialRecord
from robusttune._report.search_data import Search


def trial(number: int, skill: float | None, **more: Any) -> TrialRecord:
    """Return the record of a trial."""
    return TrialRecord(
        trial_id=f"{number:04}", number=number, status="completed", value=1.0, skill=skill, **more
    )


def proven(number: int, skill: float | None = -5.0, *, verified: bool = True) -> TrialRecord:
    """Return the record of one that unscaled data are proven to stall."""
    return trial(
        number,
        skill,
        **{"unstable": True, "symptom": "stalled", "cause": "unscaled_data", "confidence": 0.95},
        **{"fix_verified": verified, "advice": "Standardize."},
    )


def test_trials_as_far_off_have_the_same_cause() -> None:
    """Before it and after it; who has learned something, or has no skill, is left alone."""
    records = [trial(0, -3.0), trial(1, 0.6), proven(2), trial(3, 0.0), trial(4, None)]
    frame = Report(Search.of(records)).trials
    assert frame["cause"].isna().tolist() == [False, True, False, False, True]
    assert set(frame["cause"].dropna()) == {"unscaled_data"}
    assert frame["unstable"].tolist() == [True, False, True, True, False]
    assert frame["advice"][0] == "As trial 0002: Standardize."
    assert frame["confidence"][0] == 0.9


def test_a_suspicion_is_not_passed_on() -> None:
    """Only what replays have proven, of a trial that has learned nothing either."""
    for told in (proven(1, verified=False), proven(1, skill=0.4)):
        frame = Report(Search.of([trial(0, -3.0), told])).trials
        assert frame["cause"].isna().tolist() == [True, False]


def test_other_causes_stay() -> None:
    """A trial keeps the cause that it has."""
    other = trial(0, -3.0, unstable=True, symptom="diverged", cause="divergent_learning_rate")
    frame = Report(Search.of([other, proven(1)])).trials
    assert frame["cause"].tolist() == ["divergent_learning_rate", "unscaled_data"]
