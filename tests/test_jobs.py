"""How many trials run at once, what of the machine each gets, and what is refused."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from sklearn.linear_model import Ridge

import robusttune
from robusttune import Policy
from robusttune._causes import FailureCause
from robusttune._isolation.ending import Ending, KernelKills
from robusttune._jobs import jobs_here, jobs_on_executor
from robusttune._machine import cgroup_quota, share_of, usable_cores


@pytest.mark.parametrize("n_jobs", [0, True, False, -2, 1.0, "all", [2]])
def test_n_jobs_that_says_nothing_gets_a_clear_error(n_jobs: Any) -> None:
    """The error names the argument, the rule and the value."""
    with pytest.raises(ValueError, match="n_jobs must be an int >= 1, -1, 'auto' or None, got"):
        Policy(n_jobs=n_jobs)


@pytest.mark.parametrize(
    ("n_jobs", "gpus", "cores", "jobs"),
    [
        (3, 0, 2, 3),
        (-1, 0, 6, 6),
        ("auto", 0, 6, 3),
        ("auto", 0, 1, 1),
        ("auto", 4, 6, 4),
        (-1, 4, 6, 4),
        (2, 4, 6, 2),
    ],
)
def test_jobs_here(
    n_jobs: Any, gpus: int, cores: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a GPU, or by the cores that this process may use."""
    monkeypatch.setattr("robusttune._jobs.usable_cores", lambda: cores)
    assert jobs_here(n_jobs, [str(n) for n in range(gpus)]) == jobs


def test_more_jobs_than_gpus_are_refused() -> None:
    """The error says how many there are, and two ways out."""
    with pytest.raises(ValueError, match=r"number of GPUs, which is 2.*got 3.*trains on the CPU"):
        jobs_here(3, ["0", "1"])


@pytest.mark.parametrize("n_jobs", [-1, "auto"])
def test_an_executor_has_no_cores_to_count(n_jobs: Any) -> None:
    """How many trials it is given at once has to be said."""
    with pytest.raises(ValueError, match="n_jobs must be an int >= 1 or None with executor="):
        jobs_on_executor(n_jobs)
    assert jobs_on_executor(None) == 1
    assert jobs_on_executor(7) == 7


@pytest.mark.parametrize(
    ("files", "own", "quota"),
    [
        ({}, "0::/\n", None),
        ({"a/b/cpu.max": "150000 100000"}, "0::/a/b\n", 1.5),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, "0::/a/b\n", 2.0),
        ({"cpu.max": "50000 100000"}, "0::/elsewhere\n", 0.5),
        (
            {"cpu/c/cpu.cfs_quota_us": "300000", "cpu/c/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/c\n3:memory:/d\n",
            3.0,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/\n", None),
    ],
)
def test_cgroup_quota(files: dict[str, str], own: str, quota: float | None, tmp_path: Path) -> None:
    """Of both versions of cgroups, of the group or of one around it, in a container too."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert cgroup_quota(tmp_path, tmp_path / "own") == quota


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its affinity and by its cgroup, and never none."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 5, 7}, raising=False)
    for quota, cores in ((None, 3), (2.5, 2), (0.5, 1), (16.0, 3)):
        monkeypatch.setattr("robusttune._machine.cgroup_quota", lambda q=quota: q)
        assert usable_cores() == cores


def test_a_process_gets_its_share_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and a GPU, but for what the user has set himself."""
    monkeypatch.setattr("robusttune._machine.usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    share = share_of(1, 3, ["GPU-a", "GPU-b", "GPU-c"])
    assert share["OMP_NUM_THREADS"] == "2"
    assert share["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    assert "TF_NUM_INTRAOP_THREADS" not in share
    assert "CUDA_VISIBLE_DEVICES" not in share_of(1, 3, [])


def test_a_kill_of_the_kernel_is_put_down_to_one_process() -> None:
    """Of two that were killed while it counted one, the second was somebody else's."""
    counted = [5]
    kills = KernelKills(lambda: counted[0])
    kills.begin("a")
    kills.begin("b")
    counted[0] = 6
    killed = Ending(FailureCause.CRASHED, "it was killed by SIGKILL", {"signal": "SIGKILL"})
    first, second = kills.explained("a", killed), kills.explained("b", killed)
    assert (first.cause, second.cause) == (FailureCause.OUT_OF_MEMORY, FailureCause.CRASHED)
    kills.begin("c")
    assert kills.explained("c", killed).cause is FailureCause.CRASHED  # none since
    kills.begin("d")
    counted[0] = 7
    left = Ending(FailureCause.CRASHED, "it ended with exit code 3", {"exit_code": 3})
    assert kills.explained("d", left).cause is FailureCause.CRASHED


def opened(directory: Path, **options: Any) -> Any:
    """Return a tuner with these options."""
    return robusttune.RandomSearch(
        lambda hp: Ridge(hp.Float("x", 0, 1)), "loss", directory=str(directory), **options
    )


class Executor:
    """Would take any function."""

    def submit(self, fn: Any, *args: Any) -> Any:
        raise AssertionError


def threads() -> Any:
    """Return a pool of threads."""
    return concurrent.futures.ThreadPoolExecutor(1)


def processes() -> Any:
    """Return a pool of processes, none of which has begun."""
    return concurrent.futures.ProcessPoolExecutor(1)


@pytest.mark.parametrize(
    ("policy", "executor", "error", "told"),
    [
        (Policy(n_jobs=2), threads, ValueError, "threads share Keras's global state"),
        (Policy(n_jobs=2), processes, ValueError, "one that survives the death of a worker"),
        (Policy(n_jobs=2), dict, TypeError, "executor must be an object whose submit"),
        (Policy(n_jobs=2, memory_limit=10**9), Executor, ValueError, "memory_limit must be None"),
        (Policy(isolate=True), Executor, ValueError, "isolate must be False with executor="),
        (Policy(probe=True), Executor, ValueError, "probe must be False with executor="),
        (Policy(n_jobs=-1), Executor, ValueError, "n_jobs must be an int >= 1 or None with"),
        (Policy(n_jobs="auto"), Executor, ValueError, "n_jobs must be an int >= 1 or None with"),
    ],
)
def test_what_does_not_go_with_an_executor_is_refused(
    policy: Policy, executor: Any, error: Any, told: str, tmp_path: Path
) -> None:
    """When the tuner is made, with the reason and what to do instead."""
    with pytest.raises(error, match=told):
        opened(tmp_path, policy=policy, executor=executor())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chief", [True, False])
def test_a_chief_or_worker_has_no_jobs_of_its_own(
    chief: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With n_jobs or an executor: the error names the variable."""
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief" if chief else "tuner1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "8000")
    with pytest.raises(ValueError, match=r"n_jobs must be None where .*KERASTUNER_TUNER_ID"):
        opened(tmp_path, policy=Policy(n_jobs=2))
    with pytest.raises(ValueError, match=r"executor must be None where .*KERASTUNER_TUNER_ID"):
        opened(tmp_path, executor=Executor())


def test_memory_limit_goes_with_n_jobs() -> None:
    """It is the limit of each child."""
    assert Policy(n_jobs=2, memory_limit=10**9).memory_limit == 10**9
    with pytest.raises(ValueError, match="memory_limit must be None without isolate=True or"):
        Policy(memory_limit=10**9)


def test_the_signature_shows_the_keyword() -> None:
    """On each tuner class."""
    import inspect

    assert "executor" in inspect.signature(robusttune.robust(keras_tuner.Hyperband)).parameters
