"""Which changes cure the failure: singles first, then pairs; then the cures are ranked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robusttune.causes import FailureCause, Symptom
from robusttune.diagnosis.arrays import largest
from robusttune.diagnosis.battery import SEEDS, Battery
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.changes import Change, Outcome
from robusttune.diagnosis.confidence import Grounds
from robusttune.diagnosis.kernels import glorot
from robusttune.diagnosis.observe import is_recurrent
from robusttune.diagnosis.plain import PLAIN
from robusttune.diagnosis.rules import UNSCALED
from robusttune.diagnosis.verdict import Verdict

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
_LEAST_RATE = 1e-7
# Standardizing is tried where the largest root mean square of a column is out of this range.
_SCALE_LOW, _SCALE_HIGH = 0.02, 3.0
# Kernels whose spread is this many times Glorot's, or less than its inverse, are not standard.
_SPREAD = 5.0
# The spread of fewer weights says nothing.
_ENOUGH = 16
# From here on a stack counts as very deep.
_DEEP = 10
# A rate this many times the upper end of the ordinary ones is wild.
_WILD = 10.0
# One row in a batch whose pull on the predictions is this many times the median row's.
_PULL = 1e3
# Clipping tames a fit that then ends below this share of its start.
_TAMED = 0.5
# First predictions this many times the targets, and first gradient norms this large, are no start.
_HUGE = 100.0
_STEEP = 100.0


@dataclass(frozen=True, slots=True)
class Cures:
    """The confirmed cures of a case, the mildest of each kind; None where that kind does not cure.

    Args:
        rate: A lower learning rate alone.
        data: Standardized inputs, targets or both.
        loss: The plain loss.
        initialization: Standard kernels.
        float32: Single precision.
        pair: The mildest cure of two kinds together; looked for only where no single one cures.
        clipping: Clipped gradients, in recurrent and very deep stacks: a probe, never a cause.
    """

    rate: Outcome | None = None
    data: Outcome | None = None
    loss: Outcome | None = None
    initialization: Outcome | None = None
    float32: Outcome | None = None
    pair: Outcome | None = None
    clipping: Outcome | None = None

    @property
    def singles(self) -> list[Outcome]:
        """All cures by one kind of change."""
        found = (self.float32, self.loss, self.initialization, self.data, self.rate)
        return [outcome for outcome in found if outcome is not None]


def find_cures(battery: Battery) -> Cures:
    """Replay one kind of change after the other, then pairs."""
    case = battery.case
    rates = rate_changes(case)
    data = data_changes(battery)
    loss = loss_changes(battery)
    initialization = initialization_changes(case)
    float32 = [Change(float32=True)] if case.half_precision else []
    cures = Cures(
        rate=_best_rate(battery, rates),
        data=_first_cure(battery, data),
        loss=_first_cure(battery, loss),
        initialization=_first_cure(battery, initialization),
        float32=_first_cure(battery, float32),
        clipping=_first_cure(battery, [Change(clip=1.0)] if is_structured(battery) else []),
    )
    if cures.singles:
        return cures
    strongest = data[-1:]
    pairs = [
        *(_both(change, rate) for change in strongest for rate in rates),
        *(_both(change, other) for change in loss for other in strongest),
        *(_both(change, rate) for change in loss for rate in rates),
        *(_both(change, rate) for change in initialization for rate in rates),
        *(_both(change, other) for change in initialization for other in strongest),
    ]
    return replace(cures, pair=_first_cure(battery, pairs))


def _first_cure(battery: Battery, changes: list[Change]) -> Outcome | None:
    for change in changes:
        outcome = battery.confirmed(battery.outcome(change))
        if outcome is not None and outcome.cured:
            return outcome
    return None


def _best_rate(battery: Battery, rates: list[Change]) -> Outcome | None:
    """Return the mildest lower rate that cures, or the next one where that learns better.

    The mildest one may lie at the edge of stability, where a longer fit falls off again.
    """
    cure = _first_cure(battery, rates)
    if cure is None:
        return None
    following = [change for change in rates if change.rate < cure.change.rate][:1]
    lower = _first_cure(battery, following)
    return lower if lower is not None and lower.finals.max() < cure.finals.max() else cure


def _both(one: Change, other: Change) -> Change:
    return Change(
        rate=one.rate * other.rate,
        inputs=one.inputs or other.inputs,
        targets=one.targets or other.targets,
        plain_loss=one.plain_loss or other.plain_loss,
        initialization=one.initialization or other.initialization,
    )


def rate_changes(case: Case) -> list[Change]:
    """Lower learning rates, the mildest first."""
    rate = case.facts.learning_rate or 1.0
    return [Change(rate=factor) for factor in RATES if rate * factor >= _LEAST_RATE]


def data_changes(battery: Battery) -> list[Change]:
    """Standardizations that mean something for this data, single ones first."""
    case = battery.case
    entrance = battery.seen.entrance_scale
    inputs = entrance is not None and not _SCALE_LOW <= entrance <= _SCALE_HIGH
    scale = case.target_scale or 0.0
    targets = (
        scale > _SCALE_HIGH
        and case.is_regression
        and all(head.activation in (None, "linear") for head in battery.heads)
        and all(loss.name in PLAIN for loss in case.facts.losses)
    )
    found = []
    if inputs:
        found.append(Change(inputs=True))
    if targets:
        found.append(Change(targets=True))
    if inputs and targets:
        found.append(Change(inputs=True, targets=True))
    return found


def loss_changes(battery: Battery) -> list[Change]:
    """The plain loss, where the model has another one."""
    losses = battery.case.facts.losses
    if battery.plain_loss is None or not losses:
        return []
    if all(loss.built_in and loss.name in PLAIN for loss in losses):
        return []
    return [Change(plain_loss=True)]


def initialization_changes(case: Case) -> list[Change]:
    """Standard kernels, where those of the model are not."""
    return [Change(initialization=True)] if odd_kernels(case) else []


def odd_kernels(case: Case) -> dict[str, float]:
    """Return the kernels with a spread far from Glorot's: spread / Glorot's by variable path."""
    weights = case.initial_weights
    if weights is None:
        return {}
    trainable = {id(v) for v in case.model.trainable_variables}
    found = {}
    for variable, weight in zip(case.model.weights, weights, strict=True):
        if id(variable) not in trainable or weight.ndim < 2 or weight.size < _ENOUGH:
            continue
        if variable.name == "embeddings":
            continue
        spread = float(np.std(weight.astype(np.float64))) / glorot(weight.shape)
        if not 1 / _SPREAD <= spread <= _SPREAD:
            found[str(variable.path)] = spread
    return found


def verdict_of(battery: Battery, cures: Cures) -> Verdict | None:
    """Rank the cures; None where nothing cures."""
    case = battery.case
    if cures.pair is not None:
        return _pair_verdict(case, cures.pair)
    if not cures.singles:
        return _without_cure(battery, cures)
    order = _ranked(battery, cures)
    sure = len(order) == 1 and not battery.from_last
    grounds = Grounds.CURE if sure else Grounds.CURES
    best = order[0]
    cause = best.change.causes[0]
    if cause is FailureCause.DIVERGENT_LEARNING_RATE and blows_up_by_itself(battery, cures):
        cause, grounds = FailureCause.EXPLODING_GRADIENTS, Grounds.SIGNS
    causes = [cause, *(cause for outcome in order for cause in outcome.change.causes)]
    others = tuple(dict.fromkeys(other for other in causes[1:] if other is not cause))
    return Verdict(
        cause=cause,
        other_causes=others,
        grounds=grounds,
        advice=advice(case, cause, best),
        fix_verified=verified(case, best),
        evidence={"fix": fix_of(case, best.change)},
    )


def _ranked(battery: Battery, cures: Cures) -> list[Outcome]:
    """Order the cures by how likely each is the cause.

    Where standardized inputs cure at the very same rate, the data are to blame, since that rate is
    stable on data of ordinary curvature, unless it is wild. Targets that were not scaled, and a
    rate, are weighed by whether the rate is ordinary for its optimizer.
    """
    case = battery.case
    rate, ordinary = case.facts.learning_rate, case.facts.ordinary_rate
    excess = rate / ordinary if rate and ordinary else 1.0
    scores: dict[str, float] = {}
    if cures.float32 is not None:
        scores["float32"] = 5.0
    if cures.loss is not None:
        scores["loss"] = 4.0 if battery.seen.pull > _PULL else 1.0
    if cures.initialization is not None:
        scores["initialization"] = 3.0
    if cures.data is not None:
        inputs = cures.data.change.inputs and excess <= _WILD
        scores["data"] = 3.0 if inputs else 2.0
    if cures.rate is not None:
        scores["rate"] = 2.5 if excess > 1 else 1.5
    order = sorted(scores, key=lambda name: -scores[name])
    return [getattr(cures, name) for name in order]


def blows_up_by_itself(battery: Battery, cures: Cures) -> bool:
    """Whether an ordinary rate on ordinary data blows up in a recurrent or very deep stack."""
    case = battery.case
    rate, ordinary = case.facts.learning_rate, case.facts.ordinary_rate
    if rate is None or ordinary is None or rate > ordinary or cures.data is not None:
        return False
    return is_structured(battery)


def _without_cure(battery: Battery, cures: Cures) -> Verdict | None:
    """Return what the first step shows where at most clipping helps; None for nothing."""
    seen = battery.case.first
    if seen is None or (seen.entrance_scale or 0.0) > UNSCALED:
        return None
    huge = largest(seen.predictions) > _HUGE * max(1.0, largest(battery.case.columns("y")))
    structure = is_structured(battery)
    steep = (seen.gradient_norm or 0.0) > _STEEP
    clipped = cures.clipping is not None or _tamed(battery)
    if not huge and not (structure and (steep or clipped)):
        return None
    causes = [FailureCause.BAD_INITIALIZATION] if huge else []
    if structure:
        causes.insert(0, FailureCause.EXPLODING_GRADIENTS)
    return Verdict(
        cause=causes[0],
        other_causes=tuple(causes[1:]),
        grounds=Grounds.SIGNS,
        advice=f"The first predictions reach {largest(seen.predictions):.3g} and the first gradient"
        f" norm {seen.gradient_norm or 0.0:.3g} on ordinary data: {_lowered(causes[0].advice)}",
    )


def _tamed(battery: Battery) -> bool:
    """Whether clipped gradients learn, at an ordinary rate, where the fit as it was blew up.

    Too few steps may be affordable to get below the best constant prediction.
    """
    rate, ordinary = battery.case.facts.learning_rate, battery.case.facts.ordinary_rate
    if rate is None or ordinary is None or rate > ordinary or not is_structured(battery):
        return False
    unchanged, clipped = battery.outcome(Change()), battery.outcome(Change(clip=1.0))
    if unchanged is None or clipped is None or unchanged.finite or not clipped.finite:
        return False
    return bool(clipped.finals[0] < _TAMED * clipped.losses[0, 0])


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


def is_structured(battery: Battery) -> bool:
    """Whether the model is recurrent or very deep, so that gradients multiply up."""
    layers = battery.seen.layers
    deep = sum(layer.trainable for layer in layers) >= _DEEP
    return deep or any(is_recurrent(layer) for layer in layers)


def _pair_verdict(case: Case, outcome: Outcome) -> Verdict:
    causes = outcome.change.causes
    rate, ordinary = case.facts.learning_rate, case.facts.ordinary_rate
    if rate and ordinary and rate > ordinary:
        causes = tuple(
            sorted(causes, key=lambda cause: cause is not FailureCause.DIVERGENT_LEARNING_RATE)
        )
    else:
        causes = tuple(
            sorted(causes, key=lambda cause: cause is FailureCause.DIVERGENT_LEARNING_RATE)
        )
    return Verdict(
        cause=causes[0],
        other_causes=causes[1:],
        grounds=Grounds.CURES,
        advice=advice(case, causes[0], outcome),
        fix_verified=verified(case, outcome),
        evidence={"fix": fix_of(case, outcome.change)},
    )


def verified(case: Case, outcome: Outcome) -> bool | None:
    """Return True for a cure on all seeds within the trial's own length; None for any other cure.

    A fit of a few steps may be too short for a change that needs hundreds.
    """
    if len(outcome.losses) < SEEDS:
        return None
    epochs, steps = case.trace.epochs, case.trace.steps_per_epoch
    return True if not epochs or not steps or outcome.cured_within(epochs * steps) else None


def fix_of(case: Case, change: Change) -> dict[str, Any]:
    """Return the change as values: what to set and what to do."""
    rate = case.facts.learning_rate
    fix: dict[str, Any] = {"change": str(change)}
    if change.rate != 1 and rate:
        fix["learning_rate"] = float(f"{rate * change.rate:.3g}")
    for name in ("inputs", "targets", "plain_loss", "initialization", "float32", "activation"):
        if getattr(change, name):
            fix[name] = getattr(change, name)
    return fix


def advice(case: Case, cause: FailureCause, outcome: Outcome) -> str:
    """Return one line with the values that fail and those that were seen to train."""
    change, rate = outcome.change, case.facts.learning_rate or 0.0
    done = []
    if change.inputs:
        scale = case.input_scale or 0.0
        done.append(f"standardized inputs (their root mean square is {scale:.3g})")
    if change.targets:
        scale = case.target_scale or 0.0
        done.append(f"standardized targets (their root mean square is {scale:.3g})")
    if change.plain_loss:
        done.append("the plain loss of its head")
    if change.initialization:
        done.append("standard initialization (glorot or he)")
    if change.float32:
        done.append("float32")
    if change.activation:
        done.append(f"{change.activation} in the hidden layers")
    if change.rate != 1:
        done.append(f"learning rate {rate * change.rate:.3g}")
    quiet = case.symptom is Symptom.STALLED
    fails = f"learning rate {rate:.3g} " + ("learns nothing" if quiet else "diverges")
    if change.rate == 1:
        fails = "the trial learns nothing as it is" if quiet else "the trial fails as it is"
    steps, seeds = outcome.losses.shape[1], outcome.losses.shape[0]
    text = (
        f"{fails[0].upper()}{fails[1:]}; the same trial learns with {' and '.join(done)}"
        f" ({steps} steps, {seeds} seeds)."
    )
    return text if cause is not FailureCause.EXPLODING_GRADIENTS else f"{text} {cause.advice}"
