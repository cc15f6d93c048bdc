"""The old place of `robusttune.diagnosis.trace`."""

from __future__ import annotations

from robusttune._deprecation import moved

__getattr__ = moved(__name__, to="robusttune.diagnosis.trace", until="0.3")
