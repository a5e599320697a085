"""Measures of rankings: worked by hand, and as ir-measures computes them when asked itself."""

import math

import ir_measures
import numpy as np
import pytest
from numpy.typing import NDArray

from ranklift.rankers.base import RankingList, Text
from ranklift.rankers.evaluation import Evaluation, Measure, Rules, evaluate_scores, parse_measures
from ranklift.rankers.evaluation.rules import Gain
from ranklift.v1.errors import InvalidRequest

Floats = NDArray[np.float64]


def listed(query: str, **grades: float) -> RankingList:
    return RankingList(query, tuple(Text(d, "t", "") for d in grades), tuple(grades.values()))


def measured(
    measures: str,
    each: RankingList,
    scores: list[float],
    judged: dict[str, int] | None = None,
    gain: Gain = "linear",
    relevant: int = 1,
) -> list[float]:
    rules = Rules(parse_measures(measures), gain=gain, relevant=relevant)
    found = evaluate_scores(
        [np.array(scores)], [each], rules=rules, judgments=[judged] if judged else None, resamples=1
    )
    return [estimate.value for estimate in found.measures.values()]


# Ranked a b c d e; relevant are b, d, and z, which is no candidate.
ONE = listed("q", a=0.0, b=2.0, c=0.0, d=1.0, e=0.0)
SCORES = [5.0, 4, 3, 2, 1]
JUDGED = {"a": 0, "b": 2, "d": 1, "z": 1}


def test_measures_without_grades_by_hand() -> None:
    found = measured("mrr mrr@1 map map@2 p@2 p@10 recall recall@2 judged@3", ONE, SCORES, JUDGED)
    first, second = 1 / 2, 2 / 4  # precision at the ranks of b and d
    assert found == pytest.approx(
        [1 / 2, 0, (first + second) / 3, first / 3, 1 / 2, 2 / 10, 2 / 3, 1 / 3, 2 / 3]
    )


def test_without_other_judgments_the_list_is_all_there_is() -> None:
    assert measured("map recall judged@5", ONE, SCORES) == pytest.approx([1 / 2, 1, 1])


def test_the_lowest_relevant_grade_is_a_setting() -> None:
    found = measured("mrr map p@5 recall recall@1", ONE, SCORES, JUDGED, relevant=2)
    assert found == pytest.approx([1 / 2, 1 / 2, 1 / 5, 1, 0])


@pytest.mark.parametrize(
    ("gain", "of"), [("linear", lambda y: y), ("exponential", lambda y: 2**y - 1)]
)
def test_the_gain_and_an_ideal_ranking_of_all_judged_documents(gain: Gain, of: Gain) -> None:
    worth = {grade: of(grade) for grade in (0, 1, 2, 3)}  # type: ignore[operator]
    shown = worth[2] / math.log2(3) + worth[1] / math.log2(5)
    ideal = worth[3] + worth[2] / math.log2(3) + worth[1] / math.log2(4)
    found = measured("ndcg@4 ndcg", ONE, SCORES, {"b": 2, "d": 1, "z": 3}, gain=gain)
    assert found == pytest.approx([shown / ideal, shown / ideal])


def test_queries_without_a_relevant_document_are_left_out_and_counted() -> None:
    lists = [ONE, listed("r", a=0.0, b=0.0), listed("s", a=1.0, b=0.0)]
    found = evaluate_scores(
        [np.array(SCORES), np.array([1.0, 2.0]), np.array([2.0, 1.0])],
        lists,
        rules=Rules(parse_measures("ndcg@2 mrr judged@2"), relevant=2),
        judgments=[JUDGED, {"a": 0}, {"a": 1}],
    )
    assert found.measured == {"ndcg@2": 2, "mrr": 1, "judged@2": 3}
    assert np.isnan(found.per_query.measures["mrr"]).tolist() == [False, True, True]
    assert found.measures["mrr"].value == 1 / 2
    assert found.measures["judged@2"].value == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_relevant_documents_that_are_no_candidates_leave_the_query_in() -> None:
    lists = [ONE, listed("r", a=0.0, b=0.0)]
    found = evaluate_scores(
        [np.array(SCORES), np.array([1.0, 2.0])], lists, judgments=[JUDGED, {"z": 1}]
    )
    assert found.measured["ndcg@10"] == found.measured["recall"] == 2
    assert found.per_query.measures["recall"][1] == found.per_query.measures["ndcg@10"][1] == 0


