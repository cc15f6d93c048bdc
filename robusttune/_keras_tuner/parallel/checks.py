"""Checks of options that parallel trials do not support."""

from __future__ import annotations

import os
from typing import Any

from robusttune._compat.keras_tuner import has_chief_oracle
from robusttune._jobs import jobs_on_executor
from robusttune._policy import Policy
from robusttune._validation import require
from robusttune.executors._interface import trial_executor


def check_at_once(policy: Policy, executor: Any) -> None:
    """Check that a policy and an executor go together, and with this process.

    Args:
        policy: The tuner's.
        executor: Its executor, or None.

    Raises:
        TypeError: It is no executor.
        ValueError: They do not.
    """
    for name, value in (("n_jobs", policy.n_jobs), ("executor", executor)):
        rule = (
            "None where the environment makes this process a chief or a worker (KERASTUNER_TUNER_ID"
            f"={os.environ.get('KERASTUNER_TUNER_ID')!r})"
        )
        way_out = "Start more workers instead, or unset KERASTUNER_ORACLE_IP and the like."
        require(value is None or not has_chief_oracle(), name, rule, value, way_out)
    if executor is None:
        return
    trial_executor(executor)
    jobs_on_executor(policy.n_jobs)
    rule = "None with executor=, whose workers this process cannot watch"
    way_out = (
        "Set the engine's own: memory= of RayExecutor, memory_limit of Dask's workers, mem_gb of"
        " SlurmExecutor."
    )
    require(policy.memory_limit is None, "memory_limit", rule, policy.memory_limit, way_out)
    rule = "False with executor=, whose workers are processes of their own"
    require(not policy.isolate, "isolate", rule, policy.isolate)
    rule = "False with executor=, since the range test would train in this process"
    require(not policy.probe, "probe", rule, policy.probe)
