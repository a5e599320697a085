"""Sums per unit, against a log small enough to count by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl

from ranklift.lift.sums import EventTables, unit_sums

T0 = datetime(2025, 3, 1, tzinfo=UTC)
NAME = "student-vs-bm25"
Log = Callable[..., EventTables]
COUNTS = (
    "pages",
    "fallback_pages",
    "clicked_pages",
    "clicks",
    "clicked",
    "dwell_ms",
    "dwell_count",
)


def counts(events: EventTables, **window: datetime) -> dict[tuple[str, str], tuple[int, ...]]:
    rows = unit_sums(events, NAME, **window).to_dicts()
    return {(row["unit_id"], row["arm"]): tuple(row[name] for name in COUNTS) for row in rows}


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
        ("ada", "control"): (3, 0, 2, 3, 1, 32_500, 2),
        ("bob", "student"): (1, 1, 1, 1, 1, 0, 0),
        ("cat", "student"): (0, 1, 0, 0, 0, 0, 0),
    }


def test_rows_are_sorted_and_whole_numbers(write_log: Log) -> None:
    sums = unit_sums(write_log(("z", "b", "1s"), ("y", "b", ""), ("x", "c", "-")), NAME)
    assert sums.select("arm", "unit_id").rows() == [("b", "y"), ("b", "z"), ("c", "x")]
    assert {sums.schema[name] for name in COUNTS} == {pl.Int64}


def test_only_pages_of_the_experiment_count(write_log: Log) -> None:
    assert counts(write_log(("ada", "control", "5s"), experiment="some-other")) == {}


def test_an_empty_log_gives_no_rows(write_log: Log) -> None:
    assert counts(write_log()) == {}


def test_the_window_is_half_open_and_clicks_follow_their_page(
    write_log: Log, tables: Callable[..., EventTables]
) -> None:
    events = write_log(("a", "control", ""), ("a", "control", "7s"), ("a", "control", "9s"))
    minute = timedelta(minutes=1)
    late = pl.col("click_time") + timedelta(days=1)
    events = tables(events.pages, events.clicks.with_columns(click_time=late), events.dwells)
    assert counts(events, start=T0 + minute, end=T0 + 2 * minute) == {
        ("a", "control"): (1, 0, 1, 1, 1, 7_000, 1)
    }


def test_a_click_with_several_dwells_counts_with_the_longest_observed(
    write_log: Log, tables: Callable[..., EventTables]
) -> None:
    events = write_log(("a", "control", "7s"))
    more = events.dwells.with_columns(event_id=pl.lit("again"), dwell_ms=pl.lit(9_000, pl.Int64))
    censored = more.with_columns(dwell_ms=pl.lit(60_000, pl.Int64), censored=pl.lit(True))
    dwells = pl.concat([more, events.dwells, censored])
    assert counts(tables(events.pages, events.clicks, dwells)) == {
        ("a", "control"): (1, 0, 1, 1, 1, 9_000, 1)
    }


def test_the_first_and_last_page_time_include_fallback_pages(write_log: Log) -> None:
    events = write_log(("a", "control", "", "error"), ("a", "control", ""))
    row = unit_sums(events, NAME).row(0, named=True)
    assert (row["first_page_time"], row["last_page_time"]) == (T0, T0 + timedelta(minutes=1))
