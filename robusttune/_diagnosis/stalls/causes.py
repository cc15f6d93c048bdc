"""Why a fit learned nothing: which change makes the same trial learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robusttune._causes import FailureCause
from robusttune._diagnosis import rules
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.investigate import (
    advice,
    data_changes,
    fix_of,
    initialization_changes,
    loss_changes,
    rate_changes,
    regularization_changes,
    verified,
)
from robusttune._diagnosis.model.info import highest_rate
from robusttune._diagnosis.reference.net import FEW_ROWS, learnable, rows_of
from robusttune._diagnosis.replay.intervention import Intervention, ReplayResult, limit
from robusttune._diagnosis.replay.runner import MARGIN, ReplayRunner
from robusttune._diagnosis.stalls.end_state import epoch_losses, falls_fast, more_epochs
from robusttune._diagnosis.stalls.limits import linear_optimum
from robusttune._diagnosis.stalls.signs import DEAD, Signs, signs
from robusttune._diagnosis.stalls.without_cure import CLEARLY, verdict_by_signs
from robusttune._diagnosis.verdict import Verdict

# A rate this many times below the upper end of ordinary ones is unusually low.
_UNUSUAL = 100.0
# How many causes are looked for: the first, and the ones that rival it.
_CURES = 2
# A rate this many times below the default is too low to be tried as a cure.
_FAR_BELOW = 100.0
# A schedule may have taken the rate down by as many decades as float32 has.
_MOST_DECADES = 39
# A rate that ends this many times below its highest may have left too few steps to learn in.
_FELL = 10.0
# So many pairs of changes are tried where no single one ends a stall.
_MOST_PAIRS = 6


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
            # More steps than the trial had are fair where the trial as it is was given them too; of
            # a rate they would say that it is too low for any fit.
            length = max(steps, runner.steps) if change.activation else steps
            result = runner.confirmed(runner.run(change, steps=length))
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
        verdict = verdict_by_signs(runner, found)
        found_so_far = evidence if verdict is None else {**evidence, **verdict.evidence}
        return None if verdict is None else replace(verdict, evidence=found_so_far)
    cause, result = cures[0]
    mismatch = rules.mismatch(case) if cause is FailureCause.LABEL_MISMATCH else None
    others = tuple(dict.fromkeys(other for other, _ in cures[1:] if other is not cause))
    if found.dead_share >= DEAD and FailureCause.DEAD_RELU not in (cause, *others):
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
    unscaled = FailureCause.UNSCALED_DATA
    found = []
    if rate > 0 and default > 0 and not default / _UNUSUAL**0.5 <= rate <= default * 10:
        kind = too_low if rate < default else too_high
        to_default = Intervention(rate=10.0 ** round(np.log10(default / rate)))
        found += [
            # Of raw data nobody can say yet which rate suits them.
            ((cause, kind) if cause is unscaled else (kind, cause), change | to_default)
            for cause, change in others
        ]
    data = [change for cause, change in others if cause is unscaled]
    found += [
        ((cause, unscaled), change | both)
        for both in data
        for cause, change in others
        if cause is not unscaled
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


def _held_rates(case: Case) -> list[Intervention]:
    """Return the highest rate of the fit throughout, where it came down far below that."""
    rate, steps = case.facts.learning_rate, case.trace.first_step + len(case.trace.losses)
    if rate is None or not steps:
        return []
    held = max(case.trace.rate_before or 0.0, highest_rate(case.model, steps) or 0.0)
    # A rate that was high at first did learn then, and fell off later for another reason.
    held = min(held, case.facts.ordinary_rate or held)
    return [Intervention(held_rate=held)] if held > max(_FELL * rate, 0.0) else []


def has_unusual_rate(case: Case) -> bool:
    """Whether the learning rate is far below those that its optimizer is ordinarily used with."""
    rate, ordinary = case.facts.learning_rate or 0.0, case.facts.ordinary_rate or 0.0
    fell_to_0 = rate == 0 and bool(_held_rates(case))
    return fell_to_0 or 0 < rate < ordinary / _UNUSUAL


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
    curve = epoch_losses(case.trace)
    short = len(curve) < 2 or more_epochs(curve, limit(result.baseline, MARGIN)) <= len(curve)
    fitted = case.trace.losses.size > 0
    return not (fitted and short) and result.ends_below(CLEARLY)


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
    higher = [
        Intervention(rate=10.0**k)
        for k in range(1, _MOST_DECADES)
        if default / _FAR_BELOW < rate * 10.0**k <= 2 * ordinary
    ]
    up = (FailureCause.LEARNING_RATE_TOO_LOW, _held_rates(case) + higher)
    # A loss that falls fast is on its way to tiny targets as well.
    data = (FailureCause.UNSCALED_DATA, data_changes(runner, tiny=not falls_fast(case.trace)))
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
        order.append((FailureCause.NO_NONLINEARITY, _activation_changes("relu")))
    order.append(data)
    if found.vanishing:
        order.append((FailureCause.VANISHING_GRADIENTS, _activation_changes("relu")))
    if found.dead_share >= DEAD:
        order.append((FailureCause.DEAD_RELU, _activation_changes("leaky_relu")))
    order.append(loss)
    if rate >= default / 10:
        order.append(up)
    if default / 10 <= rate <= ordinary:
        order.append((down[0], down[1][:2]))
    if not found.regularization:
        order.append(weaker)
    return order


def _activation_changes(name: str) -> list[Intervention]:
    """Another activation in the hidden layers, with their first weights and with standard ones."""
    return [Intervention(activation=name), Intervention(activation=name, initialization=True)]
