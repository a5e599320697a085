"""Interleaving: whole pages, chances as enumerated by hand, credit as worked out by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranklift.events.values import InterleavedPage
from ranklift.store.values import InterleavingMethod as Method
from ranklift.traffic.draws import KeyedDraws
from ranklift.traffic.interleaving import (
    VOTES,
    balanced,
    interleave,
    optimized,
    probabilistic,
    team_draft,
)
from ranklift.traffic.interleaving.optimized import admissible, distribution

ONE, OTHER = (0, 1, 2, 3), (1, 3, 0, 2)
PAIR = ("one@1", "other@1")
KEYS = 6_000

rankings = st.integers(2, 14).flatmap(
    lambda documents: st.lists(st.permutations(range(documents)), min_size=2, max_size=4)
)


def page_of(
    method: Method, *given: Sequence[int], key: str = "k", shown: int | None = None
) -> tuple[tuple[int, ...], InterleavedPage]:
    models = [f"m{i}@1" for i in range(len(given))]
    return interleave(
        method, dict(enumerate(given)), models, shown or len(given[0]), KeyedDraws(key)
    )


def as_drawn(method: Method, *given: Sequence[int]) -> Counter[tuple[tuple[int, ...], ...]]:
    drawn: Counter[tuple[tuple[int, ...], ...]] = Counter()
    for key in range(KEYS):
        order, page = page_of(method, *given, key=f"e/interleaving:{key}")
        drawn[order, page.teams] += 1
    return drawn


def assert_as_likely(
    drawn: Counter[tuple[tuple[int, ...], ...]],
    expected: dict[tuple[tuple[int, ...], ...], Fraction],
) -> None:
    assert sum(expected.values()) == 1
    assert set(drawn) == set(expected)
    found = [drawn[outcome] for outcome in expected]
    wanted = [float(chance) * KEYS for chance in expected.values()]
    assert stats.chisquare(found, wanted).pvalue > 1e-3


def test_team_draft_is_as_likely_as_enumerated() -> None:
    # Round one shows 0 and 1 in either order. Then one wants 2 and other 3, again in either order.
    expected: dict[tuple[tuple[int, ...], ...], Fraction] = {
        ((*(0, 1)[::first], *(2, 3)[::second]), (*(0, 1)[::first], *(0, 1)[::second])): Fraction(
            1, 4
        )
        for first, second in product((1, -1), repeat=2)
    }
    assert_as_likely(as_drawn(Method.TEAM_DRAFT, ONE, OTHER), expected)


def test_what_all_rankings_want_next_is_on_no_team() -> None:
    drawn = as_drawn(Method.TEAM_DRAFT, (5, 0, 1, 2, 3, 4), (5, 1, 0, 2, 3, 4))
    assert_as_likely(
        drawn,
        {
            ((5, 0, 1, 2, 3, 4), (-1, 0, 1, -1, -1, -1)): Fraction(1, 2),
            ((5, 1, 0, 2, 3, 4), (-1, 1, 0, -1, -1, -1)): Fraction(1, 2),
        },
    )


def test_three_teams_pick_in_a_random_order_each_round() -> None:
    drawn = as_drawn(Method.TEAM_DRAFT, (0, 1, 2), (1, 2, 0), (2, 0, 1))
    assert {order for order, _ in drawn} == {
        (a, b, c) for a, b, c in product(range(3), repeat=3) if len({a, b, c}) == 3
    }
    assert all(order == teams for order, teams in drawn)
    assert stats.chisquare(list(drawn.values())).pvalue > 1e-3


def test_balanced_is_as_likely_as_enumerated() -> None:
    # One first: 0 | 1, 1 | 2 ...: 0, 1, then one's 1 is there, other's 3, one's 2.
    # Other first: 1, then one's 0, other's 3, one's 1 is there, other's 0 is there, one's 2.
    none = (-1,) * 4
    assert_as_likely(
        as_drawn(Method.BALANCED, ONE, OTHER),
        {
            ((0, 1, 3, 2), none): Fraction(1, 2),
            ((1, 0, 3, 2), none): Fraction(1, 2),
        },
    )


def test_probabilistic_is_as_likely_as_enumerated() -> None:
    one, other = (0, 1, 2), (2, 0, 1)
    expected: dict[tuple[tuple[int, ...], ...], Fraction] = {}

    def go_on(shown: tuple[int, ...], chance: Fraction) -> None:
        if len(shown) == 3:
            key = (shown, (-1, -1, -1))
            expected[key] = expected.get(key, Fraction(0)) + chance
            return
        for ranking in (one, other):
            left = {d: Fraction(1, (ranking.index(d) + 1) ** 3) for d in ranking if d not in shown}
            for document, weight in left.items():
                go_on((*shown, document), chance / 2 * weight / sum(left.values()))

    go_on((), Fraction(1))
    assert_as_likely(as_drawn(Method.PROBABILISTIC, one, other), expected)


def test_optimized_is_as_likely_as_worked_out() -> None:
    # (0, 1, 2) against (1, 2, 0): inverse ranks differ by 2/3, -1/2 and -1/6. A click at place 1
    # favours nobody: 2/3 p = 1/2 (1 - p), so 0 is first in 3/7. The first two, (0, 1) or (1, 0)
    # by 1/6 and (1, 2) by -2/3: so (1, 2) is shown in 1/5.
    assert_as_likely(
        as_drawn(Method.OPTIMIZED, (0, 1, 2), (1, 2, 0)),
        {
            ((0, 1, 2), (-1,) * 3): Fraction(3, 7),
            ((1, 0, 2), (-1,) * 3): Fraction(13, 35),
            ((1, 2, 0), (-1,) * 3): Fraction(1, 5),
        },
    )


@settings(deadline=None)
@given(st.permutations(range(12)), st.permutations(range(12)))
def test_optimized_favours_nobody_who_clicks_at_random(one: list[int], other: list[int]) -> None:
    rank = {document: i for i, document in enumerate(one)}
    lists = distribution((tuple(range(12)), tuple(rank[document] for document in other)), 10)
    assert lists is not None
    where = [other.index(document) for document in one]
    for depth in range(1, 11):
        ahead = sum(
            chance
            * sum(1 / (document + 1) - 1 / (where[document] + 1) for document in shown[:depth])
            for chance, shown in lists
        )
        assert ahead == pytest.approx(0, abs=1e-7)


def test_admissible_lists_are_those_that_picks_in_any_order_make() -> None:
    assert admissible(((0, 1, 2), (1, 2, 0)), 3) == [(0, 1, 2), (1, 0, 2), (1, 2, 0)]


def test_a_page_that_cannot_be_fair_is_a_team_draft() -> None:
    # Of three rankings two have 0 on top: whoever has not cannot be made up for.
    given = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
    assert distribution(given, 3) is None
    assert page_of(Method.OPTIMIZED, *given)[1].method == "team_draft"


def test_hand_worked_credit() -> None:
    shown = InterleavedPage(
        "any", PAIR, (0, 1, -1, 0), ((1, 2, 4, 3), (3, 1, 2, 4))
    )  # one: a b d c, other: b d a c
    first_and_third = (True, False, True, False)
    assert team_draft.credit(shown, (True, True, True, True)) == (2, 1)
    assert team_draft.credit(shown, first_and_third) == (1, 0)
    # The lowest click is d, in the first 2 of other: a is no longer there, one has a only.
    assert balanced.credit(shown, first_and_third) == (1, 1)
    assert balanced.credit(shown, (False, False, False, True)) == (1, 0)
    assert optimized.credit(shown, first_and_third) == pytest.approx((1 + 1 / 4, 1 / 3 + 1 / 2))
    assert team_draft.vote(shown, first_and_third, 0, 1) == 1
    assert balanced.vote(shown, first_and_third, 0, 1) == 0
    assert optimized.vote(shown, first_and_third, 1, 0) == pytest.approx((5 / 6 - 5 / 4) * 12 / 25)


def test_hand_worked_credit_of_probabilistic_interleaving() -> None:
    shown = InterleavedPage("probabilistic", PAIR, (-1,) * 3, ((1, 2, 3), (2, 3, 1)))
    total = 1 + Fraction(1, 8) + Fraction(1, 27)
    # At place 2 document 0 is gone: one chooses between ranks 2 and 3, other between 1 and 3.
    one = Fraction(1, 8) / (total - 1)
    other = Fraction(1, 27) / (total - Fraction(1, 8))
    credit, vote = probabilistic.credit, probabilistic.vote
    assert credit(shown, (True, False, False)) == pytest.approx((8 / 9, 1 / 9))
    assert credit(shown, (False, True, False)) == pytest.approx(
        (float(one / (one + other)), float(other / (one + other)))
    )
    assert credit(shown, (False, False, True)) == pytest.approx((1 / 2, 1 / 2))  # one is left
    assert vote(shown, (True, False, False), 0, 1) == pytest.approx(7 / 9)
    assert vote(shown, (True, False, False), 1, 0) == pytest.approx(-7 / 9)
    # Of two clicks, either ranking caused both, or each caused one: a tie.
    assert vote(shown, (True, False, True), 0, 1) == pytest.approx(8 / 9 / 2 - 1 / 9 / 2)


@settings(deadline=None)
@given(rankings, st.sampled_from([m for m in Method if m is not Method.BALANCED]), st.text("ab"))
def test_every_document_is_shown_once_and_teams_pick_from_their_top(
    given: list[list[int]], method: Method, key: str
) -> None:
    order, page = page_of(method, *given, key=key)
    assert sorted(order) == sorted(given[0])
    for ranking, ranks in zip(given, page.ranks, strict=True):
        assert [ranking[rank - 1] for rank in ranks] == list(order)
    for team in range(len(given)):
        picks = [page.ranks[team][place] for place, one in enumerate(page.teams) if one == team]
        assert all(above < below for above, below in pairwise(picks))
    assert page_of(method, *given, key=key) == (order, page)


@settings(deadline=None)
@given(rankings, st.sampled_from(list(Method)), st.integers(1, 12))
def test_the_first_places_of_a_shorter_page_and_what_is_logged_fit(
    given: list[list[int]], method: Method, shown: int
) -> None:
    given = given[:2]
    order, page = page_of(method, *given, shown=min(shown, len(given[0])))
    assert len(order) == len(page.teams) == len(page.ranks[1]) == min(shown, len(given[0]))
    assert abs(VOTES[page.method](page, [True] * len(order), 0, 1)) <= 1


@settings(deadline=None)
@given(
    st.permutations(range(12)),
    st.sampled_from(list(Method)),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_identical_rankings_are_credited_alike(
    ranking: list[int], method: Method, clicked: list[bool]
) -> None:
    order, page = page_of(method, ranking, ranking)
    assert list(order) == ranking or method is Method.PROBABILISTIC
    assert VOTES[page.method](page, clicked, 0, 1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("method", [m for m in Method if m is not Method.BALANCED])
def test_random_clicks_prefer_nobody(method: Method) -> None:
    # Everybody looks down to some place and clicks one of what they saw, whatever it is.
    one, other = (0, 1, 2, 3, 4), (1, 2, 3, 4, 0)
    for depth in (1, 2, 3, 5):
        ahead = []
        for key in range(4_000):
            order, page = page_of(method, one, other, key=f"{depth}:{key}")
            place = key % depth
            ahead.append(VOTES[page.method](page, [i == place for i in range(len(order))], 0, 1))
        assert stats.ttest_1samp(ahead, 0).pvalue > 1e-3, depth


def test_balanced_prefers_one_of_two_shifted_rankings_whoever_clicks() -> None:
    # Its known fault: other is one moved up by one place, and wins with random clicks.
    won = Counter[int]()
    for key in range(300):
        _, page = page_of(Method.BALANCED, (0, 1, 2, 3), (1, 2, 3, 0), key=str(key))
        for place in range(4):
            one, other = balanced.credit(page, [i == place for i in range(4)])
            won[(other > one) - (one > other)] += 1
    assert won[1] > 1.5 * won[-1]


def test_with_one_ranking_left_the_page_is_that_ranking() -> None:
    order, page = interleave(Method.TEAM_DRAFT, {1: [2, 0, 1]}, PAIR, 3, KeyedDraws("k"))
    assert order == (2, 0, 1)
    assert (page.missing, page.ranks) == (("one@1",), ((), (1, 2, 3)))


def test_teams_keep_their_numbers_when_a_ranking_is_missing() -> None:
    order, page = interleave(
        Method.TEAM_DRAFT, {0: [0, 1], 2: [1, 0]}, ("a@1", "b@1", "c@1"), 2, KeyedDraws("k")
    )
    assert set(page.teams) == {0, 2}
    assert page.ranks[1] == ()
    assert sorted(order) == [0, 1]
