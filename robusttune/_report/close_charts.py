"""Charts of one trial: its losses up to the failure, and the replays of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from robusttune._records import TrialRecord, one_line
from robusttune._regions.axes import is_number
from robusttune._report.marks import Marks, is_wide
from robusttune._report.svg import AxisScale, Drawing, Point, fitted

# A step number beyond this is taken for an error in the evidence.
_MOST_STEPS = 10**12
# The name of the replay in which nothing is changed.
_SAME = "nothing"
# Letters of the name of a replay beside its curve, and the height of one.
_LETTERS, _LINE = 20, 12.0


def loss_chart(record: TrialRecord, marks: Marks) -> Markup | None:
    """Return the losses up to a failure; None where there are none to draw."""
    losses = numbers_of(record.evidence.get("losses"))
    finite = [value for value in losses if math.isfinite(value)]
    if not finite:
        return None
    baseline = record.evidence.get("baseline_loss")
    finite += [float(baseline)] if baseline is not None and is_number(baseline) else []
    first = record.evidence.get("first_step")
    first = first if isinstance(first, int) and 0 <= first < _MOST_STEPS else 0
    last = first + len(losses) - 1
    drawing = Drawing(460, 210, f"Loss of trial {record.trial_id} from step {first} to {last}.")
    x = AxisScale(62, 446, first, max(last, first + 1), whole=True)
    y = AxisScale.around(166, 26, finite, log=is_wide(finite, 20))
    drawing.frame(x, y, "step", "loss")
    if is_number(baseline):
        drawing.line([(x.start, y.at(baseline)), (x.stop, y.at(baseline))], "baseline")
    points = [(x.at(first + i), y.at(v)) for i, v in enumerate(losses) if math.isfinite(v)]
    mark = marks.of_trial(record)
    drawing.line(points, f"loss {mark.kind}")
    if math.isfinite(losses[-1]):
        drawing.shapes(points[-1:], mark.outline, mark.kind)
    else:
        drawing.shapes([(x.stop, y.stop)], mark.outline, mark.kind)
        text = "NaN" if math.isnan(losses[-1]) else "infinite"
        drawing.text((x.stop - 9, y.stop + 4), text, "label", "end")
    return drawing.svg()


def replay_chart(record: TrialRecord) -> Markup | None:
    """Return the replays of a failure, each named at its end; None where none can be drawn.

    A loss is shown as a multiple of that of the best constant prediction: below 1, a replay learns.
    """
    curves = []
    for replay in replays_of(record.evidence):
        losses = numbers_of(replay.get("losses"))
        baseline = replay.get("baseline_loss", record.evidence.get("baseline_loss"))
        if losses and is_number(baseline) and baseline > 0:
            curves.append((replay, [loss / baseline for loss in losses]))
    # What is a thousand times worse than a constant is drawn at the top: that is enough to know.
    finite = [min(v, 1e3) for _, values in curves for v in values if math.isfinite(v)]
    if not finite:
        return None
    steps = [r["steps"] for r, _ in curves if isinstance(r.get("steps"), int)]
    longest = min(max([*steps, 2]), _MOST_STEPS)
    drawing = Drawing(460, 220, f"Losses of {len(curves)} replays of trial {record.trial_id}.")
    x = AxisScale(62, 330, 0, longest, whole=True)
    y = AxisScale.around(176, 26, [*finite, 1.0], log=is_wide(finite, 5))
    drawing.frame(x, y, "step of the replay", "loss / loss of the best constant prediction")
    drawing.line([(x.start, y.at(1.0)), (x.stop, y.at(1.0))], "baseline")
    ends: list[tuple[float, Point, str]] = []
    for replay, values in curves:
        reach = replay["steps"] if isinstance(replay.get("steps"), int) else longest
        every = min(reach, longest) / max(len(values) - 1, 1)
        # A replay that ended in NaN leaves the picture at its top.
        kept = [value if math.isfinite(value) else math.inf for value in values]
        kept = kept[: kept.index(math.inf) + 1] if math.inf in kept else kept
        points = [
            (x.at(i * every), y.stop if v == math.inf else y.at(v)) for i, v in enumerate(kept)
        ]
        drawing.line(points, f"replay {'cured' if replay.get('cured') is True else 'uncured'}")
        ends.append((points[-1][1], points[-1], change_of(replay)))
    _name_curves(drawing, ends, x.stop + 8, y)
    return drawing.svg()


def _name_curves(
    drawing: Drawing, ends: Sequence[tuple[float, Point, str]], left: float, y: AxisScale
) -> None:
    """Write the name of each curve beside its end, none over another."""
    lowest, heights = -math.inf, []
    for height, _, _ in sorted(ends):
        lowest = max(height + 4, lowest + _LINE)
        heights.append(lowest)
    bottom = y.start + 4
    for index in reversed(range(len(heights))):  # push up what has run out of the picture
        heights[index] = min(heights[index], bottom)
        bottom = heights[index] - _LINE
    for height, (_, (right, level), name) in zip(heights, sorted(ends), strict=True):
        drawing.line([(right, level), (left - 2, height - 4)], "lead-line")
        drawing.text((left, height), fitted(name, _LETTERS), "tick", "start")


def change_of(replay: Mapping[str, Any]) -> str:
    """Return what a replay did differently, as one line."""
    change = one_line(str(replay.get("change", "a change")))
    return "no change" if change == _SAME else change


def numbers_of(values: Any) -> list[float]:
    """Return the numbers of a list in evidence, "nan" and "inf" too; [] where it is none."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    numbers = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return []
        try:
            numbers.append(float(value))
        except (ValueError, OverflowError):
            return []
    return numbers


def replays_of(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the replays in evidence that can be read."""
    replays = evidence.get("replays")
    if not isinstance(replays, Sequence) or isinstance(replays, str):
        return []
    return [replay for replay in replays if isinstance(replay, Mapping)]
