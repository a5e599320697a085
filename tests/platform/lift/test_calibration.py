"""The error rates that a report promises, on users that differ: A/A battery and coverage.

The quick form of tests/benchmarks/lift_battery.py: fewer rounds, so wider bands. These are
binomial at 99.9 %, so that a correct estimator fails one seed in a thousand.
"""

from __future__ import annotations

import pytest
from tests.benchmarks.lift_battery import (
    LIFT,
    coverage,
    judge,
    judge_case,
    null_rounds,
    planted_rounds,
    rerandomised_metrics,
)
from tests.benchmarks.lift_cases import Case, Found, cases

from ranklift.lift.rerandomise import Rerandomised, false_positive_band

USERS, ROUNDS = 1_500, 250
METRIC_ROUNDS = 500
# The full battery has it; a thousand resamples in every round take too long here.
LEFT_OUT = frozenset({"Poisson bootstrap, percentiles"})
QUICK = [case for case in cases(LIFT) if case.estimator not in LEFT_OUT]


def title(case: Case) -> str:
    return f"{case.metric}, {case.estimator}"


@pytest.fixture(scope="module")
def nulls() -> dict[str, list[Found]]:
    """What the cases find in the same users, split at random again and again."""
    found = null_rounds(range(ROUNDS), USERS, LEFT_OUT)
    return {title(case): list(own) for case, own in zip(QUICK, found, strict=True)}


@pytest.fixture(scope="module")
def planted() -> dict[str, list[Found]]:
    """What the cases find between users, others every time, of whom half got the lift."""
    found = planted_rounds(range(ROUNDS), USERS // 2, LEFT_OUT)
    return {title(case): list(own) for case, own in zip(QUICK, found, strict=True)}


@pytest.fixture(scope="module")
def metrics() -> list[tuple[str, str, Rerandomised]]:
    return rerandomised_metrics(METRIC_ROUNDS, USERS)


def test_no_difference_is_found_significant_as_often_as_promised_in_every_metric(
    metrics: list[tuple[str, str, Rerandomised]],
) -> None:
    judged = [judge(*row) for row in metrics]
    assert len(judged) >= 25
    assert [row for row in judged if not row.passed] == []


@pytest.mark.parametrize("case", [case for case in QUICK if case.honest], ids=title)
def test_no_difference_is_found_significant_as_often_as_promised_by_every_estimator(
    case: Case, nulls: dict[str, list[Found]]
) -> None:
    judged = judge_case(case, nulls[title(case)])
    assert judged.passed, judged


def test_a_page_level_test_fails_the_same_battery(nulls: dict[str, list[Found]]) -> None:
    (case,) = (case for case in QUICK if not case.honest)
    judged = judge_case(case, nulls[title(case)])
    assert not judged.passed
    assert judged.by_p_value is not None
    assert judged.by_p_value > 0.12


@pytest.mark.parametrize("case", [case for case in QUICK if case.honest], ids=title)
def test_the_interval_covers_a_planted_lift_as_often_as_promised(
    case: Case, planted: dict[str, list[Found]]
) -> None:
    low, high = false_positive_band(ROUNDS, 0.05)
    assert low <= 1 - coverage(case.truth, planted[title(case)]) <= high


def test_the_interval_of_a_page_level_test_misses_a_planted_lift_too_often(
    planted: dict[str, list[Found]],
) -> None:
    (case,) = (case for case in QUICK if not case.honest)
    _, high = false_positive_band(ROUNDS, 0.05)
    assert 1 - coverage(case.truth, planted[title(case)]) > high
