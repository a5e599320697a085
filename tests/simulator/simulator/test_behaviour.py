"""What users do with a page: rates by rank and grade, dwell, and pairing across arms."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from ranklift.clicks.keys import extend, hash_ids
from ranklift.simulator.behaviour import (
    NO_DOCUMENT,
    Behaviour,
    LogNormal,
    Shown,
    attractiveness_of,
    behave,
    mean_dwell_seconds,
)
from ranklift.v1.errors import InvalidRequest

PAGES = 60_000
BEHAVIOUR = Behaviour(examination=(1.0, 0.5, 0.25))
DOCUMENTS = hash_ids(("d0", "d1", "d2"))


def keys(pages: int = PAGES, seed: int = 1) -> NDArray[np.uint64]:
    return extend(seed, np.arange(pages))


def shown(grades: tuple[int, ...], pages: int = PAGES) -> Shown:
    return Shown(
        np.broadcast_to(DOCUMENTS, (pages, 3)), np.broadcast_to(np.array(grades), (pages, 3))
    )


def test_clicks_have_the_rate_of_rank_times_grade() -> None:
    zero = np.zeros(PAGES)
    actions = behave(BEHAVIOUR, keys(), zero, zero, shown((2, 2, 0)))
    expected = np.array([1.0, 0.5, 0.25]) * [0.30, 0.30, 0.04]
    error = np.sqrt(expected * (1 - expected) / PAGES)
    assert (np.abs(actions.clicked.mean(axis=0) - expected) < 4 * error).all()


def test_propensity_multiplies_the_odds() -> None:
    probability = attractiveness_of(Behaviour(), np.array([0, 1, 2]), np.log(3) * np.ones(3))
    odds = np.array([0.04, 0.10, 0.30]) / (1 - np.array([0.04, 0.10, 0.30]))
    np.testing.assert_allclose(probability, 3 * odds / (1 + 3 * odds))


@given(st.floats(-30, 30), st.integers(0, 9))
def test_attractiveness_is_a_probability_for_any_user_and_grade(z: float, grade: int) -> None:
    probability = attractiveness_of(Behaviour(), np.array([grade]), np.array([z]))
    assert (probability > 0).all()
    assert (probability < 1).all()


def test_grades_above_the_table_count_as_its_last() -> None:
    zero = np.zeros(2)
    two, nine = attractiveness_of(Behaviour(), np.array([2, 9]), zero)
    assert two == nine


def test_satisfaction_follows_the_grade_of_the_clicked_document() -> None:
    zero = np.zeros(PAGES)
    actions = behave(BEHAVIOUR, keys(), zero, zero, shown((2, 1, 0)))
    for rank, expected in enumerate((0.80, 0.45, 0.10)):
        satisfied = actions.satisfied[actions.rank == rank]
        assert abs(satisfied.mean() - expected) < 4 * np.sqrt(0.25 / len(satisfied))


def test_dwell_is_log_normal_by_satisfaction_and_user() -> None:
    zero, slow = np.zeros(PAGES), np.full(PAGES, 0.5)
    actions = behave(BEHAVIOUR, keys(), zero, slow, shown((2, 2, 2)))
    for satisfied, (mu, sigma) in ((True, (4.3, 1.0)), (False, (2.3, 1.1))):
        seconds = actions.dwell_ms[actions.satisfied == satisfied] / 1_000
        below = seconds[seconds < 1_000]  # away from the cap
        log_normal = stats.lognorm(sigma, scale=np.exp(mu + 0.5))
        truncated = stats.uniform(0, log_normal.cdf(1_000))
        assert stats.kstest(log_normal.cdf(below), truncated.cdf).pvalue > 1e-3


def test_the_default_dwell_is_that_of_the_literature() -> None:
    for default, over_30_s, median in (
        (Behaviour().satisfied_dwell, 0.82, 74),
        (Behaviour().unsatisfied_dwell, 0.16, 10),
    ):
        log_normal = stats.lognorm(default.sigma, scale=np.exp(default.mu))
        assert log_normal.sf(30) == pytest.approx(over_30_s, abs=0.01)
        assert log_normal.median() == pytest.approx(median, abs=0.5)


def test_dwell_is_capped() -> None:
    behaviour = replace(BEHAVIOUR, dwell_cap_seconds=20.0)
    zero = np.zeros(PAGES)
    dwell_ms = behave(behaviour, keys(), zero, zero, shown((2, 2, 2))).dwell_ms
    assert dwell_ms.max() == 20_000
    assert 0.5 < (dwell_ms == 20_000).mean() < 1


@given(st.floats(0, 5), st.floats(0.2, 2), st.floats(5, 3_000), st.floats(-1, 1))
def test_the_capped_mean_is_the_integral(mu: float, sigma: float, cap: float, shift: float) -> None:
    def weighted(z: float) -> float:
        """Return min(X, cap) times the density of the standard normal z behind X."""
        dwell = min(math.exp(mu + shift + sigma * z), cap)
        return dwell * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    corner = (math.log(cap) - mu - shift) / sigma
    area, _ = integrate.quad(weighted, -9, 9, points=[corner] if abs(corner) < 9 else None)
    np.testing.assert_allclose(LogNormal(mu, sigma).mean_below(cap, shift), area, rtol=1e-6)


def test_the_mean_dwell_is_the_mean_of_what_users_do() -> None:
    zero, slow = np.zeros(PAGES), np.full(PAGES, -0.3)
    actions = behave(BEHAVIOUR, keys(seed=4), zero, slow, shown((1, 1, 1)))
    expected = mean_dwell_seconds(BEHAVIOUR, np.array(1), np.array(-0.3))
    seconds = actions.dwell_ms / 1_000
    assert abs(seconds.mean() - expected) < 4 * seconds.std() / np.sqrt(len(seconds))


def test_padding_is_never_clicked() -> None:
    zero = np.zeros(PAGES)
    actions = behave(BEHAVIOUR, keys(), zero, zero, shown((2, NO_DOCUMENT, NO_DOCUMENT)))
    assert not actions.clicked[:, 1:].any()


def test_a_page_depends_on_its_own_row_only() -> None:
    pages, rows = shown((2, 1, 0), 500), np.array([7, 300, 41])
    spread = np.linspace(-1, 1, 500)
    together = behave(BEHAVIOUR, keys(500), spread, spread, pages)
    apart = behave(BEHAVIOUR, keys(500)[rows], spread[rows], spread[rows], pages[rows])
    np.testing.assert_array_equal(together.clicked[rows], apart.clicked)
    for row, page in enumerate(rows):
        np.testing.assert_array_equal(
            together.dwell_ms[together.page == page], apart.dwell_ms[apart.page == row]
        )


def test_a_document_keeps_its_luck_when_the_order_changes() -> None:
    """Attraction and dwell of a document on a page are the same at any rank, in any arm."""
    always = replace(BEHAVIOUR, examination=(1.0, 1.0, 1.0))
    zero = np.zeros(PAGES)
    forwards = shown((2, 1, 0))
    backwards = Shown(forwards.document[:, ::-1], forwards.grade[:, ::-1])
    here = behave(always, keys(), zero, zero, forwards)
    there = behave(always, keys(), zero, zero, backwards)
    np.testing.assert_array_equal(here.clicked, there.clicked[:, ::-1])
    dwell_here = dict(zip(zip(here.page, here.rank, strict=True), here.dwell_ms, strict=True))
    dwell_there = {
        (page, 2 - rank): dwell
        for page, rank, dwell in zip(there.page, there.rank, there.dwell_ms, strict=True)
    }
    assert dwell_here == dwell_there


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"examination": ()}, "behaviour.examination"),
        ({"examination": (1.2,)}, "behaviour.examination"),
        ({"attractiveness": (0.0, 0.5)}, "behaviour.attractiveness"),
        ({"satisfaction": (0.5, -0.1)}, "behaviour.satisfaction"),
        ({"dwell_cap_seconds": 0.0}, "behaviour.dwell_cap_seconds"),
    ],
)
def test_impossible_behaviour_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        replace(BEHAVIOUR, **change)
    assert [violation.field for violation in raised.value.violations] == [field]
