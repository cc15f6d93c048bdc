"""PyTorch beyond its public API: operations on a list of tensors in one call, as its optimizers do.

In use elsewhere: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def norms_of(tensors: Sequence[Any]) -> list[Any]:
    """Return the Euclidean norm of each tensor."""
    return list(torch._foreach_norm(list(tensors)))


def scaled(tensors: Sequence[Any], factor: float) -> list[Any]:
    """Return each tensor times a number."""
    return list(torch._foreach_mul(list(tensors), factor))
