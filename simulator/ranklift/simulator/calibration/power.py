"""Power: how often lifts that are there are seen, by traffic, beside what was planned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ranklift.simulator.calibration.aa import measured
from ranklift.simulator.calibration.experiment import Experiments, play_users
from ranklift.simulator.calibration.rates import Rate
from ranklift.simulator.calibration.readout import ExperimentLog, Plan, Readings, Readout, Split
from ranklift.simulator.calibration.repeat import repeat
from ranklift.simulator.calibration.truths import Truth
from ranklift.simulator.compact import MAX_USERS, Script


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


def power_by_size(
    scripts: Mapping[float, Script],
    truths: Mapping[float, Mapping[str, Truth]],
    sizes: Sequence[int],
    split: Split,
    readout: Readout,
    plan: Plan,
    *,
    experiments: int,
    alpha: float = 0.05,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Seen]:
    """Return a row for each planted lift, size in users, and metric.

    `scripts` and `truths` are by planted lift; control shows the same in all scripts.
    """
    battery = Battery(
        tuple(
            Experiments(script, users, split, readout)
            for script in scripts.values()
            for users in sizes
        )
    )
    found = repeat(battery, battery.all(experiments), workers=workers, progress=progress)
    usual = [usual_traffic(next(iter(scripts.values())), users) for users in sizes]
    rows = []
    for number, (planted, (users, log)) in enumerate(
        product(scripts, zip(sizes, usual, strict=True))
    ):
        known = truths[planted]
        rows += power_rows(
            found[number * experiments : (number + 1) * experiments],
            Size(users, users * scripts[planted].world.population.pages_per_user),
            planted,
            known,
            plan(log, {metric: truth.lift for metric, truth in known.items()}),
            alpha=alpha,
        )
    return rows


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


@dataclass(frozen=True, slots=True)
class Battery:
    """Several series of experiments that are run as one; called with (series, number)."""

    series: tuple[Experiments, ...]

    def __call__(self, which: tuple[int, int]) -> Readings:
        series, number = which
        return self.series[series](number)

    def all(self, experiments: int) -> list[tuple[int, int]]:
        """Return what to call it with, for so many experiments of each series."""
        return [(s, n) for s in range(len(self.series)) for n in range(experiments)]


def usual_traffic(script: Script, users: int) -> ExperimentLog:
    """Return what a planner sees: so many users on control, none of any experiment's."""
    return play_users(script, MAX_USERS // 2, np.zeros(users, dtype=np.int64))
