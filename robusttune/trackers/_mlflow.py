"""MLflowTracker: each trial is a run of MLflow, under one run for the search."""

from __future__ import annotations

import atexit
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from robusttune._privacy import shareable
from robusttune._records import TrialRecord, one_line
from robusttune._validation import check_bool, check_type
from robusttune.trackers._contents import numbers, texts

_PREFIX = "robusttune."
_STATUS = {"completed": "FINISHED", "failed": "FAILED", "pruned": "KILLED", "running": "RUNNING"}
# MLflow's own limits are 5000 and more, by version and store.
_MOST_CHARACTERS = 500
_MOST_PARAMS = 100  # that a server takes at once
_NOT_IN_NAMES = re.compile(r"[^\w\-. ]")
# The report is written again in the course of a search where that takes no more than this share of
# its time, and not before the search has run for so many seconds.
_REPORT_SHARE = 0.05
_REPORT_SECONDS = 60.0


class MLflowTracker:
    """Sends each trial to MLflow, as a record callback of any host.

    A trial is a run: FINISHED, FAILED or KILLED (pruned), with its hyperparameters as params; the
    objective as metric `value`; `robusttune.confidence` and whatever else of a record is a number
    as metrics; `robusttune.status`, `.cause`, `.symptom` and `.advice` as tags. It is nested under
    the run of the search, which gets report.html at the end and, in a long search, from time to
    time: that of the trials that this tracker was given.

    The run of the search is the one that is active when the tracker is made; without one, a run is
    started with the first trial, and ended when the search ends (with Optuna: when the tracker is
    closed, at the latest with the process).

    Args:
        experiment: Name of the experiment, which is created where it is not there; None: that of
            the active run, else MLflow's active one.
        tracking_uri: Where MLflow keeps its runs; None: its own setting.
        parent_run_id: The run of the search; processes that work on one study need the same. None:
            as above.
        include_private: Whether to send what `robusttune.trackers.shareable` leaves out: text of
            exceptions, evidence about the data, hyperparameter values that are paths.

    Raises:
        ImportError: MLflow is not installed.

    Example:
        >>> tuner = robusttune.RandomSearch(
        ...     build, "val_loss", record_callbacks=[MLflowTracker()]
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        experiment: str | None = None,
        tracking_uri: str | None = None,
        parent_run_id: str | None = None,
        include_private: bool = False,
    ) -> None:
        given = {
            "experiment": experiment,
            "tracking_uri": tracking_uri,
            "parent_run_id": parent_run_id,
        }
        for name, value in given.items():
            check_type(name, value, (str, type(None)), "a str or None")
        check_bool("include_private", include_private)
        mlflow = _mlflow()
        self.include_private = include_private
        self.tracking_uri = tracking_uri or mlflow.get_tracking_uri()
        active = mlflow.active_run()
        if parent_run_id is None and active is not None:
            parent_run_id = active.info.run_id
        self._given_parent = parent_run_id
        self._begin()
        self._experiment_id = self._find_experiment(experiment)

    def _begin(self) -> None:
        self._client = _mlflow().MlflowClient(tracking_uri=self.tracking_uri)
        self._parent = self._given_parent
        self._records: list[TrialRecord] = []
        self._next_report = time.monotonic() + _REPORT_SECONDS
        self._ended = False

    def _find_experiment(self, name: str | None) -> str:
        if name is not None:
            known = self._client.get_experiment_by_name(name)
            made = self._client.create_experiment(name) if known is None else known.experiment_id
            return str(made)
        if self._given_parent is not None:
            return str(self._client.get_run(self._given_parent).info.experiment_id)
        from robusttune._compat.mlflow import DEFAULT_EXPERIMENT_ID, active_experiment_id

        elsewhere = self.tracking_uri != _mlflow().get_tracking_uri()
        return DEFAULT_EXPERIMENT_ID if elsewhere else active_experiment_id()

    def __call__(self, trial: Any, record: TrialRecord) -> None:
        """Send a trial that has ended."""
        if self._ended:
            self._begin()
        if self._parent is None:
            self._parent = self._start_parent()
        record = record if self.include_private else shareable(record)
        self._records.append(record)
        end = _now()
        run = self._client.create_run(
            self._experiment_id,
            start_time=end - int(1000 * (record.seconds or 0)),
            run_name=f"trial {record.trial_id}",
            tags={"mlflow.parentRunId": self._parent, **_tags(record)},
        )
        try:
            self._log(run.info.run_id, record, end)
        finally:
            self._client.set_terminated(run.info.run_id, _STATUS[record.status], end)
        if time.monotonic() >= self._next_report:
            self._write_report()

    def _start_parent(self) -> str:
        run = self._client.create_run(self._experiment_id, run_name="robusttune search")
        atexit.register(self.close)
        return str(run.info.run_id)

    def _log(self, run_id: str, record: TrialRecord, now: int) -> None:
        self._client.log_batch(run_id, metrics=_as_metrics(_metrics(record), now))
        params = _params(record.params)
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(run_id, params=params[first : first + _MOST_PARAMS])

    @property
    def parent_run_id(self) -> str | None:
        """The run of the search, also when it has ended; None before the first trial."""
        return self._parent

    def search_ended(self, records: Sequence[TrialRecord]) -> None:
        """Finish the run of the search.

        Args:
            records: Of all its trials, those of an earlier process too.
        """
        private = self.include_private
        self._records = [r if private else shareable(r) for r in records]
        self.close()

    def close(self) -> None:
        """Finish the run of the search; a further trial begins another one."""
        atexit.unregister(self.close)
        if self._parent is None or self._ended or not self._records:
            return
        self._ended = True
        self._write_report()
        if self._given_parent is None:
            self._client.set_terminated(self._parent, "FINISHED")

    def __enter__(self) -> MLflowTracker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write_report(self) -> None:
        from robusttune._report import Report

        began = time.monotonic()
        report = Report.from_records(self._records)
        self._client.log_text(self._parent, report.html(), "report.html")
        counts = {
            f"{_PREFIX}trials": len(report.trials),
            f"{_PREFIX}failed": (report.trials.status == "failed").sum(),
            f"{_PREFIX}unstable": report.trials.unstable.sum(),
        }
        self._client.log_batch(self._parent, metrics=_as_metrics(counts, _now()))
        ended = time.monotonic()
        self._next_report = ended + (ended - began) / _REPORT_SHARE

    def __getstate__(self) -> dict[str, Any]:
        return {
            "include_private": self.include_private,
            "tracking_uri": self.tracking_uri,
            "_given_parent": self._given_parent,
            "_experiment_id": self._experiment_id,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()


def _mlflow() -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise ImportError(
            "MLflowTracker needs MLflow: pip install 'robusttune[mlflow]'."
        ) from error
    return mlflow


def _now() -> int:
    return int(time.time() * 1000)


def _tags(record: TrialRecord) -> dict[str, str]:
    told = texts(record).items()
    return {_PREFIX + name: one_line(text, _MOST_CHARACTERS) for name, text in told}


def _metrics(record: TrialRecord) -> dict[str, float]:
    told = numbers(record).items()
    return {name if name == "value" else _PREFIX + name: number for name, number in told}


def _as_metrics(told: Mapping[str, Any], now: int) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(name, float(number), now, 0) for name, number in told.items()]


def _params(params: Mapping[str, Any]) -> list[Any]:
    """Return the hyperparameters under names that MLflow takes; of two alike the first counts."""
    from mlflow.entities import Param

    named: dict[str, str] = {}
    for name, value in params.items():
        text = one_line(str(value), _MOST_CHARACTERS)
        named.setdefault(_NOT_IN_NAMES.sub("_", name).lstrip(".")[:250] or "_", text)
    return [Param(name, text) for name, text in named.items()]
