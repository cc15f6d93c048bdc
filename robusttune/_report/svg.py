"""Draw: scales, ticks and marks as inline SVG, with colours that the style sheet decides on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from unicodedata import east_asian_width

from markupsafe import Markup

Point = tuple[float, float]

# Numbers beyond this are drawn at the end of a scale.
_HUGE = 1e150
# What a letter of a tick takes, in SVG units.
_COLUMN = 6.5


@dataclass(frozen=True)
class AxisScale:
    """Values to positions, and the ticks to write beside them.

    Args:
        start: Position of the low end, in SVG units.
        stop: Position of the high end.
        low: Value at the low end.
        high: Value at the high end.
        log: Whether equal ratios are equally far apart.
        names: The values of a choice, as texts; then low and high do not count.
        whole: Whether ticks are at whole numbers only.
    """

    start: float
    stop: float
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    names: tuple[str, ...] = ()
    whole: bool = False

    @classmethod
    def around(
        cls, start: float, stop: float, values: Sequence[float], *, log: bool, room: float = 0.05
    ) -> AxisScale:
        """Return a scale that holds all values with some room at its ends.

        Args:
            start: Position of the low end, in SVG units.
            stop: Position of the high end.
            values: Finite numbers, at least one; beyond 1e150 they are drawn at the end.
            log: Whether equal ratios are to be equally far apart; only for positive values.
            room: At each end, as a share of the range.
        """
        low, high = (min(max(value, -_HUGE), _HUGE) for value in (min(values), max(values)))
        if log and low > 0:
            low, high = max(low, 1 / _HUGE), max(high, 1 / _HUGE)
            factor = (high / low) ** room if high > low else 2.0
            return cls(start, stop, low / factor, high * factor, log=True)
        margin = (high - low) * room or max(abs(low), 1.0) * 0.1
        return cls(start, stop, low - margin, high + margin)

    def at(self, value: Any) -> float:
        """Return the position of a value; beyond the ends it is that of the end."""
        if self.names:
            share = (self.names.index(value) + 0.5) / len(self.names)
        elif self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            share = (math.log10(max(value, self.low)) - low) / (high - low or 1.0)
        else:
            share = (value - self.low) / (self.high - self.low or 1.0)
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """Return about `count` positions with their labels."""
        if self.names:
            return [(self.at(name), name) for name in self.names]
        values = _log_ticks(self.low, self.high, count) if self.log else []
        least = 1.0 if self.whole else 0.0
        values = values if len(values) > 1 else _linear_ticks(self.low, self.high, count, least)
        digits = next(
            (n for n in (4, 6, 8) if len({number(v, n) for v in values}) == len(values)), 12
        )
        return [(self.at(value), number(value, digits)) for value in values]


def _linear_ticks(low: float, high: float, count: int, least: float) -> list[float]:
    if not high > low:
        return [low]
    rough = max((high - low) / count, least)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next((unit * m for m in (1, 2, 2.5, 5) if unit * m >= rough), unit * 10)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((last - first + 1) / (count + 1)))
    return [10.0**power for power in range(first, last + 1, every)]


def number(value: float, digits: int = 4) -> str:
    """Return a number as a label, with at most `digits` digits."""
    if value != 0 and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.2g}".replace("e-0", "e-").replace("e+", "e").replace("e0", "e")
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text else text


def shortened(text: str, limit: int, *, tail: int = 0) -> str:
    """Return a text cut to `limit` columns, of which East Asian letters take two.

    Args:
        text: Any text.
        limit: At least `tail` + 1.
        tail: Columns that are kept of its end: long names often differ there only.
    """
    if _head(text, limit) == text:
        return text
    return f"{_head(text, limit - tail - 1)}…{_head(text[::-1], tail)[::-1]}"


def _head(text: str, room: int) -> str:
    """Return as much of the beginning of a text as fits."""
    letters = text[:room]
    if letters.isascii():
        return letters
    ends = accumulate(2 if east_asian_width(letter) in "WF" else 1 for letter in letters)
    return "".join(letter for letter, end in zip(letters, ends, strict=True) if end <= room)


def fitted(text: str, limit: int) -> str:
    """Return a name cut to `limit` columns, so that names with the same beginning differ."""
    return shortened(text, limit, tail=limit // 3)


@dataclass
class Drawing:
    """An SVG image that grows by calls; texts are escaped.

    Args:
        width: In SVG units.
        height: In SVG units.
        label: What the image shows, for those who cannot see it.
    """

    width: float
    height: float
    label: str
    _parts: list[Markup] = field(default_factory=list)

    def svg(self) -> Markup:
        """Return the image."""
        return Markup(
            '<svg viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img"'
            ' aria-label="{2}">{3}</svg>'
        ).format(self.width, self.height, self.label, Markup("").join(self._parts))

    def text(self, at: Point, text: str, kind: str = "", anchor: str = "middle") -> None:
        """Write a text, if there is any; `kind` is a class of the style sheet."""
        if not text:
            return
        self._add(
            '<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>',
            *map(_digits, at),
            kind,
            anchor,
            text,
        )

    def line(self, points: Iterable[Point], kind: str) -> None:
        """Draw a line through points."""
        steps = " ".join(f"{_digits(x)},{_digits(y)}" for x, y in points)
        if steps:
            self._add('<polyline points="{}" class="{}"/>', steps, kind)

    def area(self, points: Iterable[Point], kind: str) -> None:
        """Fill a polygon."""
        steps = " ".join(f"{_digits(x)},{_digits(y)}" for x, y in points)
        self._add('<polygon points="{}" class="{}"/>', steps, kind)

    def box(self, corner: Point, size: Point, kind: str, title: str = "") -> None:
        """Fill a rectangle; `title` shows under the pointer."""
        inner = Markup("<title>{}</title>").format(title) if title else ""
        width, height = (max(0.0, side) for side in size)
        self._add(
            '<rect x="{}" y="{}" width="{}" height="{}" class="{}">{}</rect>',
            *map(_digits, (*corner, width, height)),
            kind,
            inner,
        )

    def dots(self, points: Sequence[Point], kind: str, keys: Sequence[str] = ()) -> None:
        """Draw round marks, all in one path; `keys` name the trials that they stand for."""
        self._marks(points, "h0", f"dot {kind}", keys)

    def shapes(
        self, points: Sequence[Point], outline: str, kind: str, keys: Sequence[str] = ()
    ) -> None:
        """Draw marks of one shape around each point, all in one path; `keys` as for dots."""
        self._marks(points, outline, f"mark {kind}", keys)

    def _marks(self, points: Sequence[Point], outline: str, kind: str, keys: Sequence[str]) -> None:
        if points:
            path = "".join(f"M{_digits(x)} {_digits(y)}{outline}" for x, y in points)
            named = Markup(' data-t="{}"').format(" ".join(keys)) if keys else ""
            self._add('<path d="{}" class="{}"{}/>', path, kind, named)

    def frame(
        self, x: AxisScale, y: AxisScale, x_name: str = "", y_name: str = "", ticks: int = 5
    ) -> None:
        """Draw both axes with grid lines, ticks and names."""
        bottom, left = y.start, x.start
        for position, label in y.ticks(4):
            self.line([(left, position), (x.stop, position)], "grid")
            self.text((left - 6, position + 3.5), fitted(label, 9), "tick", "end")
        room = int((x.stop - left) / max(len(x.names), 5) / _COLUMN)
        for position, label in x.ticks(ticks):
            self.line([(position, bottom), (position, bottom + 4)], "axis")
            self.text((position, bottom + 16), fitted(label, room), "tick")
        self.line([(left, bottom), (x.stop, bottom)], "axis")
        if x_name:
            self.text(((left + x.stop) / 2, bottom + 32), fitted(x_name, 46), "name")
        if y_name:
            self.text((left - 6, y.stop - 8), fitted(y_name, 46), "name", "start")

    def _add(self, template: str, *values: Any) -> None:
        self._parts.append(Markup(template).format(*values))


def mark(outline: str, kind: str) -> Markup:
    """Return one mark as an image of its own, for a legend or a table; "" is a dot."""
    drawing = Markup(
        '<svg class="key" viewBox="-7 -7 14 14" width="14" height="14" aria-hidden="true">'
    )
    path, shape = (outline, "mark") if outline else ("h0", "dot")
    return drawing + Markup('<path d="M0 0{}" class="{} {}"/></svg>').format(path, shape, kind)


def symbol(outline: str, kind: str, *, filled: bool = False) -> Markup:
    """Return a mark as a picture that others of the page use by `symbol_use`."""
    return Markup(
        '<svg hidden aria-hidden="true"><symbol id="m-{}" viewBox="-7 -7 14 14">'
        '<path d="M0 0{}" fill="{}" stroke="currentColor" stroke-width="2"/></symbol></svg>'
    ).format(kind, outline, "currentColor" if filled else "none")


def symbol_use(kind: str) -> Markup:
    """Return a mark that the page has as a symbol: a table of thousands is to stay small."""
    return Markup('<svg class="key {0}" aria-hidden="true"><use href="#m-{0}"/></svg>').format(kind)


def _digits(value: float) -> str:
    """Return a coordinate with one decimal at most: a report is to stay small."""
    return f"{value:.1f}".removesuffix(".0")
