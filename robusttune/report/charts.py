"""Charts: the pictures of a report, each made of plain records and frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from robusttune.records import TrialRecord
from robusttune.regions.axes import is_number
from robusttune.report.draw import Drawing, Point, Scale, fitted, number
from robusttune.report.draw import mark as drawn_mark
from robusttune.report.marks import Mark, Marks, groups_of, is_wide, objectives_are_wide
from robusttune.report.words import counted

# Marks in one picture; of more trials a regular sample is drawn.
_MOST_MARKS = 1500
# A step number beyond this is taken for an error in the evidence.
_MOST_STEPS = 10**12


def key(mark: Mark) -> Markup:
    """Return a mark as an image, for a legend or a table."""
    return drawn_mark(mark.outline, mark.kind)


def sampled(records: Sequence[TrialRecord], most: int = _MOST_MARKS) -> Sequence[TrialRecord]:
    """Return at most `most` records, evenly spread."""
    every = max(1, math.ceil(len(records) / most))
    return records[::every]


def draw_trials(
    drawing: Drawing, placed: Iterable[tuple[TrialRecord, Point]], marks: Marks, faded: set[int]
) -> None:
    """Draw healthy trials as dots, below the failing ones in the marks of their causes.

    Args:
        drawing: Where.
        placed: Each trial with its place.
        marks: Of the causes.
        faded: The `id` of each record that is drawn palely.
    """
    points = {id(record): (record, point) for record, point in placed}
    for group in groups_of([record for record, _ in points.values()], marks):
        for fade in (False, True):
            alike = [points[id(r)][1] for r in group.records if (id(r) in faded) is fade]
            kind = group.mark.kind + " faded" * fade
            if group.mark.outline:
                drawing.shapes(alike, group.mark.outline, kind)
            else:
                drawing.dots(alike, kind)


def marginal_chart(rows: Sequence[Mapping[str, Any]], baseline: float) -> Markup:
    """Return the failure rate of each bin of one hyperparameter, with its interval."""
    name, rows = rows[0]["parameter"], rows[:10]
    worst = max(rows, key=lambda row: row["failure_rate"])
    told = f"highest, {worst['failure_rate']:.0%}, at {worst['bin']}."
    drawing = Drawing(300, 190, f"Failure rate by {name}: {told}")
    x, y = Scale(38, 284), Scale(148, 26, 0.0, 1.0)
    for share in (0.0, 0.5, 1.0):
        drawing.line([(x.start, y.at(share)), (x.stop, y.at(share))], "grid")
        drawing.text((x.start - 6, y.at(share) + 3.5), f"{share:.0%}", "tick", "end")
    wide = (x.stop - x.start) / len(rows)
    for index, row in enumerate(rows):
        left = x.start + index * wide
        middle, top = left + wide / 2, y.at(row["failure_rate"])
        told = f"{row['bin']}: {row['failures']} of {row['trials']} failed"
        drawing.box((left + wide * 0.16, top), (wide * 0.68, y.start - top), "bar", told)
        drawing.line([(middle, y.at(row["ci_low"])), (middle, y.at(row["ci_high"]))], "whisker")
    for share, label in _bin_labels(rows):
        drawing.text((x.start + share * wide, y.start + 15), label, "tick")
    drawing.line([(x.start, y.at(baseline)), (x.stop, y.at(baseline))], "baseline")
    drawing.text((x.start - 30, 13), fitted(str(name), 34), "name", "start")
    return drawing.svg()


def _bin_labels(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Return labels and where they are, in bins: at the edges of ranges, under single values."""
    count = len(rows)
    first, last = rows[0]["low"], rows[-1]["high"]
    if is_number(first) and first != rows[0]["high"]:
        edges = [*(row["low"] for row in rows), last]
        every = math.ceil(count / 4)
        return [(index, number(edges[index], 2)) for index in range(0, count + 1, every)]
    every = math.ceil(count / 6)
    room = max(4, int(42 / count) * every)
    names = [number(r["low"], 3) if is_number(r["low"]) else str(r["bin"]) for r in rows]
    return [(i + 0.5, fitted(names[i], room)) for i in range(0, count, every)]


