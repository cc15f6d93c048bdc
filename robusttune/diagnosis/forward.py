"""One forward pass of a model, whatever the backend: its call, its loss, its penalties."""

from __future__ import annotations

from typing import Any

import keras

from robusttune._compat.keras import takes_training_argument
from robusttune.diagnosis.trace import Batch


def to_tensors(structure: Any) -> Any:
    """Return a nested structure with NumPy leaves as tensors."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else keras.ops.convert_to_tensor(leaf), structure
    )


def call_model(model: Any, x: Any, training: bool) -> Any:
    """Return a model's predictions; `training` goes only to a `call` that takes it."""
    return model(x, **({"training": training} if takes_training_argument(model) else {}))


def compute_loss(model: Any, x: Any, batch: Batch, predictions: Any) -> Any:
    """Return the model's own total loss, as its train_step computes it."""
    return model.compute_loss(
        x=x,
        y=to_tensors(batch.y),
        y_pred=predictions,
        sample_weight=to_tensors(batch.sample_weight),
    )


def penalties(model: Any) -> Any:
    """Return the sum of regularizers and added losses; 0 where the model has no other loss."""
    if model.loss is None or not model.losses:
        return keras.ops.zeros((), "float32")
    return sum(keras.ops.cast(keras.ops.sum(loss), "float32") for loss in model.losses)


def trains_by_itself(model: Any) -> bool:
    """Whether only the model's own `train_step` knows its loss."""
    return model.loss is None and type(model).train_step is not keras.Model.train_step
