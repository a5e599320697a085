"""Who may serve: hand-worked cases."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ranklift.retrain.gate import Evaluation, judge
from ranklift.store.values import Comparison

EQUAL = Comparison("pair_accuracy", 0.8, 0.8, 0.0, -0.005, 0.005, 100, "clicks")
BETTER = replace(EQUAL, difference=0.05, difference_lower=0.03, difference_upper=0.07)
UNSURE = replace(EQUAL, difference=0.05, difference_lower=-0.02, difference_upper=0.12)
WORSE = replace(EQUAL, difference=-0.05, difference_lower=-0.07, difference_upper=-0.03)
NAN = float("nan")


@pytest.mark.parametrize(
    ("comparisons", "spread", "passed", "better", "says"),
    [
        ((BETTER,), 1.0, True, True, r"^better than the champion: pair_accuracy on clicks \+0.05"),
        ((EQUAL,), 1.0, True, False, "^not worse than the champion"),
        ((WORSE,), 1.0, False, False, r"worse .* by more than 0.01: .* -0.05.*\[-0.07.*, -0.03"),
        ((UNSURE,), 1.0, False, False, "may be worse than the champion by more than 0.01"),
        ((replace(EQUAL, difference_lower=-0.01),), 1.0, False, False, "may be worse"),
        ((replace(EQUAL, difference_lower=-0.00999),), 1.0, True, False, "not worse"),
        ((BETTER, replace(WORSE, source="judgments")), 1.0, False, False, "on judgments -0.05"),
        ((BETTER, replace(EQUAL, source="judgments")), 1.0, True, False, "not worse"),
        ((BETTER, replace(WORSE, metric="ndcg@10")), 1.0, True, True, "better"),
        ((BETTER,), 0.0, False, False, "all documents of a query the same score"),
        ((BETTER,), NAN, False, False, "all documents of a query the same score"),
        ((), 1.0, False, False, "pair_accuracy was not compared"),
        ((replace(BETTER, metric="ndcg@10"),), 1.0, False, False, "pair_accuracy was not compared"),
        ((replace(BETTER, queries=0),), 1.0, False, False, "compared on 0 queries only"),
        ((replace(BETTER, queries=9),), 1.0, False, False, "compared on 9 queries only.* 10 or mo"),
        ((replace(BETTER, queries=10),), 1.0, True, True, "better"),
        ((replace(BETTER, difference_lower=NAN),), 1.0, False, False, "could not be computed"),
        ((replace(BETTER, difference=NAN),), 1.0, False, False, "could not be computed"),
    ],
)
def test_verdict(
    comparisons: tuple[Comparison, ...], spread: float, passed: bool, better: bool, says: str
) -> None:
    verdict = judge(Evaluation(comparisons, spread))
    assert (verdict.passed, verdict.better) == (passed, better)
    assert re.search(says, verdict.reason)


def test_the_margin_is_the_callers() -> None:
    assert judge(Evaluation((UNSURE,), 1.0), margin=0.03).passed
    assert not judge(Evaluation((UNSURE,), 1.0), margin=0.02).passed
