"""A deadline is shared so that the champion can still answer after a ranker that takes too long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.traffic.deadlines import Deadline, DeadlinePolicy

POLICY = DeadlinePolicy(default_seconds=5.0, margin_seconds=0.1, arm_part=0.6)


def test_the_arm_leaves_the_champion_its_part() -> None:
    deadline = Deadline.of(POLICY, 1.1)
    assert deadline.budget_seconds(fallback=True) == pytest.approx(0.6, abs=0.05)
    assert deadline.budget_seconds(fallback=False) == pytest.approx(1.0, abs=0.05)


def test_a_caller_without_a_deadline_gets_the_default() -> None:
    assert Deadline.of(POLICY, None).budget_seconds(fallback=False) == pytest.approx(4.9, abs=0.05)


@settings(deadline=None)
@given(remaining=st.floats(-10, 10))
def test_budgets_fit_into_the_deadline(remaining: float) -> None:
    began = time.monotonic()
    deadline = Deadline.of(POLICY, remaining)
    for fallback in (True, False):
        budget = deadline.budget_seconds(fallback=fallback)
        assert 0 <= budget <= max(0.0, remaining - POLICY.margin_seconds) + 1e-6
    assert deadline.at >= began + remaining
