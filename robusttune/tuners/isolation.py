"""Isolation: trials in a child process, whose end by whatever reason is one failed trial.

The child is started once and kept warm: a Python process of its own (a fork would break TensorFlow,
and importing the program's main script would run the search again), which gets the tuner and the
data by `robusttune.tuners.parcel`. What it does with a trial is in `robusttune.tuners.child`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from robusttune.causes import FailureCause, Symptom
from robusttune.errors import RobustTuneError, TrialFailure
from robusttune.findings import Findings
from robusttune.processes import out_of_memory_kills, own_memory
from robusttune.random_states import capture_random_states, restore_random_states
from robusttune.trial_run import TrialRun
from robusttune.tuners.child import BOARD, PARCEL, Board, Outcome
from robusttune.tuners.host import TunerTrial
from robusttune.tuners.keras_settings import keras_environment, keras_settings
from robusttune.tuners.parcel import pack

_log = logging.getLogger("robusttune.tuners")

_POLL_SECONDS = 0.1
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
    "import sys, json; sys.path[:] = json.loads(sys.argv[3]);"
    "from robusttune.tuners.child import main; main(int(sys.argv[1]), sys.argv[2])"
)


class Isolation:
    """The child process of one search; a context manager, inside of which trials can be run.

    Args:
        tuner: The tuner that searches.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.

    Raises:
        RobustTuneError: The system cannot do it.
        TypeError: The tuner or the data cannot be sent to another process.
    """

    def __init__(self, tuner: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> None:
        if os.name != "posix":
            raise RobustTuneError("policy.isolate needs a POSIX system, such as Linux or macOS.")
        self._tuner = tuner
        self._policy = tuner.robust_policy
        self._parts = {
            "the settings": keras_settings(),
            "the initializer": tuner._robust_initializer,
            "the tuner": tuner,
            "the data": fit_args,
            "the arguments of search": fit_kwargs,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._rested: int | None = None  # memory of the child after its first trial, in bytes
        self._registry: dict[Any, Any] = {}  # of warnings that were shown

    def __enter__(self) -> Isolation:
        self._folder = tempfile.TemporaryDirectory(prefix="robusttune-")
        try:
            pack(os.path.join(self._folder.name, PARCEL), self._parts, self._tuner.oracle)
            self._parts = {}
            self._board = Board(os.path.join(self._folder.name, BOARD))
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self._folder.cleanup()

    def run(self, host: TunerTrial) -> Outcome:
        """Run a trial in the child, and return how that ended.

        Raises:
            TrialFailure: The child has ended, or had to be ended; the findings say why.
        """
        if self._process is None:
            self._start()
        self._board.clear()
        self._began = time.monotonic()
        kills = out_of_memory_kills()
        try:
            self._send((host.trial, capture_random_states()))
            while True:
                message = self._receive()
                if message is not None and message[0] == "done":
                    outcome: Outcome = message[1]
                    break
                if message is not None:
                    self._answer(message, host)
                failure = self._limit_that_is_passed()
                if failure is not None:
                    self._end()
                    raise self._failure(*failure)
        except (EOFError, ConnectionError):
            raise self._failure(*self._why_it_ended(kills)) from None
        restore_random_states(outcome.random_states)
        self._rest()
        return outcome

    def note_adjustments(self, made: Sequence[Any]) -> None:
        """Take over what the sanitizer changed in a trial."""
        self._tuner._robust_space.adjustments.extend(made)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        arguments = (theirs.fileno(), self._folder.name, json.dumps(sys.path))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *map(str, arguments)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **keras_environment()},
                start_new_session=True,  # Ctrl-C is for the search
            )
        self._connection = Connection(ours.detach())
        try:
            while (message := self._receive()) is None or message[0] not in ("ready", "cannot"):
                if message is not None:
                    self._answer(message, None)
        except (EOFError, ConnectionError):
            code = self._process.wait()
            raise RobustTuneError(
                f"The child process for isolated trials ended by itself ({_ending(code)[0]})"
                " before it could run one; its last words are on the standard error."
            ) from None
        if message[0] == "cannot":
            raise RobustTuneError(
                f"The child process for isolated trials cannot open what it was sent: {message[1]}"
            )

    def _end(self) -> None:
        if self._process is None:
            return
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # and what it has started
        self._process.wait()
        self._process = None

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
            self._end()

    def _send(self, content: Any) -> None:
        self._connection.send_bytes(cloudpickle.dumps(content))

    def _receive(self) -> Any:
        """Return a message; None after a while without one.

        Raises:
            EOFError: The child has ended.
        """
        assert self._process is not None
        if self._connection.poll(_POLL_SECONDS):
            return cloudpickle.loads(self._connection.recv_bytes())
        # Processes that the child has started may keep the socket open.
        if self._process.poll() is not None and not self._connection.poll(0):
            raise EOFError
        return None

    def _answer(self, message: Any, host: TunerTrial | None) -> None:
        kind, *content = message
        if kind == "write":
            name, text = content
            getattr(sys, name).write(text)
        elif kind == "warn":
            warned, category, filename, lineno = content
            warnings.warn_explicit(warned, category, filename, lineno, registry=self._registry)
        elif kind == "log":
            (record,) = content
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        elif kind == "siblings":
            self._send((True, [] if host is None else host.siblings()))
        else:
            self._answer_for_the_oracle(kind, content)

    def _answer_for_the_oracle(self, kind: str, content: list[Any]) -> None:
        try:
            value = getattr(self._tuner.oracle, content[0])
            if kind == "call":
                _, args, kwargs = content
                answer = value(*args, **kwargs)
            else:
                answer = (True, None) if callable(value) else (False, value)
            reply = cloudpickle.dumps((True, answer))
        except Exception as error:  # it is the trial's, which asked
            reply = cloudpickle.dumps((False, error))
        self._connection.send_bytes(reply)

    def _limit_that_is_passed(self) -> tuple[FailureCause, str, Mapping[str, Any]] | None:
        assert self._process is not None
        limit, memory_limit = self._policy.trial_seconds, self._policy.memory_limit
        if limit is not None:
            paused = self._board.paused()
            seconds = time.monotonic() - self._began - paused
            hangs = seconds > limit * (1 + _GRACE_SHARE) + _GRACE_SECONDS
            if hangs or paused > _DIAGNOSIS_TIMES * self._policy.diagnosis_seconds + 60:
                evidence = {"trial_seconds": seconds, "limit_seconds": limit}
                return FailureCause.TIMEOUT, "it came to no end, and was ended", evidence
        if memory_limit is not None:
            memory = own_memory(self._process.pid) or 0
            if memory > memory_limit:
                evidence = {"memory_bytes": memory, "limit_bytes": memory_limit}
                text = f"it took {memory} bytes of memory, and was ended"
                return FailureCause.OUT_OF_MEMORY, text, evidence
        return None

    def _why_it_ended(self, kills: int | None) -> tuple[FailureCause, str, Mapping[str, Any]]:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it only closed the socket
            code = 0
        self._end()
        text, evidence = _ending(code)
        now = out_of_memory_kills()
        if code == -signal.SIGKILL and kills is not None and now is not None and now > kills:
            evidence["out_of_memory_kills"] = now - kills
            return FailureCause.OUT_OF_MEMORY, f"{text}, as the kernel was out of memory", evidence
        return FailureCause.CRASHED, text, evidence

    def _failure(self, cause: FailureCause, text: str, evidence: Mapping[str, Any]) -> TrialFailure:
        """Return the failure of a trial whose process has ended."""
        symptom = Symptom.TIMEOUT if cause is FailureCause.TIMEOUT else Symptom.CRASHED
        last = self._board.last_step()
        others: tuple[FailureCause, ...] = ()
        if cause is FailureCause.CRASHED and evidence.get("signal") == "SIGKILL":
            others = (FailureCause.OUT_OF_MEMORY,)  # of a container, whose counts are not ours
        found = Findings(
            symptom=symptom,
            cause=cause,
            other_causes=others,
            confidence=0.95,
            epoch=None if last is None else last[0],
            step=None if last is None else last[1],
            error=f"The trial's process: {text}.",
            evidence=evidence,
        )
        return TrialFailure(f"the trial's process: {text}", findings=found)


def run_isolated(
    isolation: Isolation, host: TunerTrial, run: TrialRun, trial: Any, *args: Any, **kwargs: Any
) -> Any:
    """Run a trial in the child, where its `run_trial` is watched; return what that returned."""
    outcome = isolation.run(host)
    run.found, run.skill = outcome.findings, outcome.skill
    run.clipped_steps, run.why_not = outcome.clipped_steps, outcome.why_not
    host.asked, host.isolated_scores = outcome.asked, outcome.scores
    trial.hyperparameters = outcome.hyperparameters
    isolation.note_adjustments(outcome.adjustments)
    if outcome.error is not None:
        raise outcome.error from ChildTraceback(outcome.traceback)
    assert outcome.results is not None
    host.results = cloudpickle.loads(outcome.results)
    return host.results


class ChildTraceback(Exception):  # noqa: N818 - it is shown above the error that it belongs to
    """The traceback of an error in the child, as the cause of the error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _ending(code: int) -> tuple[str, dict[str, Any]]:
    """Return how a process ended, in words and as evidence."""
    if code >= 0:
        return f"it ended with exit code {code}", {"exit_code": code}
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"it was ended by {name}", {"signal": name}
