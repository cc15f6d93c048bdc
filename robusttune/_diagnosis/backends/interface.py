"""Backend: what a replay and an observation ask of TensorFlow, PyTorch or JAX."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

Losses: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
# Takes the tensors of one batch and the inputs of the step; trains, and returns the loss.
Step: TypeAlias = Callable[[list[Any], Mapping[str, Any]], Any]


class Loop(Protocol):
    """Runs a step again and again, in few calls of the host."""

    def __call__(
        self,
        starts: Sequence[Sequence[Any]],
        orders: Sequence[Any],
        data: Sequence[Any],
        inputs: Mapping[str, float],
        steps: int,
    ) -> tuple[Losses, list[list[Any]]]:
        """Train from each start, as one batched run where the backend can.

        Args:
            starts: For each run the first values of the variables, as arrays.
            orders: For each run the batches in their order, shape (batches,); after the last one
                the first one follows.
            data: Tensors of all batches, shape (batches, rows, ...).
            inputs: Numbers that the step takes.
            steps: How many steps, >= 1; a run ends at its first loss that is not finite.

        Returns:
            The losses, shape (runs, steps), NaN from the first non-finite one on; and for each run
            the last values of the variables, as tensors.
        """


class Backend(Protocol):
    """One module a backend has these functions."""

    def value_and_grad(
        self, function: Callable[[list[Any]], tuple[Any, Any]], values: Sequence[Any]
    ) -> tuple[Any, Any, list[Any]]:
        """Return (value, more, gradients) of a function of tensors that returns (value, more).

        The gradient is None where the function does not depend on a tensor.
        """

    def hessian_product(
        self, function: Callable[[list[Any]], Any], values: Sequence[Any], direction: Sequence[Any]
    ) -> list[Any]:
        """Return the Hessian of a scalar function of tensors, times a direction."""

    def apply_gradients(self, optimizer: Any, gradients: Sequence[Any], variables: Any) -> None:
        """Let a built optimizer update the variables that it was built on."""

    def training_loop(self, step: Step, variables: Sequence[Any], *, fused: bool = False) -> Loop:
        """Return a loop over a step that reads and assigns these Keras variables.

        Args:
            step: Trains on one batch.
            variables: All that it reads and assigns, but for what it restores itself.
            fused: Whether many small operations should become few, where that is a choice: it
                takes longer to compile, and slows convolutions down.
        """

    def compiled(self, function: Callable[..., Any], variables: Sequence[Any]) -> Any:
        """Return a function of tensors, which reads these Keras variables, compiled."""

    def untouched_randomness(self) -> AbstractContextManager[None]:
        """Restore the backend's own generator after a block."""


def current_backend() -> Backend:
    """Return the module of the backend that Keras runs on.

    Raises:
        NotImplementedError: It is none of the three that train.
    """
    import keras

    name = keras.backend.backend()
    if name not in ("tensorflow", "torch", "jax"):
        raise NotImplementedError(f"no replays on Keras's {name} backend")
    return cast(Backend, importlib.import_module(f"robusttune._diagnosis.backends.{name}_backend"))


def loss_curve(losses: Any, steps: int) -> Losses:
    """Return losses as an array of shape (steps,), NaN from the first non-finite one on."""
    curve = np.full(steps, np.nan)
    found = np.asarray(losses, np.float64)[:steps]
    bad = np.flatnonzero(~np.isfinite(found))
    end = bad[0] if bad.size else len(found)
    curve[:end] = found[:end]
    return curve
