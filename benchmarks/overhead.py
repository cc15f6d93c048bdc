"""What the guard costs on healthy fits.

For each model, three fits of the same data from the same weights in turn, in rounds:

* bare: `model.fit` as it is;
* keras: the protection that Keras has, global_clipnorm and TerminateOnNaN;
* guard: `callbacks=[robusttune.Guard()]`.

A round gives one ratio guard/keras and one guard/bare, in wall and in CPU time of the process; the
medians over the rounds are printed, with their quartiles. The first epoch of a fit, which traces
the graph, is timed on its own.

    python -m benchmarks.overhead [--rounds 15] [--only tiny]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from robusttune import Guard, Policy

KINDS = ("bare", "keras", "guard")


@dataclass(frozen=True)
class Case:
    """One kind of fit.

    Args:
        name: What the table calls it.
        build: Returns the layers.
        shape: Shape of one input row.
        rows: Rows of data.
        batch: Rows a batch.
        epochs: Epochs of one timed fit.
        compile_args: Further arguments of `compile`.
        policy: The guard's policy.
    """

    name: str
    build: Callable[[], list[Any]]
    shape: tuple[int, ...]
    rows: int
    batch: int = 32
    epochs: int = 3
    compile_args: tuple[tuple[str, Any], ...] = ()
    policy: Policy = field(default_factory=Policy)


def _dense(*widths: int) -> list[Any]:
    hidden = [keras.layers.Dense(width, activation="relu") for width in widths]
    return [*hidden, keras.layers.Dense(1)]


def _cnn() -> list[Any]:
    return [
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1),
    ]


CASES = [
    Case("tiny MLP 10-64-1", lambda: _dense(64), (10,), 32 * 400),
    Case("MLP 4x512", lambda: _dense(512, 512, 512, 512), (64,), 32 * 150),
    Case("small CNN 28x28", _cnn, (28, 28, 1), 32 * 60),
    Case(
        "LSTM 32, 20 steps",
        lambda: [keras.layers.LSTM(32), keras.layers.Dense(1)],
        (20, 8),
        32 * 80,
    ),
    Case("MLP of 10 million weights", lambda: _dense(3000, 3000), (64,), 64 * 12, batch=64),
    Case(
        "tiny, jit_compile",
        lambda: _dense(64),
        (10,),
        32 * 400,
        compile_args=(("jit_compile", True),),
    ),
    Case(
        "tiny, steps_per_execution=16",
        lambda: _dense(64),
        (10,),
        32 * 800,
        compile_args=(("steps_per_execution", 16),),
    ),
    Case(
        "tiny, check_every=10", lambda: _dense(64), (10,), 32 * 400, policy=Policy(check_every=10)
    ),
]


class Fit:
    """One model with its callbacks, fitted again and again."""

    def __init__(self, case: Case, kind: str, x: Any, y: Any) -> None:
        keras.utils.set_random_seed(1)
        self.case, self.x, self.y = case, x, y
        self.model = keras.Sequential([keras.Input(case.shape), *case.build()])
        clip = {"global_clipnorm": 1.0} if kind == "keras" else {}
        self.model.compile(keras.optimizers.Adam(1e-4, **clip), "mse", **dict(case.compile_args))
        self.watch: _Steady = _Steady()
        self.callbacks: list[Any] = {
            "bare": [],
            "keras": [keras.callbacks.TerminateOnNaN()],
            "guard": [Guard(case.policy)],
        }[kind]

    def run(self, epochs: int) -> tuple[float, float, float]:
        """Return wall and CPU seconds of the epochs after the first, and wall seconds of that."""
        self.model.fit(
            self.x,
            self.y,
            batch_size=self.case.batch,
            epochs=epochs + 1,
            shuffle=False,
            verbose=0,
            callbacks=[*self.callbacks, self.watch],
        )
        return self.watch.wall, self.watch.cpu, self.watch.first


class _Steady(keras.callbacks.Callback):
    """Times the first epoch, which traces, apart from the others."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self.first = time.perf_counter() - self.began
            self._wall, self._cpu = time.perf_counter(), time.process_time()
        else:
            self.wall = time.perf_counter() - self._wall
            self.cpu = time.process_time() - self._cpu


def measure(case: Case, rounds: int) -> dict[str, list[float]]:
    """Return the ratios of all rounds by name."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(case.rows, *case.shape)).astype("float32")
    y = x.reshape(len(x), -1).mean(axis=1, keepdims=True)
    fits = {kind: Fit(case, kind, x, y) for kind in KINDS}
    first = {kind: fit.run(1)[2] for kind, fit in fits.items()}
    ratios: dict[str, list[float]] = {
        "first call, seconds more than keras": [first["guard"] - first["keras"]]
    }
    steps = case.epochs * -(-case.rows // case.batch)
    for number in range(rounds):
        order = KINDS[number % 3 :] + KINDS[: number % 3]
        times = {kind: fits[kind].run(case.epochs) for kind in order}
        ratios.setdefault("bare, seconds a step", []).append(times["bare"][0] / steps)
        for peer in ("keras", "bare"):
            for place, clock in enumerate(("wall", "CPU")):
                ratio = times["guard"][place] / times[peer][place]
                ratios.setdefault(f"{clock}, guard/{peer}", []).append(ratio)
    return ratios


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    arguments = parser.parse_args()
    columns = ["CPU, guard/keras", "wall, guard/keras", "CPU, guard/bare", "wall, guard/bare"]
    print(f"{'':28s}" + "".join(f"{c:>26s}" for c in columns) + f"{'first call':>14s}")
    for case in CASES:
        if arguments.only not in case.name:
            continue
        ratios = measure(case, arguments.rounds)
        cells = []
        for column in columns:
            low, median, high = statistics.quantiles(ratios[column], n=4)
            cells.append(f"{median:.3f} ({low:.3f}-{high:.3f})")
        more = ratios["first call, seconds more than keras"][0]
        print(
            f"{case.name:28s}" + "".join(f"{c:>26s}" for c in cells) + f"{more:+12.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
