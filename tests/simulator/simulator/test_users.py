"""Users and their pages: how many, when, what for; the same whatever else changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ranklift.simulator.queries import query_law
from ranklift.simulator.users import Pages, Population, activity_of, pages_of_users, users_of
from ranklift.v1.errors import InvalidRequest

MANY = Population(users=40_000, pages_per_user=3.0)
QUERIES = tuple(f"q{n}" for n in range(50))


def pages_of(population: Population, query_ids: tuple[str, ...], seed: int) -> Pages:
    """Every page that the population asks for."""
    law = query_law(population, query_ids, seed)
    return pages_of_users(population, law, seed, np.arange(population.users))


def test_pages_per_user_are_one_plus_gamma_poisson() -> None:
    more = activity_of(MANY, seed=1) - 1
    # Gamma(shape 1, mean 2)-Poisson is negative binomial with n = 1, p = 1 / 3.
    expected = stats.nbinom(1, 1 / 3)
    observed = np.bincount(np.minimum(more, 12), minlength=13)
    probabilities = [*expected.pmf(np.arange(12)), expected.sf(11)]
    assert stats.chisquare(observed, len(more) * np.array(probabilities)).pvalue > 1e-3


@pytest.mark.parametrize("mean", [1.0, 1.5, 40.0])
def test_the_mean_number_of_pages_is_as_asked(mean: float) -> None:
    pages = activity_of(replace(MANY, pages_per_user=mean), seed=2)
    assert pages.min() >= 1
    assert abs(pages.mean() - mean) <= 4 * pages.std() / np.sqrt(len(pages))


def test_propensity_and_dwell_are_log_normal_and_unrelated() -> None:
    users = users_of(MANY, 3, np.arange(MANY.users))
    assert stats.kstest(users.log_propensity / 0.6, "norm").pvalue > 1e-3
    assert stats.kstest(users.log_dwell / 0.35, "norm").pvalue > 1e-3
    assert stats.pearsonr(users.log_propensity, users.log_dwell).pvalue > 1e-3
    assert stats.spearmanr(users.log_propensity, activity_of(MANY, seed=3)).pvalue > 1e-3


def test_visits_go_on_with_the_given_probability() -> None:
    pages = pages_of(MANY, QUERIES, seed=4)
    followed = pages.user[:-1] == pages.user[1:]
    went_on = (pages.visit[1:] == pages.visit[:-1])[followed]
    assert abs(went_on.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(went_on))


def test_a_users_visits_and_steps_count_up_from_zero() -> None:
    pages = pages_of(MANY, QUERIES, seed=4)
    first = np.concatenate([[True], pages.user[1:] != pages.user[:-1]])
    assert (pages.visit[first] == 0).all()
    assert (pages.step[first] == 0).all()
    on = ~first[1:]
    same_visit = pages.visit[1:] == pages.visit[:-1]
    assert (pages.visit[1:] - pages.visit[:-1])[on].max() == 1
    assert (pages.step[1:] - pages.step[:-1] == 1)[on & same_visit].all()
    assert (pages.step[1:] == 0)[on & ~same_visit].all()


def test_page_times_are_in_order_within_the_span_and_even() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    population = replace(MANY, start=start, span=timedelta(days=3))
    pages = pages_of(population, QUERIES, seed=5)
    same_user = pages.user[1:] == pages.user[:-1]
    assert (np.diff(pages.time_us)[same_user] >= 0).all()
    offset = (pages.time_us / 1e6 - start.timestamp()) / population.span.total_seconds()
    assert 0 <= offset.min() < offset.max() < 1
    openings = offset[pages.step == 0]
    assert stats.kstest(openings, "uniform").pvalue > 1e-3


def test_the_pages_of_a_visit_stay_together() -> None:
    pages = pages_of(MANY, QUERIES, seed=6)
    within = (pages.user[1:] == pages.user[:-1]) & (pages.visit[1:] == pages.visit[:-1])
    gap_seconds = np.diff(pages.time_us)[within] / 1e6
    assert 50 < gap_seconds.mean() < 65  # 60 s, less where visits overlap or the span ends


def test_queries_follow_the_power_law() -> None:
    pages = pages_of(MANY, QUERIES, seed=7)
    asked = np.sort(np.bincount(pages.query, minlength=50))[::-1]
    weight = np.arange(1, 51) ** -0.7
    # Neighbours in the tail can change places by chance; the counts hardly move by it.
    assert np.abs(asked / len(pages) - weight / weight.sum()).max() < 0.005


def test_the_first_users_of_a_larger_population_are_the_same_users() -> None:
    few = pages_of(replace(MANY, users=100), QUERIES, seed=8)
    many = pages_of(replace(MANY, users=300), QUERIES, seed=8)[: len(few)]
    for column in ("user", "visit", "step", "query", "time_us", "key"):
        np.testing.assert_array_equal(getattr(few, column), getattr(many, column))


def test_every_page_has_its_own_key() -> None:
    pages = pages_of(MANY, QUERIES, seed=9)
    assert len(np.unique(pages.key)) == len(pages)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"users": 0}, "population.users"),
        ({"pages_per_user": 0.5}, "population.pages_per_user"),
        ({"propensity_sigma": float("nan")}, "population.propensity_sigma"),
        ({"continue_probability": 1.0}, "population.continue_probability"),
        ({"start": datetime(2025, 1, 1)}, "population.start"),
    ],
)
def test_impossible_populations_are_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        replace(MANY, **change)
    assert [violation.field for violation in raised.value.violations] == [field]
