"""Program: one training run with its right answers, and its twin without the fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras


@dataclass(frozen=True, slots=True)
class Setup:
    """What `model.fit` takes.

    Args:
        model: A compiled model.
        x: Inputs: arrays, nested arrays, a tf.data.Dataset or a generator.
        y: Targets; None where `x` brings them.
        fit: Keyword arguments of `fit`: epochs, batch_size, validation_data, callbacks, ...
    """

    model: keras.Model
    x: Any
    y: Any = None
    fit: dict[str, Any] = field(default_factory=dict)

    def run(self) -> keras.callbacks.History:
        """Train, without output."""
        return self.model.fit(self.x, self.y, **{"verbose": 0, **self.fit})


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    Args:
        name: Unique.
        truth: Causes that are right answers, the best one first; empty for a healthy program.
        make: Builds it; called with fixed=True it builds the twin without the fault. A healthy
            program ignores the argument.
        source: Where people ask this, in a few words.
    """

    name: str
    truth: tuple[str, ...]
    make: Callable[[bool], Setup]
    source: str = ""


class Programs:
    """A list of programs that a module registers its functions in."""

    def __init__(self) -> None:
        self._programs: list[Program] = []

    def __iter__(self) -> Iterator[Program]:
        return iter(self._programs)

    def __len__(self) -> int:
        return len(self._programs)

    def failing(self, *truth: str, source: str = "") -> Callable[[Any], Any]:
        """Register a function `make(fixed: bool) -> Setup` under its own name."""

        def register(make: Callable[[bool], Setup]) -> Callable[[bool], Setup]:
            self._programs.append(Program(make.__name__, truth, make, source))
            return make

        return register

    def healthy(self, make: Callable[[], Setup]) -> Callable[[], Setup]:
        """Register a healthy function `make() -> Setup` under its own name."""
        self._programs.append(Program(make.__name__, (), lambda fixed: make()))
        return make
