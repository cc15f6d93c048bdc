"""Battery: runs the replays of one case, each change on some seeds, within a time limit."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np

from robusttune._compat.keras import all_layers
from robusttune.diagnosis.arrays import (
    Array,
    is_float,
    leaves,
    map_leaves,
    scale_of,
    shapes,
    stack,
)
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.changes import Change, Outcome
from robusttune.diagnosis.facts import Head
from robusttune.diagnosis.kernels import redrawn, standard
from robusttune.diagnosis.observe import (
    Observation,
    in_float32,
    is_hidden_activation,
    to_tensors,
    trains_by_itself,
)
from robusttune.diagnosis.own_step import OwnStepProgram
from robusttune.diagnosis.plain import constant_baseline, plain_loss
from robusttune.diagnosis.replay import CannotReplayError, Losses, Program
from robusttune.diagnosis.trace import Batch
from robusttune.records import one_line

_log = logging.getLogger("robusttune.diagnosis")

SEEDS = 3
# Steps of a replay: the first of these that the time allows, so that a busy machine comes to the
# same verdict. A small model takes 0.2 ms a step.
_STEPS = (300, 100, 40)
# A battery is about this many runs of full length; the time limit is shared out among them.
_RUNS = 12
_TIMED = 10
# A cure must beat the best constant prediction by 5 %: a fit that has learned nothing at all comes
# as near as its noise.
MARGIN = 0.95
_TINY = float(np.finfo(np.float32).tiny)


class Clock:
    """Counts down wall time, or the processor's where that is less: load from elsewhere is free.

    So a busy machine takes longer and comes to the same verdict.

    Args:
        seconds: What there is at the start.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = (time.monotonic(), time.process_time())

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        wall, processor = self._began
        return min(time.monotonic() - wall, time.process_time() - processor)

    @property
    def left(self) -> float:
        """Seconds that are left; negative when time is out."""
        return self._seconds - self.elapsed


