"""The true metrics of a ranker and the true lift of one over another, in closed form.

The expectation is over what users do, for the very users, pages and queries of
the world, with everybody served by the same ranker:

    p_rank       = theta_rank * a(grade, user)            a click on one result
    PageCTR      = mean over pages of 1 - prod_rank (1 - p_rank)
    UserCTR      = mean over users of 1 - prod_pages prod_rank (1 - p_rank)
    dwell/click  = sum p_rank E[dwell | grade, user] / sum p_rank

A log of the whole population has the first two as its expected values; dwell
per click is a ratio of sums there, whose expectation differs from the ratio of
expectations by O(1 / clicks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranklift.simulator.behaviour import attractiveness_of, mean_dwell_seconds
from ranklift.simulator.world import Rankings, World, shown_by_query

_BATCH = 50_000  # pages; bounds the memory


@dataclass(frozen=True, slots=True)
class TrueMetrics:
    """What a ranker's metrics are when it serves everybody."""

    page_ctr: float  # in [0, 1]
    user_ctr: float  # in [0, 1]
    dwell_per_click: float  # in seconds


@dataclass(frozen=True, slots=True)
class TrueLift:
    """The true difference that an arm makes to one metric; `relative_lift` 0.01 is 1 % more."""

    metric: str
    control_value: float
    arm_value: float

    @property
    def relative_lift(self) -> float:
        return self.arm_value / self.control_value - 1


def true_metrics(world: World, rankings: Rankings) -> TrueMetrics:
    """Return the metrics of the ranker that shows `rankings`.

    Raises:
        InvalidRequest: a query of the world has no ranking.
    """
    behaviour, users, pages = world.behaviour, world.users(), world.pages()
    by_query = shown_by_query(world, rankings)
    examination = np.array(behaviour.examination)
    page_ctr = clicks = dwell = 0.0
    log_no_click = np.zeros(world.population.users)
    for start in range(0, len(pages), _BATCH):
        batch = pages[start : start + _BATCH]
        grade = by_query.grade[batch.query]
        attraction = attractiveness_of(behaviour, grade, users.log_propensity[batch.user, None])
        click = examination * attraction  # (pages, ranks)
        log_skip = np.log1p(-click).sum(axis=1)
        page_ctr -= np.expm1(log_skip).sum()
        log_no_click += np.bincount(batch.user, weights=log_skip, minlength=len(log_no_click))
        clicks += click.sum()
        seconds = mean_dwell_seconds(behaviour, grade, users.log_dwell[batch.user, None])
        dwell += (click * seconds).sum()
    return TrueMetrics(
        page_ctr=float(page_ctr / len(pages)),
        user_ctr=float(-np.expm1(log_no_click).mean()),
        dwell_per_click=float(dwell / clicks),
    )


def true_lifts(world: World, control: Rankings, arm: Rankings) -> dict[str, TrueLift]:
    """Return the true lift of one ranker over another by metric name.

    Raises:
        InvalidRequest: a query of the world has no ranking.
    """
    before, after = true_metrics(world, control), true_metrics(world, arm)
    return {
        "page_ctr": TrueLift("page_ctr", before.page_ctr, after.page_ctr),
        "user_ctr": TrueLift("user_ctr", before.user_ctr, after.user_ctr),
        "dwell_per_click": TrueLift(
            "dwell_per_click", before.dwell_per_click, after.dwell_per_click
        ),
    }
