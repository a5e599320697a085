"""Pairs against their definition, and what is made of them."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.evaluation import Rules, evaluate_scores
from ranklift.rankers.evaluation.pairs import count_pairs
from ranklift.rankers.evaluation.rules import Ties


def judged(*grades: float) -> RankingList:
    return RankingList("q", tuple(Text(f"d{i}", "t", "") for i in range(len(grades))), grades)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), max_size=12))
def test_pairs_are_counted_as_they_are_defined(rows: Sequence[tuple[int, int]]) -> None:
    better = [
        (a[1], b[1]) for a in rows for b in rows if a[0] > b[0]
    ]  # (score of the better one, of the worse one)
    grades, scores = (np.array([row[i] for row in rows], np.float64) for i in (0, 1))
    assert count_pairs(scores, grades) == (
        sum(a > b for a, b in better),
        sum(a < b for a, b in better),
        sum(a == b for a, b in better),
    )


@pytest.mark.parametrize(("ties", "pnr"), [("neither", 3.5 / 2.5), ("half", 4 / 3)])
def test_the_rule_of_ties(ties: Ties, pnr: float) -> None:
    # 3 right, 2 wrong, 1 tied.
    found = evaluate_scores(
        [np.array([3.0, 4, 1, 4]), np.array([1.0, 0])],
        [judged(2, 1, 0, 0), judged(1, 0)],
        rules=Rules(ties=ties),
    )
    assert found.pairs == 6
    assert found.tied == pytest.approx(1 / 6)
    assert found.pnr.value == pytest.approx(pnr)
    assert found.pair_accuracy.value == pytest.approx(pnr / (1 + pnr))


def test_half_of_the_ties_puts_a_constant_ranker_at_chance_exactly() -> None:
    found = evaluate_scores([np.zeros(3)], [judged(2, 1, 0)], rules=Rules(ties="half"))
    assert found.pnr_unsmoothed.value == found.pnr.value == 1


def test_the_plain_ratio_is_infinite_without_wrong_pairs_and_the_smoothed_one_is_not() -> None:
    found = evaluate_scores([np.array([2.0, 1])], [judged(1, 0)])
    assert found.pnr_unsmoothed.value == math.inf
    assert found.pnr.value == 3


def test_pairs_that_were_judged_on_both_sides_are_told_apart() -> None:
    # d1 is judged 0 and above d0; nobody judged d2 and d3, which are below.
    found = evaluate_scores(
        [np.array([2.0, 3, 1, 0])], [judged(1, 0, 0, 0)], judgments=[{"d0": 1, "d1": 0}]
    )
    assert (found.pairs, found.judged_pairs) == (3, 1)
    assert found.pnr_unsmoothed.value == 2
    assert found.judged_pnr is not None
    assert found.judged_pnr.value == pytest.approx(0.5 / 1.5)


def test_without_pairs_judged_on_both_sides_there_is_no_figure_of_them() -> None:
    found = evaluate_scores([np.array([2.0, 1])], [judged(1, 0)], judgments=[{"d0": 1}])
    assert found.judged_pairs == 0
    assert found.judged_pnr is found.judged_pair_accuracy is None


def test_the_interval_of_pnr_is_that_of_pair_accuracy_in_other_words() -> None:
    rng = np.random.default_rng(3)
    found = evaluate_scores([rng.normal(size=4) for _ in range(30)], [judged(2, 1, 0, 0)] * 30)
    for pnr, accuracy in (
        (found.pnr.lower, found.pair_accuracy.lower),
        (found.pnr.upper, found.pair_accuracy.upper),
    ):
        assert pnr / (1 + pnr) == pytest.approx(accuracy)


def test_each_querys_own_share_of_right_pairs() -> None:
    found = evaluate_scores(
        [np.array([3.0, 2, 1]), np.array([1.0, 2]), np.array([1.0, 2])],
        [judged(1, 2, 0), judged(1, 0), judged(0, 0)],
    )
    assert found.per_query.pair_accuracy().tolist() == pytest.approx(
        [2 / 3, 0, math.nan], nan_ok=True
    )
