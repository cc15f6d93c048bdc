"""Trials as jobs of Slurm, by submitit; what all of them need lies in submitit's own folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class SubmititExecutor:
    """An executor of submitit's.

    Args:
        executor: The executor.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Hand a function over as a job."""
        return self._executor.submit(fn, *args)

    def share(self, path: str) -> str:
        """Copy a file to where the jobs' own files lie, readable for this user alone."""
        folder = Path(str(self._executor.folder).split("%")[0])
        folder.mkdir(parents=True, exist_ok=True)
        private = tempfile.mkdtemp(prefix="robusttune-", dir=folder.absolute())
        return str(shutil.copy(path, private))

    def unshare(self, shared: str) -> None:
        """Remove the copy."""
        shutil.rmtree(os.path.dirname(shared), ignore_errors=True)


class SlurmExecutor(SubmititExecutor):
    """Trials as jobs of Slurm, one a trial; needs `robusttune[slurm]`.

    A job that Slurm ends is a failed trial, and is not submitted again.

    Args:
        folder: For the scripts, logs and results of the jobs; all nodes see it.
        cluster: "slurm"; "local" runs the jobs on this machine; None: whichever is here.
        **parameters: As for `submitit.AutoExecutor.update_parameters`: `timeout_min`, `mem_gb`,
            `cpus_per_task`, `gpus_per_node`, `slurm_partition`, ...

    Example:
        >>> from robusttune.executors import SlurmExecutor
        >>> executor = SlurmExecutor("jobs", timeout_min=60, mem_gb=8)  # doctest: +SKIP
    """

    def __init__(self, folder: Any, *, cluster: str | None = None, **parameters: Any) -> None:
        import submitit

        executor = submitit.AutoExecutor(folder, cluster=cluster, slurm_max_num_timeout=0)
        executor.update_parameters(**parameters)
        super().__init__(executor)
