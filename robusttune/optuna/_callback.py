"""FailureReportCallback: a CSV file of a study's failing trials that is always current."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from optuna.storages.journal import JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial

from robusttune import _validation
from robusttune._compat.optuna import source_of
from robusttune._files import write_file
from robusttune._records import TrialRecord
from robusttune.optuna._records import record_of, records_of

_log = logging.getLogger("robusttune.optuna")


class FailureReportCallback:
    """Keep a CSV file of a study's failing trials, with the columns of `Report.failures`.

    A study is read when the callback is first called for it, so that one that goes on begins with
    its earlier failures, and again only after somebody else has written the file: workers may share
    it. It is replaced as a whole, so that a reader never sees a part of it. A path that cannot be
    written is an error after the first trial; later on it is logged and tried again after the next
    one, since a study does not end for its report.

    Args:
        path: The file; its folder is created.

    Example:
        >>> study.optimize(
        ...     robust(objective), n_trials=100, callbacks=[FailureReportCallback("failures.csv")]
        ... )  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = _validation.check_path("path", path)
        _validation.require(not self.path.is_dir(), "path", "a file, not a folder", path)
        self._failures: dict[int, TrialRecord] = {}
        self._source: tuple[object, int] | None = None  # the study that they are of
        self._written: tuple[int, int, int] | None = None
        self._behind = False  # whether a failure is not in the file yet
        self._thread_lock = threading.Lock()

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Add a trial that has ended, if it failed."""
        with self._thread_lock:
            record = record_of(trial)
            source = source_of(study)
            news = record.cause is not None or trial.number in self._failures
            if source == self._source and not self._behind and not news:
                return
            self._behind = True
            try:
                self._update(study, source, record)
            except OSError as error:
                if self._written is None:
                    raise
                _log.warning("%s is not written: %s", self.path, error)
            else:
                self._behind = False

    def _update(self, study: Study, source: tuple[object, int], record: TrialRecord) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalFileOpenLock(str(self.path))
        lock.acquire()
        try:
            if source != self._source or self._written != self._state():
                known = [known for known in records_of(study) if known.cause is not None]
                self._failures = {int(failure.trial_id): failure for failure in known}
                self._source = source
            elif record.cause is not None:
                self._failures[int(record.trial_id)] = record
            else:
                self._failures.pop(int(record.trial_id), None)
            self._write()
        finally:
            self._release(lock)

    def _release(self, lock: JournalFileOpenLock) -> None:
        try:
            lock.release()
        except RuntimeError:  # another worker has waited for too long, and may have written
            _log.warning("%s lost its lock and is written again after the next trial", self.path)
            self._source = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def _write(self) -> None:
        from robusttune._report.files import csv
        from robusttune._report.frames import trials_frame

        frame = trials_frame([self._failures[number] for number in sorted(self._failures)])
        write_file(self.path, csv(frame), durable=False)
        self._written = self._state()

    def _state(self) -> tuple[int, int, int] | None:
        """Return what changes whenever anybody writes the file; None where it is gone."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return None
        return state.st_ino, state.st_size, state.st_mtime_ns
