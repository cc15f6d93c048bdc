"""The child process in which isolated trials run: it serves one search until it is told to end.

It is started by `robusttune.tuners.isolation`, over a socket of which it inherits one end. Whatever
the trial asks of the oracle, prints, warns or logs goes to the search's own process.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging.handlers
import mmap
import os
import signal
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, TextIO

import cloudpickle

from robusttune.findings import Findings
from robusttune.guard.clock import TrialClock
from robusttune.random_states import RandomStates, capture_random_states, restore_random_states
from robusttune.records import TrialRecord, text_of
from robusttune.tuners.garbage import collecting_only_what_is_new

PARCEL, BOARD = "parcel", "board"
# epoch and step of the last training step (-1: none), seconds of diagnoses, when the one began that
# runs now (0: none does).
_ROW = struct.Struct("<qqdd")
_PARENT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run of a trial ended in the child.

    Args:
        results: What run_trial returned, pickled; no epoch is unusable. None after an error.
        error: What ended it; None for a run that returned.
        traceback: The error's, as text.
        findings: What the guards and the diagnosis say; None: nothing went wrong.
        skill: Of the trial's last fit that has one; None: none has.
        clipped_steps: Steps that the guards clipped; None: no fit was watched.
        why_not: What a closer look at its last fit could not tell.
        scores: Single values of its executions, as evidence.
        hyperparameters: The trial's, with what was declared while it ran.
        asked: Names of those that the trial asked for; None: nobody knows.
        adjustments: What the sanitizer changed in it.
        random_states: From where the next trial goes on.
    """

    results: bytes | None
    error: Exception | None
    traceback: str
    findings: Findings | None
    skill: float | None
    clipped_steps: int | None
    why_not: Mapping[str, str]
    scores: dict[str, Any]
    hyperparameters: Any
    asked: frozenset[str] | None
    adjustments: Sequence[Any]
    random_states: RandomStates = field(repr=False)


class Board:
    """A few numbers in a file that both processes map: they outlive the child.

    Args:
        path: The file; it is made where there is none.
    """

    def __init__(self, path: str) -> None:
        with open(path, "a+b") as file:
            file.truncate(_ROW.size)
            self._view = mmap.mmap(file.fileno(), _ROW.size)

    def clear(self) -> None:
        """Begin a trial."""
        _ROW.pack_into(self._view, 0, -1, -1, 0.0, 0.0)

    def note_step(self, epoch: int, step: int) -> None:
        """Note a training step that is done."""
        struct.pack_into("<qq", self._view, 0, epoch, step)

    def note_pause(self, seconds: float, since: float) -> None:
        """Note what diagnoses took so far, and when one began that runs (0: none)."""
        struct.pack_into("<dd", self._view, 16, seconds, since)

    def last_step(self) -> tuple[int, int] | None:
        """Return epoch and step of the last training step; None: there was none."""
        epoch, step, _, _ = _ROW.unpack_from(self._view)
        return None if step < 0 else (epoch, step)

    def paused(self) -> float:
        """Return the seconds that diagnoses took so far."""
        _, _, seconds, since = _ROW.unpack_from(self._view)
        return float(seconds + (time.monotonic() - since if since else 0.0))


class BoardClock(TrialClock):
    """A trial's clock that the search's process can read."""

    def __init__(self, limit: float | None, board: Board) -> None:
        super().__init__(limit)
        self.wants_ticks = True
        self._board = board

    def tick(self, epoch: int, step: int) -> bool:
        """Note a training step that is done; return whether the time is over."""
        self._board.note_step(epoch, step)
        return super().tick(epoch, step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for a block."""
        self._board.note_pause(self._paused, time.monotonic())
        try:
            with super().paused():
                yield
        finally:
            self._board.note_pause(self._paused, 0.0)


class Link:
    """The child's end of the socket."""

    def __init__(self, connection: Connection) -> None:
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


class DistantOracle:
    """Stands for the oracle, which stays in the search's process: each use is a question to it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        is_method, value = self._link.ask("get", name)
        return functools.partial(self._call, name) if is_method else value

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._link.ask("call", name, args, kwargs)


class DistantRecords(Sequence[TrialRecord]):
    """The records of the search's other trials, fetched when a diagnosis looks at them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @functools.cached_property
    def _records(self) -> list[TrialRecord]:
        records: list[TrialRecord] = self._link.ask("siblings")
        return records

    def __getitem__(self, index: Any) -> Any:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)


