"""One forward pass of a model, whatever the backend: its call, its loss, its penalties."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from robusttune._compat.keras import all_layers, takes_training_argument
from robusttune._diagnosis.trace import Batch


def runs_on_tensorflow() -> bool:
    """Whether Keras does; what looks at TensorFlow's own operations can be asked only then."""
    return bool(keras.backend.backend() == "tensorflow")


def to_tensors(structure: Any) -> Any:
    """Return a nested structure with NumPy leaves as tensors."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else keras.ops.convert_to_tensor(leaf), structure
    )


def call_model(model: Any, x: Any, training: bool) -> Any:
    """Return a model's predictions; `training` goes only to a `call` that takes it."""
    return model(x, **({"training": training} if takes_training_argument(model) else {}))


@contextlib.contextmanager
def calls_replaced(model: Any, replaced: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Put a function in front of the call of each layer that is no model, for a while.

    The replacement lives in the instance's __dict__, in front of the method of the class, and is
    gone afterwards: nothing else that runs in this process is touched.

    Args:
        model: A built Keras model.
        replaced: Takes a layer and its call, and returns what stands for that.
    """
    layers = [
        layer
        for layer in all_layers(model, include_self=False)
        if not isinstance(layer, (keras.layers.InputLayer, keras.Model))
        and "call" not in vars(layer)
    ]
    for layer in layers:
        vars(layer)["call"] = replaced(layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def compute_loss(model: Any, x: Any, batch: Batch, predictions: Any) -> Any:
    """Return the model's own total loss, as its train_step computes it."""
    return model.compute_loss(
        x=x,
        y=to_tensors(batch.y),
        y_pred=predictions,
        sample_weight=to_tensors(batch.sample_weight),
    )


def undefined_metrics(model: Any, batches: Sequence[Batch]) -> dict[str, float]:
    """Return the metrics that are not finite over some batches; the model stays as it is.

    Args:
        model: A compiled, built Keras model.
        batches: NumPy arrays.
    """
    with keras.StatelessScope():
        for variable in model.metrics_variables:
            variable.assign(keras.ops.zeros_like(variable.value))
        logs: dict[str, Any] = {}
        for batch in batches:
            predictions = call_model(model, to_tensors(batch.x), training=False)
            given = to_tensors((batch.y, batch.sample_weight))
            logs = model.compute_metrics(batch.x, given[0], predictions, given[1])
        means = {name: float(value) for name, value in logs.items() if np.ndim(value) == 0}
    return {name: value for name, value in means.items() if not math.isfinite(value)}


def penalties(model: Any) -> Any:
    """Return the sum of regularizers and added losses; 0 where the model has no other loss."""
    if model.loss is None or not model.losses:
        return keras.ops.zeros((), "float32")
    return sum(keras.ops.cast(keras.ops.sum(loss), "float32") for loss in model.losses)


def trains_by_itself(model: Any) -> bool:
    """Whether only the model's own `train_step` knows its loss."""
    return model.loss is None and type(model).train_step is not keras.Model.train_step
