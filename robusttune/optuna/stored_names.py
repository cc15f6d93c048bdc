"""The user attributes that robusttune stores in an Optuna study."""

from __future__ import annotations

RECORD_KEY = "robusttune:record"  # of a trial: its record, as one JSON string
ADJUSTMENTS_KEY = "robusttune:adjustments"  # of the study: a list of dicts of the five fields
