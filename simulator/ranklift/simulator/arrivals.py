"""When the sends of a generated load are due: a Poisson process that knows the hour and bursts.

    rate(t) = rate * share of the hour(t) * (factor during a burst, else 1)

Unit-rate arrivals S_n, sums of exponential gaps, are sent when the integral of the rate reaches
S_n (Cinlar, "Introduction to Stochastic Processes", 1975, section 4.7). All draws are keyed, so
that more sends have the same beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Purpose, extend, uniform
from ranklift.v1.errors import InvalidRequest, Violation

# Relative rates of the hours of a day, UTC: a night, a peak before noon and one in the evening.
# The shape of web search traffic; the numbers are assumed.
TWO_PEAKS = (
    0.45, 0.30, 0.22, 0.20, 0.22, 0.32, 0.55, 0.85, 1.15, 1.40, 1.50, 1.45,
    1.30, 1.30, 1.35, 1.35, 1.30, 1.25, 1.30, 1.45, 1.55, 1.45, 1.10, 0.69,
)  # fmt: skip
_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class Bursts:
    """Now and then the rate is `factor` times as high for `seconds`.

    From the end of a burst to the next one it takes `mean_gap_seconds`, exponentially distributed.
    """

    factor: float = 5.0
    seconds: float = 2.0
    mean_gap_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """Sends a second, and how they vary.

    `day` holds relative rates over equal parts of a day of `day_seconds`, which is repeated; their
    mean counts as 1, so `rate` is that of a whole day without bursts.

    Raises:
        InvalidRequest: a field is out of range.
    """

    rate: float
    day: tuple[float, ...] = (1.0,)
    day_seconds: float = 86_400.0
    bursts: Bursts | None = None

    def __post_init__(self) -> None:
        checks = {
            "rate": (0 < self.rate < np.inf, self.rate, "above 0"),
            "day": (
                sum(self.day) > 0 and min(self.day) >= 0,
                self.day,
                "rates of at least 0, and one above",
            ),
            "day_seconds": (0 < self.day_seconds < np.inf, self.day_seconds, "above 0"),
        }
        if self.bursts is not None:
            for name in ("factor", "seconds", "mean_gap_seconds"):
                value = getattr(self.bursts, name)
                checks[f"bursts.{name}"] = (0 < value < np.inf, value, "above 0")
        violations = [
            Violation(f"load.{name}", f"{value}, must be {allowed}")
            for name, (right, value, allowed) in checks.items()
            if not right
        ]
        if violations:
            raise InvalidRequest(violations)


def arrivals(load: Load, sends: int, seed: int) -> NDArray[np.float64]:
    """Return when each of so many sends is due, ascending, in seconds from the start."""
    gaps = -np.log(uniform(extend(np.uint64(seed), np.arange(sends), Purpose.ARRIVAL)))
    unit = np.cumsum(gaps)
    needed = float(unit[-1]) if sends else 0.0
    horizon = max(needed / load.rate, 1.0)
    for _ in range(_DOUBLINGS):
        edges = _edges(load, seed, horizon)
        expected = np.concatenate([[0.0], np.cumsum(_rates(load, seed, edges) * np.diff(edges))])
        if expected[-1] >= needed:
            break
        horizon *= 2
    # Where the rate is 0, `expected` stands still, and the last of equal ones counts.
    return np.asarray(np.interp(unit, expected, edges))


def burst_spans(bursts: Bursts, seed: int, until: float) -> NDArray[np.float64]:
    """Return begin and end of the bursts that begin before `until`, in seconds: (bursts, 2)."""
    spans: list[tuple[float, float]] = []
    end = 0.0
    for nth in count():
        u = float(uniform(extend(np.uint64(seed), nth, Purpose.BURST)))
        begin = end - np.log(u) * bursts.mean_gap_seconds
        if begin >= until:
            break
        end = begin + bursts.seconds
        spans.append((begin, end))
    return np.array(spans, dtype=np.float64).reshape(-1, 2)


def _edges(load: Load, seed: int, horizon: float) -> NDArray[np.float64]:
    """Return where the rate may change, from 0 to `horizon`."""
    part = load.day_seconds / len(load.day)
    changes = [np.array([0.0, horizon])]
    if len(load.day) > 1:
        changes.append(np.arange(1, int(horizon / part) + 1) * part)
    if load.bursts is not None:
        changes.append(burst_spans(load.bursts, seed, horizon).ravel())
    edges = np.unique(np.concatenate(changes))
    return edges[edges <= horizon]


def _rates(load: Load, seed: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rate between each two neighbouring edges."""
    middle = (edges[1:] + edges[:-1]) / 2
    day = np.array(load.day) / np.mean(load.day)
    part = (middle % load.day_seconds) * len(day) / load.day_seconds
    rates = load.rate * day[part.astype(np.int64)]
    if load.bursts is not None:
        begin, end = burst_spans(load.bursts, seed, float(edges[-1])).T
        inside = np.searchsorted(begin, middle) > np.searchsorted(end, middle)
        rates = np.where(inside, rates * load.bursts.factor, rates)
    return np.asarray(rates)
