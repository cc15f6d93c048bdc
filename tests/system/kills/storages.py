"""Where a study of Optuna is stored: SQLite, a journal file, and a PostgreSQL server of our own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock


@contextlib.contextmanager
def postgresql() -> Iterator[str | None]:
    """Start a PostgreSQL server of our own; yields its URL, None where there is none to start."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp())
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    if os.geteuid() == 0:  # the server refuses to be run by root
        quiet |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    programs, data = Path(initdb).parent, str(folder / "data")
    subprocess.run([programs / "initdb", "-D", data, "-U", "chaos", "-A", "trust", "-N"], **quiet)
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    control = [programs / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], **quiet)
    try:
        yield f"postgresql+psycopg2://chaos@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder)


def _journal(path: str) -> JournalFileBackend:
    """A killed process leaves its lock, and Optuna waits 30 s for it unless told otherwise."""
    return JournalFileBackend(path, lock_obj=JournalFileSymlinkLock(path, grace_period=3))


def storages(url: str | None) -> dict[str, Callable[[Path], Any]]:
    """Return what opens each storage that can be had here."""
    kinds: dict[str, Callable[[Path], Any]] = {
        "sqlite": lambda folder: optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db"),
        "journal": lambda folder: optuna.storages.JournalStorage(
            _journal(str(folder / "journal.log"))
        ),
    }
    if url is not None:
        kinds["postgresql"] = lambda folder: optuna.storages.RDBStorage(url)
    return kinds
