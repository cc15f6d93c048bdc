"""FitInput: what a fit was given, as the user knows it: whole arrays, names, batches of their own.

A diagnosis sees single batches; advice speaks of rows and columns, of a pipeline or a class weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robusttune._compat.keras import arguments_of_fit
from robusttune._data import is_dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class FitInput:
    """The data of one call of `model.fit`; references, no copies.

    Args:
        x: Inputs, or a dataset, generator or PyDataset of batches.
        y: Targets; None where `x` brings them.
        sample_weight: Weights of the rows; None: all 1.
        class_weight: Weights of the classes; None: all 1.
        validation_data: As it was given, or the rows that `validation_split` took, or None.
        validation_from: Row of the user's arrays at which `validation_split` begins; None without.
        validation_steps: Batches of `validation_data` that an epoch looks at; None: all.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: Mapping[int, Any] | None = None
    validation_data: Any = None
    validation_from: int | None = None
    validation_steps: int | None = None

    @property
    def is_pipeline(self) -> bool:
        """Whether batches come from code of the user's, so that there are no rows to name."""
        return is_dataset(self.x)


def fit_input_of(arguments: Mapping[str, Any]) -> FitInput:
    """Return what a fit was given that has not begun, from the arguments of its call."""
    names = ("x", "y", "sample_weight", "class_weight", "validation_data", "validation_steps")
    return FitInput(**{name: arguments.get(name) for name in names})


def fit_input(model: Any) -> FitInput | None:
    """Return what the running fit of a model was given; None where that cannot be told."""
    given = arguments_of_fit(model)
    if given is None:
        return None
    split = bool(given.get("validation_split")) and given.get("val_x") is not None
    return FitInput(
        x=given.get("x"),
        y=given.get("y"),
        sample_weight=given.get("sample_weight"),
        class_weight=given.get("class_weight"),
        validation_data=given.get("validation_data"),
        validation_from=_rows(given.get("x")) if split else None,
        validation_steps=given.get("validation_steps"),
    )


def _rows(data: Any) -> int | None:
    if isinstance(data, Mapping):
        data = next(iter(data.values()), None)
    if isinstance(data, (list, tuple)) and data and hasattr(data[0], "shape"):
        data = data[0]
    return len(data) if hasattr(data, "__len__") else None
