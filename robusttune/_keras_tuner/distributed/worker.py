"""The worker's side of Keras Tuner's chief and workers: signs of life, and patience with limits."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from keras_tuner.engine.trial import TrialStatus

from robusttune._compat.keras_tuner import CHIEF_SECONDS, OracleClient, get_service
from robusttune._keras_tuner.distributed.chief import BEATS, CHIEF_FILE, PROCESS_KEY, WORKER_KEY
from robusttune._processes import is_gone
from robusttune._untrusted_json import read_object
from robusttune.errors import RobustTuneError

_log = logging.getLogger("robusttune.tuners")

_CALL_SECONDS = 10.0  # until a call is made again, after a look for the chief
_IDLE_SECONDS = 0.5  # until a worker without a trial asks again
_REMINDER_SECONDS = 60.0


class ChiefEndedError(RobustTuneError):
    """The chief has ended the search in good order: there is nothing left to do."""


class RobustClient(OracleClient):  # type: ignore[misc,unused-ignore]
    """Keras Tuner's client; its calls are signed, are made again, and end when the chief is gone.

    A client that exists already becomes one by `connect`, so it has no __init__ of its own.
    """

    _project: str
    _silence: float
    _process: str

    def create_trial(self, tuner_id: str) -> Any:
        """Ask for a trial; where there is none yet, ask no more for a moment."""
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.IDLE:
            time.sleep(_IDLE_SECONDS)
        return trial

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Show signs of life while a block runs."""
        over = threading.Event()

        def beat() -> None:
            request = get_service().GetSpaceRequest()
            while not over.wait(self._silence / BEATS):
                try:
                    self.stub.plain.GetSpace(
                        request, timeout=self._silence, metadata=self.signature()
                    )
                except grpc.RpcError as error:  # the next call of the search deals with it
                    _log.debug("no heartbeat could be sent: %s", error)

        thread = threading.Thread(target=beat, name="robusttune-alive", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()

    def signature(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of each call."""
        if self.multi_worker:  # several processes run one trial under one name
            return ((WORKER_KEY, self.tuner_id),)
        return ((WORKER_KEY, self.tuner_id), (PROCESS_KEY, self._process))

    def look_for_chief(self, waited: float) -> None:
        """Decide whether to go on waiting for the chief.

        Args:
            waited: Seconds so far.

        Raises:
            ChiefEndedError: It has ended in good order.
            RobustTuneError: Its process is gone, or nobody has heard of it for too long.
        """
        at = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
        if waited > CHIEF_SECONDS:
            raise RobustTuneError(
                f"No chief has answered at {at} for {waited:.0f} s. Start it, or correct"
                " KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT."
            )
        if waited < self._silence:  # a chief that was started with this worker may be on its way
            return
        try:
            note = read_object(os.path.join(self._project, CHIEF_FILE))
        except (OSError, ValueError):
            return  # none was here yet
        if note.get("ended") is True:
            raise ChiefEndedError(
                f"The chief of the search in {self._project!r} has ended, and no other one has"
                f" started at {at}: there is nothing left to do for this worker."
            )
        if is_gone(note):
            raise RobustTuneError(
                f"The chief of the search in {self._project!r} was killed, and no other one has"
                f" started at {at}. Start it again, then the workers: the search resumes."
            )


class _PatientStub:
    """Makes each call again until it is answered; the chief takes a repeated call as one."""

    def __init__(self, plain: Any, client: RobustClient) -> None:
        self.plain = plain
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.plain, name)

        def call(request: Any, **options: Any) -> Any:
            began = reminded = time.monotonic()
            seconds = min(_CALL_SECONDS, self._client._silence)
            while True:
                try:
                    return method(
                        request,
                        wait_for_ready=True,
                        timeout=seconds,
                        metadata=self._client.signature(),
                    )
                except grpc.RpcError as error:
                    if error.code() not in _MAY_PASS:
                        raise
                now = time.monotonic()
                self._client.look_for_chief(now - began)
                if now - reminded > _REMINDER_SECONDS:
                    reminded = now
                    _log.warning("waiting for the chief for %.0f s", now - began)

        return call


_MAY_PASS = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


def connect(client: OracleClient, project: str, silence: float) -> None:
    """Turn Keras Tuner's client into a robust one, in place.

    Args:
        client: The client.
        project: The project folder, which the chief shares.
        silence: Policy.worker_silence.
    """
    client.__class__ = RobustClient
    client._project, client._silence = project, silence
    client._process = uuid.uuid4().hex
    client.stub = _PatientStub(client.stub, client)
