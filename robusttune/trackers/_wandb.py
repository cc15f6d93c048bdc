"""WandbTracker: each trial is a run of Weights & Biases, and the search is their group."""

from __future__ import annotations

import secrets
from typing import Any

from robusttune._privacy import shareable
from robusttune._records import TrialRecord
from robusttune._validation import check_bool, check_type
from robusttune.trackers._contents import numbers, texts

_PREFIX = "robusttune/"
# Off, since W&B sends these by itself: host, program, paths, git, packages, hardware, the console.
_NOTHING_OF_THE_MACHINE = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "program": "",
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_executable": "",
    "x_save_requirements": False,
}


class WandbTracker:
    """Sends each trial to Weights & Biases, as a record callback of any host.

    A trial is a run of its own, beside one that may be open; a failed trial's run has failed. Its
    hyperparameters are the config; the objective `value` and `robusttune/cause`,
    `robusttune/symptom`, `robusttune/advice`, `robusttune/confidence` and whatever else of a record
    is a number are the summary; status, symptom and cause are tags. Offline (WANDB_MODE=offline, or
    `mode`) the runs are files, for `wandb sync`.

    Args:
        project: Name of the project; None: W&B's own setting.
        entity: User or team; None: W&B's own setting.
        group: What the runs of this search have in common, to group them by; None: a new name.
            Processes that work on one study need the same.
        mode: "online", "offline" or "disabled"; None: W&B's own setting.
        directory: Where W&B keeps its files; None: W&B's own setting.
        include_private: Whether to send what `robusttune.trackers.shareable` leaves out (text of
            exceptions, evidence about the data, hyperparameter values that are paths), and what W&B
            sends of the machine by itself: host, program, paths, git, packages, hardware.

    Raises:
        ImportError: W&B is not installed.

    Example:
        >>> tuner = robusttune.RandomSearch(
        ...     build, "val_loss", record_callbacks=[WandbTracker(project="digits")]
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        mode: str | None = None,
        directory: str | None = None,
        include_private: bool = False,
    ) -> None:
        given = {
            "project": project,
            "entity": entity,
            "group": group,
            "mode": mode,
            "directory": directory,
        }
        for name, value in given.items():
            check_type(name, value, (str, type(None)), "a str or None")
        check_bool("include_private", include_private)
        _wandb()
        self.include_private = include_private
        self.group = f"robusttune-{secrets.token_hex(4)}" if group is None else group
        self._where = {"project": project, "entity": entity, "mode": mode, "dir": directory}

    def __call__(self, trial: Any, record: TrialRecord) -> None:
        """Send a trial that has ended."""
        wandb = _wandb()
        record = record if self.include_private else shareable(record)
        own = {} if self.include_private else _NOTHING_OF_THE_MACHINE
        told = texts(record)
        run = wandb.init(
            **self._where,
            group=self.group,
            name=f"trial {record.trial_id}",
            config=dict(record.params),
            tags=[told[name] for name in ("status", "symptom", "cause") if name in told],
            reinit="create_new",
            settings=wandb.Settings(silent=True, **own),
        )
        try:
            summary = {**told, **numbers(record)}.items()
            named = {name if name == "value" else _PREFIX + name: known for name, known in summary}
            run.summary.update(named)
        finally:
            run.finish(exit_code=int(record.status == "failed"))


def _wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise ImportError("WandbTracker needs W&B: pip install 'robusttune[wandb]'.") from error
    return wandb