class Battery:
    """Replays of one case. Nothing of the model changes.

    Args:
        case: The case; its `first` or `last` observation is needed for heads and shapes.
        seconds: Time after which no further replay is started.
        hold_out: Whether a cure must also show on batches that were not trained on; where the
            batches are all of the training data, it must halve the constant prediction's loss.
        from_last: Whether replays start at the weights and slots of the last good step, instead of
            those from before the fit. A cure then is to get better than that start.

    Raises:
        CannotReplayError: There is nothing to replay.
    """

    def __init__(
        self, case: Case, seconds: float, *, hold_out: bool = False, from_last: bool = False
    ) -> None:
        seen = case.seen
        if case.model is None or seen is None:
            raise CannotReplayError(case.why_not.get("observation", "no step could be run again"))
        self.own_step = trains_by_itself(case.model)
        if self.own_step and hold_out:
            raise CannotReplayError("only the model's own train_step knows its loss")
        self.case = case
        self.model = case.model
        self.seen: Observation = seen
        self.heads: Sequence[Head] = seen.heads
        self.clock = Clock(seconds)
        self.steps: int | None = None
        self.from_last = from_last
        if from_last:
            self.replayed_from = "last good step"
            self.start = case.trace.weights or case.model.get_weights()
        elif case.initial_weights is not None:
            self.replayed_from = "initial weights"
            self.start = case.initial_weights
        else:
            self.replayed_from = "new standard weights"
            self.start = standard(case.model, case.model.get_weights(), 0)
        self._batches = _alike(case)
        self._held_out: list[Batch] = []
        self._margin = MARGIN
        if hold_out:
            self._split(case)
        self._programs: dict[tuple[Any, ...], Program | OwnStepProgram] = {}
        self._baselines: dict[tuple[bool, bool, bool], float | None] = {}
        self._losses: dict[tuple[Change, int], Losses] = {}
        self._ends: dict[tuple[Change, int], float] = {}
        self.plain_loss = plain_loss(self._batches[0].y, seen.predictions, self.heads)

    @property
    def out_of_time(self) -> bool:
        """Whether no further replay should start."""
        return self.clock.left <= 0

    def outcome(self, change: Change, seeds: int = 1) -> Outcome | None:
        """Replay one change; None where time is out or the change cannot be made."""
        try:
            for seed in range(seeds):
                if (change, seed) not in self._losses:
                    if self.out_of_time and self._losses:
                        return None
                    self._losses[change, seed] = self._replay(change, seed)
            return Outcome(
                change=change,
                losses=np.stack([self._losses[change, seed] for seed in range(seeds)]),
                baseline=self._baseline(change),
                margin=self._margin,
                held_out=np.array([self._ends[change, seed] for seed in range(seeds)])
                if self._held_out
                else None,
            )
        except CannotReplayError:
            raise
        except (
            Exception
        ) as error:  # the model's own code under a change: what it raises is evidence
            _log.debug("the replay with %s failed", change, exc_info=True)
            self.case.why_not[f"replay of {change}"] = one_line(repr(error), 200)
            return None

    def confirmed(self, outcome: Outcome | None) -> Outcome | None:
        """Repeat a cure on the other seeds; the outcome is over all of them."""
        if outcome is None or not outcome.cured:
            return outcome
        return self.outcome(outcome.change, seeds=SEEDS) or outcome

    @property
    def outcomes(self) -> list[Outcome]:
        """Everything that was replayed so far."""
        found = []
        for change in dict.fromkeys(change for change, _ in self._losses):
            seeds = sum(1 for other, _ in self._losses if other == change)
            outcome = self.outcome(change, seeds=seeds)
            if outcome is not None:
                found.append(outcome)
        return found

    def _replay(self, change: Change, seed: int) -> Losses:
        program = self._program(change)
        weights = list(self.start) if self.from_last else redrawn(self.start, seed)
        if change.initialization:
            weights = standard(self.model, weights, seed)
        batches = self._data(change, seed)
        if self.steps is None:
            self.steps = self._affordable(program, weights, batches, change.rate)
        losses = program.run(weights, batches, self.steps, change.rate)
        if self._held_out and np.isfinite(losses).all() and isinstance(program, Program):
            rows = _joined(self._changed(self._held_out, change))
            self._ends[change, seed] = program.evaluate(
                *to_tensors((rows.x, rows.y, rows.sample_weight))
            )
        else:
            self._ends[change, seed] = np.nan
        return losses

    def undefined(self, weights: list[Array] | None) -> bool:
        """Whether the step itself is not finite at these weights, on the batch that failed.

        At a learning rate of 0 nothing moves, unless the gradient is not finite: 0 x NaN is NaN.
        """
        batch = self._batches[-1]
        rows = to_tensors((stack([batch.x]), stack([batch.y]), stack([batch.sample_weight])))
        losses = self._program(Change()).run(weights or self.model.get_weights(), rows, 2, 0.0)
        return not np.isfinite(losses).all()

    def _affordable(
        self, program: Program | OwnStepProgram, weights: list[Array], batches: Any, rate: float
    ) -> int:
        """Return how many steps a replay can have, from the time that some of them took."""
        program.run(weights, batches, 1, 0.0)  # compiles
        began = self.clock.elapsed
        program.run(weights, batches, _TIMED, 0.0)
        each = (self.clock.elapsed - began) / _TIMED
        left = max(self.clock.left, 0.0)
        return next((n for n in _STEPS if n * each * _RUNS <= left), _STEPS[-1])

    def _program(self, change: Change) -> Program | OwnStepProgram:
        key = (change.plain_loss, change.activation, change.float32, change.clip)
        if key in self._programs:
            return self._programs[key]
        setting = partial(_setting, self.model, self.seen, change)
        if self.own_step:
            self._programs[key] = OwnStepProgram(
                self.model, clip=change.clip, slots=self.from_last, setting=setting
            )
        else:
            if change.plain_loss and self.plain_loss is None:
                raise ValueError("no plain loss suits the labels")
            self._programs[key] = Program(
                self.model,
                loss=self.plain_loss if change.plain_loss else None,
                clip=change.clip,
                slots=self.from_last,
                setting=setting,
            )
        return self._programs[key]

    def _data(self, change: Change, seed: int) -> Any:
        batches = self._changed(self._batches, change)
        if seed:
            order = np.random.default_rng(seed).permutation(len(batches))
            batches = [batches[i] for i in order]
        return to_tensors(
            (
                stack([b.x for b in batches]),
                stack([b.y for b in batches]),
                stack([b.sample_weight for b in batches]),
            )
        )

    def _changed(self, batches: list[Batch], change: Change) -> list[Batch]:
        """Return the batches as the change has them, by the columns of all trained batches."""
        rows = _joined(self._batches)
        if change.inputs:
            batches = [replace(b, x=standardized_like(b.x, rows.x)) for b in batches]
        if change.targets:
            real = map_leaves(_real, rows.y)
            batches = [
                replace(b, y=standardized_like(map_leaves(_real, b.y), real)) for b in batches
            ]
        return batches

    def _split(self, case: Case) -> None:
        """Hold out a quarter of the batches, or ask for more where these are all the data."""
        batches, steps = self._batches, case.trace.steps_per_epoch
        if steps is not None and steps <= len(batches):
            self._margin = 0.5
        elif len(batches) >= 4:
            cut = len(batches) - len(batches) // 4
            self._batches, self._held_out = batches[:cut], batches[cut:]
        else:
            raise CannotReplayError("too few batches were kept to tell learning from memory")

    @property
    def split(self) -> tuple[list[Batch], list[Batch]]:
        """The batches that are trained on, and those held out."""
        return self._batches, self._held_out

    @property
    def gained(self) -> float:
        """Share by which the fit, as it ended, is better than the best constant prediction.

        Without such a prediction: than its own start.
        """
        weights = self.case.trace.weights or self.model.get_weights()
        program = self._program(Change())
        assert isinstance(program, Program)  # an own step has nothing held out
        rows = _joined([*self._batches, *self._held_out])
        data = to_tensors((rows.x, rows.y, rows.sample_weight))
        end = program.loss_at(weights, *data)
        reference = self._constant(rows, Change())
        if reference is None:
            reference = program.loss_at(self.start, *data)
        return (reference - end) / max(abs(reference), _TINY)

    def demand(self, margin: float) -> None:
        """Let only such replays count as cured that end below this share of the baseline."""
        self._margin = min(self._margin, margin)

    def _baseline(self, change: Change) -> float | None:
        if self.from_last:
            return None
        key = (change.inputs, change.targets, change.plain_loss)
        if key not in self._baselines:
            rows = _joined(self._changed(self._batches, change))
            self._baselines[key] = self._constant(rows, change)
        return self._baselines[key]

    def _constant(self, rows: Batch, change: Change) -> float | None:
        """Return the loss of the best constant prediction for these rows; None where unknown."""
        loss = self.plain_loss if change.plain_loss else None
        return constant_baseline(self.model, rows, self.seen.predictions, self.heads, loss)


