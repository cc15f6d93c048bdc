"""Worker side of an executor: runs one trial, if it may run there."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cloudpickle

from robusttune._files import write_file
from robusttune._isolation.child import opened
from robusttune._isolation.transport import unpack, unpack_bytes
from robusttune._records import text_of
from robusttune._untrusted_json import read_object
from robusttune._version import __version__

_one_at_a_time = threading.Lock()
_runners: dict[str, Callable[..., Any]] = {}  # what runs a search's trials here, by its key


@dataclass(frozen=True, kw_only=True)
class Order:
    """A trial for a worker.

    Args:
        key: Of the search.
        parent: Host and process of the search.
        proof: A file in the folder that a worker must see; None: it need not see any.
        note: A file in which a worker notes that it begins, to be seen by one to which the engine
            gives the same trial again; None: nobody looks.
        path: Where the search imports modules from; a worker looks there last.
        content: For the runner, pickled.
    """

    key: str
    parent: tuple[str, int]
    proof: str | None = None
    note: str | None = None
    path: tuple[str, ...] = ()
    content: bytes = b""


def this_worker() -> dict[str, Any]:
    """Return what a record says of the worker that ran its trial."""
    note: dict[str, Any] = {"host": platform.node(), "pid": os.getpid()}
    job = os.environ.get("SLURM_JOB_ID")
    return note if job is None else {**note, "slurm_job": job}


def run_on_worker(shared: Any, version: str, order: bytes) -> bytes:
    """Run a trial here, and return what came of it: a word and its content, pickled.

    "done": the runner's result. "died": an earlier worker has begun it. "refused", "cannot":
    trials cannot run here, and the content says why.

    Args:
        shared: What all trials of the search need, or the path of a file with it.
        version: The search's version of robusttune.
        order: An `Order`, pickled.
    """
    if version != __version__:
        return _answer(
            "refused",
            f"has robusttune {__version__}, and the search {version}: install the same version",
        )
    given: Order = cloudpickle.loads(order)
    where = platform.node()
    if given.parent == (where, os.getpid()):
        why = "is a thread of the search's own process, which a crash would end: use processes"
        return _answer("refused", why)
    if given.proof is not None and not os.path.exists(given.proof):
        folder = os.path.dirname(given.proof)
        why = f"does not see the project folder {folder!r}: use one that all workers share"
        return _answer("refused", why)
    if given.note is not None and _died_here(given.note):
        return _answer("died", None)
    with _one_at_a_time:  # Keras's state is one for the process
        sys.path.extend(entry for entry in given.path if entry not in sys.path)
        try:
            run = _runner_of(given.key, shared)
            content = cloudpickle.loads(given.content)
        except Exception as error:
            return _answer("cannot", f"cannot load what it was sent: {text_of(error)}")
        answer = _answer("done", run(content))
        if given.note is not None:
            _write_note(given.note, ended=True)
        return answer


def _died_here(note: str) -> bool:
    """Note that the trial begins; return whether it has begun before and come to no end.

    One that has ended is run once more, with the same seed: its result was lost with the worker,
    which another trial has taken down.
    """
    try:
        with open(note, "x", encoding="utf-8"):
            pass
    except FileExistsError:
        try:
            if read_object(note).get("ended") is not True:
                return True
        except (OSError, ValueError):
            return True
    _write_note(note, ended=False)
    return False


def _write_note(note: str, *, ended: bool) -> None:
    text = json.dumps({**this_worker(), "ended": ended})
    write_file(note, text.encode("utf-8"), durable=False)


def _runner_of(key: str, shared: Any) -> Callable[..., Any]:
    if key not in _runners:
        _runners.clear()
        parts = unpack(shared) if isinstance(shared, str) else unpack_bytes(_writable(shared))
        _runners[key] = opened(parts)
    return _runners[key]


def _writable(content: Any) -> memoryview:
    """Return a copy that trials can write to, as they can in the search's own process."""
    return memoryview(bytearray(content))


def _answer(word: str, content: Any) -> bytes:
    where = f"{platform.node()}, process {os.getpid()}"
    if word in ("refused", "cannot"):
        content = f"The executor's worker on {where} {content}."
    return bytes(cloudpickle.dumps((word, content)))
