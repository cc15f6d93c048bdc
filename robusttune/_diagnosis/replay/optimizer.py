"""The optimizer of a replay: a copy of the model's own whose numbers are inputs of the step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from robusttune._compat.keras import learning_rate_as_given, learning_rate_set_aside, velocities_of


class CannotReplayError(Exception):
    """The fit cannot be replayed; the message says why."""


class ScaledRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate, or a schedule of it, times a factor.

    Args:
        base: A number > 0, or a schedule.

    Attributes:
        factor: A number or a tensor of the step that is traced.
        held: Likewise, what the rate is throughout, where that is > 0; None: it never is.
    """

    def __init__(self, base: Any) -> None:
        self._base = base
        self.factor: Any = 1.0
        self.held: Any = None

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step."""
        base = self._base(step) if callable(self._base) else self._base
        rate = keras.ops.cast(base, "float32")
        if self.held is not None:
            rate = keras.ops.where(self.held > 0, self.held, rate)
        return rate * self.factor


def slots_of(optimizer: Any) -> list[Any]:
    """Return the variables of an optimizer without its learning rate, which a replay sets."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = learning_rate_as_given(inner)
    return [variable for variable in optimizer.variables if variable is not rate]


def copied(optimizer: Any) -> tuple[Any, ScaledRate]:
    """Return a fresh optimizer with the same settings, and its learning rate.

    Raises:
        CannotReplayError: There is no optimizer, or it cannot be made again.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise CannotReplayError(f"the optimizer is {type(optimizer).__name__}, not one of Keras")
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        copy, rate = copied(inner)
        outer = keras.optimizers.LossScaleOptimizer(
            copy,
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
        return outer, rate
    base = learning_rate_as_given(optimizer)
    schedule = isinstance(base, keras.optimizers.schedules.LearningRateSchedule)
    # A user's schedule need not be serializable: it is left out of the config.
    aside = learning_rate_set_aside(optimizer) if schedule else contextlib.nullcontext()
    try:
        with aside:
            config = {**optimizer.get_config(), "learning_rate": 1.0}
            copy = type(optimizer).from_config(config)
    except Exception as error:  # a user's own class: whatever it raises is the reason
        raise CannotReplayError(f"the optimizer cannot be made again: {error!r}") from error
    given = base if schedule else float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    rate = ScaledRate(given)
    copy.learning_rate = rate
    return copy, rate


def check_momentum(optimizer: Any) -> None:
    """Raise where the momentum of an optimizer cannot be scaled by its velocities.

    Raises:
        ValueError: It has none, or looks ahead (Nesterov).
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not velocities_of(inner) or getattr(inner, "nesterov", False):
        raise ValueError(f"the momentum of {type(inner).__name__} cannot be scaled")


@contextlib.contextmanager
def with_inputs(optimizer: Any, rate: ScaledRate, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Let an optimizer take its numbers from the inputs of a step, while that is traced."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate.factor, rate.held = inputs["rate"], inputs.get("held_rate")
    decay = getattr(inner, "weight_decay", None)
    if "weight_decay" in inputs and decay is not None:
        inner.weight_decay = decay * inputs["weight_decay"]
    if "momentum" in inputs:  # v' = (factor v) momentum - rate g has factor x momentum
        for velocity in velocities_of(inner):
            velocity.assign(velocity * keras.ops.cast(inputs["momentum"], velocity.dtype))
    try:
        yield
    finally:
        rate.factor, rate.held = 1.0, None
        if "weight_decay" in inputs and decay is not None:
            inner.weight_decay = decay
