"""Replays of a model that trains by itself: its own `train_step`, and no compiled loss.

What such a step computes is known to nobody but the step: it is run as it is, on the model itself,
with copies of its optimizers, and all that the model holds is put back afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from robusttune._compat.keras import all_layers, variables_trained_by
from robusttune._diagnosis.backends.interface import Losses, current_backend
from robusttune._diagnosis.replay.optimizer import CannotReplayError, ScaledRate, copied, slots_of
from robusttune._diagnosis.replay.program import Data, Run, Setting
from robusttune._random_states import untouched_keras_generator


class CustomStepProgram:
    """Training steps by the model's own `train_step`, compiled once where the backend compiles.

    The loss is what the step reports as "loss"; without that, the sum of all that it reports as
    some loss.

    Args:
        model: A built Keras model that is compiled without a loss.
        data: What it will train on, for the nesting alone.
        clip: Global norm that gradients are clipped to; None: what the optimizers do themselves.
        slots: Whether optimizers start with the slots of the model's own, as after the fit; else
            with none, as before it.
        setting: Gives a context manager in which the step is traced.

    Raises:
        CannotReplayError: An optimizer cannot be swapped for a copy, or on JAX, where a train_step
            is a function of the whole state of the fit.
    """

    def __init__(
        self,
        model: Any,
        data: Data,
        *,
        clip: float | None = None,
        slots: bool = False,
        setting: Setting = contextlib.nullcontext,
    ) -> None:
        if keras.backend.backend() == "jax":
            raise CannotReplayError("a train_step of the model's own, on JAX")
        self.model = model
        self.takes = frozenset({"clip"} if clip is not None else ())
        self._pack = data.pack
        self._setting = setting
        self._copies: list[tuple[Any, str, Any, ScaledRate, list[Any]]] = []
        for owner, name, optimizer in _optimizers(model):
            copy, rate = copied(optimizer)
            if clip is not None:
                copy.clipnorm = copy.clipvalue = None
                copy.global_clipnorm = clip
            copy.build(_trained_by(optimizer, model))
            source = slots_of(optimizer) if slots and optimizer.built else copy.variables
            values = [np.array(keras.ops.convert_to_numpy(v.value)) for v in source]
            self._copies.append((owner, name, copy, rate, values))
        self._step = type(model).train_step.__get__(model)
        self._backend = current_backend()
        self._loop = self._backend.training_loop(self._loss, [])

    def run(
        self, runs: Sequence[Run], data: Data, inputs: Mapping[str, float], steps: int
    ) -> tuple[Losses, list[list[Any]]]:
        """Train, over the batches again and again; as `TrainingProgram.run`, without the states."""
        given = {"rate": inputs["rate"]}
        curves = []
        for run in runs:
            with (
                _put_back(self.model),
                untouched_keras_generator(),
                self._backend.untouched_randomness(),
                self._setting(),
            ):
                for owner, name, copy, _, values in self._copies:
                    vars(owner)[name] = copy
                    for slot, value in zip(copy.variables, values, strict=True):
                        slot.assign(value)
                self.model.set_weights(run.weights)
                order = [np.asarray(run.order)]
                curves.append(self._loop([[]], order, data.tensors, given, steps)[0][0])
        return np.stack(curves), [[] for _ in runs]

    def _loss(self, tensors: list[Any], inputs: Mapping[str, Any]) -> Any:
        for metric in self.model.metrics:  # so that a running mean is the value of one step
            metric.reset_state()
        batch = keras.utils.pack_x_y_sample_weight(*self._pack(tensors))
        for _, _, _, rate, _ in self._copies:
            rate.factor = inputs["rate"]
        try:
            logs = self._step(batch)
        finally:
            for _, _, _, rate, _ in self._copies:
                rate.factor = 1.0
        found = {name: value for name, value in logs.items() if "loss" in name}
        if not found:
            raise CannotReplayError("the model's own train_step reports no loss")
        reported = [found["loss"]] if "loss" in found else list(found.values())
        return sum(
            keras.ops.mean(keras.ops.cast(keras.ops.convert_to_tensor(v), "float32"))
            for v in reported
        )


def _optimizers(model: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield (owner, attribute, optimizer) for all that the model and its parts hold."""
    for layer in [model, *all_layers(model, include_self=False)]:
        for name, value in vars(layer).items():
            if name.startswith("_") or isinstance(value, str):
                continue
            if isinstance(value, keras.optimizers.Optimizer):
                yield layer, name, value
            elif isinstance(value, (list, tuple, dict)):
                items = value.values() if isinstance(value, dict) else value
                if any(isinstance(item, keras.optimizers.Optimizer) for item in items):
                    raise CannotReplayError(f"the model keeps optimizers in {name}")


def _trained_by(optimizer: Any, model: Any) -> list[Any]:
    """Return the variables that an optimizer updates."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.built:
        return variables_trained_by(inner)
    if optimizer is not model.optimizer or len(list(_optimizers(model))) > 1:
        raise CannotReplayError("the model's optimizers were never used")
    return list(model.trainable_variables)


@contextlib.contextmanager
def _put_back(model: Any) -> Iterator[None]:
    """Restore what a step may change of the model: variables, their gradients, attributes."""
    layers = [model, *all_layers(model, include_self=False)]
    attributes = [(layer, dict(vars(layer))) for layer in layers]
    variables = {id(v): v for v in (*model.variables, *model.metrics_variables)}
    for _, kept in attributes:
        variables |= {id(v): v for v in kept.values() if _is_backend_variable(v)}
    values = [(v, np.array(keras.ops.convert_to_numpy(_value(v)))) for v in variables.values()]
    gradients = [(v, _value(v).grad) for v in variables.values() if hasattr(_value(v), "grad")]
    try:
        yield
    finally:
        for layer, kept in attributes:
            vars(layer).clear()
            vars(layer).update(kept)
        for variable, value in values:
            variable.assign(value)
        for variable, gradient in gradients:  # PyTorch keeps them with the parameters
            _value(variable).grad = gradient


def _value(variable: Any) -> Any:
    return variable.value if isinstance(variable, keras.Variable) else variable


def _is_backend_variable(value: Any) -> bool:
    """Whether that is a tf.Variable that Keras does not know of."""
    return type(value).__module__.startswith("tensorflow") and hasattr(value, "assign_add")
