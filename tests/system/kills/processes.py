"""How a search is killed: after a time, or at an operation on a file."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_tuner.src.backend import io as keras_tuner_io

_HANG_SECONDS = 300.0


class Saboteur:
    """Kills its own process at the n-th operation on a file; a write it does by half first.

    Args:
        at: Number of the operation, from 1; 0 counts only.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def install(self) -> None:
        """Watch the operations of robusttune and of Keras Tuner in this process."""
        os.replace = self._before(os.replace)
        os.fdopen = self._halved(os.fdopen)
        keras_tuner_io.File = self._halved(keras_tuner_io.File)
        os.mkdir = self._before(os.mkdir)

    def _due(self) -> bool:
        self.count += 1
        return self.count == self.at

    def _before(self, operation: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._due():
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return watched

    def _halved(self, opener: Any) -> Any:
        def opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            file = opener(path, mode, *args, **kwargs)
            return _HalvedFile(file, self) if "w" in mode else file

        return opened


class _HalvedFile:
    """A file that is open for writing."""

    def __init__(self, file: Any, saboteur: Saboteur) -> None:
        self._file = file
        self._saboteur = saboteur

    def write(self, text: Any) -> Any:
        if self._saboteur._due():
            self._file.write(text[: len(text) // 2])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> _HalvedFile:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._file.__exit__(*error)


@dataclass
class Ended:
    """How a process ended."""

    killed: bool
    result: Any = None  # None: it was killed, crashed or hung
    error: str = ""
    seconds: float = 0.0
    operations: int = 0


def run(
    work: Callable[[], Any],
    *,
    after: float | None = None,
    operation: int = 0,
    begun: Callable[[], bool] = lambda: True,
) -> Ended:
    """Run `work` in a child process.

    Args:
        work: Its result must be JSON.
        after: Seconds until the child is killed; None: it is not.
        operation: The file operation at which the child kills itself; 0: none.
        begun: Whether the time has begun to count.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        _child(work, writer, operation)
    writer.close()
    killed, began = _wait(child, after, begun)
    seconds = time.perf_counter() - began
    try:
        result, error, operations = reader.recv()
    except EOFError:
        hung = f"hangs: nothing came of it for {_HANG_SECONDS:.0f} s"
        result, error, operations = None, hung if seconds >= _HANG_SECONDS else "died", 0
    reader.close()
    return Ended(killed, result, "" if killed else error, seconds, operations)


def _child(work: Callable[[], Any], writer: Any, operation: int) -> None:
    saboteur = Saboteur(operation)
    saboteur.install()
    warnings.simplefilter("ignore")
    result, error = None, ""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            result = work()
        except BaseException:
            error = traceback.format_exc()
    writer.send((result, error, saboteur.count))
    os._exit(0)


def _wait(child: int, after: float | None, begun: Callable[[], bool]) -> tuple[bool, float]:
    """Wait for the child, and kill it when its time has come.

    Returns:
        Whether it was killed, and when its time began to count.
    """
    limit = _HANG_SECONDS if after is None else after
    began, counts = time.perf_counter(), False
    while True:
        if not counts and begun():
            began, counts = time.perf_counter(), True
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            return killed, began
        passed = time.perf_counter() - began
        if passed >= (limit if counts else _HANG_SECONDS):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return counts and after is not None, began
        time.sleep(0.0005)
