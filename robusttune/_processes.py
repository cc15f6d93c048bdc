"""Processes: tell whether one that left a note has ended, and how much memory one has.

What is read from /proc is tested on Linux; the rest is psutil's, is written to hold on macOS and
Windows as well, and is not tested there.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

import psutil

# Start times nearer than this are the same: the start of the machine is known to a second.
_SAME_SECONDS = 2.0


def this_process() -> dict[str, Any]:
    """Return a note by which this process can be told from all others, later too.

    Returns:
        host: Name of the machine.
        pid: Of the process.
        create_time: When it was started, in seconds since 1970 by the machine's clock.
        boot_time: When the machine was, by the same clock: together they tell how long after the
            machine the process began, also once somebody has set the clock.
    """
    pid = os.getpid()
    boot_time = psutil.boot_time()
    create_time = psutil.Process(pid).create_time()
    return {"host": platform.node(), "pid": pid, "create_time": create_time, "boot_time": boot_time}


def is_gone(note: Mapping[str, Any]) -> bool:
    """Return whether a process of this machine has ended; one of another machine cannot be seen.

    Args:
        note: What `this_process` returned there, also that of a robusttune before 0.1; pid and host
            suffice, but a later process of the same pid is then taken for that one.
    """
    pid = note.get("pid")
    if note.get("host") != platform.node() or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        boot_time = psutil.boot_time()
        process = psutil.Process(pid)
        create_time = process.create_time()
        ended = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):  # somebody else's process
        return False
    return ended or _is_another(note, create_time, boot_time)


def _is_another(note: Mapping[str, Any], create_time: float, boot_time: float) -> bool:
    """Whether a process of the note's pid began at another time than the note says.

    It is the same one where either the time of the clock or the time since the machine's start
    agrees: the first changes on Linux when the clock is set, the second elsewhere.
    """
    began = _number(note.get("create_time"))
    booted = _number(note.get("boot_time"))
    ticks = _number(note.get("began"))  # since the machine's start, in notes of old on Linux
    uptime = None if began is None or booted is None else began - booted
    if ticks is not None and hasattr(os, "sysconf"):
        uptime = ticks / os.sysconf("SC_CLK_TCK")
    pairs = [(began, create_time), (uptime, create_time - boot_time)]
    known = [abs(then - now) for then, now in pairs if then is not None]
    return bool(known) and min(known) > _SAME_SECONDS


def own_memory(pid: int) -> int | None:
    """Return the memory that a process has for itself, in bytes; None where it cannot be read.

    On Linux these are its resident anonymous pages: neither mapped files nor libraries count.
    Elsewhere it is what nobody shares (psutil's uss), or all that is resident (rss) where the
    system does not tell the former; that is written for macOS and Windows, and not tested there.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            line = next(line for line in file if line.startswith("RssAnon:"))
    except (OSError, StopIteration):
        return _memory_by_psutil(pid)
    return int(line.split()[1]) * 1024


def _memory_by_psutil(pid: int) -> int | None:
    try:
        process = psutil.Process(pid)
        try:
            return int(process.memory_full_info().uss)
        except (psutil.AccessDenied, AttributeError, NotImplementedError):
            return int(process.memory_info().rss)
    except (psutil.Error, OSError):
        return None


def out_of_memory_kills() -> int | None:
    """Return how many processes the kernel has ended so far for want of memory; None off Linux."""
    try:
        with open("/proc/vmstat", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("oom_kill "))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1])


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if good else None
