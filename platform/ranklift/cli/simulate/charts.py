"""The geometry of calibration plots, in pixels: a template only has to draw it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.lift.render.plot import Scale, Tick
from ranklift.simulator.calibration.power import Seen
from ranklift.simulator.calibration.rates import Rate

SMALL, WIDE = 330, 680
HEIGHT, ROW = 170, 20
_BINS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A path; `kind` is its class: how it is drawn."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Label:
    """Text beside what it names."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot with its axes; `dots` are centres."""

    title: str
    width: int
    height: int
    left: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    dots: tuple[tuple[float, float], ...] = ()
    labels: tuple[Label, ...] = ()

    @property
    def bottom(self) -> int:
        return self.height - 24


def p_value_chart(title: str, p_values: Sequence[float]) -> Chart:
    """Return a histogram of p-values, a uniform one's height dashed, with their distribution
    function and the diagonal that it should follow."""
    left, bottom = 34, HEIGHT - 24
    x = Scale(0, 1, left, SMALL - 8)
    counts, edges = np.histogram(p_values, bins=_BINS, range=(0, 1))
    density = counts / len(p_values) * _BINS
    tall = Scale(0, max(2.0, float(density.max())), bottom, 8)
    y = Scale(0, 1, bottom, 8)
    bars = "".join(
        f"M{x.at(low):g},{bottom}V{tall.at(height):g}H{x.at(high) - 1:g}V{bottom}Z"
        for low, high, height in zip(edges[:-1], edges[1:], density, strict=True)
    )
    ordered = np.sort(p_values)
    steps = [(p, (n + 1) / len(ordered)) for n, p in enumerate(ordered)]
    # A few hundred points draw any curve of this size.
    every = max(1, len(steps) // 200)
    curve = [(0.0, 0.0), *steps[::every], (1.0, 1.0)]
    return Chart(
        title=title,
        width=SMALL,
        height=HEIGHT,
        left=left,
        x_ticks=_shares(x, (0, 0.25, 0.5, 0.75, 1)),
        y_ticks=_shares(y, (0, 0.5, 1)),
        lines=(
            Line("band", bars),
            Line("zero", f"M{left},{tall.at(1):g}H{SMALL - 8}"),
            Line("zero", f"M{x.at(0)},{y.at(0)}L{x.at(1)},{y.at(1)}"),
            Line("trend", _path((x.at(p), y.at(share)) for p, share in curve)),
        ),
    )


def rate_chart(
    title: str, rates: Mapping[str, Rate], nominal: float, wanted: tuple[float, float]
) -> Chart:
    """Return rates with their Monte-Carlo intervals, a row each, the wanted band shaded."""
    left, height = 190, ROW * len(rates) + 34
    ends = [end for rate in rates.values() for end in rate.interval]
    low = max(0.0, min([*ends, wanted[0]]) - 0.005)
    high = min(1.0, max([*ends, wanted[1]]) + 0.005)
    x = Scale(low, high, left, WIDE - 14)
    bottom = height - 24
    rows = {name: 6 + ROW * (n + 0.5) for n, name in enumerate(rates)}
    bars = "".join(
        f"M{x.at(rate.interval[0]):g},{rows[name]}H{x.at(rate.interval[1]):g}"
        for name, rate in rates.items()
    )
    a, b, at = x.at(wanted[0]), x.at(wanted[1]), x.at(nominal)
    return Chart(
        title=title,
        width=WIDE,
        height=height,
        left=left,
        x_ticks=_shares(x, _round_values(low, high)),
        y_ticks=tuple(Tick(y, name) for name, y in rows.items()),
        lines=(
            Line("band", f"M{a},6V{bottom}H{b}V6Z"),
            Line("zero", f"M{at},6V{bottom}"),
            Line("bar", bars),
        ),
        dots=tuple((x.at(rate.value), rows[name]) for name, rate in rates.items()),
    )


def power_chart(title: str, rows: Sequence[Seen]) -> Chart:
    """Return one metric's power against pages, a line a lift; the plan's prediction is dashed."""
    left, bottom = 40, HEIGHT - 24
    pages = sorted({row.pages for row in rows})
    spread = 0.1 if len(pages) > 1 else 1.0
    ends = (math.log(pages[0]) - spread, math.log(pages[-1]) + spread)
    x, y = Scale(*ends, left, SMALL - 60), Scale(0, 1, bottom, 8)
    lines, dots, labels = [], [], []
    for planted in dict.fromkeys(row.planted for row in rows):
        own = sorted((row for row in rows if row.planted == planted), key=lambda row: row.pages)
        at = [x.at(math.log(row.pages)) for row in own]
        points = [(px, y.at(row.seen.value)) for px, row in zip(at, own, strict=True)]
        plan = [
            (px, y.at(row.planned))
            for px, row in zip(at, own, strict=True)
            if row.planned is not None
        ]
        stems = "".join(
            f"M{px:g},{y.at(row.seen.interval[0]):g}V{y.at(row.seen.interval[1]):g}"
            for px, row in zip(at, own, strict=True)
        )
        lines += [Line("stem", stems), Line("trend", _path(points))]
        if plan:
            lines.append(Line("plan", _path(plan)))
        dots += points
        labels.append(Label(points[-1][0] + 8, points[-1][1] + 4, f"{100 * planted:+.3g} %"))
    return Chart(
        title=title,
        width=SMALL,
        height=HEIGHT,
        left=left,
        x_ticks=tuple(Tick(x.at(math.log(n)), short(n)) for n in pages),
        y_ticks=_shares(y, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        lines=tuple(lines),
        dots=tuple(dots),
        labels=tuple(labels),
    )


def sparkline(p_values: Sequence[float]) -> str:
    """Return a histogram of p-values as a line of text; an even line is what one hopes for."""
    counts, _ = np.histogram(p_values, bins=10, range=(0, 1))
    tall = max(2 * len(p_values) / len(counts), counts.max())
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(8 * count / tall))] for count in counts)


def short(count: float) -> str:
    """Return a number of pages for an axis: "100 k", "1.5 M"."""
    return f"{count / 1e6:.3g} M" if count >= 999_500 else f"{count / 1e3:.3g} k"


def _shares(scale: Scale, values: Iterable[float]) -> tuple[Tick, ...]:
    return tuple(Tick(scale.at(value), f"{100 * value:.3g} %") for value in values)


def _round_values(low: float, high: float) -> list[float]:
    """Return up to about eight round shares in [low, high]."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)
