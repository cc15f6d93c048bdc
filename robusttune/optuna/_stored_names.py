"""The user attributes that robusttune stores in an Optuna study."""

from __future__ import annotations

PREFIX = "robusttune:"
RECORD_KEY = "robusttune:record"  # of a trial: its record, as one JSON string
# Of the study, followed by the number of a trial that had ended before it was diagnosed: its final
# record.
LATER_RECORD_PREFIX = "robusttune:record:"
ADJUSTMENTS_KEY = "robusttune:adjustments"  # of the study: a list of dicts of the five fields
# Of a trial, among Optuna's own attributes, which no retry copies: the earlier search that turned
# its first proposal away.
TURNED_AWAY_KEY = "robusttune:turned_away"
FARTHEST_KEY = "robusttune:farthest"  # of the trial that is enqueued before a study is given up

# Of a trial, beside its record: these fields of it, to filter by; null on a stable trial that has
# copied them, with the other attributes, from one that it repeats.
FILTER_KEYS = {f"{PREFIX}{name}": name for name in ("cause", "symptom", "confidence")}
