"""ReplayRunner: runs the replays of one case, each intervention on some seeds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from robusttune._diagnosis.arrays import Array, map_leaves, stack
from robusttune._diagnosis.backends.interface import Losses
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.model.forward import trains_by_itself
from robusttune._diagnosis.model.info import OutputHead
from robusttune._diagnosis.model.observe import Observation
from robusttune._diagnosis.model.weight_init import redrawn, standard
from robusttune._diagnosis.reference.loss import constant_baseline, plain_loss
from robusttune._diagnosis.replay.batches import alike, joined, real, split, standardized
from robusttune._diagnosis.replay.budget import STEPS, Budget, many_small_operations, work_of_step
from robusttune._diagnosis.replay.curvature import Curvature, extreme_eigenvalues
from robusttune._diagnosis.replay.custom_train_step import CustomStepProgram
from robusttune._diagnosis.replay.intervention import Intervention, ReplayResult, limit
from robusttune._diagnosis.replay.model_changes import changed_model, takes_noise
from robusttune._diagnosis.replay.optimizer import CannotReplayError
from robusttune._diagnosis.replay.program import Data, Run, TrainingProgram
from robusttune._diagnosis.trace import Batch
from robusttune._records import one_line

_log = logging.getLogger("robusttune.diagnosis")

SEEDS = 3
# A cure must beat the best constant prediction by 5 %: a fit that has learned nothing at all comes
# as near as its noise. Where nothing could be held out, it must halve that loss.
MARGIN = 0.95
_BY_HEART = 0.5
# Some directions as long as all weights are kept at once for the curvature, in float64.
_MOST_WEIGHTS = 2_000_000
_TINY = float(np.finfo(np.float32).tiny)
# What has a trace of its own: activation, precision, and clipping in the model's own train_step.
_Key = tuple[str | None, bool, bool, float | None]


class ReplayRunner:
    """Replays of one case. Nothing of the model changes.

    Args:
        case: The case; its `first` or `last` observation is needed for heads and shapes.
        budget: Work that the replays may take; None: what the case's policy allows.
        hold_out: Whether a cure must also show on batches that were not trained on; where there
            are too few for that, it must halve the constant prediction's loss.
        from_last: Whether replays start at the weights and slots of the last good step, instead of
            those from before the fit. A cure then is to get better than that start.

    Raises:
        CannotReplayError: There is nothing to replay.

    Attributes:
        steps: Steps of a replay where none are asked for.
        plain_loss: The plain loss for the head; None where none suits the labels.
        replayed_from: Where replays start, in words.
    """

    def __init__(
        self,
        case: Case,
        budget: Budget | None = None,
        *,
        hold_out: bool = False,
        from_last: bool = False,
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
        self.heads: Sequence[OutputHead] = seen.heads
        self.budget = Budget(case.policy.diagnosis_seconds) if budget is None else budget
        self.from_last = from_last
        self.replayed_from, self._start = self._beginning()
        self._batches: list[Batch] = alike(case)
        self._held_out: list[Batch] = []
        self._margin = MARGIN
        if hold_out:
            self._batches, self._held_out = split(self._batches)
            self._margin = MARGIN if self._held_out else _BY_HEART
        self._trained = joined(self._batches)
        self.plain_loss = plain_loss(self._batches[0].y, seen.predictions, self.heads)
        self._work = work_of_step(
            seen, self._batches[0], [tuple(v.shape) for v in self.model.trainable_variables]
        )
        self.steps = self.budget.steps(self._work)
        if self.steps < STEPS[0]:
            case.why_not["replay steps"] = f"{self.steps} of {STEPS[0]} steps"
        self._expected: list[Intervention] = []
        self._programs: dict[_Key, TrainingProgram | CustomStepProgram] = {}
        self._data: dict[tuple[bool, bool, bool], Data] = {}
        self._baselines: dict[tuple[bool, bool, bool], float | None] = {}
        self._losses: dict[tuple[Intervention, int], dict[int, Losses]] = {}
        self._ends: dict[tuple[Intervention, int, int], float] = {}
        self._unchanged_end: list[Array] | None = None

    def expect(self, interventions: Sequence[Intervention]) -> None:
        """Say what will be asked for, so that one compiled step takes all of their inputs."""
        self._expected += interventions

    def run(
        self, intervention: Intervention, seeds: int = 1, steps: int | None = None
    ) -> ReplayResult | None:
        """Replay one intervention; None where the work is done or it cannot be made.

        Why there is no result is noted in `case.why_not`.

        Args:
            intervention: What is different; two together: `one | other`.
            seeds: First weights and orders of the batches to try, >= 1; the first are the fit's.
            steps: Steps; None: `self.steps`. What was run longer is not run again.
        """
        wanted = self.steps if steps is None else steps
        try:
            missing = [s for s in range(seeds) if self._found(intervention, s, wanted) is None]
            if missing:
                if self._losses and (reason := self.budget.reason) is not None:
                    self.case.why_not[f"replay of {intervention}"] = reason
                    return None
                self._replay(intervention, missing, wanted)
            return self._result(intervention, seeds, wanted)
        except CannotReplayError:
            raise
        except (
            Exception
        ) as error:  # the model's own code under a change: what it raises is evidence
            _log.debug("the replay with %s failed", intervention, exc_info=True)
            self.case.why_not[f"replay of {intervention}"] = one_line(repr(error), 200)
            return None

    def affordable(self, steps: int) -> int:
        """Return how many of so many steps one replay can have, of what work is left."""
        return max(min(steps, self.budget.left(self._work)), self.steps)

    def before_failure(self, result: ReplayResult) -> tuple[list[Array], Batch] | None:
        """Return the weights before the first step that is not finite, and the batch of that step.

        Args:
            result: Of the replay without any change.

        Returns:
            Weights in the order of model.get_weights(); None where all steps are finite, or where
            the program of a train_step of the model's own does not tell them.
        """
        change = result.intervention
        finite = np.isfinite(result.losses[0])
        program = self._program(change)
        if finite.all() or not isinstance(program, TrainingProgram):
            return None
        run, data = self._run(change, 0), self._stacked(change)
        weights, step = list(run.weights), 0
        # A gradient that is not finite shows in the loss of the step after it.
        for step in range(int(finite.argmin()), max(int(finite.argmin()) - 2, 0), -1):
            _, ends = program.run([run], data, change.step_inputs, step)
            weights = program.weights(ends[0])
            if all(np.isfinite(w).all() for w in weights if w.dtype.kind == "f"):
                break
        else:
            weights, step = list(run.weights), 0
        return weights, self._batches[run.order[step % len(run.order)]]

    def unchanged(self, steps: int | None = None) -> ReplayResult | None:
        """Replay the trial as it is: within its own number of steps, say, and longer."""
        return self.run(Intervention(), steps=steps)

    def confirmed(self, result: ReplayResult | None) -> ReplayResult | None:
        """Repeat a cure on the other seeds; the result is over all of them."""
        if result is None or not result.cured:
            return result
        return self.run(result.intervention, SEEDS, result.losses.shape[1]) or result

    @property
    def results(self) -> list[ReplayResult]:
        """Everything that was replayed so far, each over the seeds that it was replayed with."""
        found = []
        for intervention in dict.fromkeys(intervention for intervention, _ in self._losses):
            runs = [self._losses[key] for key in self._losses if key[0] == intervention]
            longest = max(runs[0])
            seeds = sum(1 for run in runs if longest in run)
            found.append(self._result(intervention, seeds, longest))
        return found

    def restarted(self) -> ReplayRunner:
        """Return a runner that starts at the last good step, with the work that is left."""
        runner = ReplayRunner(self.case, self.budget, from_last=True)
        runner.expect(self._expected)
        if not self.own_step and not self._held_out:  # the same steps on the same batches
            runner._programs, runner._data = self._programs, self._data
        return runner

    def undefined(self, weights: list[Array] | None) -> bool:
        """Whether the step itself is not finite at these weights, on the batch that failed.

        At a learning rate of 0 nothing moves, unless the gradient is not finite: 0 x NaN is NaN.
        """
        plain = Intervention()
        last = [len(self._batches) - 1] * len(self._batches)
        run = Run(weights or self.model.get_weights(), last)
        inputs = {**plain.step_inputs, "rate": 0.0}
        losses, _ = self._program(plain).run([run], self._stacked(plain), inputs, 2)
        return not np.isfinite(losses).all()

    @property
    def split(self) -> tuple[list[Batch], list[Batch]]:
        """The batches that are trained on, and those held out."""
        return self._batches, self._held_out

    @property
    def gained(self) -> float:
        """Share by which the fit, as it ended, is better than the best constant prediction.

        Without such a prediction: than its own start. On all rows that were kept.
        """
        weights = self.case.trace.weights or self.model.get_weights()
        program = self._program(Intervention())
        assert isinstance(program, TrainingProgram)  # an own step has nothing held out
        rows = joined([*self._batches, *self._held_out])
        data = _as_one(rows)
        end = program.loss_at(weights, data)
        reference = self._constant(rows, Intervention())
        if reference is None:
            reference = program.loss_at(self._start, data)
        return (reference - end) / max(abs(reference), _TINY)

    @property
    def learns_by_plain_loss(self) -> bool:
        """Whether the unchanged replay has learned, by the plain loss of its head.

        For losses of the user's own: a constant that they add hides what is learned.
        """
        change = Intervention(plain_loss=True)
        constant = None if self.plain_loss is None else self._baseline(change)
        if constant is None or self._unchanged_end is None:
            return False
        program = self._program(change)
        assert isinstance(program, TrainingProgram)  # as for `gained`
        rows = _as_one(joined(self._held_out or self._batches))
        end = program.loss_at(self._unchanged_end, rows, plain=True)
        return bool(end < limit(constant, MARGIN))

    def curvature(self, weights: Sequence[Array] | None = None) -> Curvature | None:
        """Return the ends of the spectrum of the loss's Hessian over all rows that are kept.

        None where it cannot be told; why is noted in `case.why_not`.

        Args:
            weights: Where, in the order of model.get_weights(); None: where replays start.
        """
        size = sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)
        program = None if size > _MOST_WEIGHTS or size == 0 else self._program(Intervention())
        if not isinstance(program, TrainingProgram):
            own = "only the model's own train_step knows its loss"
            self.case.why_not["curvature"] = own if self.own_step else f"{size} weights"
            return None
        rows = joined([*self._batches, *self._held_out])
        at = self._start if weights is None else list(weights)
        try:
            found = extreme_eigenvalues(*program.hessian(at, _as_one(rows)))
        except Exception as error:  # an operation of the model's without a second derivative
            _log.debug("the curvature cannot be told", exc_info=True)
            self.case.why_not["curvature"] = one_line(repr(error), 200)
            return None
        # A product is a backward pass over a backward pass, of all batches.
        self.budget.spend(2 * found.products * self._work * len(self._batches))
        return found

    def gradient_norm(self, weights: Sequence[Array]) -> float:
        """Return the global norm of the loss's gradient over all rows that are kept.

        Args:
            weights: Where, in the order of model.get_weights().
        """
        program = self._program(Intervention())
        assert isinstance(program, TrainingProgram)  # as for `gained`
        return program.gradient_norm(weights, _as_one(joined([*self._batches, *self._held_out])))

    def demand(self, margin: float) -> None:
        """Let only such replays count as cured that end below this share of the baseline."""
        self._margin = min(self._margin, margin)

    def content_with(self, margin: float) -> None:
        """Let such replays count as cured too that end below this share of the baseline."""
        self._margin = max(self._margin, margin)

    def _beginning(self) -> tuple[str, list[Array]]:
        case = self.case
        if self.from_last:
            return "last good step", case.trace.weights or case.model.get_weights()
        if case.initial_weights is not None:
            return "initial weights", case.initial_weights
        return "new standard weights", standard(case.model, case.model.get_weights(), 0)

    def _found(self, intervention: Intervention, seed: int, steps: int) -> Losses | None:
        """Return the losses of a run of so many steps, or the start of a longer one."""
        runs = self._losses.get((intervention, seed), {})
        longer = [length for length in runs if length >= steps]
        return runs[min(longer)][:steps] if longer else None

    def _result(self, intervention: Intervention, seeds: int, steps: int) -> ReplayResult:
        losses = [self._found(intervention, seed, steps) for seed in range(seeds)]
        ends = [self._ends.get((intervention, seed, steps)) for seed in range(seeds)]
        return ReplayResult(
            intervention=intervention,
            losses=np.stack([curve for curve in losses if curve is not None]),
            baseline=self._baseline(intervention),
            margin=self._margin,
            held_out=None
            if not self._held_out or any(end is None for end in ends)
            else np.array(ends, np.float64),
        )

    def _replay(self, intervention: Intervention, seeds: Sequence[int], steps: int) -> None:
        program = self._program(intervention)
        runs = [self._run(intervention, seed) for seed in seeds]
        data = self._stacked(intervention)
        more = {"slots": self.from_last} if isinstance(program, TrainingProgram) else {}
        losses, ends = program.run(runs, data, intervention.step_inputs, steps, **more)
        taken = np.isfinite(losses).sum()
        self.budget.spend(self._work * max(int(taken), len(seeds)))
        for seed, curve, end in zip(seeds, losses, ends, strict=True):
            self._losses.setdefault((intervention, seed), {})[steps] = curve
            if intervention == Intervention() and isinstance(program, TrainingProgram):
                self._unchanged_end = program.weights(end)
            if not self._held_out or not isinstance(program, TrainingProgram):
                continue
            held_out = np.nan
            if np.isfinite(curve).all():
                rows = _as_one(joined(self._changed(self._held_out, intervention)))
                held_out = program.evaluate(end, rows, plain=intervention.plain_loss)
            self._ends[intervention, seed, steps] = held_out

    def _run(self, intervention: Intervention, seed: int) -> Run:
        weights = list(self._start) if self.from_last else redrawn(self._start, seed)
        if intervention.initialization:
            weights = standard(self.model, weights, seed)
        count = len(self._batches)
        order = np.random.default_rng(seed).permutation(count) if seed else np.arange(count)
        return Run(weights, order.tolist())

    def _program(self, intervention: Intervention) -> TrainingProgram | CustomStepProgram:
        """Return a program whose step takes what this intervention needs."""
        key = self._key(intervention)
        if key not in self._programs or not intervention.needs <= self._programs[key].takes:
            expected = [i for i in self._expected if self._key(i) == key]
            self._programs[key] = self._made(intervention, expected)
        return self._programs[key]

    def _key(self, intervention: Intervention) -> _Key:
        clip = intervention.clip if self.own_step else None
        return intervention.activation, intervention.float32, intervention.inference, clip

    def _made(
        self, intervention: Intervention, expected: Sequence[Intervention]
    ) -> TrainingProgram | CustomStepProgram:
        self._check(intervention)
        # What is tried once or twice is not worth the compilation.
        key_is_plain = self._key(intervention) == (None, False, False, None)
        takes = intervention.needs.union(*(i.needs for i in expected))
        setting: Callable[[], Any] = partial(
            changed_model,
            self.model,
            self.seen,
            activation=intervention.activation,
            float32=intervention.float32,
        )
        if self.own_step:
            return CustomStepProgram(
                self.model,
                self._stacked(intervention),
                clip=intervention.clip,
                slots=self.from_last,
                setting=setting,
            )
        return TrainingProgram(
            self.model,
            self._stacked(intervention),
            takes=takes if self.plain_loss is not None else takes - {"plain_loss"},
            reference_loss=self.plain_loss if "plain_loss" in takes else None,
            training=not intervention.inference,
            float32=intervention.float32,
            fused=key_is_plain and many_small_operations(self.seen),
            setting=setting,
        )

    def _check(self, intervention: Intervention) -> None:
        if intervention.plain_loss and self.plain_loss is None:
            raise ValueError("no plain loss suits the labels")
        for name in ("dropout", "noise"):
            if name in intervention.needs and not takes_noise(self.model, name):
                raise ValueError(f"the model has no {name} layers")

    def _stacked(self, intervention: Intervention) -> Data:
        """Return all batches as an intervention has them, as tensors."""
        whole = self._wholes_are_real(intervention)
        key = (intervention.inputs, intervention.targets, whole)
        if key not in self._data:
            batches = self._changed(self._batches, intervention)
            if whole:
                batches = [replace(b, y=map_leaves(real, b.y)) for b in batches]
            self._data[key] = _stacked(batches)
        return self._data[key]

    def _wholes_are_real(self, intervention: Intervention) -> bool:
        """Whether whole numbers among the targets are quantities in any replay: then in all."""
        return any(i.targets for i in (intervention, *self._expected))

    def _changed(self, batches: list[Batch], intervention: Intervention) -> list[Batch]:
        """Return the batches as the intervention has them, by the columns of all trained rows."""
        return standardized(
            batches, self._trained, inputs=intervention.inputs, targets=intervention.targets
        )

    def _baseline(self, intervention: Intervention) -> float | None:
        if self.from_last:
            return None
        key = (intervention.inputs, intervention.targets, intervention.plain_loss)
        if key not in self._baselines:
            rows = joined(self._changed(self._batches, intervention))
            self._baselines[key] = self._constant(rows, intervention)
        return self._baselines[key]

    def _constant(self, rows: Batch, intervention: Intervention) -> float | None:
        """Return the loss of the best constant prediction for these rows; None where unknown."""
        loss = self.plain_loss if intervention.plain_loss else None
        return constant_baseline(self.model, rows, self.seen.predictions, self.heads, loss)


def _stacked(batches: Sequence[Batch]) -> Data:
    return Data(
        stack([b.x for b in batches]),
        stack([b.y for b in batches]),
        stack([b.sample_weight for b in batches]),
    )


def _as_one(rows: Batch) -> Data:
    return _stacked([rows])
