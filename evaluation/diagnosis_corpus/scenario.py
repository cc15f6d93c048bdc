"""Scenario: one trial with its true causes; and the data and nets that scenarios are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from sklearn import datasets as sk

from robusttune import FailureCause

F32 = np.float32


@dataclass(frozen=True, slots=True)
class Setup:
    """A compiled model with its data: what `model.fit` takes."""

    model: keras.Model
    x: Any
    y: Any
    epochs: int = 4
    fit: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One trial. `truth` holds every right answer; empty for a healthy trial."""

    name: str
    truth: frozenset[FailureCause]
    make: Callable[[], Setup]


class Family(list[Scenario]):
    """Scenarios of one kind, in the order of their definition."""

    def add(self, name: str, make: Callable[[], Setup], *truth: FailureCause) -> None:
        """Register one row of a family."""
        self.append(Scenario(name, frozenset(truth), make))

    def case(self, *truth: FailureCause) -> Callable[[Callable[[], Setup]], Callable[[], Setup]]:
        """Register a scenario of its own, with every cause that is a right answer."""

        def register(make: Callable[[], Setup]) -> Callable[[], Setup]:
            self.add(make.__name__, make, *truth)
            return make

        return register

    def healthy(self, make: Callable[[], Setup]) -> Callable[[], Setup]:
        """Register a healthy scenario of its own."""
        self.add(f"ok_{make.__name__.lstrip('_')}", make)
        return make


def dense(
    x: np.ndarray,
    units: Sequence[int] = (64, 64),
    out: int = 1,
    *,
    activation: Any = "relu",
    head: str | None = None,
    normalize: bool = False,
    init: Any = "glorot_uniform",
    bias: Any = "zeros",
    out_init: Any = "glorot_uniform",
) -> keras.Sequential:
    """A multi-layer perceptron."""
    layers: list[Any] = [keras.Input(x.shape[1:])]
    if normalize:
        norm = keras.layers.Normalization()
        norm.adapt(x)
        layers.append(norm)
    for n in units:
        layers.append(
            keras.layers.Dense(n, activation, kernel_initializer=init, bias_initializer=bias)
        )
    layers.append(keras.layers.Dense(out, head, kernel_initializer=out_init))
    return keras.Sequential(layers)


def compiled(model: keras.Model, optimizer: Any, loss: Any, **kwargs: Any) -> keras.Model:
    """The model, compiled."""
    model.compile(optimizer=optimizer, loss=loss, **kwargs)
    return model


def scaled(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1."""
    return ((x - x.mean(0)) / x.std(0)).astype(F32)


def _table(load: Callable[..., Any], **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = load(return_X_y=True, **kwargs)
    order = np.random.default_rng(7).permutation(len(x))
    return x[order].astype(F32), y[order]


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """Raw table: columns up to 300, targets 25..346."""
    x, y = _table(sk.load_diabetes, scaled=False)
    return x, y.astype(F32)


def wine() -> tuple[np.ndarray, np.ndarray]:
    """Raw table, 3 classes; one column reaches 1680."""
    return _table(sk.load_wine)


def cancer() -> tuple[np.ndarray, np.ndarray]:
    """Raw table, 2 classes; columns from 1e-3 to 4254."""
    return _table(sk.load_breast_cancer)


def iris() -> tuple[np.ndarray, np.ndarray]:
    """Raw table of centimetres, 3 classes."""
    return _table(sk.load_iris)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels 0..16 of 8 x 8 images, flat; 10 classes."""
    return _table(sk.load_digits)


def housing(n: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Raw columns like those of a census: incomes, ages, rooms, people up to 1e4, coordinates."""
    rng = np.random.default_rng(21)
    income = rng.lognormal(1.2, 0.5, n)
    age = rng.uniform(1, 52, n)
    rooms = rng.lognormal(1.6, 0.3, n)
    people = rng.lognormal(7, 0.8, n)
    household = rng.lognormal(1, 0.2, n)
    north, east = rng.uniform(32, 42, n), rng.uniform(-124, -114, n)
    x = np.stack([income, age, rooms, people, household, north, east], 1)
    y = 0.45 * income + 0.01 * age + 0.3 * np.sin(north) + 0.2 * rng.normal(size=n)
    return x.astype(F32), y.astype(F32)


def linear(n: int = 512, d: int = 10, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Standardized inputs, a linear target of unit spread with a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(F32)
    w = rng.normal(size=d)
    y = x @ w / np.linalg.norm(w) + 0.1 * rng.normal(size=n)
    return x, y.astype(F32)


def curved(n: int = 512, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Standardized inputs, a smooth non-linear positive target."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype(F32)
    y = np.sin(x[:, 0]) + 0.5 * x[:, 1] ** 2 + 0.1 * rng.normal(size=n)
    return x, y.astype(F32)


def xor(n: int = 512, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Two inputs, the class is the sign of their product."""
    x = np.random.default_rng(seed).uniform(-1, 1, size=(n, 2)).astype(F32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(F32)


def circles(n: int = 512, seed: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A ring around a disc."""
    x, y = sk.make_circles(n, noise=0.05, factor=0.4, random_state=seed)
    return x.astype(F32), y.astype(F32)


def blobs(classes: int = 4, seed: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Well separated classes in 8 dimensions."""
    x, y = sk.make_blobs(512, 8, centers=classes, cluster_std=1.5, random_state=seed)
    return scaled(x), y


def waves(n: int = 256, steps: int = 30, seed: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Noisy sines of shape (n, steps, 1); the target is the frequency."""
    rng = np.random.default_rng(seed)
    f = rng.uniform(0.5, 2.0, size=n)
    t = np.linspace(0, 6, steps)
    x = np.sin(f[:, None] * t + rng.uniform(0, 6, size=(n, 1))) + 0.1 * rng.normal(size=(n, steps))
    return x[..., None].astype(F32), f.astype(F32)


def words(n: int = 512, seed: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of 12 tokens out of 50; the class says whether token 7 occurs early."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 50, size=(n, 12))
    y = rng.integers(0, 2, size=n)
    x[:, :6] = np.where(x[:, :6] == 7, 8, x[:, :6])
    x[np.flatnonzero(y), rng.integers(0, 6, size=int(y.sum()))] = 7
    return x.astype("int32"), y.astype(F32)
