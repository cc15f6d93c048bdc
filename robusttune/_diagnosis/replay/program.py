"""TrainingProgram: the training step of one model on shadow variables, compiled once.

The model's own `call` and `compute_loss` run in a `keras.StatelessScope` on the values of shadow
variables, and a copy of the optimizer updates these. What an intervention changes is an input of
the step, so that all of them share one trace.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from robusttune._compat.keras import global_seed_generator
from robusttune._diagnosis.arrays import Array
from robusttune._diagnosis.backends.interface import Losses, current_backend
from robusttune._diagnosis.model.forward import call_model, penalties, to_tensors
from robusttune._diagnosis.replay.model_changes import scaled_noise
from robusttune._diagnosis.replay.optimizer import (
    CannotReplayError,
    check_momentum,
    copied,
    slots_of,
    with_inputs,
)

Setting = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program.

    Args:
        weights: First weights, in the order of model.get_weights().
        order: The batches in their order, shape (batches,).
    """

    weights: Sequence[Array]
    order: Sequence[int]


class Data:
    """Batches as tensors, stacked: each leaf of shape (batches, rows, ...).

    Args:
        x: Inputs, nested as the model takes them.
        y: Targets, likewise, or None.
        sample_weight: Weights of the rows, or None.
    """

    def __init__(self, x: Any, y: Any, sample_weight: Any) -> None:
        self.structure = (x, y, sample_weight)
        self.tensors = [
            leaf for leaf in keras.tree.flatten(to_tensors(self.structure)) if leaf is not None
        ]

    def pack(self, tensors: Sequence[Any]) -> Any:
        """Return tensors of one batch, nested as (x, y, sample_weight)."""
        given = iter(tensors)
        return keras.tree.map_structure(
            lambda leaf: None if leaf is None else next(given), self.structure
        )


