"""Processes: notes by which one is told from all others, and the memory that one has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from robusttune import _processes as processes
from robusttune._processes import is_gone, out_of_memory_kills, own_memory, this_process

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
NOTE = "import json; from robusttune._processes import this_process as n; print(json.dumps(n()));"


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Another process, and the note that it left."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{NOTE} import sys; sys.stdout.flush(); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, json.loads(process.stdout.readline())
    process.kill()
    process.communicate()


def test_a_process_is_there_until_it_is_gone(other: Any) -> None:
    """Its note tells, in another process; also before anybody has fetched its exit code."""
    process, note = other
    assert note["pid"] == process.pid
    assert not is_gone(note)
    process.send_signal(signal.SIGTERM)
    psutil.wait_procs([psutil.Process(process.pid)], timeout=10)
    assert is_gone(note)


@pytest.mark.skipif(os.name != "posix", reason="zombies of POSIX")
def test_a_process_whose_exit_code_nobody_fetched_has_ended(other: Any) -> None:
    """It is a zombie, which the system lists and which does nothing any more."""
    process, note = other
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert is_gone(note)


def test_note_is_plain_json() -> None:
    """It is stored in trials' records and in chief.json."""
    note = this_process()
    assert json.loads(json.dumps(note)) == note
    assert {"host", "pid", "create_time"} <= set(note)


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({}, False),
        ({"pid": 2**22 + 1}, True),  # above the highest that Linux gives
        ({"host": "elsewhere"}, False),  # nobody can see that from here
        ({"host": "elsewhere", "pid": 2**22 + 1}, False),
        ({"pid": 0}, False),
        ({"pid": -1}, False),
        ({"pid": "7"}, False),
        ({"pid": None}, False),
        ({"create_time": None, "boot_time": None}, False),
        ({"create_time": "soon"}, False),
        ({"create_time": -3600.0}, True),
        ({"create_time": 3600.0}, True),
        ({"create_time": 1.0}, False),  # the start of the machine is known to a second
        ({"create_time": 3600.0, "boot_time": 3600.0}, False),  # somebody has set the clock
        ({"create_time": -3600.0, "boot_time": -3600.0}, False),
        ({"boot_time": 3600.0}, False),  # Windows: the clock was set, the start of a process stays
    ],
)
def test_note_with_a_change(change: dict[str, Any], gone: bool) -> None:
    """A later process of the same pid is told from the one that left the note."""
    note = this_process()
    for name, value in change.items():
        note[name] = note[name] + value if isinstance(value, float) else value
    assert is_gone(note) is gone


@linux
@pytest.mark.parametrize(("later", "gone"), [(0, False), (1000, True), (-1000, True)])
def test_note_of_the_old_format(later: int, gone: bool) -> None:
    """Searches that began before psutil came have the ticks since the machine's start."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    host = this_process()["host"]
    assert is_gone({"host": host, "pid": os.getpid(), "began": ticks + later}) is gone
    assert not is_gone({"host": host, "pid": os.getpid(), "began": None})


def test_process_of_somebody_else_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be looked at is there."""

    def denied(self: Any) -> float:
        raise psutil.AccessDenied

    note = this_process()
    monkeypatch.setattr(psutil.Process, "create_time", denied)
    assert not is_gone(note)


@linux
def test_own_memory_is_what_a_process_has_written() -> None:
    """Anonymous resident pages: an array counts once it is filled."""
    before = own_memory(os.getpid())
    filled = bytearray(os.urandom(1)) * 64_000_000
    after = own_memory(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before > 50_000_000
    del filled


@pytest.mark.parametrize("shared_is_known", [True, False])
def test_memory_without_proc(monkeypatch: pytest.MonkeyPatch, shared_is_known: bool) -> None:
    """Psutil tells it: what is the process's alone, else all that is resident."""

    def denied(self: Any) -> Any:
        raise psutil.AccessDenied

    monkeypatch.setattr(processes, "open", _no_proc, raising=False)
    if not shared_is_known:
        monkeypatch.setattr(psutil.Process, "memory_full_info", denied)
    resident = psutil.Process().memory_info().rss
    got = own_memory(os.getpid())
    assert got is not None
    assert 5_000_000 < got < 1.2 * resident
    assert shared_is_known or got > 0.9 * resident
    assert out_of_memory_kills() is None


def test_memory_of_a_process_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows it, with or without /proc."""
    assert own_memory(2**22 + 1) is None
    monkeypatch.setattr(processes, "open", _no_proc, raising=False)
    assert own_memory(2**22 + 1) is None


def _no_proc(path: str, *args: Any, **kwargs: Any) -> Any:
    raise FileNotFoundError(path)


@linux
def test_out_of_memory_kills_are_counted() -> None:
    """A number of the kernel's since it began."""
    kills = out_of_memory_kills()
    assert kills is not None
    assert kills >= 0
