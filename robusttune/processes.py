"""Tell whether a process that left a note has ended."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any


def this_process() -> dict[str, Any]:
    """Return a note by which this process can be told from all others, later too."""
    pid = os.getpid()
    return {"host": platform.node(), "pid": pid, "began": _began(pid)}


def is_gone(note: Mapping[str, Any]) -> bool:
    """Return whether a process of this machine has ended; one of another machine cannot be seen.

    Args:
        note: What `this_process` returned there.
    """
    pid = note.get("pid")
    if note.get("host") != platform.node() or not isinstance(pid, int) or pid <= 0:
        return False
    if os.name != "posix":  # os.kill would end the process on Windows
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's process
        return False
    began = _began(pid)
    return began is not None and note.get("began") not in (None, began)


def _began(pid: int) -> int | None:
    """Return when a process began, in clock ticks since the machine did; None off Linux."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
