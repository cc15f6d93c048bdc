"""The child process in which isolated trials run: it serves one search until it is told to end.

It is started by `robusttune._isolation.process` and has one end of a pipe to it. What a trial
prints, warns or logs, and what its host asks for, goes to the search's own process.
"""

from __future__ import annotations

import contextlib
import io
import logging.handlers
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, TextIO

import cloudpickle
import psutil

from robusttune._isolation.garbage import collecting_only_what_is_new
from robusttune._isolation.progress import SharedProgress
from robusttune._records import text_of

TRANSPORT_FILE = "transport_file"
_PARENT_SECONDS = 1.0


class Channel:
    """The child's end of the pipe."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    def send(self, kind: str, *content: Any) -> None:
        """Send a message."""
        data = cloudpickle.dumps((kind, *content))
        with self._lock:
            self._connection.send_bytes(data)

    def receive(self) -> Any:
        """Wait for a message."""
        return cloudpickle.loads(self._connection.recv_bytes())

    def ask(self, kind: str, *content: Any) -> Any:
        """Send a question and return the answer; raises what the other side raised."""
        with self._lock:
            self.send(kind, *content)
            good, answer = self.receive()
        if not good:
            raise answer
        return answer


def main(descriptor: int, folder: str, progress: str, parent: int) -> None:
    """Serve a search.

    Args:
        descriptor: The pipe's.
        folder: Holds what was sent.
        progress: The file of this child's progress.
        parent: Process id of the search.
    """
    if os.name == "posix":
        os.set_inheritable(descriptor, False)
        connection: Any = Connection(descriptor)
    else:  # not tested
        import multiprocessing.connection as connections

        connection = connections.PipeConnection(descriptor)  # type: ignore[attr-defined]
    watch = (parent, descriptor)
    threading.Thread(target=_end_with, args=watch, name="robusttune-parent", daemon=True).start()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # where memory is short, the kernel shall take the trial
    channel = Channel(connection)
    shared = SharedProgress(progress)
    try:
        run = _open(os.path.join(folder, TRANSPORT_FILE), channel)
    except Exception as error:
        channel.send("cannot", text_of(error))
        return
    channel.send("ready")
    with collecting_only_what_is_new(), contextlib.suppress(EOFError, ConnectionError):
        while True:
            order = channel.receive()
            channel.send("done", run(order, channel, shared))


def _open(path: str, channel: Channel) -> Callable[..., Any]:
    from robusttune._isolation.transport import unpack

    return opened(unpack(path), before=lambda: speak_through(channel))


def opened(
    parts: Mapping[str, Any], before: Callable[[], None] | None = None
) -> Callable[..., Any]:
    """Make a process ready for trials, and return what runs one.

    Args:
        parts: What was sent.
        before: Is called before the user's own code is.
    """
    restore: Callable[[], None] | None = parts["the settings"]
    if restore is not None:
        restore()
    if before is not None:
        before()
    initializer: Callable[[], object] | None = parts["the initializer"]
    if initializer is not None:
        initializer()
    make: Callable[..., Callable[..., Any]] = parts["the runner"]
    return make(parts)


def _end_with(parent: int, descriptor: int) -> None:
    """End this process and those that it started, when the search's process is gone."""
    poll = getattr(select, "poll", None)
    if poll is None:  # Windows; not tested
        while psutil.pid_exists(parent):
            threading.Event().wait(_PARENT_SECONDS)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        os._exit(1)
    # The end of the pipe is told at once, but where a fork of the parent has the other end too.
    closed = poll()
    closed.register(descriptor, 0)
    while os.getppid() == parent and not closed.poll(1000 * _PARENT_SECONDS):
        pass
    os.killpg(0, signal.SIGKILL)


class _Stream(io.TextIOBase):
    """Writes where the search's process writes."""

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self._name = name

    def write(self, text: str) -> int:
        self._channel.send("write", self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True


class _Queue:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def put_nowait(self, record: Any) -> None:
        self._channel.send("log", record)


def speak_through(channel: Channel) -> None:
    """Send what is printed, warned and logged to the search's process."""
    sys.stdout, sys.stderr = _Stream(channel, "stdout"), _Stream(channel, "stderr")

    def warn(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        channel.send("warn", message, category, filename, lineno)

    warnings.showwarning = warn
    queue: Any = _Queue(channel)
    logging.getLogger().addHandler(logging.handlers.QueueHandler(queue))
