"""Evaluation against cases worked by hand, and comparisons that can be wrong."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.evaluation import Rules, compare, evaluate_scores
from ranklift.v1.errors import InvalidRequest


def judged(*grades: float, query: str = "q") -> RankingList:
    return RankingList(query, tuple(Text(f"d{i}", "t", "") for i in range(len(grades))), grades)


def scores(*values: float) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def test_pairs_are_pooled_smoothed_and_ties_count_in_neither() -> None:
    # First query, grades 2 1 0 0, scores 3 4 1 4: right (2,0) (1,0); wrong (2,1) (2,0);
    # tied (1,0). Second query: one right pair.
    result = evaluate_scores(
        [scores(3, 4, 1, 4), scores(1, 0)], [judged(2, 1, 0, 0), judged(1, 0, query="r")]
    )
    assert result.pairs == 6
    assert result.tied == pytest.approx(1 / 6)
    assert result.pnr.value == pytest.approx(3.5 / 2.5)
    assert result.pair_accuracy.value == pytest.approx(3.5 / 6)


def test_ndcg_by_hand() -> None:
    # Shown grades 1 0 2; ideal 2 1 0.
    result = evaluate_scores([scores(3, 1, 2)], [judged(1, 2, 0)])
    shown = 1 + 2 / math.log2(4)
    ideal = 2 + 1 / math.log2(3)
    assert result.ndcg[10].value == pytest.approx(shown / ideal)


def test_ndcg_cuts_at_k() -> None:
    grades = [0.0] * 5 + [1.0]
    result = evaluate_scores([scores(6, 5, 4, 3, 2, 1)], [judged(*grades)])
    assert result.ndcg[5].value == 0
    assert result.ndcg[10].value == pytest.approx(1 / math.log2(7))


def test_equal_scores_rank_by_document_id_not_by_order() -> None:
    forward = RankingList("q", (Text("a", "t", ""), Text("b", "t", "")), (0.0, 1.0))
    backward = RankingList("q", forward.documents[::-1], (1.0, 0.0))
    for each in (forward, backward):
        result = evaluate_scores([scores(7, 7)], [each])
        assert result.ndcg[10].value == pytest.approx(1 / math.log2(3))


def test_a_query_without_positive_grades_has_no_ndcg() -> None:
    both = evaluate_scores([scores(2, 1), scores(2, 1)], [judged(1, 0), judged(0, 0, query="r")])
    assert both.ndcg[10].value == 1


def test_a_constant_ranker_is_at_chance_and_its_ties_are_told() -> None:
    result = evaluate_scores([scores(5, 5, 5)] * 3, [judged(2, 1, 0)] * 3)
    assert result.pair_accuracy.value == 0.5
    assert result.tied == 1


@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=6))
def test_pair_accuracy_is_pnr_in_other_words(values: list[list[int]]) -> None:
    result = evaluate_scores(
        [scores(*row) for row in values], [judged(3, 1, 0, 0)] * len(values), resamples=20
    )
    pnr, accuracy = result.pnr.value, result.pair_accuracy.value
    assert accuracy == pytest.approx(pnr / (1 + pnr))
    # Turning every score around turns every pair around.
    turned = evaluate_scores(
        [-scores(*row) for row in values], [judged(3, 1, 0, 0)] * len(values), resamples=20
    )
    assert turned.pnr.value == pytest.approx(1 / pnr)


def noisy(rng: np.random.Generator, queries: int, noise: float) -> list[NDArray[np.float64]]:
    return [np.array([2.0, 1.0, 0.0, 0.0]) + noise * rng.normal(size=4) for _ in range(queries)]


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(31)
    pairs_alone = Rules(measures=())
    lists = [judged(2, 1, 0, 0, query=str(i)) for i in range(60)]
    truth = evaluate_scores(
        noisy(rng, 20_000, 1.0), [judged(2, 1, 0, 0)] * 20_000, resamples=2, rules=pairs_alone
    ).pair_accuracy.value
    covered = 0
    for seed in range(200):
        interval = evaluate_scores(
            noisy(rng, 60, 1.0), lists, seed=seed, resamples=200, rules=pairs_alone
        ).pair_accuracy
        covered += interval.lower <= truth <= interval.upper
    assert 0.89 <= covered / 200 <= 0.99


def test_a_better_ranker_is_told_from_a_worse_one_and_from_itself() -> None:
    rng = np.random.default_rng(32)
    lists = [judged(2, 1, 0, 0, query=str(i)) for i in range(150)]
    bad, good = (evaluate_scores(noisy(rng, 150, noise), lists) for noise in (3.0, 0.7))
    for difference in compare(bad, good):
        assert difference.difference == pytest.approx(difference.b - difference.a)
        assert 0 < difference.lower < difference.difference < difference.upper
        assert difference.queries == 150
    assert [d.metric for d in compare(bad, good)] == ["pair_accuracy", "ndcg@10"]
    assert all((d.difference, d.lower, d.upper) == (0, 0, 0) for d in compare(good, good))


def test_pairing_makes_the_interval_of_a_difference_narrower() -> None:
    # The same hard queries for both: b differs from a by one pair in every list.
    rng = np.random.default_rng(33)
    lists = [judged(2, 1, 0, 0, query=str(i)) for i in range(100)]
    ours = noisy(rng, 100, 2.0)
    a = evaluate_scores(ours, lists)
    b = evaluate_scores([row + np.array([0.1, 0, 0, 0]) for row in ours], lists)
    (accuracy, _) = compare(a, b)
    unpaired = math.hypot(*((e.pair_accuracy.upper - e.pair_accuracy.lower) for e in (a, b)))
    assert accuracy.upper - accuracy.lower < unpaired / 2


def test_the_same_seed_gives_the_same_interval() -> None:
    lists = [judged(2, 1, 0, 0, query=str(i)) for i in range(20)]
    values = noisy(np.random.default_rng(34), 20, 2.0)
    first, same, other = (evaluate_scores(values, lists, seed=s).pnr for s in (1, 1, 2))
    assert first == same != other


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([], "nothing to evaluate on"),
        ([judged(1, 1)], "no query has two documents of different grades"),
        ([judged(0.5, 1)], r"lists\[0\]\.targets"),
        ([judged(1, 0), judged(-1, 0)], r"lists\[1\]\.targets"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(lists: Sequence[RankingList], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        evaluate_scores([scores(1, 2) for _ in lists], lists)


def test_evaluations_of_different_queries_are_not_compared() -> None:
    a, b = (evaluate_scores([scores(2, 1)], [judged(1, 0, query=q)]) for q in "ab")
    with pytest.raises(InvalidRequest, match="the same lists"):
        compare(a, b)
