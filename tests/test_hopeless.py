"""When going on is pointless, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from robusttune import TrialRecord
from robusttune.hopeless import why_hopeless


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
        ([], 5, False),
    ],
)
def test_why_hopeless(records: list[TrialRecord], after: Any, hopeless: bool) -> None:
    """Only one reason that no hyperparameter changes, in every trial, ends a search."""
    reason = why_hopeless(records, after)
    assert (reason is not None) is hopeless
    if reason is not None:
        assert str(len(records)) in reason