def main(descriptor: int, folder: str) -> None:
    """Serve a search.

    Args:
        descriptor: The socket's.
        folder: Holds the parcel and the board.
    """
    os.set_inheritable(descriptor, False)
    parent = os.getppid()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # where memory is short, the kernel shall take the trial
    link = Link(Connection(descriptor))
    board = Board(os.path.join(folder, BOARD))
    try:
        tuner, fit_args, fit_kwargs = _open(os.path.join(folder, PARCEL), link)
    except Exception as error:
        link.send("cannot", text_of(error))
        return
    link.send("ready")
    with collecting_only_what_is_new(), contextlib.suppress(EOFError, ConnectionError):
        while True:
            trial, states = link.receive()
            link.send("done", _run(tuner, trial, states, fit_args, fit_kwargs, link, board))


def _open(path: str, link: Link) -> tuple[Any, Any, Any]:
    from robusttune.tuners.parcel import unpack

    parts = unpack(path, DistantOracle(link))
    restore: Callable[[], None] = parts["the settings"]
    restore()
    _speak_through(link)
    initializer: Callable[[], object] | None = parts["the initializer"]
    if initializer is not None:
        initializer()
    return parts["the tuner"], parts["the data"], parts["the arguments of search"]


def _run(
    tuner: Any, trial: Any, states: Any, fit_args: Any, fit_kwargs: Any, link: Link, board: Board
) -> Outcome:
    from robusttune.trial_run import TrialRun
    from robusttune.tuners.declarations import names_asked_for
    from robusttune.tuners.host import TunerTrial, watched

    class ChildTrial(TunerTrial):
        def siblings(self) -> Sequence[TrialRecord]:
            return DistantRecords(link)

    known = len(tuner._robust_space.adjustments)
    host = ChildTrial(tuner, trial)
    run = TrialRun(host, tuner.robust_policy)
    run.clock = clock = BoardClock(run.policy.trial_seconds, board)
    restore_random_states(states)
    results = error = None
    text = ""
    try:
        with (
            tuner._robust_space.watching(mend=True),
            names_asked_for() as asked,
            run.guarding(),
        ):
            host.asked = asked
            returned = watched(host, run, tuner.run_trial)(trial, *fit_args, **fit_kwargs)
            results = cloudpickle.dumps(portable(returned))  # here, where failing is the trial's
    except Exception as caught:
        error, text = caught, _traceback(caught)
    with clock.paused():
        findings = run.findings(error)
    return Outcome(
        results=results,
        error=_portable_error(error),
        traceback=text,
        findings=findings,
        skill=run.skill,
        clipped_steps=run.clipped_steps,
        why_not=run.why_not,
        scores=host.scores(),
        hyperparameters=trial.hyperparameters,
        asked=frozenset(asked) or None,
        adjustments=tuner._robust_space.adjustments[known:],
        random_states=capture_random_states(),
    )


def portable(results: Any) -> Any:
    """Return results without the models and callbacks that hang on them."""
    import keras

    if isinstance(results, list):
        return [portable(result) for result in results]
    if isinstance(results, keras.callbacks.History):
        history = keras.callbacks.History()
        history.history, history.epoch = results.history, getattr(results, "epoch", [])
        history.params = results.params
        return history
    return results


def _portable_error(error: Exception | None) -> Exception | None:
    if error is None:
        return None
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        return RuntimeError(text_of(error))
    return error


def _traceback(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _end_with(parent: int) -> None:
    """End this process and those that it started, when the search's process is gone."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os.killpg(0, signal.SIGKILL)


class _Stream(io.TextIOBase):
    """Writes where the search's process writes."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name

    def write(self, text: str) -> int:
        self._link.send("write", self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True


class _Queue:
    def __init__(self, link: Link) -> None:
        self._link = link

    def put_nowait(self, record: Any) -> None:
        self._link.send("log", record)


def _speak_through(link: Link) -> None:
    """Send what is printed, warned and logged to the search's process."""
    sys.stdout, sys.stderr = _Stream(link, "stdout"), _Stream(link, "stderr")

    def warn(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        link.send("warn", message, category, filename, lineno)

    warnings.showwarning = warn
    queue: Any = _Queue(link)
    logging.getLogger().addHandler(logging.handlers.QueueHandler(queue))
