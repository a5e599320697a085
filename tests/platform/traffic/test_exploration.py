"""Exploration: the logged chance is that of the order drawn, and of each document at its place."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranklift.events.values import ExploredPage
from ranklift.store.values import Exploration, ExplorationMethod
from ranklift.traffic.draws import KeyedDraws
from ranklift.traffic.exploration import Explored, disturb, logged

SWAP, PLACKETT_LUCE = ExplorationMethod.SWAP, ExplorationMethod.PLACKETT_LUCE
SCORES = (2.0, 1.5, 0.0, -0.5, -3.0)

explorations = st.builds(
    Exploration,
    st.sampled_from(list(ExplorationMethod)),
    st.integers(2, 5),
    st.floats(0.01, 1),
    st.floats(0.05, 50),
)


def page_of(
    exploration: Exploration, ranks: tuple[int, ...], scores: tuple[float, ...] = SCORES
) -> ExploredPage:
    return logged(Explored(exploration, scores, ranks))


def test_hand_worked_swap() -> None:
    # 4 documents make 6 pairs, 3 of which move a given document.
    exploration = Exploration(SWAP, top_k=4, probability=0.6)
    swapped = page_of(exploration, (3, 2, 1, 4, 5))
    assert swapped.list_propensity == pytest.approx(0.1)
    assert swapped.position_propensities == pytest.approx((0.1, 0.7, 0.1, 0.7, 1))
    left_alone = page_of(exploration, (1, 2, 3, 4, 5))
    assert left_alone.list_propensity == pytest.approx(0.4)
    assert left_alone.position_propensities == pytest.approx((0.7, 0.7, 0.7, 0.7, 1))


def test_hand_worked_plackett_luce() -> None:
    # Weights e : 1, in half of the pages.
    exploration = Exploration(PLACKETT_LUCE, top_k=2, probability=0.5, temperature=2)
    first = 2.718281828 / 3.718281828
    scores = (2.0, 0.0, -1.0)
    disturbed = page_of(exploration, (2, 1, 3), scores)
    assert disturbed.list_propensity == pytest.approx((1 - first) / 2)
    assert disturbed.position_propensities == pytest.approx(((1 - first) / 2, (1 - first) / 2, 1))
    left_alone = page_of(exploration, (1, 2, 3), scores)
    assert left_alone.list_propensity == pytest.approx(0.5 + first / 2)


@settings(deadline=None)
@given(explorations)
def test_chances_of_all_orders_add_up_to_one_and_to_those_of_each_place(
    exploration: Exploration,
) -> None:
    orders = list(permutations(range(1, 6)))
    if exploration.method is SWAP:
        orders = [one for one in orders if sum(r != p for p, r in enumerate(one, 1)) in (0, 2)]
    orders = [one for one in orders if one[exploration.top_k :] == below(exploration)]
    pages = {order: page_of(exploration, order) for order in orders}
    assert sum(page.list_propensity for page in pages.values()) == pytest.approx(1)
    at: Counter[tuple[int, int]] = Counter()
    for order, page in pages.items():
        for place, rank in enumerate(order):
            at[place, rank] += page.list_propensity  # type: ignore[assignment]
    for order, page in pages.items():
        assert page.position_propensities == pytest.approx(
            tuple(at[place, rank] for place, rank in enumerate(order))
        )
        assert (
            all(chance > 0 for chance in page.position_propensities) or exploration.probability == 1
        )


def below(exploration: Exploration) -> tuple[int, ...]:
    return tuple(range(exploration.top_k + 1, 6))


@pytest.mark.parametrize("method", list(ExplorationMethod))
def test_orders_are_drawn_as_often_as_logged(method: ExplorationMethod) -> None:
    exploration = Exploration(method, top_k=4, probability=0.7, temperature=1.5)
    drawn = Counter(
        disturb(exploration, SCORES, KeyedDraws(f"exploration:{key}")) for key in range(6_000)
    )
    expected = [6_000 * page_of(exploration, order).list_propensity for order in drawn]
    assert sum(expected) == pytest.approx(6_000)
    assert stats.chisquare(list(drawn.values()), expected).pvalue > 1e-3


def test_far_scores_and_long_pages_keep_a_chance() -> None:
    exploration = Exploration(PLACKETT_LUCE, top_k=50, probability=1, temperature=0.01)
    scores = tuple(1e300 - 1e299 * i for i in range(50))
    for key in ("a", "b"):
        ranks = disturb(exploration, scores, KeyedDraws(key))
        assert sorted(ranks) == list(range(1, 51))
        page = page_of(exploration, ranks, scores)
        assert 0 < page.list_propensity <= 1
        assert all(0 < one <= 1 for one in page.position_propensities)


@pytest.mark.parametrize("scores", [(), (1.0,)])
def test_a_page_too_short_is_as_it_was(scores: tuple[float, ...]) -> None:
    exploration = Exploration(SWAP, top_k=4, probability=1)
    ranks = disturb(exploration, scores, KeyedDraws("k"))
    page = page_of(exploration, ranks, scores)
    assert (len(ranks), page.list_propensity) == (len(scores), 1)
    assert page.position_propensities == (1,) * len(scores)


def test_equal_scores_are_drawn_evenly() -> None:
    exploration = Exploration(PLACKETT_LUCE, top_k=3, probability=1)
    page = page_of(exploration, (2, 3, 1), (1.0, 1.0, 1.0))
    assert page.list_propensity == pytest.approx(1 / 6)
    assert page.position_propensities == pytest.approx((1 / 3, 1 / 3, 1 / 3))
