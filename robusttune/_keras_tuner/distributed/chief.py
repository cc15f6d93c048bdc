"""The chief's side of Keras Tuner's chief and workers: a dead worker holds nothing up.

Each worker signs its calls and sends heartbeats; see `worker`. The chief takes the trial of a
silent worker away, and gives it to the next that asks.
"""

from __future__ import annotations

import json
import logging
import os
import time
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
from keras_tuner import synchronized
from keras_tuner.engine import trial as trial_module

from robusttune._compat.keras_tuner import OracleServicer, get_service, get_service_grpc
from robusttune._keras_tuner.project.files import is_remote, write_atomically
from robusttune._keras_tuner.project.resume import end_or_requeue, give_up
from robusttune._keras_tuner.project.stored_trials import read_record
from robusttune._processes import this_process

if TYPE_CHECKING:
    from robusttune._keras_tuner.oracle import RobustOracle

_log = logging.getLogger("robusttune.tuners")

CHIEF_FILE = "chief.json"
# Metadata of a worker's calls: its tuner_id, and the process that it is. gRPC wants lower case.
WORKER_KEY, PROCESS_KEY = "robusttune-worker", "robusttune-process"
# Signs of life in the time after which a silent worker counts as dead.
BEATS = 6
_LOOK_SECONDS = 0.5


class WorkerHeartbeats:
    """When each worker was last heard of.

    Args:
        silence: Seconds after which a silent worker counts as dead.
    """

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._heard: dict[str, float] = {}
        self._looked = time.monotonic()

    def renew(self, worker: str, *, begin: bool = True) -> None:
        """Note a sign of life; one that has ended may still show one, which begins no lease."""
        if begin or worker in self._heard:
            self._heard[worker] = time.monotonic()

    def forget(self, worker: str) -> None:
        """Wait for no more signs of a worker that has ended."""
        self._heard.pop(worker, None)

    def silent(self) -> list[str]:
        """Return the workers that count as dead."""
        now = time.monotonic()
        if now - self._looked > self._silence / BEATS + 2 * _LOOK_SECONDS:
            # This process stood still, and could not hear.
            self._heard = dict.fromkeys(self._heard, now)
        self._looked = now
        return [w for w, heard in list(self._heard.items()) if now - heard > self._silence]

    def all_heard_since(self, moment: float, *, besides: str) -> bool:
        """Whether all other workers have shown a sign of life since a moment of the clock."""
        return all(heard >= moment for w, heard in list(self._heard.items()) if w != besides)


class _HeartbeatInterceptor(grpc.ServerInterceptor):  # type: ignore[misc,unused-ignore]
    """Renews a worker's lease at each of its calls, before they wait for the oracle."""

    def __init__(self, heartbeats: WorkerHeartbeats) -> None:
        self._heartbeats = heartbeats

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        worker = dict(handler_call_details.invocation_metadata).get(WORKER_KEY)
        if worker is not None:
            beats = handler_call_details.method.endswith("/GetSpace")
            self._heartbeats.renew(worker, begin=not beats)
        return continuation(handler_call_details)


class RobustServicer(OracleServicer):  # type: ignore[misc,unused-ignore]
    """Answers workers; what ends the search ends it for all of them, and is raised by the chief.

    Args:
        oracle: The chief's.
        heartbeats: Of its workers.

    Attributes:
        error: What ended the search; None: nothing but its last trial.
    """

    def __init__(self, oracle: RobustOracle, heartbeats: WorkerHeartbeats) -> None:
        super().__init__(oracle)
        self.error: Exception | None = None
        self._heartbeats = heartbeats
        self._processes: dict[str, str] = {}
        self._asked: dict[str, float] = {}  # when a worker was first told that nothing is left

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Give a worker its next trial."""
        worker, process = request.tuner_id, _metadata(context).get(PROCESS_KEY)
        if process is not None and self._processes.get(worker, process) != process:
            lose_worker(self.oracle, worker)  # it was started again: its last run has ended
        if process is not None:
            self._processes[worker] = process
        trial = self._next_trial(worker)
        if trial.status == trial_module.TrialStatus.STOPPED:
            # It stays until the others are known to live: it may have to run the trial of one.
            asked = self._asked.setdefault(worker, time.monotonic())
            if self.error is None and not self._heartbeats.all_heard_since(asked, besides=worker):
                trial.status = trial_module.TrialStatus.IDLE
                self.oracle.tuner_ids.add(worker)
            else:
                self.stop_triggered = True
                self._heartbeats.forget(worker)
        else:
            self._asked.pop(worker, None)
        return get_service().CreateTrialResponse(trial=trial.to_proto())

    def UpdateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Take a report on a trial."""
        if claim(self.oracle, _metadata(context).get(WORKER_KEY), request.trial_id):
            return super().UpdateTrial(request, context)
        trial = self.oracle.get_trial(request.trial_id)
        return get_service().UpdateTrialResponse(trial=trial.to_proto())

    def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """End a trial, with the reason that its worker left in the project folder."""
        trial = trial_module.Trial.from_proto(request.trial)
        if not claim(self.oracle, _metadata(context).get(WORKER_KEY), trial.trial_id):
            _log.warning("the result of trial %s came late and is ignored", trial.trial_id)
            return get_service().EndTrialResponse()
        record = read_record(self.oracle._project_dir, trial.trial_id)
        if record is not None and record.status == "failed":
            trial.message = record.error or record.message()
        try:
            self.oracle.end_trial(trial)
        except Exception as error:  # the user's limit of failures, say
            self._stop(error)
        return get_service().EndTrialResponse()

    def is_over(self) -> bool:
        """Whether there is nothing left to do, and all workers were told so or are dead."""
        oracle = self.oracle
        if oracle.ongoing_trials or oracle.tuner_ids:
            return False
        given_out = oracle.remaining_trials() == 0 and not oracle._retry_queue
        return self.stop_triggered or given_out

    def _next_trial(self, worker: str) -> Any:
        if self.error is None:
            try:
                return self.oracle.create_trial(worker)
            except Exception as error:  # a hopeless search, say
                self._stop(error)
        self.oracle.tuner_ids.discard(worker)
        self.oracle.ongoing_trials.pop(worker, None)
        status = trial_module.TrialStatus.STOPPED
        return trial_module.Trial(self.oracle.get_space(), trial_id="", status=status)

    def _stop(self, error: Exception) -> None:
        self.error = self.error or error
        self.stop_triggered = True


