"""The error rates that a report promises, on users that differ: A/A battery and coverage.

Bands are binomial at 99.9 %, so that a correct estimator fails one seed in a thousand.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ranklift.lift.metrics import METRICS, Metric
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, compare

USERS = 2_000
ROUNDS = 300
COLUMNS = ("pages", "clicked_pages", "clicked", "dwell_ms", "dwell_count")


def draw_users(rng: np.random.Generator, users: int, lift: float = 0.0) -> Floats:
    """Draw per-unit sums, shape (users, columns), with (1 + lift)-fold click rate and dwell."""
    likely = rng.beta(4, 6, users) * (1 + lift)
    pages = 1 + rng.poisson(9, users)
    # Beta(4, 6) all but never exceeds 1 / 1.02, so cutting at 1 does not touch the mean.
    clicked_pages = rng.binomial(pages, np.minimum(likely, 1))
    stay = rng.lognormal(3, 0.7, users) * (1 + lift)
    dwell_ms = np.round(1000 * clicked_pages * stay * rng.lognormal(0, 0.3, users))
    return np.column_stack(
        [pages, clicked_pages, clicked_pages > 0, dwell_ms, clicked_pages]
    ).astype(np.float64)


def significant(control: Floats, arm: Floats, metric: Metric) -> bool:
    found = compare(
        Moments.of(COLUMNS, control),
        Moments.of(COLUMNS, arm),
        metric.numerator,
        metric.denominator,
    )
    assert isinstance(found, Comparison)
    return found.p_value < 0.05


def significant_by_page(control: Floats, arm: Floats) -> bool:
    """The test that forgets the users: a pooled z-test of two shares of pages."""
    pages, clicked = (np.array([control[:, i].sum(), arm[:, i].sum()]) for i in (0, 1))
    pooled = clicked.sum() / pages.sum()
    error = np.sqrt(pooled * (1 - pooled) * (1 / pages).sum())
    z = abs(clicked[1] / pages[1] - clicked[0] / pages[0]) / error
    return bool(2 * stats.norm.sf(z) < 0.05)


@pytest.fixture(scope="module")
def splits() -> list[tuple[Floats, Floats]]:
    """The same users, split at random again and again: no arm is any different."""
    rng = np.random.default_rng(2024)
    users = draw_users(rng, USERS)
    arms = (rng.random(USERS) < 0.5 for _ in range(ROUNDS))
    return [(users[~treated], users[treated]) for treated in arms]


def within_band(hits: int, rate: float) -> bool:
    band = stats.binom(ROUNDS, rate)
    return bool(band.ppf(0.0005) <= hits <= band.ppf(0.9995))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_no_difference_is_found_significant_as_often_as_promised(
    metric: Metric, splits: list[tuple[Floats, Floats]]
) -> None:
    assert within_band(sum(significant(*split, metric) for split in splits), 0.05)


def test_a_page_level_test_fails_the_same_battery(splits: list[tuple[Floats, Floats]]) -> None:
    assert not within_band(sum(significant_by_page(*split) for split in splits), 0.05)


@pytest.mark.parametrize("name", ["page_ctr", "dwell_per_click"])
def test_the_interval_covers_a_planted_lift_as_often_as_promised(name: str) -> None:
    metric, lift, rng = METRICS[name], 0.02, np.random.default_rng(77)
    covered = 0
    for _ in range(ROUNDS):
        found = compare(
            Moments.of(COLUMNS, draw_users(rng, 600)),
            Moments.of(COLUMNS, draw_users(rng, 600, lift)),
            metric.numerator,
            metric.denominator,
        )
        assert isinstance(found, Comparison)
        covered += found.relative_lift_lower <= lift <= found.relative_lift_upper
    assert within_band(covered, 0.95)
