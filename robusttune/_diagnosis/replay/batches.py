"""The batches of a replay: of one shape, some held out, their columns standardized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robusttune._diagnosis.arrays import (
    Array,
    is_float,
    leaves,
    map_leaves,
    scale_of,
    shapes,
    stack,
)
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.trace import Batch

# What a cure must show on: a share of the batches, and rows enough that one is not luck.
_HELD_OUT = 0.25
_ENOUGH_ROWS = 16


def alike(case: Case) -> list[Batch]:
    """Return the batches of the commonest shape: a replay needs one shape."""
    batches = case.batches
    kinds = [shapes((b.x, b.y, b.sample_weight)) for b in batches]
    commonest = max(kinds, key=kinds.count)
    same = [b for b, kind in zip(batches, kinds, strict=True) if kind == commonest]
    return same if case.takes_tokens else [replace(b, x=map_leaves(real, b.x)) for b in same]


def split(batches: list[Batch]) -> tuple[list[Batch], list[Batch]]:
    """Return the batches to train on, and the last ones, held out; nothing where they are few."""
    kept = max(1, int(_HELD_OUT * len(batches)))
    if len(batches) < 4 or kept * _rows(batches[0]) < _ENOUGH_ROWS:
        return batches, []
    return batches[:-kept], batches[-kept:]


def _rows(batch: Batch) -> int:
    return max((shape[0] for shape in shapes(batch.x) if shape), default=0)


def real(array: Array) -> Array:
    """Return whole numbers as floating point ones: quantities that can be scaled."""
    return array.astype(np.float32) if array.dtype.kind in "iub" else array


def joined(batches: Sequence[Batch]) -> Batch:
    """Return all rows as one batch."""

    def join(structures: list[Any]) -> Any:
        return map_leaves(lambda array: array.reshape(-1, *array.shape[2:]), stack(structures))

    return Batch(
        join([b.x for b in batches]),
        join([b.y for b in batches]),
        join([b.sample_weight for b in batches]),
    )


def standardized_like(structure: Any, reference: Any) -> Any:
    """Standardize real numbers by the columns of `reference`; whole numbers stay as they are."""
    scales = iter([scale_of(array) for _, array in leaves(reference)])

    def convert(array: Array) -> Array:
        scale = next(scales)
        return scale.standardize(array) if is_float(array) else array

    return map_leaves(convert, structure)


def standardized(
    batches: Sequence[Batch], trained: Batch, *, inputs: bool, targets: bool
) -> list[Batch]:
    """Return batches with the columns of inputs, of targets or of both standardized.

    Args:
        batches: What to standardize.
        trained: All rows that are trained on, for location and spread of the columns.
        inputs: Whether inputs are.
        targets: Whether targets are; whole numbers among them as well.
    """
    found = list(batches)
    if inputs:
        found = [replace(b, x=standardized_like(b.x, trained.x)) for b in found]
    if targets:
        reference = map_leaves(real, trained.y)
        found = [replace(b, y=standardized_like(map_leaves(real, b.y), reference)) for b in found]
    return found
