"""Cores and GPUs of this machine that a search may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
# How many threads TensorFlow, PyTorch, OpenBLAS, MKL and OpenMP take; JAX follows none of them.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def usable_cores() -> int:
    """Return how many cores this process may use, by its affinity and its cgroup's quota (>= 1)."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, cores if quota is None else min(cores, int(quota)))


def cgroup_quota(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return how many cores' time the cgroup of this process gets; None: no limit, or none known.

    Args:
        root: Where the cgroups are mounted.
        own: The file that names those of this process.
    """
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    quotas = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root if not controllers else root / "cpu"
        place = PurePosixPath(path.lstrip("/"))
        # In a container the path may be that of the machine, and the mount the cgroup itself.
        for folder in {mount / place, *(mount / p for p in place.parents), mount}:
            quotas.append(_quota_of(folder))
    known = [quota for quota in quotas if quota is not None]
    return min(known) if known else None


def _quota_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        cores = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return cores if cores > 0 else None


def visible_gpus() -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES calls each GPU that the backend in use can see."""
    count = _gpus_of_backend()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(n) for n in range(count)] if named is None else named.split(",")
    return [name.strip() for name in names[:count]]


def _gpus_of_backend() -> int:
    if (torch := sys.modules.get("torch")) is not None and _backend() == "torch":
        return int(torch.cuda.device_count())
    if (jax := sys.modules.get("jax")) is not None and _backend() == "jax":
        return sum(device.platform == "gpu" for device in jax.devices())
    if (tensorflow := sys.modules.get("tensorflow")) is not None:
        return len(tensorflow.config.list_physical_devices("GPU"))
    return 0


def _backend() -> str | None:
    keras = sys.modules.get("keras")
    return None if keras is None else str(keras.config.backend())


def keras_environment() -> dict[str, str]:
    """Return what another process has to have in its environment to run Keras as this one does."""
    backend = _backend()
    return {} if backend is None else {"KERAS_BACKEND": backend}


def share_of(number: int, jobs: int, gpus: list[str]) -> dict[str, str]:
    """Return the environment that gives one of several processes its share of the machine.

    What the user has set himself stays.

    Args:
        number: Of the process, from 0.
        jobs: How many there are.
        gpus: Names of the GPUs, at least as many as processes; empty: none.
    """
    threads = str(max(1, usable_cores() // jobs))
    share = {name: threads for name in _THREADS if name not in os.environ}
    share |= keras_environment()
    if gpus:
        share["CUDA_VISIBLE_DEVICES"] = gpus[number]
        share.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return share
