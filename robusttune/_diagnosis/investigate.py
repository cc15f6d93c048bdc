"""Which changes cure the failure: singles first, then pairs; then the cures are ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis.arrays import is_float, largest
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.model.observe import is_recurrent
from robusttune._diagnosis.model.structure import has_noise_of_its_own, regularization
from robusttune._diagnosis.model.weight_init import glorot
from robusttune._diagnosis.reference.loss import PLAIN
from robusttune._diagnosis.replay.intervention import Intervention, ReplayResult
from robusttune._diagnosis.replay.model_changes import takes_noise
from robusttune._diagnosis.replay.runner import SEEDS, ReplayRunner
from robusttune._diagnosis.rules import UNSCALED
from robusttune._diagnosis.verdict import Verdict

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
_LEAST_RATE = 1e-7
# Standardizing is tried where the largest root mean square of a column is out of this range.
_SCALE_LOW, _SCALE_HIGH = 0.02, 3.0
# Targets this small are drowned by the noise of the steps, which are of the size of the weights.
_TINY_TARGETS = 1e-3
# Kernels whose spread is this many times Glorot's, or less than its inverse, are not standard.
_SPREAD = 5.0
# Biases of this mean size saturate a tanh or a sigmoid whatever the inputs are.
_FAR_BIAS = 3.0
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

    rate: ReplayResult | None = None
    data: ReplayResult | None = None
    loss: ReplayResult | None = None
    initialization: ReplayResult | None = None
    float32: ReplayResult | None = None
    pair: ReplayResult | None = None
    clipping: ReplayResult | None = None

    @property
    def singles(self) -> list[ReplayResult]:
        """All cures by one kind of change."""
        found = (self.float32, self.loss, self.initialization, self.data, self.rate)
        return [result for result in found if result is not None]


def find_cures(runner: ReplayRunner) -> Cures:
    """Replay one kind of change after the other, the likeliest first; then pairs."""
    kinds = _kinds(runner)
    found: dict[str, ReplayResult | None] = {}
    for name in _likeliest_first(runner, kinds):
        find = _best_rate if name == "rate" else _first_cure
        found[name] = find(runner, kinds[name])
    cures = Cures(**found)
    return cures if cures.singles else replace(cures, pair=_first_cure(runner, _pairs(kinds)))


def candidates(runner: ReplayRunner) -> list[Intervention]:
    """Return all that may be tried, so that one compiled step can take it."""
    kinds = _kinds(runner)
    return [*(each for changes in kinds.values() for each in changes), *_pairs(kinds)]


def _kinds(runner: ReplayRunner) -> dict[str, list[Intervention]]:
    """Return the changes to try, the mildest first, by the field of `Cures` that they are for."""
    case = runner.case
    return {
        "rate": rate_changes(case),
        "data": data_changes(runner),
        "loss": loss_changes(runner),
        "initialization": initialization_changes(case),
        "float32": [Intervention(float32=True)] if case.half_precision else [],
        "clipping": [Intervention(clip=1.0)] if is_structured(runner) else [],
    }


def _likeliest_first(runner: ReplayRunner, kinds: Mapping[str, list[Intervention]]) -> list[str]:
    """Order the kinds of change: where the work runs out, the likeliest cause was tried."""
    excess = _excess(runner.case)
    scores = {
        "float32": 5.0,
        "loss": 4.0 if runner.seen.pull > _PULL else 1.0,
        "rate": 3.0 if excess > 1 else 1.5,
        "data": 2.5,
        "initialization": 2.0,
        "clipping": 0.0,
    }
    return sorted(kinds, key=lambda name: -scores[name])


def _pairs(kinds: Mapping[str, list[Intervention]]) -> list[Intervention]:
    rates, strongest = kinds["rate"], kinds["data"][-1:]
    loss, initialization = kinds["loss"], kinds["initialization"]
    return [
        *(change | rate for change in strongest for rate in rates),
        *(change | other for change in loss for other in strongest),
        *(change | rate for change in loss for rate in rates),
        *(change | rate for change in initialization for rate in rates),
        *(change | other for change in initialization for other in strongest),
    ]


def _excess(case: Case) -> float:
    """Return the learning rate / the upper end of the ordinary ones; 1 where that is unknown."""
    rate, ordinary = case.facts.learning_rate, case.facts.ordinary_rate
    return rate / ordinary if rate and ordinary else 1.0


def _first_cure(runner: ReplayRunner, changes: list[Intervention]) -> ReplayResult | None:
    for change in changes:
        result = runner.confirmed(runner.run(change))
        if result is not None and result.cured:
            return result
    return None


def _best_rate(runner: ReplayRunner, rates: list[Intervention]) -> ReplayResult | None:
    """Return the mildest lower rate that cures, or the next one where that learns better.

    The mildest one may lie at the edge of stability, where a longer fit falls off again.
    """
    cure = _first_cure(runner, rates)
    if cure is None:
        return None
    following = [change for change in rates if change.rate < cure.intervention.rate][:1]
    lower = _first_cure(runner, following)
    return lower if lower is not None and lower.finals.max() < cure.finals.max() else cure


def rate_changes(case: Case) -> list[Intervention]:
    """Lower learning rates, the mildest first."""
    rate = case.facts.learning_rate or 1.0
    return [Intervention(rate=factor) for factor in RATES if rate * factor >= _LEAST_RATE]


def data_changes(runner: ReplayRunner, *, tiny: bool = False) -> list[Intervention]:
    """Standardizations that mean something for this data, single ones first.

    Args:
        runner: Of the case.
        tiny: Whether targets far below 1 count as unscaled.
    """
    case = runner.case
    entrance = runner.seen.entrance_scale
    inputs = entrance is not None and not _SCALE_LOW <= entrance <= _SCALE_HIGH
    scale = case.target_scale or 0.0
    targets = (
        (scale > _SCALE_HIGH or (tiny and 0.0 < scale < _TINY_TARGETS))
        and case.is_regression
        and all(head.activation in (None, "linear") for head in runner.heads)
        and all(loss.name in PLAIN for loss in case.facts.losses)
    )
    found = []
    if inputs:
        found.append(Intervention(inputs=True))
    if targets:
        found.append(Intervention(targets=True))
    if inputs and targets:
        found.append(Intervention(inputs=True, targets=True))
    return found


def regularization_changes(case: Case) -> list[Intervention]:
    """All that regularizes left out, as far as the model has any of it."""
    model = case.model
    without: dict[str, Any] = {
        name: 0.0 for name in ("dropout", "noise") if takes_noise(model, name)
    }
    names = regularization(model)
    if any(name.endswith("_regularizer") for name in names):
        without["penalty"] = 0.0
    if any(name.endswith("_constraint") for name in names):
        without["constraint"] = 0.0
    if "optimizer.weight_decay" in names:
        without["weight_decay"] = 0.0
    if has_noise_of_its_own(model):
        without["inference"] = True
    return [Intervention(**without)] if without else []


def loss_changes(runner: ReplayRunner) -> list[Intervention]:
    """The plain loss, where the model has another one."""
    losses = runner.case.facts.losses
    if runner.plain_loss is None or not losses:
        return []
    if all(loss.built_in and loss.name in PLAIN for loss in losses):
        return []
    return [Intervention(plain_loss=True)]


def initialization_changes(case: Case) -> list[Intervention]:
    """Standard first weights, where those of the model are not."""
    return [Intervention(initialization=True)] if odd_weights(case) else []


def odd_weights(case: Case) -> dict[str, float]:
    """Return first weights that no standard initializer draws, by variable path.

    Of kernels with a spread far from Glorot's, spread / Glorot's; of biases of hidden layers, which
    start at 0 or near it, their mean size where that saturates what comes after.
    """
    weights = case.initial_weights
    if weights is None:
        return {}
    trainable = {id(v) for v in case.model.trainable_variables}
    pairs = zip(case.model.weights, weights, strict=True)
    trained = [(v, w.astype(np.float64)) for v, w in pairs if id(v) in trainable and is_float(w)]
    found = {}
    for variable, weight in trained:
        if weight.ndim < 2 or weight.size < _ENOUGH or variable.name == "embeddings":
            continue
        spread = float(np.std(weight)) / glorot(weight.shape)
        if not 1 / _SPREAD <= spread <= _SPREAD:
            found[str(variable.path)] = spread
    biases = [(v, w) for v, w in trained if v.name == "bias"]
    for variable, weight in biases[: -max(len(case.facts.losses), 1)]:
        if np.abs(weight).mean() > _FAR_BIAS:
            found[str(variable.path)] = float(np.abs(weight).mean())
    return found


def verdict_of(runner: ReplayRunner, cures: Cures) -> Verdict | None:
    """Rank the cures; None where nothing cures."""
    case = runner.case
    if cures.pair is not None:
        return _pair_verdict(case, cures.pair)
    if not cures.singles:
        return _without_cure(runner, cures)
    order = _ranked(runner, cures)
    sure = len(order) == 1 and not runner.from_last
    grounds = Grounds.CURE if sure else Grounds.CURES
    best = order[0]
    cause = best.intervention.causes[0]
    if cause is FailureCause.DIVERGENT_LEARNING_RATE and blows_up_by_itself(runner, cures):
        cause, grounds = FailureCause.EXPLODING_GRADIENTS, Grounds.SIGNS
    causes = [cause, *(cause for result in order for cause in result.intervention.causes)]
    others = tuple(dict.fromkeys(other for other in causes[1:] if other is not cause))
    return Verdict(
        cause=cause,
        other_causes=others,
        grounds=grounds,
        advice=advice(case, cause, best),
        fix_verified=verified(case, best),
        evidence={"fix": fix_of(case, best.intervention)},
    )


def _ranked(runner: ReplayRunner, cures: Cures) -> list[ReplayResult]:
    """Order the cures by how likely each is the cause.

    Where standardized inputs cure at the very same rate, the data are to blame, since that rate is
    stable on data of ordinary curvature, unless it is wild. Targets that were not scaled, and a
    rate, are weighed by whether the rate is ordinary for its optimizer.
    """
    excess = _excess(runner.case)
    scores: dict[str, float] = {}
    if cures.float32 is not None:
        scores["float32"] = 5.0
    if cures.loss is not None:
        scores["loss"] = 4.0 if runner.seen.pull > _PULL else 1.0
    if cures.initialization is not None:
        scores["initialization"] = 3.0
    if cures.data is not None:
        inputs = cures.data.intervention.inputs and excess <= _WILD
        scores["data"] = 3.0 if inputs else 2.0
    if cures.rate is not None:
        scores["rate"] = 2.5 if excess > 1 else 1.5
    order = sorted(scores, key=lambda name: -scores[name])
    return [getattr(cures, name) for name in order]


def blows_up_by_itself(runner: ReplayRunner, cures: Cures) -> bool:
    """Whether an ordinary rate on ordinary data blows up in a recurrent or very deep stack."""
    case = runner.case
    rate, ordinary = case.facts.learning_rate, case.facts.ordinary_rate
    if rate is None or ordinary is None or rate > ordinary or cures.data is not None:
        return False
    return is_structured(runner)


def _without_cure(runner: ReplayRunner, cures: Cures) -> Verdict | None:
    """Return what the first step shows where at most clipping helps; None for nothing."""
    seen = runner.case.first
    if seen is None or (seen.entrance_scale or 0.0) > UNSCALED:
        return None
    huge = largest(seen.predictions) > _HUGE * max(1.0, largest(runner.case.columns("y")))
    structure = is_structured(runner)
    steep = (seen.gradient_norm or 0.0) > _STEEP
    clipped = cures.clipping is not None or _tamed(runner)
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


def _tamed(runner: ReplayRunner) -> bool:
    """Whether clipped gradients learn, at an ordinary rate, where the fit as it was blew up.

    Too few steps may be affordable to get below the best constant prediction.
    """
    rate, ordinary = runner.case.facts.learning_rate, runner.case.facts.ordinary_rate
    if rate is None or ordinary is None or rate > ordinary or not is_structured(runner):
        return False
    unchanged, clipped = runner.run(Intervention()), runner.run(Intervention(clip=1.0))
    if unchanged is None or clipped is None or unchanged.finite or not clipped.finite:
        return False
    return bool(clipped.finals[0] < _TAMED * clipped.losses[0, 0])


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


def is_structured(runner: ReplayRunner) -> bool:
    """Whether the model is recurrent or very deep, so that gradients multiply up."""
    layers = runner.seen.layers
    deep = sum(layer.trainable for layer in layers) >= _DEEP
    return deep or any(is_recurrent(layer) for layer in layers)


def _pair_verdict(case: Case, result: ReplayResult) -> Verdict:
    causes = result.intervention.causes
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
        advice=advice(case, causes[0], result),
        fix_verified=verified(case, result),
        evidence={"fix": fix_of(case, result.intervention)},
    )


def verified(case: Case, result: ReplayResult) -> bool | None:
    """Return True for a cure on all seeds within the trial's own length; None for any other cure.

    A fit of a few steps may be too short for a change that needs hundreds.
    """
    if len(result.losses) < SEEDS:
        return None
    epochs, steps = case.trace.epochs, case.trace.steps_per_epoch
    return True if not epochs or not steps or result.cured_within(epochs * steps) else None


def fix_of(case: Case, change: Intervention) -> dict[str, Any]:
    """Return the change as values: what to set and what to do."""
    rate = case.facts.learning_rate
    fix: dict[str, Any] = {"change": str(change)}
    if change.held_rate is not None:
        fix["learning_rate"] = float(f"{change.held_rate * change.rate:.3g}")
    elif change.rate != 1 and rate:
        fix["learning_rate"] = float(f"{rate * change.rate:.3g}")
    for name in ("inputs", "targets", "plain_loss", "initialization", "float32", "activation"):
        if getattr(change, name):
            fix[name] = getattr(change, name)
    return fix


def advice(case: Case, cause: FailureCause, result: ReplayResult) -> str:
    """Return one line with the values that fail and those that were seen to train."""
    change, rate = result.intervention, case.facts.learning_rate or 0.0
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
    left_out = [name for name in ("dropout", "noise") if getattr(change, name) < 1]
    left_out += ["noise of any layer"] * change.inference
    left_out += ["penalties on the weights"] * (change.penalty < 1)
    left_out += ["constraint on the weights"] * (change.constraint < 1)
    left_out += ["weight decay"] * (change.weight_decay < 1)
    if left_out:
        done.append(f"no {' and no '.join(left_out)}")
    if change.held_rate is not None:
        done.append(f"a learning rate of {change.held_rate * change.rate:.3g} throughout")
    elif change.rate != 1:
        done.append(f"learning rate {rate * change.rate:.3g}")
    quiet = case.symptom is Symptom.STALLED
    fails = f"learning rate {rate:.3g} " + ("learns nothing" if quiet else "diverges")
    if change.rate == 1:
        fails = "the trial learns nothing as it is" if quiet else "the trial fails as it is"
    if change.held_rate is not None:
        fails = f"the learning rate falls to {rate:.3g} before anything is learned"
    steps, seeds = result.losses.shape[1], result.losses.shape[0]
    text = (
        f"{fails[0].upper()}{fails[1:]}; the same trial learns with {' and '.join(done)}"
        f" ({steps} steps, {seeds} seeds)."
    )
    return text if cause is not FailureCause.EXPLODING_GRADIENTS else f"{text} {cause.advice}"
