"""Replays: the fit again from its start, some steps long, with one thing changed.

`ReplayRunner` runs an `Intervention`, or two together, and returns a `ReplayResult`. Neither the
model nor its optimizer nor any random state changes.
"""
