"""What is kept of a day, and days added up, against logs counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.platform.lift.event_logs import NAME, OTHER, Events, by_day, draw_events, together

from ranklift.lift.day_sums import DaySums, add_up, day_sums, users_before
from ranklift.lift.event_pages import EventTables
from ranklift.lift.subject import Sums

T0 = datetime(2025, 3, 1, tzinfo=UTC)
Log = Callable[..., EventTables]


def column(sums: Sums, name: str) -> dict[str, object]:
    return dict(sums.units.select("unit_id", name).iter_rows())


def assert_same(found: Sums, expected: Sums) -> None:
    assert_frame_equal(found.units, expected.units)
    assert found.days is not None
    assert expected.days is not None
    assert_frame_equal(found.days, expected.days)
    assert found.dwells is not None
    assert expected.dwells is not None
    assert_frame_equal(found.dwells, expected.dwells, check_row_order=False)
    assert (found.segments, found.experiments) == (expected.segments, expected.experiments)


def test_a_day_counted_by_hand(write_log: Log) -> None:
    sums = day_sums(
        write_log(
            ("ada", "control", "30s 2.5s"),
            ("ada", "control", "12s+"),
            ("bob", "student", "-", ""),
            ("bob", "student", "9s", "deadline"),
        ),
        NAME,
    )
    assert sums.units.select("unit_id", "arm", "pages", "fallback_pages", "clicks").rows() == [
        ("ada", "control", 2, 0, 3),
        ("bob", "student", 1, 1, 1),
    ]
    assert sorted(sums.dwells.select("unit_id", "arm", "dwell_ms", "censored").rows()) == [
        ("ada", "control", 2_500, False),
        ("ada", "control", 12_000, True),
        ("ada", "control", 30_000, False),
    ]
    assert sorted(sums.met.rows()) == [("ada", "another", "x"), ("bob", "another", "x")]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), turn=st.booleans())
def test_days_add_up_to_the_whole_log_in_any_order(seed: int, turn: bool) -> None:
    before = draw_events(seed, units=20, pages=60, days=(0, 1), experiments=(OTHER,))
    during = draw_events(seed + 1, units=30, pages=120, days=(2, 3, 4))
    events = together(before, during)
    days = by_day(events)
    if turn:
        days.reverse()
    whole = add_up([day_sums(events, NAME)], [users_before(before, NAME)])
    assert_same(
        add_up(
            [day_sums(day.frames, NAME) for day in days],
            [users_before(day.frames, NAME) for day in by_day(before)],
        ),
        whole,
    )


def test_the_busiest_day_counts_fallback_pages_too(write_log: Log, tables: type[Events]) -> None:
    log = write_log(*[("ada", "control", "")] * 3, ("ada", "control", "", "deadline"))
    spread = pl.when(pl.col("impression_id").str.ends_with("-0")).then(timedelta(days=1))
    later = tables(
        log.pages.with_columns(pl.col("page_time") + spread.otherwise(timedelta())),
        log.clicks,
        log.dwells,
    )
    assert column(add_up([day_sums(later, NAME)], []), "busiest_day_pages") == {"ada": 3}


def test_a_unit_that_met_several_arms_of_another_experiment_is_in_none() -> None:
    day = day_sums(draw_events(1, units=3, pages=30, days=(0,)), NAME)
    arms = dict(day.met.filter(pl.col("unit_id") != "u001").select("unit_id", "arm").iter_rows())
    elsewhere = pl.DataFrame([("u000", OTHER, "third")], schema=day.met.schema, orient="row")
    sums = add_up([day, replace(day, met=elsewhere)], [])
    assert sums.experiments == (OTHER,)
    met = column(sums, f"in_{OTHER}")
    assert met["u000"] is None
    assert met["u002"] == arms["u002"]


def test_a_user_without_a_past_is_new(write_log: Log) -> None:
    before = users_before(write_log(("ada", "x", "30s"), ("ada", "y", ""), experiment="old"), NAME)
    sums = add_up(
        [day_sums(write_log(("ada", "control", ""), ("bob", "student", "")), NAME)], [before]
    )
    assert column(sums, "history") == {"ada": "returning", "bob": "new"}
    assert column(sums, "pre_pages") == {"ada": 2, "bob": None}
    assert column(sums, "pre_dwell_ms") == {"ada": 30_000, "bob": None}
    assert column(sums, "pages") == {"ada": 1, "bob": 1}
    assert sums.segments == ("history",)


def test_without_a_pre_period_nobody_is_new(write_log: Log) -> None:
    sums = add_up([day_sums(write_log(("ada", "control", "")), NAME)], [])
    assert sums.segments == ()
    assert not [name for name in sums.units.columns if name.startswith("pre_") or name == "history"]


def test_users_before_are_counted_whatever_the_experiment_and_only_when_known(
    write_log: Log, tables: type[Events]
) -> None:
    log = write_log(("ada", "x", ""), ("", "x", ""), ("bob", "y", ""), experiment="old")
    nobody = pl.when(pl.col("user_id") != "bob").then("user_id")
    found = users_before(
        tables(log.pages.with_columns(user_id=nobody), log.clicks, log.dwells), NAME
    )
    assert found["unit_id"].to_list() == ["ada"]


def test_what_an_experiment_did_is_not_the_past_of_its_users(write_log: Log) -> None:
    """Else a replayed experiment, whose pages lie before its start, would explain itself away."""
    log = write_log(("ada", "control", "30s"), ("bob", "student", ""))
    assert users_before(log, NAME).is_empty()


def test_only_pages_of_the_window_are_summed(write_log: Log) -> None:
    log = write_log(*[("ada", "control", "5s")] * 4)
    window = {"start": T0 + timedelta(minutes=1), "end": T0 + timedelta(minutes=3)}
    sums: DaySums = day_sums(log, NAME, **window)
    assert sums.units["pages"].to_list() == [2]
    assert sums.dwells.height == 2
    assert users_before(log, "elsewhere", **window)["pages"].to_list() == [2]
    assert day_sums(log, NAME, end=T0).met.is_empty()
