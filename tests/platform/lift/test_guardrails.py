"""Guardrails: what passes, what is breached, what stays open."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ranklift.lift.guardrails import outcome, shown_loss
from ranklift.lift.sequential.confidence_sequence import one_sided_bound
from ranklift.lift.sequential.monitor import Observed
from ranklift.lift.values import Interval, Outcome
from ranklift.store.analysis import Direction
from ranklift.v1.errors import InvalidRequest

UP, DOWN = Direction.UP, Direction.DOWN
PASSED, BREACHED, OPEN = Outcome.PASSED, Outcome.BREACHED, Outcome.OPEN


@pytest.mark.parametrize(
    ("lower", "upper", "direction", "expected"),
    [
        # The margin is 2 %. A metric that should go up loses when its lift is negative,
        pytest.param(-0.015, 0.03, UP, PASSED, id="up-loses-less"),
        pytest.param(0.01, 0.03, UP, PASSED, id="up-gains"),
        pytest.param(-0.025, 0.03, UP, OPEN, id="up-may-lose"),
        pytest.param(-0.025, -0.01, UP, OPEN, id="up-loses-perhaps-too-much"),
        pytest.param(-0.05, -0.021, UP, BREACHED, id="up-loses-more"),
        # and one that should go down when it is positive.
        pytest.param(-0.03, 0.015, DOWN, PASSED, id="down-loses-less"),
        pytest.param(-0.03, -0.01, DOWN, PASSED, id="down-gains"),
        pytest.param(0.01, 0.025, DOWN, OPEN, id="down-loses-perhaps-too-much"),
        pytest.param(0.021, 0.05, DOWN, BREACHED, id="down-loses-more"),
        pytest.param(0.03, math.inf, DOWN, BREACHED, id="down-without-upper-end"),
        pytest.param(-1.0, math.inf, UP, OPEN, id="nothing-known"),
        # An end on the margin shows neither.
        pytest.param(-0.02, 0.1, UP, OPEN, id="lower-end-on-the-margin"),
        pytest.param(-0.1, -0.02, UP, OPEN, id="upper-end-on-the-margin"),
    ],
)
def test_the_interval_against_the_margin(
    lower: float, upper: float, direction: Direction, expected: Outcome
) -> None:
    assert outcome(Interval(lower, upper), direction, 0.02) is expected


def test_while_nothing_may_be_said_a_guardrail_is_open() -> None:
    assert outcome(None, UP, 0.02) is OPEN


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1, math.nan])
def test_a_margin_is_a_part_of_controls_value(margin: float) -> None:
    with pytest.raises(InvalidRequest, match=r"margin: .* is not between 0 and 1"):
        outcome(None, UP, margin)


def test_at_the_margin_it_passes_wrongly_in_one_of_forty() -> None:
    # The true loss is the margin: passing would be wrong, and so would a breach.
    rng = np.random.default_rng(8)
    error, z = 0.01, stats.norm.isf(0.025)
    found = [
        outcome(Interval(lift - z * error, lift + z * error), UP, 0.05)
        for lift in rng.normal(-0.05, error, 20_000)
    ]
    for wrong in (PASSED, BREACHED):
        assert found.count(wrong) / len(found) == pytest.approx(0.025, abs=0.004)


def test_the_shown_loss_is_the_end_of_the_one_sided_interval() -> None:
    bound = one_sided_bound(5_000, 10_000, 0.05)
    loses = Observed(5_000, -0.2, 0.02)
    assert shown_loss(loses, UP, tuned_units=10_000) == pytest.approx(
        1 - 0.8 * math.exp(bound * 0.02)
    )
    slower = Observed(5_000, 0.25, 0.02)
    assert shown_loss(slower, DOWN, tuned_units=10_000) == pytest.approx(
        1.25 * math.exp(-bound * 0.02) - 1
    )


def test_no_loss_is_shown_where_none_is_or_nothing_is_known() -> None:
    assert shown_loss(Observed(5_000, 0.2, 0.02), UP, tuned_units=10_000) < 0
    assert shown_loss(Observed(5_000, -0.2, 0.02), DOWN, tuned_units=10_000) < 0
    assert math.isfinite(shown_loss(Observed(1, -0.5, 1e6), UP, tuned_units=10_000))
    assert shown_loss(Observed(1, 0.5, 1e6), DOWN, tuned_units=10_000) == -1


def test_the_alarm_rings_wrongly_in_at_most_alpha_of_all_experiments_however_often_one_looks() -> (
    None
):
    # 1,000 experiments of 200 looks whose true loss is the margin, 3 %.
    rng = np.random.default_rng(9)
    units = np.arange(1, 201) * 50
    walks = np.cumsum(rng.standard_normal((1_000, 200)), axis=1) * math.sqrt(50)
    alarmed = 0
    for walk in walks:
        lifts = np.expm1(math.log(0.97) + walk / units)
        alarmed += any(
            shown_loss(Observed(int(n), lift, 1 / math.sqrt(n)), UP, tuned_units=5_000) > 0.03
            for n, lift in zip(units, lifts, strict=True)
        )
    assert 0 < alarmed / 1_000 < 0.05