def serve(oracle: RobustOracle) -> None:
    """Serve workers until the search is over.

    Raises:
        HopelessSearchError: No trial can succeed.
        RuntimeError: The user's limit of failures in a row was reached.
    """
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    heartbeats = WorkerHeartbeats(oracle.robust_policy.worker_silence)
    servicer = RobustServicer(oracle, heartbeats)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=1),
        interceptors=[_HeartbeatInterceptor(heartbeats)],
        options=[("grpc.so_reuseport", 0)],  # a second chief shall not share the port
    )
    get_service_grpc().add_OracleServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    server.start()
    _note(oracle, address, ended=False)
    try:
        while not servicer.is_over():
            time.sleep(_LOOK_SECONDS)
            for worker in heartbeats.silent():
                heartbeats.forget(worker)
                lose_worker(oracle, worker)
        _give_up_waiting_trials(oracle, servicer)
    finally:
        _note(oracle, address, ended=True)
        server.stop(grace=5).wait()
    if servicer.error is not None:
        raise servicer.error


@synchronized  # type: ignore[untyped-decorator,unused-ignore]
def lose_worker(oracle: RobustOracle, worker: str) -> None:
    """Take a dead worker's trial back: for another one, or as crashed after too many."""
    oracle.tuner_ids.discard(worker)
    trial = oracle.ongoing_trials.pop(worker, None)
    if trial is None:
        return
    end_or_requeue(oracle, trial)
    oracle.save()
    _log.warning(
        "Worker %s died in trial %s, which %s.",
        worker,
        trial.trial_id,
        "goes to another worker" if trial.trial_id in oracle._retry_queue else "has ended too",
    )


@synchronized  # type: ignore[untyped-decorator,unused-ignore]
def claim(oracle: RobustOracle, worker: str | None, trial_id: str) -> bool:
    """Return whether a worker may report on a trial.

    It may not when the trial has ended, or runs elsewhere because the worker was silent for too
    long; a trial that still waits to be run again is the worker's again.

    Args:
        oracle: The chief's.
        worker: Its tuner_id; None for one that does not sign its calls, and is believed.
        trial_id: The trial.
    """
    holder = next((w for w, t in oracle.ongoing_trials.items() if t.trial_id == trial_id), None)
    if worker is None or holder == worker:
        return True
    if holder is not None or trial_id not in oracle._retry_queue:
        return False
    oracle._retry_queue.remove(trial_id)
    trial = oracle.trials[trial_id]
    trial.status = trial_module.TrialStatus.RUNNING
    oracle.ongoing_trials[worker] = trial
    oracle.tuner_ids.add(worker)
    return True


@synchronized  # type: ignore[untyped-decorator,unused-ignore]
def _give_up_waiting_trials(oracle: RobustOracle, servicer: RobustServicer) -> None:
    """End what no worker came for; a search that was stopped leaves it to the next one."""
    if servicer.error is not None:
        return
    for trial_id in oracle._retry_queue:
        give_up(oracle, oracle.trials[trial_id])
    oracle._retry_queue = []
    oracle.save()


def _note(oracle: RobustOracle, address: str, *, ended: bool) -> None:
    """Leave a note for workers that cannot reach the chief."""
    project = oracle._project_dir
    if not is_remote(project):
        text = json.dumps({"address": address, "ended": ended, **this_process()})
        write_atomically(os.path.join(project, CHIEF_FILE), text, durable=False)


def _metadata(context: Any) -> dict[str, str]:
    return dict(context.invocation_metadata())