def random_evaluation(rng: np.random.Generator, rules: Rules) -> tuple[Evaluation, dict, dict]:  # type: ignore[type-arg]
    lists, scores, judgments, run = [], [], [], {}
    for q in range(40):
        ids = [f"d{i}" for i in rng.permutation(30)[: rng.integers(3, 20)]]
        judged = {f"d{i}": int(rng.integers(0, 4)) for i in rng.permutation(30)[:12]}
        values = rng.normal(size=len(ids))
        lists.append(listed(str(q), **{id_: float(judged.get(id_, 0)) for id_ in ids}))
        scores.append(values)
        judgments.append(judged)
        run[str(q)] = dict(zip(ids, values.tolist(), strict=True))
    found = evaluate_scores(scores, lists, rules=rules, judgments=judgments, resamples=1)
    return found, {str(q): judged for q, judged in enumerate(judgments)}, run


def test_every_value_is_that_of_ir_measures() -> None:
    measures = "ndcg@5 ndcg mrr mrr@3 map map@5 p@5 recall@5 judged@5"
    peers = "nDCG@5 nDCG RR(rel=2) RR(rel=2)@3 AP(rel=2) AP(rel=2)@5 P(rel=2)@5 R(rel=2)@5 Judged@5"
    rules = Rules(parse_measures(measures), relevant=2)
    found, qrels, run = random_evaluation(np.random.default_rng(1), rules)
    for measure, peer in zip(rules.measures, peers.split(), strict=True):
        values = {
            metric.query_id: metric.value
            for metric in ir_measures.iter_calc([ir_measures.parse_measure(peer)], qrels, run)
        }
        own = found.per_query.measures[str(measure)]
        assert [values[str(q)] for q in range(40)] == pytest.approx(own.tolist(), abs=1e-12)


def test_the_best_order_is_the_ceiling() -> None:
    rules = Rules(parse_measures("ndcg@5 mrr map p@5 recall"))
    found, _, _ = random_evaluation(np.random.default_rng(2), rules)
    from ranklift.rankers.evaluation import best_order

    lists = [listed("q", a=0.0, b=1.0, c=3.0), listed("r", a=2.0, b=0.0)]
    best = best_order(lists, rules=rules, judgments=[{"b": 1, "c": 3}, {"a": 2, "z": 1}])
    assert best.tied == 0
    assert best.per_query.measures["p@5"].tolist() == [2 / 5, 1 / 5]
    assert best.per_query.measures["recall"].tolist() == [1, 1 / 2]
    assert best.per_query.measures["ndcg@5"][1] == pytest.approx(2 / (2 + 1 / math.log2(3)))
    assert found.measures["recall"].value < 1


def test_measures_are_parsed_in_order_and_once() -> None:
    assert parse_measures(" NDCG@10, mrr  p@5,mrr") == (
        Measure("ndcg", 10),
        Measure("mrr"),
        Measure("p", 5),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there are none"),
        ("ndgc@10", '"ndgc@10" is no measure; choose among ndcg,'),
        ("p", '"p" needs a cutoff, e.g. p@5'),
        ("ndcg@0", "cutoff of 1"),
        ("ndcg@", "cutoff of 1"),
        ("ndcg@-1", "cutoff of 1"),
        ("ndcg@1.5", "cutoff of 1"),
    ],
)
def test_measures_that_are_none_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        parse_measures(text)


@pytest.mark.parametrize(
    ("scores", "judged", "complaint"),
    [
        ([[1.0, 2]], None, r"scores\[0\]: must be 5 finite numbers"),
        ([[1.0, 2, 3, 4, math.nan]], None, r"scores\[0\]"),
        ([], None, "are of 0 lists, must be of 1"),
        ([SCORES], [], "are of 0 lists, must be of 1"),
        ([SCORES], [{"b": 1, "d": 1}], 'give "b" grade 1, its list gives it 2'),
    ],
)
def test_scores_and_judgments_that_do_not_fit_are_refused(
    scores: list[list[float]], judged: list[dict[str, int]] | None, complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        evaluate_scores([np.array(s) for s in scores], [ONE], judgments=judged)


def test_grades_beyond_reason_and_documents_twice_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="too much for grade 21"):
        evaluate_scores(
            [np.array([1.0, 2])], [listed("q", a=21.0, b=0.0)], rules=Rules(gain="exponential")
        )
    twice = RankingList("q", (Text("a", "t", ""),) * 2, (1.0, 0.0))
    with pytest.raises(InvalidRequest, match='"a" is there twice'):
        evaluate_scores([np.array([1.0, 2])], [twice])
    with pytest.raises(InvalidRequest, match="must be grades of at least 0"):
        evaluate_scores([np.array(SCORES)], [ONE], judgments=[{**JUDGED, "y": -1}])
    with pytest.raises(InvalidRequest, match="is 3, and no grade is above 2"):
        evaluate_scores([np.array(SCORES)], [ONE], rules=Rules(relevant=3))
    with pytest.raises(InvalidRequest, match="must be at least 1"):
        evaluate_scores([np.array(SCORES)], [ONE], rules=Rules(relevant=0))