class TrainingProgram:
    """Training steps of one model on shadow variables, compiled once.

    Args:
        model: A compiled, built Keras model.
        data: What it will train on, for the nesting alone.
        takes: Inputs of the step beside the learning rate, out of those of `Intervention.inputs`.
        reference_loss: Takes (y, predictions) and returns the loss where the input
            "plain_loss" is 1; None where the step does not take that.
        training: Whether layers behave as in training in the steps.
        float32: Whether weights and slots are float32, whatever their own dtype.
        fused: As for `Backend.training_loop`.
        setting: Gives a context manager in which the step is traced.

    Raises:
        CannotReplayError: The optimizer cannot be made again.
        ValueError: It has no momentum that can be scaled, and the step is to take it.
    """

    def __init__(
        self,
        model: Any,
        data: Data,
        *,
        takes: frozenset[str] = frozenset(),
        reference_loss: Callable[[Any, Any], Any] | None = None,
        training: bool = True,
        float32: bool = False,
        fused: bool = False,
        setting: Setting = contextlib.nullcontext,
    ) -> None:
        self.model = model
        self.takes = takes
        self._pack = data.pack
        self._reference_loss = reference_loss
        self._setting = setting
        self._training = training
        self._backend = current_backend()
        self._variables = [*model.variables]
        generator = global_seed_generator()
        if generator is not None and all(v is not generator.state for v in self._variables):
            self._variables.append(generator.state)
        trainable = {id(v) for v in model.trainable_variables}
        self._shadows = [
            keras.Variable(
                keras.ops.convert_to_numpy(v.value),
                trainable=id(v) in trainable,
                dtype="float32" if float32 and v.dtype.endswith("float16") else v.dtype,
                name=f"shadow_{i}",
            )
            for i, v in enumerate(self._variables)
        ]
        self._trained = [
            shadow
            for variable, shadow in zip(self._variables, self._shadows, strict=True)
            if id(variable) in trainable
        ]
        self._optimizer, self._rate = copied(model.optimizer)
        self._optimizer.build(self._trained)
        if "momentum" in takes:
            check_momentum(self._optimizer)
        self._slots = [keras.ops.convert_to_numpy(v.value) for v in self._optimizer.variables]
        state = [*self._shadows, *self._optimizer.variables]
        self._loop = self._backend.training_loop(self._step, state, fused=fused)
        self._evaluate = self._backend.compiled(self._loss_of_rows, self._shadows)

    def run(
        self,
        runs: Sequence[Run],
        data: Data,
        inputs: Mapping[str, float],
        steps: int,
        *,
        slots: bool = False,
    ) -> tuple[Losses, list[list[Any]]]:
        """Train, over the batches again and again.

        Args:
            runs: Where each starts, and its order of the batches.
            data: All batches.
            inputs: All numbers that the step takes.
            steps: How many steps, >= 1.
            slots: Whether the optimizer starts with the slots and the step of the model's own, as
                after the fit; else with none, as before it.

        Raises:
            CannotReplayError: Those slots are not of the shapes of a new optimizer's.

        Returns:
            The losses without penalties, shape (runs, steps), NaN from the first non-finite one on;
            and the state that each ends in, for `evaluate` and `weights`.
        """
        given = {name: value for name, value in inputs.items() if name in {"rate", *self.takes}}
        first = self._own_slots() if slots else self._slots
        starts = [[*self._values(run.weights), *first] for run in runs]
        orders = [np.asarray(run.order) for run in runs]
        with self._setting(), self._backend.untouched_randomness():
            return self._loop(starts, orders, data.tensors, given, steps)

    def _own_slots(self) -> list[Array]:
        own = [keras.ops.convert_to_numpy(v.value) for v in slots_of(self.model.optimizer)]
        if [slot.shape for slot in own] != [slot.shape for slot in self._slots]:
            raise CannotReplayError("the optimizer's slots are not those of its copy")
        return own

    def weights(self, state: Sequence[Any]) -> list[Array]:
        """Return the weights of a state, in the order of model.get_weights()."""
        places = {id(v): value for v, value in zip(self._variables, state, strict=False)}
        return [keras.ops.convert_to_numpy(places[id(v)]) for v in self.model.weights]

    def loss_at(self, weights: Sequence[Array], rows: Data, *, plain: bool = False) -> float:
        """Return the loss without penalties at given weights on given rows, as in inference."""
        return self.evaluate(self._values(weights), rows, plain=plain)

    def evaluate(self, state: Sequence[Any], rows: Data, *, plain: bool = False) -> float:
        """Return the loss without penalties at the state of a run on rows, as in inference.

        Args:
            state: As `run` returns it.
            rows: All rows as one batch: leaves of shape (1, rows, ...).
            plain: Whether that is the plain loss.
        """
        for shadow, value in zip(self._shadows, state, strict=False):
            shadow.assign(value)
        chosen = keras.ops.convert_to_tensor(float(plain), "float32")
        with self._setting(), self._backend.untouched_randomness():
            return float(self._evaluate(rows.tensors, chosen))

    def gradient_norm(self, weights: Sequence[Array], rows: Data) -> float:
        """Return the global norm of the gradient of the loss with penalties, as in inference.

        Args:
            weights: Where, in the order of model.get_weights().
            rows: All rows as one batch: leaves of shape (1, rows, ...).
        """
        values = self._values(weights)
        batch = self._pack([tensor[0] for tensor in rows.tensors])

        def objective(trained: list[Any]) -> tuple[Any, None]:
            placed = self._placed(tensors, trained)
            return self._forward(placed, batch, {}, training=False)[0], None

        with self._setting(), self._backend.untouched_randomness():
            tensors = [
                keras.ops.convert_to_tensor(value, shadow.dtype)
                for value, shadow in zip(values, self._shadows, strict=True)
            ]
            trained = [t for t, s in zip(tensors, self._shadows, strict=True) if s.trainable]
            _, _, gradients = self._backend.value_and_grad(objective, trained)
        known = [keras.ops.convert_to_numpy(g) for g in gradients if g is not None]
        return float(np.sqrt(sum(np.sum(np.square(g.astype(np.float64))) for g in known)))

    def hessian(self, weights: Sequence[Array], rows: Data) -> tuple[Callable[[Array], Array], int]:
        """Return the Hessian of the loss with penalties as a product, and its number of rows.

        Of the trainable weights in one vector, in float64; the model as in inference.

        Args:
            weights: Where, in the order of model.get_weights().
            rows: All rows as one batch: leaves of shape (1, rows, ...).
        """
        for shadow, value in zip(self._shadows, self._values(weights), strict=True):
            shadow.assign(value)
        shapes = [tuple(shadow.shape) for shadow in self._trained]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])

        def along(tensors: Sequence[Any], *direction: Any) -> Any:
            values = [shadow.value for shadow in self._shadows]
            batch = self._pack([tensor[0] for tensor in tensors])

            def objective(trained: list[Any]) -> Any:
                loss, _, _ = self._forward(self._placed(values, trained), batch, {}, training=False)
                return loss

            trained = [shadow.value for shadow in self._trained]
            return self._backend.hessian_product(objective, trained, direction)

        compiled = self._backend.compiled(along, self._shadows)

        def product(vector: Array) -> Array:
            parts = np.split(vector, ends[:-1])
            direction = [
                keras.ops.convert_to_tensor(part.reshape(shape), shadow.dtype)
                for part, shape, shadow in zip(parts, shapes, self._trained, strict=True)
            ]
            with self._setting(), self._backend.untouched_randomness():
                found = compiled(rows.tensors, *direction)
            flat = [np.asarray(keras.ops.convert_to_numpy(part)).ravel() for part in found]
            return np.concatenate(flat).astype(np.float64)

        return product, int(ends[-1])

    def _placed(self, values: Sequence[Any], trained: Sequence[Any]) -> list[Any]:
        """Return all values, those of the trained variables replaced."""
        given = iter(trained)
        pairs = zip(self._shadows, values, strict=True)
        return [next(given) if shadow.trainable else value for shadow, value in pairs]

    def _values(self, weights: Sequence[Array]) -> list[Any]:
        given = {id(v): w for v, w in zip(self.model.weights, weights, strict=True)}
        return [
            given[id(v)] if id(v) in given else keras.ops.convert_to_numpy(v.value)
            for v in self._variables
        ]

    def _loss_of_rows(self, tensors: Sequence[Any], plain: Any) -> Any:
        values = [shadow.value for shadow in self._shadows]
        batch = self._pack([tensor[0] for tensor in tensors])
        inputs = {"plain_loss": plain} if self._reference_loss is not None else {}
        loss, penalty, _ = self._forward(values, batch, inputs, training=False)
        return loss - penalty

    def _step(self, tensors: list[Any], inputs: Mapping[str, Any]) -> Any:
        """Train on one batch, and return its loss without penalties."""
        batch = self._pack(tensors)
        values = [shadow.value for shadow in self._shadows]

        def objective(trained: list[Any]) -> tuple[Any, Any]:
            loss, penalty, after = self._forward(
                self._placed(values, trained), batch, inputs, training=self._training
            )
            return self._optimizer.scale_loss(loss), (loss - penalty, after)

        found = self._backend.value_and_grad(objective, [s.value for s in self._trained])
        _, (loss, after), gradients = found
        if "clip" in inputs:
            gradients = clipped(gradients, inputs["clip"])
        with with_inputs(self._optimizer, self._rate, inputs):
            self._backend.apply_gradients(self._optimizer, gradients, self._trained)
        for shadow, value in zip(self._shadows, after, strict=True):
            if not shadow.trainable:
                shadow.assign(value)
        self._constrain(inputs.get("constraint"))
        return loss

    def _constrain(self, factor: Any | None) -> None:
        """Hold weights to their constraints after a step, as the optimizer does; None: fully."""
        for variable, shadow in zip(self._variables, self._shadows, strict=True):
            if shadow.trainable and getattr(variable, "constraint", None) is not None:
                held = variable.constraint(shadow.value)
                if factor is not None:
                    held = shadow.value + keras.ops.cast(factor, held.dtype) * (held - shadow.value)
                shadow.assign(held)

    def _forward(
        self, values: Sequence[Any], batch: Any, inputs: Mapping[str, Any], *, training: bool
    ) -> tuple[Any, Any, list[Any]]:
        """Return loss and penalties at given values, and all values after it."""
        x, y, sample_weight = batch
        mapping = list(zip(self._variables, values, strict=True))
        noise = scaled_noise(self.model, inputs) if training else contextlib.nullcontext()
        with keras.StatelessScope(mapping, collect_losses=True) as scope, noise:
            predictions = call_model(self.model, x, training)
            penalty = penalties(self.model)

            def own() -> Any:
                total = self.model.compute_loss(
                    x=x, y=y, y_pred=predictions, sample_weight=sample_weight
                )
                return keras.ops.cast(total, "float32")

            def plain() -> Any:
                assert self._reference_loss is not None
                return keras.ops.cast(self._reference_loss(y, predictions) + penalty, "float32")

            if "plain_loss" not in inputs:
                loss = own()
            else:  # a condition: what is undefined in the other one must not reach the gradient
                loss = keras.ops.cond(inputs["plain_loss"] > 0.5, plain, own)
            if "penalty" in inputs:
                loss = loss + (inputs["penalty"] - 1.0) * penalty
                penalty = inputs["penalty"] * penalty
        after = [
            value if (new := scope.get_current_value(variable)) is None else new
            for variable, value in mapping
        ]
        return loss, penalty, after


def clipped(gradients: Sequence[Any], limit: Any) -> list[Any]:
    """Return gradients whose global norm is at most `limit`; None stays."""
    dense = [None if g is None else keras.ops.convert_to_tensor(g, sparse=False) for g in gradients]
    squares = [
        keras.ops.sum(keras.ops.square(keras.ops.cast(g, "float32")))
        for g in dense
        if g is not None
    ]
    norm = keras.ops.sqrt(sum(squares))
    # Not a division by the norm: a gradient of 0 stays 0, and one that is not finite stays that.
    factor = limit / keras.ops.maximum(norm, limit)
    return [None if g is None else g * keras.ops.cast(factor, g.dtype) for g in dense]
