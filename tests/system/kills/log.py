"""What really happened in a search, written down by its trials."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Log:
    """Says what really happened: lines that a kill cannot take back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __reduce__(self) -> tuple[Any, ...]:
        return Log, (self._path,)  # another process opens it by itself

    def write(self, what: str, key: str, value: float | None = None) -> None:
        """Add a line: "start", "end" or "done", the trial's values, its score."""
        os.write(self._file, (json.dumps([what, key, value]) + "\n").encode())

    @staticmethod
    def read(path: Path) -> list[tuple[str, str, float | None]]:
        """Return the lines."""
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()]
