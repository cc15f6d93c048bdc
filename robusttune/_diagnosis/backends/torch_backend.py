"""PyTorch: autograd, and a plain loop of eager steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import torch

from robusttune._diagnosis.backends.interface import Loop, Losses, Step, loss_curve


def _detached(structure: Any) -> Any:
    return keras.tree.map_structure(
        lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) else leaf, structure
    )


def _leaf(value: Any) -> Any:
    value = value.detach()
    return value.clone().requires_grad_() if value.is_floating_point() else value


def value_and_grad(
    function: Callable[[list[Any]], tuple[Any, Any]], values: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    """Return (value, more, gradients); see `Backend`."""
    with torch.enable_grad():
        given = [_leaf(value) for value in values]
        value, more = function(given)
        wanted = [value for value in given if value.requires_grad]
        if not wanted or not value.requires_grad:
            return value.detach(), _detached(more), [None] * len(given)
        found = iter(torch.autograd.grad(value, wanted, allow_unused=True))
    gradients = [next(found) if value.requires_grad else None for value in given]
    return value.detach(), _detached(more), gradients


def hessian_product(
    function: Callable[[list[Any]], Any], values: Sequence[Any], direction: Sequence[Any]
) -> list[Any]:
    """Return the Hessian times a direction, backward over backward; see `Backend`."""
    with torch.enable_grad():
        given = [_leaf(value) for value in values]
        value = function(given)
        found = torch.autograd.grad(value, given, create_graph=True, allow_unused=True)
        pairs = [(g, d) for g, d in zip(found, direction, strict=True) if g is not None]
        along = sum((torch.sum(g * d) for g, d in pairs), torch.zeros(()))
        if not along.requires_grad:
            return [torch.zeros_like(value) for value in given]
        products = torch.autograd.grad(along, given, allow_unused=True)
    return [
        torch.zeros_like(value) if product is None else product
        for value, product in zip(given, products, strict=True)
    ]


def apply_gradients(optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
    """Let an optimizer update its variables; see `Backend`."""
    pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    with torch.no_grad():
        optimizer.apply([g for g, _ in pairs], [v for _, v in pairs])


def training_loop(step: Step, variables: Sequence[Any], *, fused: bool = False) -> Loop:
    """Return a loop of eager steps; see `Backend`."""

    def loop(
        starts: Sequence[Sequence[Any]],
        orders: Sequence[Any],
        data: Sequence[Any],
        inputs: Mapping[str, float],
        steps: int,
    ) -> tuple[Losses, list[list[Any]]]:
        given = {name: keras.ops.convert_to_tensor(v, "float32") for name, v in inputs.items()}
        curves, ends = [], []
        for start, order in zip(starts, orders, strict=True):
            for variable, value in zip(variables, start, strict=True):
                variable.assign(value)
            losses: list[float] = []
            for done in range(steps):
                index = int(order[done % len(order)])
                losses.append(float(step([leaf[index] for leaf in data], given)))
                if not np.isfinite(losses[-1]):
                    break
            curves.append(loss_curve(losses, steps))
            ends.append([variable.value.detach().clone() for variable in variables])
        return np.stack(curves), ends

    return loop


def compiled(function: Callable[..., Any], variables: Sequence[Any]) -> Any:
    """Return the function, without gradients; see `Backend`."""
    return torch.no_grad()(function)


@contextlib.contextmanager
def untouched_randomness() -> Iterator[None]:
    """Restore PyTorch's generators after a block; see `Backend`."""
    with torch.random.fork_rng():
        yield


def outside_of_graphs(
    function: Callable[..., Any], *, with_calls: bool = True
) -> Callable[..., Any]:
    """Return a function that `torch.compile` leaves as it is.

    Args:
        function: The function.
        with_calls: Whether that holds for what it calls too; else that may be compiled.
    """
    return torch.compiler.disable(function, recursive=with_calls)  # type: ignore[no-any-return,no-untyped-call]
