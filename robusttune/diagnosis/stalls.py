"""Why a fit learned nothing: which change makes the same trial learn, and what its layers show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from robusttune.causes import FailureCause
from robusttune.diagnosis import rules
from robusttune.diagnosis.arrays import Array, map_leaves
from robusttune.diagnosis.case import Case
from robusttune.diagnosis.confidence import Grounds
from robusttune.diagnosis.end_state import epoch_losses, more_epochs
from robusttune.diagnosis.investigate import (
    advice,
    data_changes,
    fix_of,
    initialization_changes,
    loss_changes,
    odd_weights,
    rate_changes,
    regularization_changes,
    verified,
)
from robusttune.diagnosis.limits import NARROW, linear_optimum
from robusttune.diagnosis.observe import Observation, is_hidden_activation
from robusttune.diagnosis.reference_net import FEW_ROWS, learnable, rows_of
from robusttune.diagnosis.replay.intervention import Intervention, ReplayResult, limit
from robusttune.diagnosis.replay.runner import MARGIN, ReplayRunner
from robusttune.diagnosis.structure import regularization
from robusttune.diagnosis.trace import Batch
from robusttune.diagnosis.verdict import Verdict

_SATURATING = frozenset({"sigmoid", "tanh", "hard_sigmoid", "softsign", "hard_tanh", "softmax"})
_RELUS = frozenset({"relu", "relu6"})
# Share of the units of a layer that never fire on a batch, from which it counts as dead
# (AUTOTRAINER, ICSE'21, and DeepDiagnosis, ICSE'22, start at 0.7; one layer must be nearly dead
# for a whole net to stall).
_DEAD = 0.9
# Gradient norm of the first trainable layer / the last (UMLAUT and DeepDiagnosis use 1e-3..1e-4).
_VANISHING = 1e-3
_MANY = 3
# A whole layer that never fires, and gradients this small, leave nothing to be proven by a replay.
_ALL_DEAD = 0.999
_GONE = 1e-5
# A replay whose last quarter gains this share on the one before is still learning.
_GAINS = 0.02
# A rate this many times below the upper end of ordinary ones is unusually low; a higher one that
# ends below this share of the constant prediction's loss learns clearly.
_UNUSUAL = 100.0
_CLEARLY = 0.5
# How many causes are looked for: the first, and the ones that rival it.
_CURES = 2
# So many pairs of changes are tried where no single one ends a stall.
_MOST_PAIRS = 6
# So many saturating layers, one after the other, are too many for any rate.
_VERY_DEEP = 10
# Of a sequence, the first steps that are looked at for what the gradient does not reach.
_EARLY = 0.5
# A fit that is short of steps alone gets so many times its own, up to so many in all.
_LONGER, _MOST_STEPS = 30, 6000
# And a narrow one so many times its own, and so many at least, before its width is to blame.
_MUCH_LONGER, _ENOUGH_STEPS = 10, 1000


@dataclass(frozen=True, slots=True)
class Signs:
    """What the layers show.

    Args:
        dead_share: Largest share of dead units of a hidden relu layer after the fit, 0..1.
        dead_at_start: The same before the fit.
        gradient_ratio: Gradient norm of the first trainable layer / the last, before the fit.
        hidden_layers: Hidden layers with an activation.
        early_gradient: Of a recurrent net, size of the gradient at the first time steps / the
            largest, before the fit; None for other nets.
        linear: Whether there are hidden layers and none of them is non-linear.
        saturating: Whether most hidden activations saturate on both sides.
        odd_weights: Whether first weights are none that a standard initializer draws.
        widths: Units of the hidden layers that have weights.
        regularization: What may regularize too strongly, by name (`structure.regularization`).
    """

    dead_share: float
    dead_at_start: float
    gradient_ratio: float
    early_gradient: float | None
    hidden_layers: int
    linear: bool
    saturating: bool
    odd_weights: bool
    widths: tuple[int, ...] = ()
    regularization: Mapping[str, float] = field(default_factory=dict)

    @property
    def vanishing(self) -> bool:
        """Whether gradients die on their way through saturating layers."""
        deep = self.hidden_layers >= _MANY or self.gradient_ratio < _VANISHING
        return self.saturating and deep

    @property
    def any(self) -> bool:
        """Whether anything is wrong with the structure."""
        dead = self.dead_share >= _DEAD
        return dead or self.linear or self.vanishing or self.odd_weights


def signs(case: Case) -> Signs:
    """Read the signs off the observations of the first and the last step."""
    seen = case.first or case.last
    assert seen is not None
    hidden = [view for view in seen.layers if is_hidden_activation(view, seen)]
    names = [view.activation for view in hidden]
    norms = [view.gradient_norm for view in seen.layers if view.gradient_norm is not None]
    linear = {view.name for view in hidden}
    other = any(
        view.kind.startswith(_NONLINEAR) and view.name not in linear
        for view in seen.layers
        if not view.kind.endswith("Cell")  # its layer was seen
    )
    return Signs(
        dead_share=0.0 if case.last is None else _dead_share(case.last),
        dead_at_start=0.0 if case.first is None else _dead_share(case.first),
        gradient_ratio=norms[0] / norms[-1] if len(norms) > 1 and norms[-1] > 0 else 1.0,
        early_gradient=seen.early_gradient,
        hidden_layers=len(hidden),
        linear=bool(hidden) and all(name == "linear" for name in names) and not other,
        saturating=bool(names) and sum(name in _SATURATING for name in names) > len(names) / 2,
        odd_weights=bool(odd_weights(case)),
        widths=_widths(seen),
        regularization=regularization(case.model, strong=True),
    )


def _widths(seen: Observation) -> tuple[int, ...]:
    """Return the units of the layers with weights, but for the last, which is the head."""
    trained = [view.output.shape[-1] for view in seen.layers if view.trainable]
    return tuple(trained[: -max(len(seen.heads), 1)])


_NONLINEAR = (
    *("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "MultiHead", "Attention", "Max"),
    "Lambda",  # which may be anything
)


def _dead_share(seen: Observation) -> float:
    shares = [0.0]
    for view in seen.layers:
        if view.activation in _RELUS and is_hidden_activation(view, seen) and view.output.ndim > 1:
            output = view.output.reshape(-1, view.output.shape[-1])
            shares.append(float(np.mean(~(output > 0).any(axis=0))))
    return max(shares)


def find_stall(
    runner: ReplayRunner, *, steps: int, only: FailureCause | None = None
) -> Verdict | None:
    """Return the cause of a stall, from the change that ends it; None where none does.

    Args:
        runner: Replays of the case.
        steps: Steps within which a change has to end it.
        only: The one cause to look for; None: any.
    """
    case = runner.case
    found = signs(case)
    suspects = _suspects(runner, found)
    if only is not None:
        suspects = [each for each in suspects if each[0] is only]
    cures: list[tuple[FailureCause, ReplayResult]] = []
    for cause, changes in suspects:
        for change in changes:
            result = runner.confirmed(runner.run(change, steps=steps))
            if result is not None and result.cured and _believed(cause, runner, result):
                cures.append((cause, result))
                break
        if len(cures) == _CURES:
            break
    evidence = {
        "dead_share": found.dead_share,
        "dead_share_at_start": found.dead_at_start,
        "gradient_ratio_first_to_last_layer": found.gradient_ratio,
        **({"regularization": dict(found.regularization)} if found.regularization else {}),
    }
    if not cures and only is not None:
        return None
    if not cures and (pair := _pair_verdict(runner, suspects, steps)) is not None:
        return replace(pair, evidence={**evidence, **pair.evidence})
    if not cures:
        verdict = _by_signs(runner, found)
        found_so_far = evidence if verdict is None else {**evidence, **verdict.evidence}
        return None if verdict is None else replace(verdict, evidence=found_so_far)
    cause, result = cures[0]
    mismatch = rules.mismatch(case) if cause is FailureCause.LABEL_MISMATCH else None
    others = tuple(dict.fromkeys(other for other, _ in cures[1:] if other is not cause))
    if found.dead_share >= _DEAD and FailureCause.DEAD_RELU not in (cause, *others):
        others = (FailureCause.DEAD_RELU, *others)
    return Verdict(
        cause=cause,
        other_causes=others,
        grounds=Grounds.STALL_CURE if len(cures) == 1 else Grounds.STALL_CURES,
        advice=mismatch.advice if mismatch is not None else _advice(case, cause, result),
        fix_verified=verified(case, result),
        evidence={**evidence, "fix": fix_of(case, result.intervention)},
    )


def _pair_verdict(
    runner: ReplayRunner, suspects: Sequence[tuple[FailureCause, list[Intervention]]], steps: int
) -> Verdict | None:
    """Return the verdict of two changes that end a stall together; None where no two do."""
    case = runner.case
    for causes, change in _pairs(case, suspects):
        result = runner.confirmed(runner.run(change, steps=steps))
        if result is None or not result.cured:
            continue
        if not all(_believed(cause, runner, result) for cause in causes):
            continue
        return Verdict(
            cause=causes[0],
            other_causes=causes[1:],
            grounds=Grounds.STALL_CURES,
            advice=advice(case, causes[0], result),
            fix_verified=verified(case, result),
            evidence={"fix": fix_of(case, result.intervention)},
        )
    return None


def _pairs(
    case: Case, suspects: Sequence[tuple[FailureCause, list[Intervention]]]
) -> list[tuple[tuple[FailureCause, FailureCause], Intervention]]:
    """Return pairs of changes of two kinds with their causes, the likelier cause first.

    A rate far from the default is brought there; of each other kind, the strongest change is taken.
    """
    rate, default = case.facts.learning_rate or 0.0, (case.facts.ordinary_rate or 0.0) / 10
    too_low, too_high = FailureCause.LEARNING_RATE_TOO_LOW, FailureCause.DIVERGENT_LEARNING_RATE
    others = [
        (cause, changes[-1])
        for cause, changes in suspects
        if changes and cause not in (too_low, too_high)
    ]
    found = []
    if rate > 0 and default > 0 and not default / _UNUSUAL**0.5 <= rate <= default * 10:
        kind = too_low if rate < default else too_high
        to_default = Intervention(rate=10.0 ** round(np.log10(default / rate)))
        found += [((kind, cause), to_default | change) for cause, change in others]
    data = [change for cause, change in others if cause is FailureCause.UNSCALED_DATA]
    found += [
        ((cause, FailureCause.UNSCALED_DATA), change | both)
        for both in data
        for cause, change in others
        if cause is not FailureCause.UNSCALED_DATA
    ]
    return found[:_MOST_PAIRS]


def _advice(case: Case, cause: FailureCause, result: ReplayResult) -> str:
    """Return the advice for a cure; of a higher rate for a linear stack, how far it leads."""
    told = advice(case, cause, result)
    best = linear_optimum(case) if cause is FailureCause.LEARNING_RATE_TOO_LOW else None
    if best is None:
        return told
    return (
        f"{told} Whatever the rate, it ends at {best.best:.3g} at best, as {best.method} does:"
        " without an activation the hidden layers are linear."
    )


def has_unusual_rate(case: Case) -> bool:
    """Whether the learning rate is far below those that its optimizer is ordinarily used with."""
    rate, ordinary = case.facts.learning_rate or 0.0, case.facts.ordinary_rate or 0.0
    return 0 < rate < ordinary / _UNUSUAL


def _believed(cause: FailureCause, runner: ReplayRunner, result: ReplayResult) -> bool:
    """Whether a cure is enough to believe in its cause.

    A rate that is ordinary is too low only where a higher one learns clearly, and the fit was not
    on its way: a little is learned by any fit that goes on for longer. Rows that were learned by
    heart, with none held out, show that only where there is something to learn.
    """
    case = runner.case
    if cause is not FailureCause.LEARNING_RATE_TOO_LOW or result.baseline is None:
        return True
    if not runner.split[1]:
        rows = rows_of(runner.split[0])
        if rows is not None and len(rows.x) >= FEW_ROWS and not learnable(*runner.split):
            return False
    if has_unusual_rate(case):
        return True
    curve = epoch_losses(case)
    short = len(curve) < 2 or more_epochs(curve, limit(result.baseline, MARGIN)) <= len(curve)
    fitted = case.trace.losses.size > 0
    return not (fitted and short) and bool((result.finals < limit(result.baseline, _CLEARLY)).all())


def still_learns(runner: ReplayRunner) -> bool:
    """Whether the replay without any change gains to its end: the fit was only short."""
    unchanged = runner.unchanged()
    if unchanged is None:
        return False
    losses = unchanged.losses[0]
    quarter = max(len(losses) // 4, 1)
    before, end = losses[-2 * quarter : -quarter].mean(), losses[-quarter:].mean()
    return bool(before - end > _GAINS * abs(before))


def candidates(runner: ReplayRunner) -> list[Intervention]:
    """Return all that may be tried, so that one compiled step can take it."""
    return [each for _, changes in _suspects(runner, signs(runner.case)) for each in changes]


def _suspects(runner: ReplayRunner, found: Signs) -> list[tuple[FailureCause, list[Intervention]]]:
    """Return what may be the cause, the likeliest first, with the changes that would show it."""
    case = runner.case
    rate = case.facts.learning_rate or 0.0
    ordinary = case.facts.ordinary_rate or rate
    default = ordinary / 10
    down = (FailureCause.DIVERGENT_LEARNING_RATE, rate_changes(case))
    up = (
        FailureCause.LEARNING_RATE_TOO_LOW,
        [Intervention(rate=10.0**k) for k in range(1, 10) if rate * 10.0**k <= 2 * ordinary],
    )
    data = (FailureCause.UNSCALED_DATA, data_changes(runner))
    initialization = (FailureCause.BAD_INITIALIZATION, initialization_changes(case))
    loss = (FailureCause.UNSAFE_LOSS, loss_changes(runner))
    weaker = (FailureCause.OVER_REGULARIZED, regularization_changes(case))
    order = [initialization]
    if found.regularization:
        order.insert(0, weaker)
    if rules.mismatch(case) is not None and runner.plain_loss is not None:
        order.insert(0, (FailureCause.LABEL_MISMATCH, [Intervention(plain_loss=True)]))
    if rate > ordinary:
        order.append(down)
    if rate < default / 10:
        order.append(up)
    if found.linear:
        relu = [
            Intervention(activation="relu"),
            Intervention(activation="relu", initialization=True),
        ]
        order.append((FailureCause.NO_NONLINEARITY, relu))
    order.append(data)
    if found.vanishing:
        relu = [
            Intervention(activation="relu"),
            Intervention(activation="relu", initialization=True),
        ]
        order.append((FailureCause.VANISHING_GRADIENTS, relu))
    if found.dead_share >= _DEAD:
        leaky = [Intervention(activation="leaky_relu")]
        leaky.append(Intervention(activation="leaky_relu", initialization=True))
        order.append((FailureCause.DEAD_RELU, leaky))
    order.append(loss)
    if rate >= default / 10:
        order.append(up)
    if default / 10 <= rate <= ordinary:
        order.append((down[0], down[1][:2]))
    if not found.regularization:
        order.append(weaker)
    return order


def _by_signs(runner: ReplayRunner, found: Signs) -> Verdict | None:
    """Return what the layers and the data show, where no change was enough."""
    return (
        _extreme(found)
        or _doubtful(runner)
        or _too_few_steps(runner, found)
        or _unreachable(runner, found)
        or _capacity(runner, found)
    )


def _too_few_steps(runner: ReplayRunner, found: Signs) -> Verdict | None:
    """Return a rate too low for so few steps, where the same trial learns in many more of them.

    Told of few rows alone, which all are to be learned: longer fits of more learn noise by heart.
    """
    case = runner.case
    rows = rows_of(runner.split[0])
    if rows is None or len(rows.x) >= FEW_ROWS or found.linear:
        return None
    own = case.trace.first_step + len(case.trace.losses)
    longest = runner.affordable(min(_LONGER * own, _MOST_STEPS))
    rate, ordinary = case.facts.learning_rate or 0.0, case.facts.ordinary_rate or 0.0
    factors = [10.0**k for k in range(1, 4) if rate * 10.0**k <= 10 * ordinary]
    wild = [factor for factor in factors if rate * factor > 2 * ordinary]
    tries = [
        *((Intervention(rate=factor), own) for factor in wild),
        *((Intervention(rate=factor), longest) for factor in factors),
        (Intervention(), longest),
    ]
    for change, steps in tries:
        result = runner.run(change, steps=steps)
        if result is None or not result.cured:
            continue
        needed = next((n for n in range(own, steps, own) if result.within(n).cured), steps)
        epochs = max(len(epoch_losses(case)), 1)
        higher = f" at a learning rate of {rate * change.rate:.3g}" if change.rate != 1 else ""
        return Verdict(
            cause=FailureCause.LEARNING_RATE_TOO_LOW,
            grounds=Grounds.SIGNS,
            advice=f"A learning rate of {rate:.3g} is too low for so few steps: {own} in {epochs}"
            f" epochs. The same trial learns{higher} in about {round(needed / own * epochs)}"
            " epochs.",
            evidence={"steps_needed": needed, "fix": fix_of(case, change)},
        )
    return None


def _unreachable(runner: ReplayRunner, found: Signs) -> Verdict | None:
    """Return vanishing gradients where they do not reach what an ordinary net learns from.

    Through very many saturating layers, or back to the first time steps of a sequence.
    """
    train, test = runner.split
    if found.saturating and found.hidden_layers >= _VERY_DEEP and learnable(train, test):
        told = f"{found.hidden_layers} saturating layers one after the other learn nothing"
        fix = "add skip connections or BatchNormalization, use relu, or fewer layers"
    elif (found.early_gradient or 1.0) < _VANISHING and learnable(_early(train), _early(test)):
        told = (
            f"the gradient at the first time steps is {found.early_gradient:.1g} of the largest,"
            " and what is to be learned is there"
        )
        fix = "shorten or reverse the sequences, attend to all steps, or pool over time"
    else:
        return None
    return Verdict(
        cause=FailureCause.VANISHING_GRADIENTS,
        grounds=Grounds.SIGNS,
        advice=f"{told[0].upper()}{told[1:]}, where an ordinary net learns from the same batches:"
        f" {fix}.",
    )


def _early(batches: Sequence[Batch]) -> list[Batch]:
    """Return batches with the first part of their sequences alone."""

    def cut(array: Array) -> Array:
        return array[:, : max(int(_EARLY * array.shape[1]), 1)] if array.ndim > 2 else array

    return [replace(batch, x=map_leaves(cut, batch.x)) for batch in batches]


def _extreme(found: Signs) -> Verdict | None:
    """Return what the layers show by themselves."""
    if found.dead_share >= _ALL_DEAD and found.dead_at_start >= _ALL_DEAD:
        cause = FailureCause.DEAD_RELU
        told = "a whole layer of relu units never fires, from the start"
    elif found.vanishing and found.gradient_ratio < _GONE:
        cause = FailureCause.VANISHING_GRADIENTS
        told = f"the first layer's gradient is {found.gradient_ratio:.1g} of the last one's"
    else:
        return None
    return Verdict(
        cause=cause,
        grounds=Grounds.SIGNS,
        advice=f"{cause.advice} Seen: {told}.",
        fix_verified=None,
    )


def _doubtful(runner: ReplayRunner) -> Verdict | None:
    """Return the doubt about head and loss, where nothing else explains the stall."""
    found = rules.mismatch(runner.case)
    if found is None or not learnable(*runner.split):
        return None
    return rules.label_verdict(found, Grounds.SIGNS)


def _needs_more_steps(runner: ReplayRunner) -> bool:
    """Whether a fit, as it is or at a higher rate, learns in many more steps than it had."""
    own = runner.case.trace.first_step + len(runner.case.trace.losses)
    longest = runner.affordable(max(_MUCH_LONGER * own, _ENOUGH_STEPS))
    results = (
        runner.run(each, steps=longest) for each in (Intervention(rate=10.0), Intervention())
    )
    return any(result is not None and result.cured for result in results)


def _capacity(runner: ReplayRunner, found: Signs) -> Verdict | None:
    """Return insufficient capacity where the model is narrow and an ordinary net learns."""
    widths = found.widths
    if widths and min(widths) > NARROW:
        return None
    if still_learns(runner) or not learnable(*runner.split) or _needs_more_steps(runner):
        return None
    others = () if widths and not found.linear else (FailureCause.NO_NONLINEARITY,)
    shape = f"{min(widths)} units in a hidden layer" if widths else "no hidden layer"
    return Verdict(
        cause=FailureCause.INSUFFICIENT_CAPACITY,
        other_causes=others,
        grounds=Grounds.SIGNS,
        advice=f"Give the model more units or layers: with {shape} it learns nothing, and two"
        " layers of 32 relu units do learn from the same batches.",
    )
