"""Write frames to files that are safe to open: CSV that cannot start a formula, and Parquet."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from robusttune._files import write_output

# A spreadsheet runs a cell that starts so. Source: OWASP, "CSV Injection".
_FORMULA = re.compile(r"^[=+\-@\t\r\n]")
_PLAIN_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def csv(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV.

    A text that a spreadsheet would run as a formula gets a leading apostrophe. Missing values are
    empty cells. Numbers are written with all their digits, so that they read back equal.
    """
    return _without_formulas(frame).to_csv(index=False).encode("utf-8")


def write_csv(frames: Mapping[str, pd.DataFrame], directory: str | os.PathLike[str]) -> list[Path]:
    """Write each frame to <directory>/<name>.csv, as `csv` gives it, and return the paths."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, frame in frames.items():
        path = folder / f"{name}.csv"
        write_output(path, csv(frame))
        paths.append(path)
    return paths


def write_parquet(
    frames: Mapping[str, pd.DataFrame], directory: str | os.PathLike[str]
) -> list[Path]:
    """Write each frame to <directory>/<name>.parquet and return the paths.

    Raises:
        ImportError: pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ImportError("to_parquet needs pyarrow: pip install 'robusttune[parquet]'.")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        frame.to_parquet(path, index=False, engine="pyarrow")
        paths.append(path)
    return paths


def safe_cell(text: str) -> str:
    """Return the text with a leading apostrophe where a spreadsheet would take it for a formula."""
    if _FORMULA.match(text) and not _PLAIN_NUMBER.match(text):
        return "'" + text
    return text


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    safe = frame.rename(columns=lambda name: safe_cell(str(name)))
    for name in safe.columns[[isinstance(kind, pd.StringDtype) for kind in safe.dtypes]]:
        safe[name] = safe[name].map(safe_cell, na_action="ignore").astype("string")
    return safe
