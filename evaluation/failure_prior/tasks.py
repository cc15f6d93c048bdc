"""Synthetic tasks that the failure prior is fitted to; none is a data set, or made like one.

Each family gives inputs and targets from a random generator. Inputs have up to 64 columns, on a
scale that is drawn as well, from hundredths to thousands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ROWS, COLUMNS, OUTPUTS = 256, 64, 10


@dataclass(frozen=True)
class Task:
    """One draw of a family.

    Args:
        x: Shape (256, columns), on its scale.
        y: Targets, or numbers of classes, shape (256,).
        loss: "mse", "mae", "bce" or "cce".
        outputs: Units of the last layer.
    """

    x: Array
    y: Array
    loss: str
    outputs: int


Draw = tuple[Array, Array]
Family = Callable[[np.random.Generator, int], Draw]


def _linear(rng: np.random.Generator, columns: int) -> Draw:
    x = rng.normal(size=(ROWS, columns))
    return x, x @ rng.normal(size=columns) + 0.3 * rng.normal(size=ROWS)


def _teacher(rng: np.random.Generator, columns: int) -> Draw:
    x = rng.normal(size=(ROWS, columns))
    hidden = np.tanh(x @ rng.normal(size=(columns, 16)) / np.sqrt(columns) * 1.5)
    return x, hidden @ rng.normal(size=16)


def _products(rng: np.random.Generator, columns: int) -> Draw:
    x = rng.uniform(-1, 1, size=(ROWS, columns))
    y = x[:, 0] * x[:, 1 % columns] + x[:, 2 % columns] ** 2 + 0.5 * x[:, -1]
    return x, y + 0.05 * rng.normal(size=ROWS)


def _waves(rng: np.random.Generator, columns: int) -> Draw:
    x = rng.uniform(0, 1, size=(ROWS, columns))
    return x, np.sin(x @ rng.uniform(0, 6, size=columns) / np.sqrt(columns)) + 0.5 * x[:, 0]


def _sparse_counts(rng: np.random.Generator, columns: int) -> Draw:
    x = rng.poisson(rng.gamma(1.0, 1.0, size=columns), size=(ROWS, columns)).astype(float)
    return x, np.log1p(x) @ rng.normal(size=columns) + 0.2 * rng.normal(size=ROWS)


def _heavy_tails(rng: np.random.Generator, columns: int) -> Draw:
    x = rng.lognormal(0.0, 0.8, size=(ROWS, columns))
    return x, np.log(x) @ rng.normal(size=columns) + 0.3 * rng.normal(size=ROWS)


def _modes(rng: np.random.Generator, columns: int) -> Draw:
    """Each class has three places, each as wide as it likes."""
    y = rng.integers(OUTPUTS, size=ROWS)
    mode = 3 * y + rng.integers(3, size=ROWS)
    centres, widths = rng.normal(size=(3 * OUTPUTS, columns)), rng.gamma(2.0, 0.3, 3 * OUTPUTS)
    return 1.5 * centres[mode] + widths[mode, None] * rng.normal(size=(ROWS, columns)), y


def _prototypes(rng: np.random.Generator, columns: int) -> Draw:
    y = rng.integers(OUTPUTS, size=ROWS)
    patterns = rng.uniform(0, 1, size=(OUTPUTS, columns)) * (rng.random((OUTPUTS, columns)) < 0.6)
    return np.clip(patterns[y] + 0.25 * rng.normal(size=(ROWS, columns)), 0, 1), y


def _ordered(rng: np.random.Generator, columns: int) -> Draw:
    """Classes are slices of a score with noise."""
    x = rng.gamma(2.0, 1.0, size=(ROWS, columns))
    score = x @ rng.normal(size=columns) + 0.5 * rng.normal(size=ROWS)
    return x, np.argsort(np.argsort(score)) * OUTPUTS // ROWS


def _checkerboard(rng: np.random.Generator, columns: int) -> Draw:
    x = rng.uniform(-1, 1, size=(ROWS, columns))
    y = 2 * (x[:, 0] > 0) + (x[:, 1 % columns] > 0) + 4 * (x.sum(axis=1) > 0)
    return x, y


# Families by name, and whether their targets are classes.
FAMILIES: dict[str, tuple[Family, bool]] = {
    "linear": (_linear, False),
    "teacher network": (_teacher, False),
    "products": (_products, False),
    "waves": (_waves, False),
    "sparse counts": (_sparse_counts, False),
    "heavy tails": (_heavy_tails, False),
    "modes": (_modes, True),
    "prototypes": (_prototypes, True),
    "ordered": (_ordered, True),
    "checkerboard": (_checkerboard, True),
}


def draw(name: str, rng: np.random.Generator) -> Task:
    """Return one task of a family."""
    family, classes = FAMILIES[name]
    columns = int(rng.choice([2, 4, 8, 16, 32, 64]))
    x, y = family(rng, columns)
    if rng.random() < 0.6:  # as measured; else as the family gives it, about 1
        x = x * 10 ** rng.uniform(-2, 3.5)
    if rng.random() < 0.3:  # columns of their own units
        x = x * 10 ** (rng.normal(size=columns) * rng.uniform(0.3, 1.2))
    if rng.random() < 0.2:
        x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    if not classes:
        y = (y - y.mean()) / y.std()
        if rng.random() < 0.5:
            y = y + rng.uniform(0, 4)
        if rng.random() < 0.6:
            y = y * 10 ** rng.uniform(-1.5, 3.5)
        return Task(x, y, str(rng.choice(["mse", "mse", "mae"])), 1)
    kept = int(rng.choice([2, 2, 3, 5, 10]))
    y = y % kept
    return Task(x, y, "bce", 1) if kept == 2 else Task(x, y, "cce", kept)
