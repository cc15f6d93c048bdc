"""Cases in which a search is interrupted: by a kill, a crash, a hang, or a file cut in half."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

from evaluation.cases.child import CHILDREN, child
from evaluation.cases.models import TRIALS, rates
from evaluation.cases.search import Search, described, searched, stored, told

# Seconds after which a search that waits for something that never comes is ended from outside.
PATIENCE = 20.0


def half_written(side: str, folder: Path) -> str:
    """Three trials, the state cut in half, and the search again."""
    search = Search(build=rates(), options={"max_trials": 3})
    searched(search, side, folder)
    state = folder / "search" / "oracle.json"
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    search = Search(build=rates(), options={"max_trials": TRIALS})
    try:
        return f"goes on: {told(search, side, folder)}"
    except Exception as failure:  # what the table shows
        return f"**{type(failure).__name__}** at the next start"


def killed(name: str, side: str, folder: Path) -> str:
    """A search that is killed in one of its trials and started again."""
    if child(name, side, folder).wait() != -signal.SIGKILL:
        raise RuntimeError("the search was not killed")
    if child(name, side, folder).wait() != 0:
        return f"**{(folder / 'error').read_text()}** at the next start"
    return f"goes on: {described(stored(folder))}"


def crashed(side: str, folder: Path) -> str:
    """A trial that takes the process down."""
    if side == "robust":
        return told(CHILDREN["crashed"](folder), side, folder)
    code = child("crashed", side, folder).wait()
    return f"**the process has died** (exit code {code}) after {described(stored(folder))}"


def hung(side: str, folder: Path) -> str:
    """A trial that never ends."""
    if side == "robust":
        return told(CHILDREN["hung"](folder), side, folder)
    process = child("hung", side, folder)
    project, began = folder / "search", None
    while process.poll() is None:  # the time runs from the trial's beginning
        if began is None and len(list(project.glob("trial_*"))) > 3:
            began = time.monotonic()
        if began is not None and time.monotonic() - began > PATIENCE:
            process.kill()
            process.wait()
            return f"**still waiting** after {PATIENCE:.0f} s, {described(stored(folder))}"
        time.sleep(0.1)
    return described(stored(folder))


def worker_dies(side: str, folder: Path) -> str:
    """A chief and two workers, of which one is killed in its trial."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def start(name: str) -> subprocess.Popen[bytes]:
        variables = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
        return child("worker", side, folder, variables)

    processes = [start(name) for name in ("chief", "worker-0", "worker-1")]
    chief, *workers = processes
    ended, moment = 0, time.monotonic()
    try:
        while chief.poll() is None:
            time.sleep(0.5)
            states = stored(folder) if (folder / "search" / "oracle.json").exists() else Counter()
            so_far = states["completed"] + states["failed"]
            one_died = any(worker.poll() == -signal.SIGKILL for worker in workers)
            if so_far != ended or not one_died:
                ended, moment = so_far, time.monotonic()
            if time.monotonic() - moment > PATIENCE:
                return f"**still waiting** after {PATIENCE:.0f} s, {described(states)}"
        return described(stored(folder))
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
