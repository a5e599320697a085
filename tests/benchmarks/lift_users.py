"""Users that differ, as unit sums and clicks, with a lift that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import integrate, special, stats

from ranklift.lift.measures import BILLIONTHS
from ranklift.lift.moments import Floats

# Click rates are Beta(4, 6), pages 1 + Poisson(Gamma(3, 3)): 10 a user, more spread than Poisson's.
CLICK_RATE = (4, 6)
BUSY_SHAPE = BUSY_SCALE = 3.0
# The logarithm of a click's dwell in seconds: mean, spread between users, spread within one.
LOG_DWELL, BETWEEN, WITHIN = 3.0, 0.5, 0.8
LOG_SPREAD = float(np.hypot(BETWEEN, WITHIN))
MEAN_FOLLOWED_SECONDS = 400.0
NEWCOMERS = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Users:
    """Users, one row each in `units`: the measures of lift/measures.py, `pre_*` sums and `stratum`.

    The clicks, shape (clicks,), are those of the users in order: the row of its user, its whole
    dwell, and how long it would have been followed. `unit_seconds`, shape (units,), is one more
    dwell of every user.
    """

    units: pl.DataFrame
    click_unit: NDArray[np.int64]
    seconds: Floats
    followed: Floats
    unit_seconds: Floats

    def where(self, mask: NDArray[np.bool_]) -> Users:
        """Return some of the users, with their clicks."""
        kept = mask[self.click_unit]
        rows = np.cumsum(mask) - 1
        return Users(
            self.units.filter(mask),
            rows[self.click_unit[kept]],
            self.seconds[kept],
            self.followed[kept],
            self.unit_seconds[mask],
        )


def draw_users(rng: np.random.Generator, count: int, lift: float = 0.0) -> Users:
    """Draw users whose click rate and dwell are (1 + lift)-fold, their pre-period's are not."""
    rate = rng.beta(*CLICK_RATE, count)
    busy = rng.gamma(BUSY_SHAPE, BUSY_SCALE, count)
    stay = rng.lognormal(LOG_DWELL, BETWEEN, count)
    # Beta(4, 6) all but never exceeds 1 / 1.05, so cutting at 1 does not touch the mean.
    now = _period(rng, np.minimum(rate * (1 + lift), 1), busy, stay * (1 + lift))
    before = _period(rng, rate, busy, stay)
    unseen = rng.random(count) < NEWCOMERS
    sums = dict(now.sums)
    for name in ("pages", "clicked_pages", "clicks", "dwell_ms", "dwell_count"):
        sums[f"pre_{name}"] = before.sums[name].astype(np.float64)
        sums[f"pre_{name}"][unseen] = np.nan
    # A trait from before the exposure, such as a device, that goes along with the click rate.
    often = rate + rng.normal(0, 0.1, count) > 0.4
    units = pl.DataFrame(sums, nan_to_null=True).with_columns(
        stratum=pl.Series(np.where(often, "desktop", "mobile"))
    )
    one_more = stay * (1 + lift) * rng.lognormal(0, WITHIN, count)
    return Users(units, now.click_unit, now.seconds, _followed(rng, len(now.seconds)), one_more)


@dataclass(frozen=True, slots=True, eq=False)
class _Period:
    sums: dict[str, NDArray[np.int64] | Floats]
    click_unit: NDArray[np.int64]
    seconds: Floats


def _period(rng: np.random.Generator, rate: Floats, busy: Floats, stay: Floats) -> _Period:
    count = len(rate)
    pages = 1 + rng.poisson(busy)
    clicked_pages = rng.binomial(pages, rate)
    clicks = clicked_pages + rng.binomial(clicked_pages, 0.3)
    click_unit = np.repeat(np.arange(count), clicks)
    seconds = stay[click_unit] * rng.lognormal(0, WITHIN, len(click_unit))
    satisfied = seconds >= 30
    reciprocal = BILLIONTHS // (1 + rng.geometric(0.4, len(click_unit)))

    def total(values: NDArray[Any]) -> NDArray[np.int64]:
        return np.rint(np.bincount(click_unit, values, count)).astype(np.int64)

    satisfied_clicks = total(satisfied)
    sums: dict[str, NDArray[np.int64] | Floats] = {
        "pages": pages,
        "fallback_pages": rng.binomial(pages, 0.02),
        "clicked_pages": clicked_pages,
        "abandoned_pages": pages - clicked_pages,
        "clicks": clicks,
        "satisfied_clicks": satisfied_clicks,
        "satisfied_pages": np.minimum(satisfied_clicks, clicked_pages),
        "dwell_ms": total(np.rint(1000 * seconds)),
        "dwell_count": clicks,
        "log_dwell": total(np.rint(BILLIONTHS * np.log1p(seconds))),
        "first_satisfied_rr": total(satisfied * reciprocal),
        "last_satisfied_rr": total(satisfied * reciprocal // 2),
        "first_click_ms": np.rint(rng.gamma(np.maximum(clicked_pages, 1e-9), 4000)).astype(int),
        "weighted_clicks": total(reciprocal * 2.0),
        "sessions": 1 + rng.binomial(pages - 1, 0.3),
        "latency_us": np.rint(pages * rng.lognormal(11, 0.3, count)).astype(int),
    }
    return _Period(sums, click_unit, seconds)


def _followed(rng: np.random.Generator, clicks: int) -> Floats:
    return rng.exponential(MEAN_FOLLOWED_SECONDS, clicks)


def true_user_ctr(lift: float) -> float:
    """Return the share of users with a click: 1 - E (1 - p)^N with N = 1 + Poisson(Gamma).

    Given p, E (1 - p)^N = (1 - p) E exp(-p busy) = (1 - p) (1 + scale p)^-shape.
    """

    def clicking(rate: float) -> float:
        p = min(rate * (1 + lift), 1)
        none = (1 - p) * (1 + BUSY_SCALE * p) ** -BUSY_SHAPE
        return float((1 - none) * stats.beta.pdf(rate, *CLICK_RATE))

    return float(integrate.quad(clicking, 0, 1)[0])


def true_quantile(q: float, lift: float) -> float:
    """Return a quantile of all clicks' dwell, in seconds: it is log-normal."""
    return float((1 + lift) * np.exp(LOG_DWELL + LOG_SPREAD * special.ndtri(q)))


def true_restricted_mean(tau: float, lift: float) -> float:
    """Return E min(dwell, tau) of all clicks, in seconds.

    exp(m + s^2 / 2) Phi((ln tau - m - s^2) / s) + tau (1 - Phi((ln tau - m) / s)).
    """
    m, s = LOG_DWELL + np.log1p(lift), LOG_SPREAD
    z = (np.log(tau) - m) / s
    return float(np.exp(m + s * s / 2) * special.ndtr(z - s) + tau * special.ndtr(-z))


def true_superiority(lift: float) -> float:
    """Return how likely `unit_seconds` of a treated user is above a control user's."""
    return float(special.ndtr(np.log1p(lift) / (LOG_SPREAD * np.sqrt(2))))
