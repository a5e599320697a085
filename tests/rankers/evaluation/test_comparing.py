"""Several systems against a baseline."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.evaluation import (
    Evaluation,
    Rules,
    compare,
    compare_with_baseline,
    evaluate_scores,
)
from ranklift.rankers.evaluation.comparing import holm
from ranklift.v1.errors import InvalidRequest

GRADES = (3.0, 1.0, 0.0, 0.0, 0.0)
LISTS = [
    RankingList(str(q), tuple(Text(f"d{i}", "t", "") for i in range(5)), GRADES) for q in range(60)
]


def evaluated(noise: float, seed: int, rules: Rules | None = None) -> Evaluation:
    rng = np.random.default_rng(seed)
    scores = [np.array(GRADES) + noise * rng.normal(size=5) for _ in LISTS]
    return evaluate_scores(scores, LISTS, rules=rules or Rules(), resamples=50)


@pytest.mark.parametrize(
    "p_values", [[0.3], [0.01, 0.04, 0.03], [0.5, 0.5, 1.0, 0.02], [0.9, 0.8, 0.001, 0.001]]
)
def test_holms_correction_is_statsmodels(p_values: list[float]) -> None:
    assert list(holm(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_the_correction_is_of_the_systems_measure_by_measure() -> None:
    baseline = evaluated(4.0, 0)
    others = {"a": evaluated(3.0, 1), "b": evaluated(3.0, 2), "c": evaluated(2.5, 3)}
    found = compare_with_baseline(("base", baseline), others, assignments=999, resamples=50)
    assert [(one.system, one.found.metric) for one in found] == [
        (system, metric) for metric in ("pair_accuracy", "ndcg@10") for system in "abc"
    ]
    for rows in (found[:3], found[3:]):
        assert [one.p_holm for one in rows] == list(holm([one.found.p_value for one in rows]))
        assert [one.p_holm for one in rows] != [one.found.p_value for one in rows]


def test_one_system_needs_no_correction_and_none_gives_none() -> None:
    baseline = evaluated(4.0, 0)
    (one, _) = compare_with_baseline(("base", baseline), {"a": evaluated(3.0, 1)}, resamples=50)
    assert one.p_holm == one.found.p_value
    assert compare_with_baseline(("base", baseline), {}) == ()


def test_log_pnr_is_the_difference_of_logarithms() -> None:
    a, b = evaluated(4.0, 0), evaluated(1.0, 1)
    (found,) = compare(a, b, metrics=("log_pnr",), resamples=300)
    assert found.difference == pytest.approx(np.log(b.pnr.value / a.pnr.value))
    assert 0 < found.lower < found.difference < found.upper


def test_what_is_not_compared_is_refused() -> None:
    a = evaluated(1.0, 0)
    with pytest.raises(InvalidRequest, match=r'"pnr" is not compared; there are ndcg@5, .*log_pnr'):
        compare(a, a, metrics=("pnr",))
    with pytest.raises(InvalidRequest, match="different candidates, grades or rules"):
        compare(a, evaluated(1.0, 0, Rules(gain="exponential")))
    # Relevant documents that are no candidates change what the best order is worth, and no pair.
    scores = [np.array(GRADES) for _ in LISTS]
    more = [{f"d{i}": int(g) for i, g in enumerate(GRADES)} | {"elsewhere": 3} for _ in LISTS]
    with pytest.raises(InvalidRequest, match="different candidates, grades or rules"):
        compare(a, evaluate_scores(scores, LISTS, resamples=50, judgments=more))


def test_queries_that_can_tell_nothing_are_not_counted() -> None:
    flat = [RankingList(f"flat {q}", LISTS[0].documents, (0.0,) * 5) for q in range(40)]
    one_grade = [RankingList(f"one {q}", LISTS[0].documents, (2.0,) * 5) for q in range(7)]
    lists = [*LISTS[:3], *flat, *one_grade]
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=5) for _ in lists]
    # A ranker that ties all documents of a query has been compared on it all the same.
    a, b = (
        evaluate_scores(each, lists, resamples=50)
        for each in ([np.zeros(5) for _ in lists], scores)
    )
    pairs, ndcg = compare(a, b, resamples=50)
    assert (pairs.metric, pairs.queries) == ("pair_accuracy", 3)
    assert (ndcg.metric, ndcg.queries) == ("ndcg@10", 3 + 7)