def timeline_chart(records: Sequence[TrialRecord], marks: Marks) -> Markup:
    """Return all trials in order: the objective of those that have one, the others above.

    Where no trial has one, as with several objectives, there is no scale of it.
    """
    shown = sampled(records)
    values = [record.value for record in shown if record.value is not None]
    told = f"{counted(len(records))} in order, with the objective of those that have one."
    numbers = [record.number or 0 for record in shown]
    x = Scale(62, 926, min(numbers) - 0.5, max(numbers) + 0.5, whole=True)
    y = Scale(46, 46, names=("",))
    if values:
        y = Scale.around(206, 58, values, log=objectives_are_wide(shown))
    drawing = Drawing(940, y.start + 44, told)
    drawing.box((x.start, 18), (x.stop - x.start, 22), "band")
    if values:
        drawing.text((x.start - 6, 33), "no value", "tick", "end")
    drawing.frame(x, y, "trial", "", ticks=10)
    placed = [
        (record, (x.at(record.number or 0), 29.0 if record.value is None else y.at(record.value)))
        for record in shown
    ]
    draw_trials(drawing, placed, marks, set())
    return drawing.svg()


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
    x = Scale(62, 446, first, max(last, first + 1), whole=True)
    y = Scale.around(166, 26, finite, log=is_wide(finite, 20))
    drawing.frame(x, y, "step", "loss")
    if is_number(baseline):
        drawing.line([(x.start, y.at(baseline)), (x.stop, y.at(baseline))], "baseline")
    points = [(x.at(first + i), y.at(v)) for i, v in enumerate(losses) if math.isfinite(v)]
    mark = marks.of(record.cause)
    drawing.line(points, f"loss {mark.kind}")
    if math.isfinite(losses[-1]):
        drawing.shapes(points[-1:], mark.outline, mark.kind)
    else:
        drawing.shapes([(x.stop, y.stop)], mark.outline, mark.kind)
        text = "NaN" if math.isnan(losses[-1]) else "infinite"
        drawing.text((x.stop - 9, y.stop + 4), text, "label", "end")
    return drawing.svg()


def replay_chart(record: TrialRecord) -> Markup | None:
    """Return the numbered replays of a failure; None where there are none to draw.

    A loss is shown as a multiple of that of the best constant prediction: below 1, a replay learns.
    """
    curves = []
    for index, replay in enumerate(replays_of(record.evidence), start=1):
        losses = numbers_of(replay.get("losses"))
        baseline = replay.get("baseline_loss", record.evidence.get("baseline_loss"))
        if losses and is_number(baseline) and baseline > 0:
            curves.append((index, replay, [loss / baseline for loss in losses]))
    # What is a thousand times worse than a constant is drawn at the top: that is enough to know.
    finite = [min(v, 1e3) for _, _, values in curves for v in values if math.isfinite(v)]
    if not finite:
        return None
    steps = [r["steps"] for _, r, _ in curves if isinstance(r.get("steps"), int)]
    longest = min(max([*steps, 2]), _MOST_STEPS)
    drawing = Drawing(460, 190, f"Losses of {len(curves)} replays of trial {record.trial_id}.")
    x = Scale(62, 430, 0, longest, whole=True)
    y = Scale.around(146, 26, [*finite, 1.0], log=is_wide(finite, 5))
    drawing.frame(x, y, "step of the replay", "loss / loss of the best constant prediction")
    drawing.line([(x.start, y.at(1.0)), (x.stop, y.at(1.0))], "baseline")
    ends: list[tuple[float, Point, str]] = []
    for index, replay, values in curves:
        reach = replay["steps"] if isinstance(replay.get("steps"), int) else longest
        every = min(reach, longest) / max(len(values) - 1, 1)
        # A replay that ended in NaN leaves the picture at its top.
        kept = [value if math.isfinite(value) else math.inf for value in values]
        kept = kept[: kept.index(math.inf) + 1] if math.inf in kept else kept
        points = [
            (x.at(i * every), y.stop if v == math.inf else y.at(v)) for i, v in enumerate(kept)
        ]
        drawing.line(points, f"replay {'cured' if replay.get('cured') is True else 'uncured'}")
        ends.append((points[-1][1], points[-1], str(index)))
    taken: dict[float, float] = {}
    for height, (right, _), label in sorted(ends):
        taken[right] = max(height + 4, taken.get(right, -math.inf) + 11)
        drawing.text((right + 5, taken[right]), label, "tick", "start")
    return drawing.svg()


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
