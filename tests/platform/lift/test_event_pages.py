"""The event log as page rows and unit sums, against logs small enough to count by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ranklift.lift.event_pages import EventTables, event_pages, met_arms, pages_of_users
from ranklift.lift.measures import MEASURES
from ranklift.lift.pages import PageRows, collect
from ranklift.lift.sums import unit_sums

T0 = datetime(2025, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAME = "student-vs-bm25"
Log = Callable[..., EventTables]
Change = Callable[[pl.LazyFrame], pl.LazyFrame]
COUNTS = ("pages", "fallback_pages", "clicked_pages", "clicks", "dwell_ms", "dwell_count")
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)


def sums_of(read: PageRows) -> pl.DataFrame:
    return unit_sums(read.rows, measures=read.measures)


def counts(events: EventTables, **window: Any) -> dict[tuple[str, str], tuple[int, ...]]:
    found = sums_of(event_pages(events, NAME, **window)).to_dicts()
    return {(row["unit_id"], row["arm"]): tuple(row[name] for name in COUNTS) for row in found}


def only(events: EventTables, **given: Any) -> dict[str, Any]:
    """Return the sums of a log with one unit."""
    return sums_of(event_pages(events, NAME, **given)).row(0, named=True)


def test_sums_of_a_log_counted_by_hand(write_log: Log) -> None:
    events = write_log(
        ("ada", "control", "30s 2.5s"),  # two clicks on a page make one clicked page
        ("ada", "control", ""),
        ("ada", "control", "12s+"),  # censored: a click, but no observed dwell
        ("bob", "student", "-"),  # no dwell came
        ("bob", "student", "99s", "deadline"),  # the champion answered: counts in nothing
        ("cat", "student", "", "unavailable"),
    )
    assert counts(events) == {
        ("ada", "control"): (3, 0, 2, 3, 32_500, 2),
        ("bob", "student"): (1, 1, 1, 1, 0, 0),
        ("cat", "student"): (0, 1, 0, 0, 0, 0),
    }


def test_every_measure_of_a_page_counted_by_hand(write_log: Log, tables: Log) -> None:
    events = write_log(("ada", "control", "5s 31s 45s+"))
    seconds = pl.duration(seconds=10 - pl.col("position"))  # the lowest rank was clicked first
    events = tables(
        events.pages.with_columns(session_id=pl.lit("s"), latency_ms=pl.lit(12.5)),
        events.clicks.with_columns(click_time=pl.col("click_time") + seconds),
        events.dwells,
    )
    found = only(events, examination=(1.0, 0.5))
    assert {name: found[name] for name in MEASURES} == {
        "pages": 1,
        "fallback_pages": 0,
        "clicked_pages": 1,
        "abandoned_pages": 0,
        "clicks": 3,
        "satisfied_clicks": 2,
        "satisfied_pages": 1,
        "dwell_ms": 36_000,
        "dwell_count": 2,
        "log_dwell": round(1e9 * math.log(6)) + round(1e9 * math.log(32)),
        "first_satisfied_rr": 333_333_333,
        "last_satisfied_rr": 500_000_000,
        "first_click_ms": 7_000,
        "weighted_clicks": 5 * 10**9,
        "sessions": 1,
        "latency_us": 12_500,
        "clicks_with_dwell": 3,
    }
    assert found["clicks_with_dwell"] == 3


def test_a_fallback_page_counts_in_no_other_measure(write_log: Log) -> None:
    found = only(write_log(("ada", "control", "40s", "error")))
    assert found["fallback_pages"] == 1
    assert {found[name] for name in MEASURES if name != "fallback_pages"} == {0}


def test_page_rows_have_one_row_a_page_and_whole_numbers(write_log: Log) -> None:
    pages = event_pages(write_log(("z", "b", "1s"), ("y", "b", ""), ("y", "c", "-")), NAME)
    rows = collect(pages.rows)
    assert rows.height == 3
    assert {rows.schema[name] for name in pages.measures} == {pl.Int64}


def test_only_pages_of_the_experiment_count(write_log: Log) -> None:
    assert counts(write_log(("ada", "control", "5s"), experiment="some-other")) == {}


def test_an_empty_log_gives_no_rows(write_log: Log) -> None:
    assert counts(write_log()) == {}


def test_the_window_is_half_open_and_clicks_follow_their_page(write_log: Log, tables: Log) -> None:
    events = write_log(("a", "control", ""), ("a", "control", "7s"), ("a", "control", "9s"))
    late = pl.col("click_time") + timedelta(days=1)
    events = tables(events.pages, events.clicks.with_columns(click_time=late), events.dwells)
    assert counts(events, start=T0 + MINUTE, end=T0 + 2 * MINUTE) == {
        ("a", "control"): (1, 0, 1, 1, 7_000, 1)
    }


def test_a_click_with_several_dwells_counts_with_the_longest_observed(
    write_log: Log, tables: Log
) -> None:
    events = write_log(("a", "control", "7s"))
    more = events.dwells.with_columns(event_id=pl.lit("again"), dwell_ms=pl.lit(9_000, pl.Int64))
    censored = more.with_columns(dwell_ms=pl.lit(60_000, pl.Int64), censored=pl.lit(True))
    events = tables(events.pages, events.clicks, pl.concat([more, events.dwells, censored]))
    assert counts(events) == {("a", "control"): (1, 0, 1, 1, 9_000, 1)}
    assert only(events)["satisfied_clicks"] == 1  # somebody was seen to stay for a minute
    dwells = event_pages(events, NAME).dwells
    assert dwells is not None
    assert collect(dwells).rows() == [("a", "control", 9_000, False)]


def test_the_first_and_last_page_time_include_fallback_pages(write_log: Log) -> None:
    found = only(write_log(("a", "control", "", "error"), ("a", "control", "")))
    assert (found["first_page_time"], found["last_page_time"]) == (T0, T0 + MINUTE)


def test_all_pages_of_a_user_count_for_him_in_any_experiment_or_none(
    write_log: Log, tables: Log
) -> None:
    elsewhere = write_log(("ada", "x", "40s"), ("dan", "x", "3s"), experiment="older")
    nowhere = write_log(("ada", "", "-"), ("ada", "", "", "error"), ("", "", ""), experiment="no")
    assigned = elsewhere.pages.collect_schema()["assignments"]
    unassigned = nowhere.pages.with_columns(assignments=pl.lit([], assigned))
    now = write_log(("ada", "control", "9s"), ("bob", "student", "8s"))
    later = now.pages.with_columns(pl.col("page_time") + timedelta(days=1))
    events = tables(
        pl.concat([elsewhere.pages, unassigned, later]),
        pl.concat([elsewhere.clicks, nowhere.clicks, now.clicks]),
        pl.concat([elsewhere.dwells, nowhere.dwells, now.dwells]),
    )
    before = sums_of(pages_of_users(events, outside="x", end=T0 + timedelta(days=1)))
    assert before.select("unit_id", *COUNTS).rows() == [
        ("ada", 2, 1, 2, 2, 40_000, 1),
        ("dan", 1, 0, 1, 1, 3_000, 1),
    ]
    window: dict[str, Any] = {"start": T0 + timedelta(hours=1), "end": T0 + timedelta(days=1)}
    assert sums_of(pages_of_users(events, outside="x", **window)).is_empty()


def test_the_arms_that_a_unit_met_elsewhere_are_told(write_log: Log, tables: Log) -> None:
    here = write_log(("ada", "control", ""), ("bob", "student", ""), ("bob", "student", ""))
    alone = write_log(("ada", "x", ""), experiment="alone")
    assignment = pl.element().struct
    # Whoever sees his second page or a later one met arm "y" there.
    renamed = here.pages.with_columns(
        pl.when(pl.col("page_time") >= T0 + 2 * MINUTE)
        .then(
            pl.col("assignments").list.eval(
                assignment.with_fields(
                    arm=pl.when(assignment.field("experiment") == "another")
                    .then(pl.lit("y"))
                    .otherwise(assignment.field("arm"))
                )
            )
        )
        .otherwise("assignments")
        .alias("assignments")
    )
    events = tables(pl.concat([renamed, renamed, alone.pages]), here.clicks, here.dwells)
    met = met_arms(events, NAME)
    assert met.columns == ["unit_id", "experiment", "arm"]
    assert sorted(met.rows()) == [
        ("ada", "another", "x"),
        ("bob", "another", "x"),
        ("bob", "another", "y"),
    ]
    assert met_arms(events, NAME, end=T0 + MINUTE).rows() == [("ada", "another", "x")]


@pytest.fixture(scope="session")
def change(tables: Log) -> Callable[[EventTables, Change], EventTables]:
    """Apply a change to each of the tables."""

    def apply(events: EventTables, change: Change) -> EventTables:
        return tables(change(events.pages), change(events.clicks), change(events.dwells))

    return apply


@few
@given(seed=seeds, part=st.floats(0.1, 1))
def test_what_is_delivered_twice_or_in_another_order_changes_no_sum(
    random_log: Log,
    change: Callable[[EventTables, Change], EventTables],
    seed: int,
    part: float,
) -> None:
    events = random_log(seed)

    def again(frame: pl.LazyFrame) -> pl.LazyFrame:
        rows = frame.collect()
        twice = pl.concat([rows, rows.sample(fraction=part, seed=seed)])
        return twice.sample(fraction=1, shuffle=True, seed=seed).lazy()

    changed = change(events, again)
    assert_frame_equal(sums_of(event_pages(changed, NAME)), sums_of(event_pages(events, NAME)))
    assert_frame_equal(
        met_arms(changed, NAME).sort(pl.all()), met_arms(events, NAME).sort(pl.all())
    )
