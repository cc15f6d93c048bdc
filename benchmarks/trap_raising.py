"""Search spaces of which a part always raises, as people have them; trap.py searches these.

additive: a sum of five choices is too large. sum_of_ints: two exponents are too large together.
ratio: a kernel is wider than half of the width. conditional: what goes together depends on which
of two models is built, each of which has parameters of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import optuna


@dataclass(frozen=True)
class RaisingSpace:
    """An objective that raises in a part of its space.

    Args:
        objective: Suggests the parameters, and raises or returns a value.
        optimum: Best value there is.
        dimensions: Parameters of a trial.
        direction: "minimize" or "maximize".
        category: Whether it has a choice without an order.
    """

    objective: Callable[[optuna.Trial], float]
    optimum: float
    dimensions: int
    direction: str = "minimize"
    category: bool = False


def additive(trial: optuna.Trial) -> float:
    """87 % of the space raise."""
    total = sum(trial.suggest_categorical(name, (0, 1, 9)) for name in "abcde")
    if total >= 9:
        raise Exception()
    return total


def sum_of_ints(trial: optuna.Trial) -> float:
    """A third of the space raises; the optimum is at its edge, which the values lead to."""
    batch, points = trial.suggest_int("batch_exp", 3, 10), trial.suggest_int("npoints_exp", 6, 12)
    dropout = trial.suggest_float("dropout", 0, 0.9)
    if batch + points > 15:
        raise MemoryError("out of memory")
    return -(batch + points) - dropout * 0.1


def ratio(trial: optuna.Trial) -> float:
    """A fifth of the space raises; the optimum is at its edge."""
    kernel, width = trial.suggest_int("kernel", 1, 9), trial.suggest_int("width", 4, 32)
    rate = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    if kernel > width // 2:
        raise ValueError("Negative dimension size")
    return abs(kernel - 5) + width * 0.01 + rate


def conditional(trial: optuna.Trial) -> float:
    """Half of either branch raises; the best model is small enough, and beside one that is not."""
    rate = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    if trial.suggest_categorical("model", ("dense", "convolutional")) == "dense":
        units, layers = trial.suggest_int("units", 16, 1024, log=True), trial.suggest_int("n", 1, 8)
        if units * layers > 400:
            raise RuntimeError(f"{units * layers} units do not fit")
        return 1.0 - units * layers / 400 + rate
    kernel, depth = trial.suggest_int("kernel", 2, 9), trial.suggest_int("depth", 1, 8)
    if depth * (kernel - 1) >= 16:
        raise AssertionError("nothing is left of the image")
    return abs(kernel - 4) + abs(depth - 5) + rate - 1.0


RAISING = {
    "additive": RaisingSpace(additive, 5.0, 5, "maximize", category=True),
    "sum_of_ints": RaisingSpace(sum_of_ints, -15.09, 3),
    "ratio": RaisingSpace(ratio, 0.10001, 3),
    "conditional": RaisingSpace(conditional, 1e-5 - 1.0, 4, category=True),
}
