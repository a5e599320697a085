"""The geometry of an interval plot: a row per arm, one axis in per cent, zero always on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ranklift.lift.report import Measured

WIDTH = 640
LEFT = 130  # room for the arms' names
RIGHT = 20
ROW_HEIGHT = 34
AXIS_HEIGHT = 24


@dataclass(frozen=True, slots=True)
class Row:
    """An arm's interval, in pixels."""

    label: str
    y: float
    low: float
    point: float
    high: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """All that a template needs to draw the intervals of one metric, in pixels."""

    width: int
    height: int
    zero: float
    axis_y: float
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]


def interval_plot(arms: Sequence[tuple[str, Measured]]) -> Plot:
    """Return the plot of one metric's relative lifts by arm; at least one arm."""
    low = min(0.0, *(measured.relative_lift_interval.lower for _, measured in arms)) * 100
    high = max(0.0, *(measured.relative_lift_interval.upper for _, measured in arms)) * 100
    margin = 0.05 * (high - low)
    low, high = low - margin, high + margin

    def x(per_cent: float) -> float:
        return round(LEFT + (per_cent - low) / (high - low) * (WIDTH - LEFT - RIGHT), 2)

    rows = tuple(
        Row(
            label=arm,
            y=ROW_HEIGHT * (i + 0.5),
            low=x(100 * measured.relative_lift_interval.lower),
            point=x(100 * measured.relative_lift),
            high=x(100 * measured.relative_lift_interval.upper),
        )
        for i, (arm, measured) in enumerate(arms)
    )
    axis_y = ROW_HEIGHT * len(rows)
    ticks = tuple(Tick(x(value), label) for value, label in _ticks(low, high))
    return Plot(WIDTH, axis_y + AXIS_HEIGHT, x(0.0), axis_y, rows, ticks)


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return 3 to 8 round values (1, 2 or 5 times a power of ten apart) with their labels."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [
        (i * step, "0" if i == 0 else f"{i * step:+.{digits}f} %") for i in range(first, last + 1)
    ]
