"""JAX: transformed functions, one compiled while loop for all steps, several seeds at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import lax, numpy as jnp

from robusttune._diagnosis.backends.interface import Loop, Losses, Step, loss_curve

# A loop has room for so many steps; longer ones are compiled for the next power of two.
_ROOM = 512


def value_and_grad(
    function: Callable[[list[Any]], tuple[Any, Any]], values: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    """Return (value, more, gradients); see `Backend`."""
    (value, more), gradients = jax.value_and_grad(function, has_aux=True, allow_int=True)(
        list(values)
    )
    return value, more, [None if g.dtype == jax.dtypes.float0 else g for g in gradients]


def hessian_product(
    function: Callable[[list[Any]], Any], values: Sequence[Any], direction: Sequence[Any]
) -> list[Any]:
    """Return the Hessian times a direction, forward over backward; see `Backend`."""
    return list(jax.jvp(jax.grad(function), (list(values),), (list(direction),))[1])


def apply_gradients(optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
    """Let an optimizer update its variables, within the scope that holds them; see `Backend`."""
    values = [variable.value for variable in variables]
    whole = [
        jnp.zeros_like(value) if gradient is None else gradient
        for value, gradient in zip(values, gradients, strict=True)
    ]
    slots = [slot.value for slot in optimizer.variables]
    values, slots = optimizer.stateless_apply(slots, whole, values)
    for variable, value in zip([*variables, *optimizer.variables], [*values, *slots], strict=True):
        variable.assign(value)


def training_loop(step: Step, variables: Sequence[Any], *, fused: bool = False) -> Loop:
    """Return a loop that is compiled once, and runs all starts together; see `Backend`."""

    def train(
        start: list[Any],
        order: Any,
        data: list[Any],
        inputs: Mapping[str, Any],
        steps: Any,
        room: int,
    ) -> tuple[Any, list[Any]]:
        def going(state: Any) -> Any:
            done, _, _, finite = state
            return jnp.logical_and(done < steps, finite)

        def body(state: Any) -> Any:
            done, values, losses, _ = state
            index = order[done % order.shape[0]]
            with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
                loss = jnp.asarray(step([leaf[index] for leaf in data], inputs), "float32")
            after = [
                jnp.asarray(scope.get_current_value(variable), value.dtype)
                for variable, value in zip(variables, values, strict=True)
            ]
            return done + 1, after, losses.at[done].set(loss), jnp.isfinite(loss)

        first = (jnp.int32(0), start, jnp.full(room, jnp.nan, "float32"), jnp.bool_(True))
        _, values, losses, _ = lax.while_loop(going, body, first)
        return losses, values

    batched = jax.jit(
        lambda room, start, order, data, inputs, steps: jax.vmap(
            lambda one, its: train(one, its, data, inputs, steps, room)
        )(start, order),
        static_argnums=0,
    )

    def loop(
        starts: Sequence[Sequence[Any]],
        orders: Sequence[Any],
        data: Sequence[Any],
        inputs: Mapping[str, float],
        steps: int,
    ) -> tuple[Losses, list[list[Any]]]:
        room = max(_ROOM, 1 << (steps - 1).bit_length())
        start = [
            jnp.stack([jnp.asarray(values[i], variable.dtype) for values in starts])
            for i, variable in enumerate(variables)
        ]
        given = {name: jnp.float32(value) for name, value in inputs.items()}
        order = jnp.asarray(np.stack(orders), "int32")
        losses, ends = batched(room, start, order, list(data), given, jnp.int32(steps))
        curves = np.stack([loss_curve(curve, steps) for curve in np.asarray(losses)])
        return curves, [[end[i] for end in ends] for i in range(len(starts))]

    return loop


def compiled(function: Callable[..., Any], variables: Sequence[Any]) -> Any:
    """Return the function jitted, with the variables as inputs; see `Backend`."""

    def pure(values: list[Any], *args: Any) -> Any:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return function(*args)

    jitted = jax.jit(pure)
    return lambda *args: jitted([variable.value for variable in variables], *args)


def untouched_randomness() -> contextlib.AbstractContextManager[None]:
    """Do nothing: JAX has no generator of its own; see `Backend`."""
    return contextlib.nullcontext()
