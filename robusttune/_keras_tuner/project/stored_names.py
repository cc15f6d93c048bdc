"""The files of a Keras Tuner project folder, those that robusttune adds included."""

from __future__ import annotations

STATE_FILE = "oracle.json"
TRIAL_PREFIX = "trial_"  # of the folder of each trial
TRIAL_FILE = "trial.json"
# robusttune's own, beside those of Keras Tuner: in the folder of each trial, and in the project.
RECORD_FILE = "robusttune.json"
HANDED_OUT_FILE = "robusttune.handed-out"
PROJECT_FILE = "robusttune.json"
