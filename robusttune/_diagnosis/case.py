"""Case: everything that is known of one failed trial, gathered once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from robusttune._causes import Symptom
from robusttune._compat.keras import all_layers
from robusttune._diagnosis.arrays import (
    Array,
    is_float,
    is_number,
    leaves,
    scale_of,
    shapes,
    standardized,
)
from robusttune._diagnosis.model.info import (
    LossFacts,
    ModelFacts,
    by_output,
    model_facts,
    output_names,
)
from robusttune._diagnosis.trace import Batch, FitTrace
from robusttune._policy import Policy
from robusttune._records import TrialRecord, one_line, text_of

if TYPE_CHECKING:
    from robusttune._diagnosis.model.observe import Observation

_log = logging.getLogger("robusttune.diagnosis")


# Targets with more values than this are quantities, not classes; so are whole numbers beyond what
# classes are numbered with.
_MANY_VALUES = 20
_MOST_CLASSES = 1000
_TOKEN_LAYERS = ("Embedding", "CategoryEncoding", "Hashing", "IntegerLookup", "HashedCrossing")


def _are_quantities(targets: Array) -> bool:
    """Whether targets are quantities, and not labels: few rows have few values of either."""
    values = np.unique(targets)
    values = values[np.isfinite(values)]
    if not values.size:
        return False
    if values.size > _MANY_VALUES:
        return True
    whole = bool(np.all(values == np.round(values)))
    return bool(np.abs(values).max() > (_MOST_CLASSES if whole else 1.0))


@dataclass(slots=True, kw_only=True)
class Case:
    """Input of a diagnosis; observations are added as they are made.

    Args:
        symptom: How the fit went wrong.
        model: The compiled model; None where there is none.
        trace: What the guard saw; an empty one where there was no guard.
        params: Hyperparameter values by name.
        related_trials: Records of the other trials of the search.
        policy: Thresholds.
        facts: What the model says of itself.
        first: A step at the weights from before the fit; None where it could not be run.
        last: The failing step at the weights of the last good one, likewise.
        first_in_float32: As `first`, computed in float32; None where that was not needed.
        first_standardized: As `first`, with standardized inputs; None where that was not needed.
        raised: What the step raised when it was run again; None where it ran.
        why_not: Why something above is missing, by name.
    """

    symptom: Symptom
    model: Any
    trace: FitTrace
    params: Mapping[str, Any]
    related_trials: Sequence[TrialRecord]
    policy: Policy
    facts: ModelFacts = field(default_factory=ModelFacts)
    first: Observation | None = None
    last: Observation | None = None
    first_in_float32: Observation | None = None
    first_standardized: Observation | None = None
    raised: Exception | None = None
    why_not: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model is not None:
            self.facts = model_facts(self.model)
        self.why_not.update(self.trace.missing)

    @property
    def initial_weights(self) -> list[Array] | None:
        """The weights from before the fit; None where they are not those of the whole model."""
        weights = self.trace.initial_weights
        if self.model is None or not weights:
            return None
        shapes_now = [tuple(variable.shape) for variable in self.model.weights]
        return weights if [array.shape for array in weights] == shapes_now else None

    @property
    def trace_is_finite(self) -> bool:
        """Whether the fit went wrong without a NaN or inf: it diverged."""
        return self.symptom is Symptom.DIVERGED

    @property
    def seen(self) -> Observation | None:
        """The first step that could be observed; None where none could."""
        return self.first if self.first is not None else self.last

    @property
    def batches(self) -> list[Batch]:
        """The batches that were seen, the failing one last."""
        failing = self.trace.failing_batch
        return [*self.trace.first_batches, *([failing] if failing is not None else [])]

    @property
    def last_batch(self) -> Batch | None:
        """The failing batch, or else the last one that was kept."""
        return self.batches[-1] if self.batches else None

    def columns(self, of: str) -> dict[str, Array]:
        """Return the numbers of all seen batches, by leaf of x or y, joined along the rows."""
        seen: dict[str, list[Array]] = {}
        for batch in self.batches:
            for name, array in leaves(getattr(batch, of)):
                if is_number(array) and array.ndim:
                    seen.setdefault(f"{of}{name}", []).append(array)
        return {
            name: np.concatenate([a for a in arrays if a.shape[1:] == arrays[0].shape[1:]])
            for name, arrays in seen.items()
        }

    @property
    def input_scale(self) -> float | None:
        """The largest root mean square of a column of what enters the first trainable layer.

        Without an observation, of a column of floating point x. None where no real numbers enter.
        """
        if self.seen is not None:
            return self.seen.entrance_scale
        found = [scale_of(array).worst for array in self.columns("x").values() if is_float(array)]
        return max(found, default=None)

    @property
    def is_regression(self) -> bool:
        """Whether the targets are quantities: more or larger values than classes would have."""
        if any("crossentropy" in loss.name for loss in self.facts.losses):
            return False
        return any(_are_quantities(array[:1000]) for array in self.columns("y").values())

    @property
    def target_scale(self) -> float | None:
        """The largest root mean square of a column of y; None for labels and without targets."""
        if not self.is_regression:
            return None
        return max((scale_of(array).worst for array in self.columns("y").values()), default=None)

    @property
    def takes_tokens(self) -> bool:
        """Whether whole numbers among the inputs are indices, not quantities."""
        seen = self.seen
        return seen is None or any(view.kind in _TOKEN_LAYERS for view in seen.layers)

    def targets_and_losses(self) -> list[tuple[Array, LossFacts]]:
        """Return the targets of each output with the loss of that output."""
        columns, losses = self.columns("y"), self.facts.losses
        names = [f"y[{name!r}]" for name in output_names(self.model)]
        targets = by_output(columns, names) if set(names) == set(columns) else [*columns.values()]
        if len(losses) == len(targets):
            return list(zip(targets, losses, strict=True))
        several = isinstance(getattr(self.model, "loss", None), (list, tuple, Mapping))
        return [] if several or len(losses) != 1 else [(target, losses[0]) for target in targets]

    @property
    def half_precision(self) -> bool:
        """Whether any layer computes in float16 or bfloat16."""
        layers = [] if self.model is None else all_layers(self.model)
        return any(str(getattr(layer, "compute_dtype", "")).endswith("float16") for layer in layers)

    def observe(self) -> None:
        """Run the first and the failing step again, where that is possible."""
        if self.model is None or not self.batches:
            self.why_not.setdefault("observation", "no model" if self.model is None else "no batch")
            return
        batch = self.batches[-1]
        if self.initial_weights is None:
            self.why_not.setdefault("first", "no initial weights")
        else:
            self.first = self._observed("first", self.initial_weights, batch)
        self.last = self._observed("last", self.trace.weights, batch)
        if self.first is None or self.first.finite:
            return
        if self.half_precision:
            self.first_in_float32 = self._observed(
                "first_in_float32", self.initial_weights, batch, float32=True
            )
        if not self.first.predictions_finite:
            self.first_standardized = self._observed(
                "first_standardized",
                self.initial_weights,
                Batch(standardized(batch.x), batch.y, batch.sample_weight),
            )

    def _observed(
        self, name: str, weights: list[Array] | None, batch: Batch, *, float32: bool = False
    ) -> Observation | None:
        from robusttune._diagnosis.model.observe import observe

        try:
            return observe(self.model, weights, batch, float32=float32)
        except Exception as error:  # the model's own code: whatever it raises is evidence
            _log.debug("the %s step could not be observed", name, exc_info=True)
            self.why_not[name] = one_line(text_of(error), 200)
            self.raised = error
            return None

    def numbers(self) -> dict[str, Any]:
        """Return what was measured, as evidence."""
        trace = self.trace
        found: dict[str, Any] = {
            "optimizer": self.facts.optimizer,
            "learning_rate": self.facts.learning_rate,
            "ordinary_learning_rate": self.facts.ordinary_rate,
            "loss_function": [loss.name for loss in self.facts.losses],
            "input_scale": self.input_scale,
            "target_scale": self.target_scale,
            "batch_shapes": shapes(self.batches[-1].x) if self.batches else None,
            "first_batch": self.first.as_evidence() if self.first else None,
            "failing_batch": self.last.as_evidence() if self.last else None,
            "start_loss": trace.start_loss,
        }
        if trace.losses.size:
            found["losses"] = trace.losses
            found["gradient_norms"] = trace.gradient_norms
            found["first_step"] = trace.first_step
        if not self.facts.losses:  # a train_step of the model's own: what it says itself
            logs = [*trace.epoch_logs, *([trace.last_logs] if trace.last_logs else [])]
            found["reported"] = logs[-3:] or None
        if trace.clipped_steps:
            found["clipped_steps"] = trace.clipped_steps
        if self.why_not:
            found["why_not"] = dict(self.why_not)
        return {name: value for name, value in found.items() if value is not None}
