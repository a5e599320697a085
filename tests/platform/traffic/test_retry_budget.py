"""Retries never exceed their part of the calls, and a quiet pool still has a few."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranklift.traffic.retry_budget import RetryBudget, RetryPolicy


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


POLICIES = st.builds(
    RetryPolicy, ratio=st.floats(0, 1), per_second=st.floats(0, 5), saved=st.floats(1, 20)
)


@given(POLICIES, st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=300))
def test_retries_stay_within_the_stated_bound(
    policy: RetryPolicy, happenings: list[tuple[float, bool]]
) -> None:
    clock = Clock()
    budget = RetryBudget(policy, clock)
    calls = retries = 0
    for pause, retry in happenings:
        clock.now += pause
        if retry:
            retries += budget.take()
        else:
            budget.call()
            calls += 1
        bound = policy.saved + policy.ratio * calls + policy.per_second * clock.now
        assert retries <= bound + 1e-6


def test_a_part_of_the_calls_may_be_repeated() -> None:
    budget = RetryBudget(RetryPolicy(ratio=0.1, per_second=0.0, saved=2.0), Clock())
    taken = 0
    for _ in range(1_000):
        budget.call()
        taken += budget.take()
    assert taken == pytest.approx(0.1 * 1_000 + 2, abs=1)


def test_time_alone_brings_a_few_back() -> None:
    clock = Clock()
    budget = RetryBudget(RetryPolicy(ratio=0.0, per_second=0.5, saved=2.0), clock)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.now += 2.0
    assert [budget.take() for _ in range(2)] == [True, False]
    clock.now += 1_000.0  # no more than is saved
    assert [budget.take() for _ in range(3)] == [True, True, False]