def standardized_like(structure: Any, reference: Any) -> Any:
    """Standardize real numbers by the columns of `reference`; whole numbers stay as they are."""
    scales = iter([scale_of(array) for _, array in leaves(reference)])

    def convert(array: Array) -> Array:
        scale = next(scales)
        return scale.standardize(array) if is_float(array) else array

    return map_leaves(convert, structure)


def _alike(case: Case) -> list[Batch]:
    """Return the batches of the commonest shape: a replay needs one shape."""
    batches = case.batches
    kinds = [shapes((b.x, b.y, b.sample_weight)) for b in batches]
    commonest = max(kinds, key=kinds.count)
    alike = [b for b, kind in zip(batches, kinds, strict=True) if kind == commonest]
    return alike if case.takes_tokens else [replace(b, x=map_leaves(_real, b.x)) for b in alike]


def _real(array: Array) -> Array:
    """Return whole numbers as floating point ones: quantities that can be scaled."""
    return array.astype(np.float32) if array.dtype.kind in "iub" else array


def _joined(batches: Sequence[Batch]) -> Batch:
    def join(structures: list[Any]) -> Any:
        return map_leaves(lambda array: array.reshape(-1, *array.shape[2:]), stack(structures))

    return Batch(
        join([b.x for b in batches]),
        join([b.y for b in batches]),
        join([b.sample_weight for b in batches]),
    )


@contextlib.contextmanager
def _setting(model: Any, seen: Observation, change: Change) -> Iterator[None]:
    """The model as the change has it, while its step is traced."""
    with contextlib.ExitStack() as stack_:
        if change.float32:
            stack_.enter_context(in_float32(model))
        if change.activation:
            stack_.enter_context(_activations(model, seen, change.activation))
        yield


@contextlib.contextmanager
def _activations(model: Any, seen: Observation, name: str) -> Iterator[None]:
    """Give all hidden layers another activation for a while."""
    hidden = {view.name for view in seen.layers if is_hidden_activation(view, seen)}
    layers = [layer for layer in all_layers(model) if layer.name in hidden]
    function = keras.activations.get(name)
    kept = []
    try:
        for layer in layers:
            if hasattr(layer, "activation"):
                kept.append((layer, layer.activation))
                layer.activation = function
            else:
                vars(layer)["call"] = lambda inputs, *args, **kwargs: function(inputs)
        yield
    finally:
        for layer, activation in kept:
            layer.activation = activation
        for layer in layers:
            vars(layer).pop("call", None)
