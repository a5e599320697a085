"""The true lift by living twice: the same users under one ranker and under the other.

All draws are keyed by user, visit, step and document (`clicks.keys`), so what differs between the
two lives is what the rankings change, and most of the noise of an experiment cancels. Where users
react, histories part after the first difference; then this is the only truth there is, and
`matched_pages` says how many pages still answer each other.

It is the truth of a world, never an experiment's: a real one sees each user in one arm only.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ranklift.simulator.compact import page_ids, user_ranges
from ranklift.simulator.shown import Shown
from ranklift.simulator.users import Pages
from ranklift.simulator.waves import play
from ranklift.simulator.world import Rankings, World, shown_by_query

MEASURES = ("pages", "clicked_pages", "clicks", "dwell_ms", "sessions", "users", "clicked_users")
# Numerator, denominator and the unit of one; names as in lift reports.
METRICS: Mapping[str, tuple[str, str, float]] = {
    "page_ctr": ("clicked_pages", "pages", 1.0),
    "user_ctr": ("clicked_users", "users", 1.0),
    "dwell_per_click": ("dwell_ms", "clicks", 1e-3),
    "sessions_per_unit": ("sessions", "users", 1.0),
    "pages_per_unit": ("pages", "users", 1.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class PairedUsers:
    """What each user did in both lives; `a + b` are the users of `a` and then those of `b`."""

    control: NDArray[np.int64]  # (users, measures)
    arm: NDArray[np.int64]  # (users, measures)
    matched: int  # pages with the same user, visit, step and query in both

    def __add__(self, other: PairedUsers) -> PairedUsers:
        return PairedUsers(
            np.concatenate([self.control, other.control]),
            np.concatenate([self.arm, other.arm]),
            self.matched + other.matched,
        )

    @property
    def matched_pages(self) -> float:
        """The share of matched pages among all pages of both lives."""
        pages = self.control[:, 0].sum() + self.arm[:, 0].sum()
        return float(2 * self.matched / pages) if pages else float("nan")


@dataclass(frozen=True, slots=True)
class PairedLift:
    """The true lift of one metric; `relative_lift` 0.01 is 1 % more.

    The standard error is of the relative lift, clustered by user; that of an
    experiment with as many users in each of two independent arms has
    `variance_ratio` times its square.
    """

    metric: str
    control_value: float
    arm_value: float
    relative_lift: float
    standard_error: float
    variance_ratio: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the normal confidence interval of the relative lift."""
        half = float(ndtri((1 + level) / 2)) * self.standard_error
        return self.relative_lift - half, self.relative_lift + half


def live_twice(
    world: World,
    control: Rankings,
    arm: Rankings,
    first: int,
    end: int,
    *,
    workers: int = 1,
) -> PairedUsers:
    """Return what the users from `first` up to `end` (excluded) do under each ranker.

    Raises:
        InvalidRequest: a query has no ranking, or there are no such users.
    """
    lives = [shown_by_query(world, rankings) for rankings in (control, arm)]
    ranges = user_ranges(world, first, end, None)
    with ThreadPoolExecutor(workers) as threads:
        parts = list(threads.map(lambda r: _live_twice(world, lives, *r), ranges))
    return PairedUsers(
        np.concatenate([part.control for part in parts]),
        np.concatenate([part.arm for part in parts]),
        sum(part.matched for part in parts),
    )


def paired_lifts(users: PairedUsers) -> dict[str, PairedLift]:
    """Return the true lift of each metric that control has a value above 0 of.

    With X and N the sums of a user, and R = sum X / sum N in either life, the
    standard error of R_arm / R_control is that of the mean of the users'

        [(X - R N)_arm / mean N_arm - R_arm / R_control (X - R N)_control / mean N_control]
            / R_control
    """
    lifts = {}
    for name, (numerator, denominator, unit) in METRICS.items():
        x, n = MEASURES.index(numerator), MEASURES.index(denominator)
        sums = [(life[:, x].sum(), life[:, n].sum()) for life in (users.control, users.arm)]
        if not (sums[0][0] and all(below for _, below in sums)):
            continue
        before, after = (float(above / below) for above, below in sums)
        parts = [
            (life[:, x] - ratio * life[:, n]) / life[:, n].mean() * weight / before
            for life, ratio, weight in (
                (users.control, before, after / before),
                (users.arm, after, 1.0),
            )
        ]
        paired = _squared_error(parts[1] - parts[0])
        independent = _squared_error(parts[0]) + _squared_error(parts[1])
        lifts[name] = PairedLift(
            metric=name,
            control_value=before * unit,
            arm_value=after * unit,
            relative_lift=after / before - 1,
            standard_error=float(np.sqrt(paired)),
            variance_ratio=independent / paired if paired else float("inf"),
        )
    return lifts


def _squared_error(values: NDArray[np.float64]) -> float:
    """Return the squared standard error of the mean, of values around 0."""
    return float((values**2).sum() / len(values) / max(len(values) - 1, 1))


def _live_twice(world: World, lives: list[Shown], first: int, end: int) -> PairedUsers:
    (control, before), (arm, after) = (_live(world, shown, first, end) for shown in lives)
    _, here, there = np.intersect1d(before[0], after[0], assume_unique=True, return_indices=True)
    matched = int((before[1][here] == after[1][there]).sum())
    return PairedUsers(control, arm, matched)


def _live(
    world: World, shown: Shown, first: int, end: int
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the measures of each user, and the id and query of each page."""
    total = np.zeros((len(MEASURES), end - first))
    seen: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    count = partial(np.bincount, minlength=end - first)
    for played in play(world, shown, _query, np.arange(first, end)):
        pages, actions = played.pages, played.actions
        user = pages.user - first
        clicking = user.take(actions.page)
        clicked = np.zeros(len(pages), dtype=bool)
        clicked[actions.page] = True
        total[0] += count(user)
        total[1] += count(user.compress(clicked))
        total[2] += count(clicking)
        total[3] += count(clicking, weights=actions.dwell_ms)
        total[4] += count(user.compress(pages.step == 0))
        seen.append((page_ids(pages), pages.query))
    total[5:] = total[:2] > 0
    ids, queries = (np.concatenate(column) for column in zip(*seen, strict=True))
    return total.T.astype(np.int64), (ids, queries)


def _query(pages: Pages) -> NDArray[np.int64]:
    return pages.query
