"""Snapshot of an oracle for a worker that cannot call it: enough to run one trial."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robusttune._keras_tuner.project.stored_trials import read_record
from robusttune._records import TrialRecord

# So many of the latest trials are shown to the diagnosis of a failing one.
_SIBLINGS = 100


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The oracle when a trial was given out.

    Args:
        objective: What is optimized.
        max_trials: Trials of the search; None: no limit.
        space: The hyperparameters.
        trials: The trial, and the one that it goes on from, by their ids.
        others: Ids of the latest trials that have ended.
    """

    objective: Any
    max_trials: int | None
    space: Any
    trials: Mapping[str, Any]
    others: Sequence[str]


def snapshot_of(oracle: Any, trial: Any) -> Snapshot:
    """Return what a trial may know of the oracle."""
    past = trial.hyperparameters.values.get("tuner/trial_id")
    others = [id_ for id_ in oracle.end_order[-_SIBLINGS:] if id_ != trial.trial_id]
    known = {id_: oracle.trials[id_] for id_ in (trial.trial_id, past) if id_ in oracle.trials}
    return Snapshot(
        objective=oracle.objective,
        max_trials=oracle.max_trials,
        space=oracle.get_space(),
        trials=known,
        others=others,
    )


class SnapshotOracle:
    """Stands for the oracle in a worker of an executor.

    Attributes:
        now: The oracle when the trial that runs was given out.
        reports: What the trial has reported by `update_trial`: id, metrics, step.
    """

    now: Snapshot
    verbose = 0
    multi_worker = False
    should_report = True

    def __init__(self) -> None:
        self.reports: list[tuple[str, Any, int]] = []

    def show(self, snapshot: Snapshot) -> None:
        """Begin a trial."""
        self.now, self.reports = snapshot, []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "now":
            raise AttributeError(name)
        if name in ("objective", "max_trials", "trials"):
            return getattr(self.now, name)
        raise AttributeError(
            f"oracle.{name} is not available in a worker of an executor; known are objective,"
            " max_trials, get_space(), update_trial() and the trial that runs"
        )

    @property
    def hyperparameters(self) -> Any:
        """The space."""
        return self.now.space

    def get_space(self) -> Any:
        """Return a copy of the space."""
        return self.now.space.copy()

    def update_space(self, hyperparameters: Any) -> None:
        """Do nothing: new hyperparameters return with the trial."""

    def get_trial(self, trial_id: str) -> Any:
        """Return the trial that runs, or the one that it goes on from."""
        return self.now.trials[trial_id]

    def update_trial(self, trial_id: str, metrics: Any, step: int = 0) -> Any:
        """Keep a report for the search's own process."""
        self.reports.append((trial_id, metrics, step))
        trial = self.now.trials[trial_id]
        for name, value in metrics.items():
            if not trial.metrics.exists(name):
                direction = self.objective.direction if name == self.objective.name else None
                trial.metrics.register(name, direction=direction)
            trial.metrics.update(name, value, step=step)
        return trial


class StoredRecords(Sequence[TrialRecord]):
    """Records of other trials, read from the project when a diagnosis looks at them."""

    def __init__(self, project: str, trial_ids: Sequence[str]) -> None:
        self._project = project
        self._trial_ids = trial_ids

    @functools.cached_property
    def _records(self) -> list[TrialRecord]:
        found = (read_record(self._project, trial_id) for trial_id in self._trial_ids)
        return [record for record in found if record is not None]

    def __getitem__(self, index: Any) -> Any:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)
