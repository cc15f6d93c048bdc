"""Stalls that no single change ends: what layers, data and many more steps show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robusttune._causes import FailureCause
from robusttune._diagnosis import rules
from robusttune._diagnosis.arrays import Array, map_leaves
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.investigate import data_changes, fix_of, rate_changes
from robusttune._diagnosis.reference.net import FEW_ROWS, learnable, nothing_to_learn, rows_of
from robusttune._diagnosis.replay.intervention import Intervention, limit
from robusttune._diagnosis.replay.runner import ReplayRunner
from robusttune._diagnosis.stalls.end_state import epoch_losses
from robusttune._diagnosis.stalls.limits import NARROW
from robusttune._diagnosis.stalls.signs import VANISHING, Signs
from robusttune._diagnosis.trace import Batch
from robusttune._diagnosis.verdict import Verdict

# A whole layer that never fires, and gradients this small, leave nothing to be proven by a replay.
_ALL_DEAD = 0.999
_GONE = 1e-5
# A fit this share above the constant prediction's loss is far off, and one within this near.
_FAR, _NEAR = 0.2, 0.05
# A fit this many times above it has blown up.
_BLOWN = 1000.0
# A replay whose last quarter gains this share on the one before is still learning.
_GAINS = 0.02
# So many saturating layers, one after the other, are too many for any rate.
_VERY_DEEP = 10
# Of a sequence, the first steps that are looked at for what the gradient does not reach.
_EARLY = 0.5
# A fit that is short of steps alone gets so many times its own, up to so many in all.
_LONGER, _MOST_STEPS = 30, 6000
# And a narrow one so many times its own, and so many at least, before its width is to blame.
_MUCH_LONGER, _ENOUGH_STEPS = 10, 1000
# What ends below this share of the constant prediction's loss learns clearly.
CLEARLY = 0.5


def verdict_by_signs(runner: ReplayRunner, found: Signs) -> Verdict | None:
    """Return what the layers and the data show, where no change was enough."""
    return (
        _extreme(runner, found)
        or _blown_up(runner)
        or _too_high_rate(runner)
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
        epochs = max(len(epoch_losses(case.trace)), 1)
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
        told = f"{found.hidden_layers} saturating layers in a row learn nothing"
        fix = "add skip connections or BatchNormalization, use relu, or fewer layers"
    elif (found.early_gradient or 1.0) < VANISHING and learnable(_early(train), _early(test)):
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


def _blown_up(runner: ReplayRunner) -> Verdict | None:
    """Return unscaled data where the fit blows up, and with standardized ones it comes down.

    At a rate that suits neither, that is too slow to get below the constant prediction's loss.
    """
    case, unchanged = runner.case, runner.unchanged()
    if unchanged is None or not unchanged.baseline or not unchanged.finite:
        return None
    times = unchanged.finals.min() / abs(unchanged.baseline)
    for change in data_changes(runner) if times > _BLOWN else ():
        result = runner.confirmed(runner.run(change))
        if result is None or not result.baseline or not result.finite:
            continue
        comes_down = bool((result.finals < result.losses[:, 0]).all())
        left = result.finals.max() / abs(result.baseline)
        if comes_down and left < times / _BLOWN:
            return Verdict(
                cause=FailureCause.UNSCALED_DATA,
                grounds=Grounds.SIGNS,
                advice=f"The fit blows up to {times:.2g} times the loss of the best constant"
                f" prediction; with {change} it comes down, to {left:.2g} times that after"
                f" {result.losses.shape[1]} steps. {FailureCause.UNSCALED_DATA.advice}",
                evidence={"fix": fix_of(case, change)},
            )
    return None


def _too_high_rate(runner: ReplayRunner) -> Verdict | None:
    """Return a rate too high where only lower ones come down to the constant prediction's loss."""
    case, unchanged = runner.case, runner.unchanged()
    rate, ordinary = case.facts.learning_rate or 0.0, case.facts.ordinary_rate or 0.0
    if not rate > ordinary > 0 or unchanged is None or unchanged.baseline is None:
        return None
    if unchanged.finals.min() < limit(unchanged.baseline, 1 + _FAR):
        return None
    for change in rate_changes(case):
        result = runner.run(change)
        if result is not None and result.ends_below(1 + _NEAR):
            return Verdict(
                cause=FailureCause.DIVERGENT_LEARNING_RATE,
                grounds=Grounds.SIGNS,
                advice=f"Learning rate {rate:.3g} ends at a loss of {unchanged.finals.min():.3g},"
                f" far above that of the best constant prediction ({unchanged.baseline:.3g});"
                f" {rate * change.rate:.3g} comes down to it. {case.facts.optimizer} is usually"
                f" used with up to {ordinary:.3g}.",
                evidence={"fix": fix_of(case, change)},
            )
    return None


def _extreme(runner: ReplayRunner, found: Signs) -> Verdict | None:
    """Return what the layers show by themselves."""
    all_dead = found.dead_share >= _ALL_DEAD and found.dead_at_start >= _ALL_DEAD
    if all_dead and not nothing_to_learn(runner.split[0]):
        cause = FailureCause.DEAD_RELU
        told = "a whole layer of relu units never fires, from the start"
    elif found.gradient_ratio < _GONE and (found.vanishing or learnable(*runner.split)):
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


def _still_learns(runner: ReplayRunner) -> bool:
    """Whether the replay without any change gains to its end: the fit was only short."""
    unchanged = runner.unchanged()
    if unchanged is None:
        return False
    before, end = unchanged.last_quarters
    return before - end > _GAINS * abs(before)


def _needs_more_steps(runner: ReplayRunner) -> bool:
    """Whether a fit, as it is or at a higher rate, learns in many more steps than it had."""
    own = runner.case.trace.first_step + len(runner.case.trace.losses)
    longest = runner.affordable(min(max(_MUCH_LONGER * own, _ENOUGH_STEPS), _MOST_STEPS))
    results = (
        runner.run(each, steps=longest) for each in (Intervention(rate=10.0), Intervention())
    )
    return any(result is not None and result.ends_below(CLEARLY) for result in results)


def _capacity(runner: ReplayRunner, found: Signs) -> Verdict | None:
    """Return insufficient capacity where the model is narrow and an ordinary net learns."""
    widths = found.widths
    if widths and min(widths) > NARROW:
        return None
    if _still_learns(runner) or not learnable(*runner.split) or _needs_more_steps(runner):
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
