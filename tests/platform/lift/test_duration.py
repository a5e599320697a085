"""How long it takes to meet enough units: brackets that hold, closed forms, and refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ranklift.lift.duration import Duration, cumulative_units, duration
from ranklift.lift.values import Unavailable

T0 = datetime(2025, 3, 1, 8, tzinfo=UTC)


def met(days: int, daily: list[float], users: float = 1e7) -> list[int]:
    """Return units met by day when each group of users comes with its chance every day."""
    t = np.arange(1, days + 1)[:, None]
    expected = users * (1 - (1 - np.array(daily)) ** t).sum(axis=1)
    return [round(units) for units in expected.tolist()]


@given(
    st.lists(st.floats(0.002, 0.9), min_size=1, max_size=4),
    st.integers(4, 28),
    st.floats(1.05, 4.0),
)
def test_users_who_come_at_steady_rates_are_met_between_least_and_most(
    daily: list[float], days: int, further: float
) -> None:
    log = met(days, daily)
    end = round(days * further)
    truth = met(end, daily)
    units = truth[-1]
    # Rounding to whole units must not decide: enough new ones come every day.
    assume(truth[-1] - truth[-2] > 1_000)
    found = duration(log, units)
    assert isinstance(found, Duration)
    assert found.least <= end + 1
    assert found.most is None or found.most >= end - 1
    if found.likely is not None:
        assert found.least <= found.likely
        assert found.most is None or found.likely <= found.most


@pytest.mark.parametrize("days", [6, 14, 21])
def test_a_power_law_goes_on_as_it_is(days: int) -> None:
    t = np.arange(1, 200)
    curve = np.round(100_000 * t**0.7).astype(int).tolist()
    found = duration(curve[:days], curve[2 * days - 1])
    assert isinstance(found, Duration)
    assert found.likely in {2 * days, 2 * days + 1}


def test_new_users_every_day_at_the_same_rate_leave_no_doubt() -> None:
    found = duration([1_000 * day for day in range(1, 15)], 30_000)
    assert found == Duration(30, 30, 30)


def test_new_users_that_halve_every_week_may_never_be_enough() -> None:
    # By hand: 700, then 350 in the second week; further weeks bring 175 + 87.5 + ... = 350.
    log = [100 * day for day in range(1, 8)] + [700 + 50 * day for day in range(1, 8)]
    enough = duration(log, 1_050 + 175)
    assert isinstance(enough, Duration)
    assert (enough.least, enough.most) == (14 + 4, 14 + 7)
    never = duration(log, 1_050 + 351)
    assert isinstance(never, Duration)
    assert (never.least, never.most) == (14 + 8, None)


def test_units_that_the_log_has_already_met_need_no_guess() -> None:
    assert duration([50, 80, 100], 80) == Duration(2, 2, 2)


def test_a_short_log_a_dry_one_and_a_distant_goal_are_refused() -> None:
    short = duration([50, 80, 100], 200)
    assert isinstance(short, Unavailable)
    assert short.reason == "the log has 3 full days, 4 are needed to tell how users return"
    dry = duration([50, 80, 80, 80], 200)
    assert isinstance(dry, Unavailable)
    assert dry.reason == "no new unit came in the log's last 2 days"
    distant = duration([1_000, 2_000, 3_000, 4_000], 100_000)
    assert isinstance(distant, Unavailable)
    assert distant.reason.startswith("at least 100 days, more than 10 times the log's 4")


def test_days_start_with_the_first_page_and_incomplete_ones_are_left_out() -> None:
    def units(last_hour: float) -> pl.DataFrame:
        first = [T0 + timedelta(hours=hour) for hour in (0, 1, 23, 24, 30, 49, 71, 75)]
        last = [T0 + timedelta(hours=last_hour)] * len(first)
        return pl.DataFrame({"first_page_time": first, "last_page_time": last})

    assert cumulative_units(units(75)) == (3, 5, 7)
    assert cumulative_units(units(95.75)) == (3, 5, 7, 8)
    assert cumulative_units(units(5)) == ()
    assert cumulative_units(units(75).drop("last_page_time")) == ()
    assert cumulative_units(units(75).clear()) == ()
