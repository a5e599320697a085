"""The true metrics of a ranker and the true lift of one over another, in closed form.

The expectation is over what users do, for the very users, pages and queries of
the world, with everybody served by the same ranker:

    p_rank       = P(click at the rank), whatever is clicked above
    q_rank       = P(click at the rank | no click above)
    PageCTR      = mean over pages of 1 - prod_rank (1 - q_rank)
    UserCTR      = mean over users of 1 - prod_pages prod_rank (1 - q_rank)
    dwell/click  = sum p_rank E[dwell | result, user] / sum p_rank

where a first click on the page, of probability q_rank prod_above (1 - q), may have a longer dwell
than others. All users count, bots among them, and dwell is how long users stay, whatever of it the
log could see.

A log of the whole population has the first two as its expected values; dwell
per click is a ratio of sums there, whose expectation differs from the ratio of
expectations by O(1 / clicks).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from ranklift.simulator.behaviour import mean_dwell_seconds
from ranklift.simulator.effects import STEADY, Effect, affected
from ranklift.simulator.shown import Seen, Shown
from ranklift.simulator.world import Rankings, World, shown_by_query
from ranklift.v1.errors import InvalidRequest

_BATCH = 50_000  # pages; bounds the memory
_MOST_LOG_ODDS = 5.0


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


def true_metrics(world: World, rankings: Rankings, effect: Effect | None = None) -> TrueMetrics:
    """Return the metrics of the ranker that shows `rankings` and has this effect besides.

    Raises:
        InvalidRequest: a query of the world has no ranking.
    """
    return metrics_of_shown(world, shown_by_query(world, rankings), effect)


def metrics_of_shown(world: World, by_query: Shown, effect: Effect | None = None) -> TrueMetrics:
    """Return the metrics when everybody sees these pages, one a query, in their order."""
    behaviour, pages = world.behaviour, world.pages()
    page_ctr = clicks = dwell = 0.0
    log_no_click = np.zeros(world.population.users)
    for start in range(0, len(pages), _BATCH):
        batch = pages[start : start + _BATCH]
        arm = np.zeros(len(batch), dtype=np.int64)
        users = affected(world, world.users_at(batch), batch, [effect], arm)
        seen, every = Seen(batch.key, users, by_query, batch.query), slice(None)
        ranks = range(behaviour.page_size)
        # (pages, ranks)
        attraction = np.stack([seen.attractiveness(rank, every) for rank in ranks], axis=1)
        satisfaction = by_query.satisfaction.T[batch.query]
        none = np.zeros(attraction.shape, dtype=bool)
        log_skips = np.log1p(-behaviour.browsing.conditional(attraction, satisfaction, none))
        log_skip = log_skips.sum(1)
        page_ctr -= np.expm1(log_skip).sum()
        log_no_click += np.bincount(batch.user, weights=log_skip, minlength=len(log_no_click))
        click = behaviour.browsing.marginal(attraction, satisfaction)
        clicks += click.sum()
        log_dwell = users.log_dwell[:, None]
        if by_query.log_dwell is not None:
            log_dwell = log_dwell + by_query.log_dwell.T[batch.query]
        dwell += (click * mean_dwell_seconds(behaviour, satisfaction, log_dwell)).sum()
        if behaviour.dwell_shifts:
            # Given a click, whether it satisfies does not depend on the clicks above.
            first = -np.expm1(log_skips) * np.exp(np.cumsum(log_skips, axis=1) - log_skips)
            shift = behaviour.dwell_shifts.first_click
            more = mean_dwell_seconds(behaviour, satisfaction, log_dwell + shift)
            more -= mean_dwell_seconds(behaviour, satisfaction, log_dwell)
            dwell += (first * more).sum()
    return TrueMetrics(
        page_ctr=float(page_ctr / len(pages)),
        user_ctr=float(-np.expm1(log_no_click).mean()),
        dwell_per_click=float(dwell / clicks),
    )


def true_lifts(
    world: World, control: Rankings, arm: Rankings, effect: Effect | None = None
) -> dict[str, TrueLift]:
    """Return the true lift of one ranker, with its effect, over another by metric name.

    Raises:
        InvalidRequest: a query of the world has no ranking.
    """
    before, after = true_metrics(world, control), true_metrics(world, arm, effect)
    return {
        "page_ctr": TrueLift("page_ctr", before.page_ctr, after.page_ctr),
        "user_ctr": TrueLift("user_ctr", before.user_ctr, after.user_ctr),
        "dwell_per_click": TrueLift(
            "dwell_per_click", before.dwell_per_click, after.dwell_per_click
        ),
    }


def effect_for(
    world: World, rankings: Rankings, lift: float = 0.0047, effect: Effect = STEADY
) -> Effect:
    """Return the effect that makes a true PageCTR lift over the same rankings without it.

    `lift` is relative: 0.0047 is 0.47 % more. `effect` says how it comes and fades; its log odds
    are replaced, to within 1e-9.

    Raises:
        InvalidRequest: no effect on the log odds in [-5, 5] makes such a lift, or a query of the
            world has no ranking.
    """
    before = true_metrics(world, rankings).page_ctr

    def missing(log_odds: float) -> float:
        after = true_metrics(world, rankings, replace(effect, log_odds=log_odds)).page_ctr
        return after / before - 1 - lift

    least, most = missing(-_MOST_LOG_ODDS), missing(_MOST_LOG_ODDS)
    if not least < 0 < most:
        raise InvalidRequest.of(
            "lift",
            f"{lift}, must be in ({least + lift:.4f}, {most + lift:.4f}), what effects can make",
        )
    log_odds = brentq(missing, -_MOST_LOG_ODDS, _MOST_LOG_ODDS, xtol=1e-9)
    return replace(effect, log_odds=log_odds)
