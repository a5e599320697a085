"""The geometry of interval plots, in pixels: a template only has to draw it.

Two kinds: a strip per row of a table (`strips`), all on one axis, and estimates over time
(`over_time`). Zero is always in sight. An end that lies outside, or at infinity, is cut off and
marked as such, so that one uncertain row does not squeeze all others into a dot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ranklift.lift.render.grid import Mark
from ranklift.lift.values import Interval

STRIP_WIDTH, STRIP_HEIGHT = 280, 30
WIDTH, HEIGHT = 1000, 240
LEFT, RIGHT = 58, WIDTH - 14  # between them lies what is plotted, left of them the axis' labels
_TOP, _BOTTOM = 10, HEIGHT - 26
# An end more than this many times as far out as the median row's is cut off.
_FAR = 3.0
# Lifts beyond any meaning: as good as infinite, and as good as none.
_ENDLESS, _NOTHING = 1e9, 1e-12
_MAX_LABELS = 10


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval between two pixels; an end that is cut off points further out."""

    low: float
    high: float
    low_cut: bool
    high_cut: bool


@dataclass(frozen=True, slots=True)
class Strip:
    """One row's estimate on the common axis; `point` is None when it lies outside."""

    bar: Bar
    point: float | None
    outer: Bar | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class Strips:
    """The strips of a table's rows, None for a row without numbers, and their axis."""

    zero: float
    ticks: tuple[Tick, ...]
    strips: tuple[Strip | None, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """An estimate at one time: `when` orders and spaces it, `label` names it.

    `decided`: what the outer interval says may be acted on.
    """

    when: int
    label: str
    mark: Mark
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Stem:
    """A moment as a vertical bar with its point."""

    x: float
    bar: Bar
    point: float | None
    decided: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Estimates over time: a stem a moment, a line through them, bands of outer intervals."""

    zero: float
    ticks: tuple[Tick, ...]
    dates: tuple[Tick, ...]
    stems: tuple[Stem, ...]
    line: str
    bands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values in [low, high] to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value; one outside is moved to the edge."""
        inside = min(max(value, self.low), self.high)
        part = (inside - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 2)

    def within(self, value: float) -> float | None:
        """Return the pixel of a value, None outside."""
        return self.at(value) if self.low <= value <= self.high else None

    def bar(self, interval: Interval) -> Bar:
        """Return an interval, its ends cut off at the edges."""
        return Bar(
            self.at(interval.lower),
            self.at(interval.upper),
            interval.lower < self.low,
            interval.upper > self.high,
        )


def strips(marks: Sequence[Mark | None]) -> Strips:
    """Return the rows of a table on one axis; at least one row has numbers."""
    known = [mark for mark in marks if mark is not None]
    low, high = _range(known)
    scale = Scale(low, high, 8, STRIP_WIDTH - 8)
    return Strips(
        zero=scale.at(0.0),
        ticks=tuple(Tick(scale.at(value), label) for value, label in _ticks(low, high, 5)),
        strips=tuple(None if mark is None else _strip(mark, scale) for mark in marks),
    )


def _strip(mark: Mark, scale: Scale) -> Strip:
    return Strip(
        bar=scale.bar(mark.interval),
        point=scale.within(mark.point),
        outer=None if mark.outer is None else scale.bar(mark.outer),
        limit=None if mark.limit is None else scale.within(mark.limit),
    )


def over_time(moments: Sequence[Moment], axis: Sequence[Mark]) -> Timeline:
    """Return estimates in order of time; at least one.

    `axis` holds these and those of other plots that are to compare: they get the same axis.
    """
    low, high = _range(axis)
    scale = Scale(low, high, _BOTTOM, _TOP)
    first, last = moments[0].when, moments[-1].when
    times = Scale(first - 0.5, last + 0.5, LEFT, RIGHT)
    stems = tuple(
        Stem(
            times.at(moment.when),
            scale.bar(moment.mark.interval),
            scale.within(moment.mark.point),
            moment.decided,
        )
        for moment in moments
    )
    every = math.ceil(len(moments) / _MAX_LABELS)
    return Timeline(
        zero=scale.at(0.0),
        ticks=tuple(Tick(scale.at(value), label) for value, label in _ticks(low, high, 5)),
        dates=tuple(
            Tick(times.at(moment.when), moment.label)
            # Counted from the end: the last one, which matters most, is always named.
            for moment in reversed(moments[::-1][::every])
        ),
        stems=stems,
        line=_path(
            (stem.x, scale.at(m.mark.point)) for stem, m in zip(stems, moments, strict=True)
        ),
        bands=tuple(_bands(moments, times, scale)),
    )


def _bands(moments: Sequence[Moment], times: Scale, scale: Scale) -> Iterable[str]:
    """Yield the areas between the ends of the outer intervals, one per run that has them."""
    run: list[tuple[float, Interval]] = []
    for moment in (*moments, None):
        if moment is not None and moment.mark.outer is not None:
            run.append((times.at(moment.when), moment.mark.outer))
            continue
        if run:
            upper = [(x, scale.at(outer.upper)) for x, outer in run]
            lower = [(x, scale.at(outer.lower)) for x, outer in reversed(run)]
            yield f"{_path([*upper, *lower])}Z"
        run = []


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)


def _range(marks: Sequence[Mark]) -> tuple[float, float]:
    """Return an axis range that shows zero and all but far-out ends."""
    reach = [
        max(finite)
        for mark in marks
        if (finite := [abs(v) for v in _values(mark, outer=False) if abs(v) < _ENDLESS])
    ]
    far = _FAR * median(reach) if reach else 0.0
    values = [
        max(-far, min(far, value))
        for mark in marks
        for value in _values(mark, outer=True)
        if abs(value) < _ENDLESS
    ]
    low, high = min([0.0, *values]), max([0.0, *values])
    if high - low < _NOTHING:
        low, high = -0.01, 0.01
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _values(mark: Mark, *, outer: bool) -> tuple[float, ...]:
    values = [mark.point, mark.interval.lower, mark.interval.upper]
    if mark.limit is not None:
        values.append(mark.limit)
    if outer and mark.outer is not None:
        values += [mark.outer.lower, mark.outer.upper]
    return tuple(values)


def _ticks(low: float, high: float, about: int) -> list[tuple[float, str]]:
    """Return about that many round values (1, 2 or 5 times a power of ten apart), in per cent."""
    rough = 100 * (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(100 * low / step), math.floor(100 * high / step)
    return [
        (i * step / 100, "0" if i == 0 else f"{i * step:+.{digits}f} %")
        for i in range(first, last + 1)
    ]
