"""Windows beyond the public API of Python's standard library: the handle of a process. Not tested.

In use elsewhere: nothing.
"""

from __future__ import annotations

from typing import Any


def duplicated_for(process: Any, handle: int) -> int:
    """Return a handle of this process as one of a child's (`subprocess.Popen._handle`)."""
    from multiprocessing import reduction

    return int(reduction.duplicate(handle, process._handle))  # type: ignore[attr-defined]
