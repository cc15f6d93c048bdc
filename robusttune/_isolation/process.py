"""A child process for trials: started once and kept warm; its end is the failure of one trial.

It is a Python process of its own (a fork would break TensorFlow, and importing the program's main
script would run the search again), which opens what `robusttune._isolation.transport` has packed.
What it does there is in `robusttune._isolation.child`. Written to work on Windows as well, where it
is not tested, and where a child whose search was killed ends a second later.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import cloudpickle
import psutil

from robusttune._causes import FailureCause
from robusttune._isolation.ending import Ending, KernelKills, describe, failure_of
from robusttune._isolation.progress import SharedProgress
from robusttune._machine import keras_environment
from robusttune._policy import Policy
from robusttune._processes import own_memory
from robusttune.errors import RobustTuneError, TrialFailure

_log = logging.getLogger("robusttune")

POLL_SECONDS = 0.1
# A fit ends by itself at the next batch after its time limit, and keeps its best epoch. What has
# not come to an end so much later hangs: in seconds, and as a share of the limit.
_GRACE_SECONDS = 5.0
_GRACE_SHARE = 0.1
# A diagnosis that takes so many times its own limit, and a minute, hangs too.
_DIAGNOSIS_TIMES = 10
# A child that has come to rest with so much more memory than after its first trial is replaced:
# what Keras and TensorFlow keep of each model adds up. In bytes.
_TIRED = 2**30
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[5]);"
    "from robusttune._isolation.child import main;"
    "main(int(sys.argv[1]) or int(sys.stdin.readline()), *sys.argv[2:4], int(sys.argv[4]))"
)

# Answers what a child asks of the trial's host: the kind of the question, and its content.
Answer: TypeAlias = Callable[[str, list[Any]], Any]


class ChildProcess:
    """A process that runs one trial at a time.

    Args:
        folder: Holds what was packed, and the file of the child's progress.
        policy: Its limits of time and memory.
        kills: Tells which of several children the kernel has killed.
        number: Of the child among those of one search.
        environment: Variables to set in it.
        write: Gets what it prints: "stdout" or "stderr", and the text.

    Attributes:
        connection: To wait for; None: the process does not run.
        is_ready: Whether it has opened what it was sent, and can run trials.
    """

    def __init__(
        self,
        folder: str,
        policy: Policy,
        kills: KernelKills | None = None,
        *,
        number: int = 0,
        environment: Mapping[str, str] | None = None,
        write: Callable[[str, str], None] | None = None,
    ) -> None:
        self.connection: Any = None
        self.is_ready = False
        self._folder = folder
        self._policy = policy
        self._kills = kills or KernelKills()
        self._environment = {**os.environ, **keras_environment(), **(environment or {})}
        self._write = write or _write
        self._progress_file = os.path.join(folder, f"progress-{number}")
        self._progress = SharedProgress(self._progress_file)
        self._process: subprocess.Popen[bytes] | None = None
        self._rested: int | None = None  # memory of the child after its first trial, in bytes
        self._registry: dict[Any, Any] = {}  # of warnings that were shown
        self._answer: Answer | None = None

    def start(self) -> None:
        """Start the process where it does not run, without waiting for it."""
        if self._process is not None:
            return
        ours, theirs = multiprocessing.Pipe()
        posix = os.name == "posix"
        descriptor = theirs.fileno() if posix else 0
        arguments = (descriptor, self._folder, self._progress_file, os.getpid())
        more: dict[str, Any] = {"stdin": subprocess.DEVNULL, "pass_fds": [descriptor]}
        if not posix:
            more = {"stdin": subprocess.PIPE, "creationflags": _new_process_group()}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *map(str, arguments), json.dumps(sys.path)],
                env=self._environment,
                start_new_session=posix,  # Ctrl-C is for the search
                **more,
            )
            if not posix:
                _hand_over(theirs.fileno(), self._process)
        self.connection, self.is_ready = ours, False

    def wait_until_ready(self) -> None:
        """Start the process, and wait until it can run trials.

        Raises:
            RobustTuneError: It cannot.
        """
        self.start()
        while not self.is_ready:
            self.poll(POLL_SECONDS)

    def begin(self, order: Any, answer: Answer) -> None:
        """Begin a trial; the process is ready.

        Args:
            order: What the child's runner gets.
            answer: Answers what the child asks of the trial's host.
        """
        self._progress.clear()
        self._began = time.monotonic()
        self._kills.begin(self)
        self._answer = answer
        # A process that has ended is found out by `poll`.
        with contextlib.suppress(ConnectionError):
            self._send(order)

    def poll(self, seconds: float = 0.0) -> Any:
        """Take what the child has said; return what its runner did, None where that is to come.

        Args:
            seconds: To wait at most where it has said nothing.

        Raises:
            TrialFailure: The child has ended, or had to be ended; the findings say why.
            RobustTuneError: It has ended before it could run a trial.
        """
        try:
            while (message := self._receive(seconds)) is not None:
                kind, *content = message
                if kind == "done":
                    self._answer = None
                    self._rest()
                    return content[0]
                self._take(kind, content)
                if kind == "ready":
                    return None
                seconds = 0.0
        except (EOFError, ConnectionError):
            was_ready, ending = self.is_ready, self._wait()
            if not was_ready:
                raise RobustTuneError(
                    f"The child process for trials has ended ({ending.text}) before it could run"
                    " one; see stderr for its output."
                ) from None
            if self._answer is None:  # between two trials
                return None
            raise self._failed(self._kills.explained(self, ending)) from None
        passed = self._limit_that_is_passed() if self._answer is not None else None
        if passed is not None:
            self.end()
            raise self._failed(passed)
        return None

    def end(self) -> None:
        """End the process, and those that it has started."""
        if self._process is None:
            return
        self.connection.close()
        self.connection, self.is_ready = None, False
        _kill(self._process)
        self._process.wait()
        self._process = None

    def _failed(self, ending: Ending) -> TrialFailure:
        self._answer = None
        return failure_of(ending, self._progress.last_step())

    def _rest(self) -> None:
        assert self._process is not None
        memory = own_memory(self._process.pid)
        if memory is None:
            return
        if self._rested is None:
            self._rested = memory
        limit = self._policy.memory_limit
        room = _TIRED if limit is None else min(_TIRED, max(limit - self._rested, 0) // 4)
        if memory > self._rested + room:
            _log.info("the child process has grown to %d MB and is replaced", memory // 10**6)
            self.end()

    def _send(self, content: Any) -> None:
        self.connection.send_bytes(cloudpickle.dumps(content))

    def _receive(self, seconds: float) -> Any:
        """Return a message; None after a while without one.

        Raises:
            EOFError: The child has ended.
        """
        assert self._process is not None
        if self.connection.poll(seconds):
            return cloudpickle.loads(self.connection.recv_bytes())
        # Processes that the child has started may keep the pipe open.
        if self._process.poll() is not None and not self.connection.poll(0):
            raise EOFError
        return None

    def _take(self, kind: str, content: list[Any]) -> None:
        if kind == "ready":
            self.is_ready = True
        elif kind == "cannot":
            raise RobustTuneError(
                f"The child process for trials cannot load what it was sent: {content[0]}"
            )
        elif kind == "write":
            self._write(*content)
        elif kind == "warn":
            warned, category, filename, lineno = content
            warnings.warn_explicit(warned, category, filename, lineno, registry=self._registry)
        elif kind == "log":
            (record,) = content
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        else:
            self._reply(kind, content)

    def _reply(self, kind: str, content: list[Any]) -> None:
        try:
            if self._answer is None:
                raise RobustTuneError("no trial runs")
            reply = cloudpickle.dumps((True, self._answer(kind, content)))
        except Exception as error:  # it is the trial's, which asked
            reply = cloudpickle.dumps((False, error))
        self.connection.send_bytes(reply)

    def _limit_that_is_passed(self) -> Ending | None:
        assert self._process is not None
        limit, memory_limit = self._policy.trial_seconds, self._policy.memory_limit
        if limit is not None:
            paused = self._progress.paused()
            seconds = time.monotonic() - self._began - paused
            hangs = seconds > limit * (1 + _GRACE_SHARE) + _GRACE_SECONDS
            if hangs or paused > _DIAGNOSIS_TIMES * self._policy.diagnosis_seconds + 60:
                evidence = {"trial_seconds": seconds, "limit_seconds": limit}
                text = "it did not stop, and was killed"
                return Ending(FailureCause.TIMEOUT, text, evidence)
        if memory_limit is not None:
            memory = own_memory(self._process.pid) or 0
            if memory > memory_limit:
                evidence = {"memory_bytes": memory, "limit_bytes": memory_limit}
                text = f"it took {memory} bytes of memory, and was killed"
                return Ending(FailureCause.OUT_OF_MEMORY, text, evidence)
        return None

    def _wait(self) -> Ending:
        """Return how the process has ended."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it only closed the pipe
            code = 0
        self.end()
        return Ending(FailureCause.CRASHED, *describe(code))


def _write(name: str, text: str) -> None:
    getattr(sys, name).write(text)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
            return
    with contextlib.suppress(psutil.Error):  # not tested
        for started in psutil.Process(process.pid).children(recursive=True):
            started.kill()
    process.kill()


def _new_process_group() -> int:
    """Return the flag by which Ctrl-C is for the search, on Windows; not tested."""
    return int(getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0))


def _hand_over(handle: int, process: Any) -> None:
    """Give a process its end of the pipe, on Windows; not tested."""
    from robusttune._compat.windows import duplicated_for

    process.stdin.write(f"{duplicated_for(process, handle)}\n".encode())
    process.stdin.close()
