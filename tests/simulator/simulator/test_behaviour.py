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
from scipy.special import logit

from ranklift.clicks.keys import extend, hash_ids
from ranklift.clicks.pbm import Pbm
from ranklift.simulator.behaviour import (
    Actions,
    Behaviour,
    behave,
    mean_dwell_seconds,
    of_grade,
)
from ranklift.simulator.dwell import LogNormal
from ranklift.simulator.shown import Shown
from ranklift.simulator.users import Users
from ranklift.v1.errors import InvalidRequest

PAGES = 60_000
BEHAVIOUR = Behaviour(browsing=Pbm((1.0, 0.5, 0.25)), page_size=3)
DOCUMENTS = hash_ids(("d0", "d1", "d2"))


def keys(pages: int = PAGES, seed: int = 1) -> NDArray[np.uint64]:
    return extend(seed, np.arange(pages))


def shown(grades: tuple[int | None, ...]) -> Shown:
    """Return one ranking of documents with these grades; None: there is no document."""
    default = Behaviour()
    odds = [-np.inf if g is None else logit(of_grade(default.attractiveness, g)) for g in grades]
    satisfaction = [0.0 if g is None else of_grade(default.satisfaction, g) for g in grades]
    return Shown(DOCUMENTS[:, None], np.array(odds)[:, None], np.array(satisfaction)[:, None])


def act(
    behaviour: Behaviour,
    shown: Shown,
    *,
    pages: int = PAGES,
    seed: int = 1,
    propensity: float = 0.0,
    log_dwell: float = 0.0,
) -> Actions:
    users = Users(np.full(pages, propensity), np.full(pages, log_dwell))
    return behave(behaviour, keys(pages, seed), users, shown, np.zeros(pages, dtype=np.int64))


def test_clicks_have_the_rate_of_rank_times_grade() -> None:
    actions = act(BEHAVIOUR, shown((2, 2, 0)))
    expected = np.array([1.0, 0.5, 0.25]) * [0.30, 0.30, 0.04]
    error = np.sqrt(expected * (1 - expected) / PAGES)
    assert (np.abs(actions.clicked.mean(axis=0) - expected) < 4 * error).all()


def test_propensity_multiplies_the_odds() -> None:
    always = replace(BEHAVIOUR, browsing=Pbm((1.0, 1.0, 1.0)))
    odds = 3 * np.array([0.04, 0.10, 0.30]) / (1 - np.array([0.04, 0.10, 0.30]))
    expected = odds / (1 + odds)
    actions = act(always, shown((0, 1, 2)), propensity=np.log(3))
    error = np.sqrt(expected * (1 - expected) / PAGES)
    assert (np.abs(actions.clicked.mean(axis=0) - expected) < 4 * error).all()


def test_grades_above_the_table_count_as_its_last() -> None:
    assert of_grade((0.1, 0.2, 0.3), 9) == 0.3


def test_satisfaction_follows_the_grade_of_the_clicked_document() -> None:
    actions = act(BEHAVIOUR, shown((2, 1, 0)))
    for rank, expected in enumerate((0.80, 0.45, 0.10)):
        satisfied = actions.satisfied[actions.rank == rank]
        assert abs(satisfied.mean() - expected) < 4 * np.sqrt(0.25 / len(satisfied))


def test_dwell_is_log_normal_by_satisfaction_and_user() -> None:
    actions = act(BEHAVIOUR, shown((2, 2, 2)), log_dwell=0.5)
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
        assert isinstance(default, LogNormal)
        log_normal = stats.lognorm(default.sigma, scale=np.exp(default.mu))
        assert log_normal.sf(30) == pytest.approx(over_30_s, abs=0.01)
        assert log_normal.median() == pytest.approx(median, abs=0.5)


def test_dwell_is_capped() -> None:
    behaviour = replace(BEHAVIOUR, dwell_cap_seconds=20.0)
    dwell_ms = act(behaviour, shown((2, 2, 2))).dwell_ms
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
    actions = act(BEHAVIOUR, shown((1, 1, 1)), seed=4, log_dwell=-0.3)
    expected = mean_dwell_seconds(BEHAVIOUR, np.array(0.45), np.array(-0.3))
    seconds = actions.dwell_ms / 1_000
    assert abs(seconds.mean() - expected) < 4 * seconds.std() / np.sqrt(len(seconds))


def test_padding_is_never_clicked() -> None:
    actions = act(BEHAVIOUR, shown((2, None, None)))
    assert not actions.clicked[:, 1:].any()


def test_a_page_depends_on_its_own_row_only() -> None:
    rows, ranking = np.array([7, 300, 41]), np.zeros(500, dtype=np.int64)
    users = Users(np.linspace(-1, 1, 500), np.linspace(-1, 1, 500))
    page = shown((2, 1, 0))
    together = behave(BEHAVIOUR, keys(500), users, page, ranking)
    apart = behave(BEHAVIOUR, keys(500)[rows], users[rows], page, ranking[rows])
    np.testing.assert_array_equal(together.clicked[rows], apart.clicked)
    for row, original in enumerate(rows):
        np.testing.assert_array_equal(
            together.dwell_ms[together.page == original], apart.dwell_ms[apart.page == row]
        )


def test_a_document_keeps_its_luck_when_the_order_changes() -> None:
    """Attraction and dwell of a document on a page are the same at any rank, in any arm."""
    always = replace(BEHAVIOUR, browsing=Pbm((1.0, 1.0, 1.0)))
    forwards = shown((2, 1, 0))
    backwards = Shown(forwards.document[::-1], forwards.log_odds[::-1], forwards.satisfaction[::-1])
    here, there = act(always, forwards), act(always, backwards)
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
        ({"page_size": 0}, "behaviour.page_size"),
        ({"page_size": 4}, "behaviour.page_size"),
        ({"attractiveness": (0.0, 0.5)}, "behaviour.attractiveness"),
        ({"satisfaction": (0.5, -0.1)}, "behaviour.satisfaction"),
        ({"dwell_cap_seconds": 0.0}, "behaviour.dwell_cap_seconds"),
    ],
)
def test_impossible_behaviour_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        replace(BEHAVIOUR, **change)
    assert [violation.field for violation in raised.value.violations] == [field]
