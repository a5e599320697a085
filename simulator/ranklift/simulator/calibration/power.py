"""Power: how often lifts that are there are seen, by traffic, beside what was planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ranklift.simulator.calibration.aa import measured
from ranklift.simulator.calibration.rates import Rate
from ranklift.simulator.calibration.readout import Readings
from ranklift.simulator.calibration.truths import Truth


@dataclass(frozen=True, slots=True)
class Seen:
    """How often a metric's test saw its lift in experiments of one size.

    `planted` is the lift of PageCTR and dwell per click, `truth` the metric's own. `planned` is
    the planner's prediction for `truth`, None where it has none. `pages` is the mean.
    """

    metric: str
    planted: float
    truth: Truth
    users: int
    pages: float
    seen: Rate
    planned: float | None

    @property
    def as_planned(self) -> bool | None:
        """Whether the plan lies in the Monte-Carlo interval of the power; None without a plan."""
        if self.planned is None:
            return None
        low, high = self.seen.interval
        return low <= self.planned <= high


@dataclass(frozen=True, slots=True)
class Size:
    """How large experiments are: `users` over both arms, who see so many `pages` on average."""

    users: int
    pages: float


def power_rows(
    found: Sequence[Readings],
    size: Size,
    planted: float,
    truths: Mapping[str, Truth],
    planned: Mapping[str, float],
    *,
    alpha: float = 0.05,
) -> list[Seen]:
    """Return a row for each metric of at least one experiment of one size and lift."""
    return [
        Seen(
            metric=metric,
            planted=planted,
            truth=truths[metric],
            users=size.users,
            pages=size.pages,
            seen=Rate.of([one.metrics[metric].p_value < alpha for one in found]),
            planned=planned.get(metric),
        )
        for metric in measured(found)
        if metric in truths
    ]
