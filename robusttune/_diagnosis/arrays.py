"""Plain NumPy over nested batches: leaves, finiteness, scale, standardization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def leaves(structure: Any, name: str = "") -> Iterator[tuple[str, Array]]:
    """Yield (path, array) for each array of a nested structure; None leaves are skipped.

    Mappings go by their sorted keys, as Keras flattens them.
    """
    if structure is None:
        return
    if isinstance(structure, Mapping):
        for key in sorted(structure):
            yield from leaves(structure[key], f"{name}[{key!r}]")
    elif _has_leaves(structure):
        for index, item in enumerate(structure):
            yield from leaves(item, f"{name}[{index}]")
    else:
        yield name, np.asarray(structure)


def _has_leaves(structure: Any) -> bool:
    """Whether a list or tuple holds arrays, and not the numbers of one."""
    return isinstance(structure, (list, tuple)) and any(
        item is None or isinstance(item, (Mapping, list, tuple)) or np.ndim(item) > 0
        for item in structure
    )


def map_leaves(function: Callable[[Array], Array], structure: Any) -> Any:
    """Return the structure with each array replaced by `function(array)`.

    Arrays come in the order of `leaves`.
    """
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        found = {key: map_leaves(function, structure[key]) for key in sorted(structure)}
        return {key: found[key] for key in structure}
    if _has_leaves(structure):
        mapped = [map_leaves(function, item) for item in structure]
        return tuple(mapped) if isinstance(structure, tuple) else mapped
    return function(np.asarray(structure))


def stack(structures: Sequence[Any]) -> Any:
    """Stack structures of equal shapes along a new first axis, leaf by leaf."""
    first = structures[0]
    if first is None:
        return None
    if isinstance(first, Mapping):
        return {key: stack([item[key] for item in structures]) for key in first}
    if isinstance(first, (list, tuple)):
        stacked = [stack([item[i] for item in structures]) for i in range(len(first))]
        return tuple(stacked) if isinstance(first, tuple) else stacked
    return np.stack([np.asarray(item) for item in structures])


def shapes(structure: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of all leaves."""
    return tuple(array.shape for _, array in leaves(structure))


def is_float(array: Array) -> bool:
    """Whether the array holds real floating point numbers."""
    return bool(np.issubdtype(array.dtype, np.floating))


def is_number(array: Array) -> bool:
    """Whether the array holds real numbers or booleans."""
    return array.dtype.kind in "biuf"


def non_finite_share(structure: Any) -> float:
    """Return the share of NaN and inf among all numbers of a structure, 0..1."""
    bad = total = 0
    for _, array in leaves(structure):
        total += array.size
        if is_float(array):
            bad += int(array.size - np.count_nonzero(np.isfinite(array)))
    return bad / total if total else 0.0


def largest(structure: Any) -> float:
    """Return the largest finite absolute value of a structure; 0 where there is none."""
    top = 0.0
    for _, array in leaves(structure):
        if is_number(array) and array.size:
            values = np.abs(array.astype(np.float64))
            values = values[np.isfinite(values)]
            top = max(top, float(values.max()) if values.size else 0.0)
    return top


@dataclass(frozen=True, slots=True)
class ColumnScale:
    """Location and spread of each column (the last axis), over finite values.

    Args:
        mean: Means, shape (columns,).
        std: Standard deviations, shape (columns,); 0 for a constant column.
    """

    mean: np.ndarray[Any, np.dtype[np.float64]]
    std: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def root_mean_square(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """sqrt(mean(v^2)) per column: what an update of the first layer is multiplied by."""
        return np.asarray(np.sqrt(self.mean**2 + self.std**2))

    @property
    def worst(self) -> float:
        """The largest root mean square of a column, 0 for no columns."""
        return float(self.root_mean_square.max()) if self.mean.size else 0.0

    def standardize(self, array: Array) -> Array:
        """Return (array - mean) / std, in the array's dtype; constant columns become 0."""
        spread = np.where(self.std > 0, self.std, 1.0)
        return np.asarray((array - self.mean) / spread).astype(array.dtype)


def scale_of(array: Array) -> ColumnScale:
    """Return the scale of the columns of an array of shape (..., columns) or (n,)."""
    values = array.astype(np.float64)
    values = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(-1, 1)
    values = np.where(np.isfinite(values), values, np.nan)
    empty = np.all(np.isnan(values), axis=0)
    values = np.where(empty, 0.0, values)
    return ColumnScale(mean=np.nanmean(values, axis=0), std=np.nanstd(values, axis=0))


def standardized(structure: Any) -> Any:
    """Return the structure with the columns of its floating point leaves standardized."""
    return map_leaves(
        lambda array: scale_of(array).standardize(array) if is_float(array) else array, structure
    )
