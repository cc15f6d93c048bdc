"""Searches in processes of their own, in a trial of which something happens to the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from evaluation.cases.models import TRIALS, network, number
from evaluation.cases.search import Search


class InTrial(keras_tuner.HyperModel):  # type: ignore[misc]
    """An ordinary model; in trial 3 something happens before it is trained.

    Args:
        what: What happens.
    """

    def __init__(self, what: Callable[[], None]) -> None:
        super().__init__()
        self.what = what

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the model."""
        number(hp)
        return network(keras.optimizers.SGD(0.01))

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kw: Any
    ) -> Any:
        """Train it."""
        if hp.get("n") == 3:
            self.what()
        return model.fit(*args, **kw)


def killed_once(folder: Path) -> Callable[[], None]:
    """Return what kills the process, the first time only, over all processes."""
    marker = folder / "killed"

    def kill() -> None:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def crash() -> None:
    """Take the process down, as a bug in a library does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    """Wait for something that never comes."""
    time.sleep(3600)


# What runs in a process of its own, by name.
CHILDREN: dict[str, Callable[[Path], Search]] = {
    "killed": lambda folder: Search(
        build=InTrial(killed_once(folder)),
        kind="RandomSearch",
        options={"max_trials": TRIALS, "seed": 1},
    ),
    "killed_grid": lambda folder: Search(build=InTrial(killed_once(folder))),
    "worker": lambda folder: Search(
        build=InTrial(killed_once(folder)), policy={"worker_silence": 5}
    ),
    "crashed": lambda folder: Search(build=InTrial(crash), policy={"isolate": True}),
    "hung": lambda folder: Search(
        build=InTrial(hang), policy={"isolate": True, "trial_seconds": 3}
    ),
}


def child(
    name: str, side: str, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a search of CHILDREN in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "evaluation.cases.child", name, side, str(folder)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **(variables or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main(name: str, side: str, folder: Path) -> None:
    """Run a search of CHILDREN in this process; what it raises is written into the folder."""
    try:
        search = CHILDREN[name](folder)
        search.run(search.tuner(side, folder))
    except Exception as error:  # what the table shows
        (folder / "error").write_text(type(error).__name__)
        raise


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
