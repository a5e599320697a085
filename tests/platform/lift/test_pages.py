"""What is counted on one page, against pages counted by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pytest

from ranklift.lift.pages import (
    click_dwells,
    collect,
    in_order,
    whole,
    with_clicks,
    with_microseconds,
    with_sessions,
)
from ranklift.v1.errors import InvalidRequest

T0 = datetime(2025, 3, 1, tzinfo=UTC)
# Observed to its end, censored, or not measured at all: (dwell_ms, any_dwell_ms).
SEEN_40, CENSORED_50, SEEN_5, NONE = (40_000, 40_000), (None, 50_000), (5_000, 5_000), (None, None)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def counted(*clicks: tuple[float, int, tuple[int | None, int | None]], pages: int = 1) -> Any:
    """Return the measures of one page shown at T0, from (seconds after it, position, dwell)."""
    shown = pl.LazyFrame({"page_id": ["p"], "page_time": [T0], "pages": [pages]})
    rows = [("p", after(s), position, *dwell) for s, position, dwell in clicks]
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "page_id": pl.String,
        "click_time": pl.Datetime("us", "UTC"),
        "position": pl.Int32,
        "dwell_ms": pl.Int64,
        "any_dwell_ms": pl.Int64,
    }
    frame = pl.LazyFrame(rows, schema=schema, orient="row")
    made = with_clicks(nw.from_native(shown), nw.from_native(frame), (1.0, 0.5, 0.25))
    return collect(made).row(0, named=True)


def test_a_page_without_a_click_is_abandoned() -> None:
    page = counted()
    assert (page["clicks"], page["clicked_pages"], page["abandoned_pages"]) == (0, 0, 1)
    assert page["first_click_ms"] == page["weighted_clicks"] == page["first_satisfied_rr"] == 0


def test_a_click_of_30_s_or_more_satisfies_censored_or_not() -> None:
    page = counted((1, 1, SEEN_40), (2, 2, CENSORED_50), (3, 3, SEEN_5), (4, 4, NONE))
    assert (page["clicks"], page["satisfied_clicks"], page["satisfied_pages"]) == (4, 2, 1)
    assert counted((1, 1, (30_000, 30_000)))["satisfied_clicks"] == 1
    assert counted((1, 1, (29_999, 29_999)))["satisfied_clicks"] == 0


def test_only_dwells_observed_to_their_end_are_summed() -> None:
    page = counted((1, 1, SEEN_40), (2, 2, CENSORED_50), (3, 3, SEEN_5), (4, 4, NONE))
    assert (page["dwell_ms"], page["dwell_count"], page["clicks_with_dwell"]) == (45_000, 2, 3)
    assert page["log_dwell"] == round(1e9 * math.log(41)) + round(1e9 * math.log(6))


def test_the_satisfied_click_that_came_first_gives_the_reciprocal_rank() -> None:
    page = counted((9, 2, SEEN_40), (4, 5, CENSORED_50), (1, 1, SEEN_5), (20, 3, NONE))
    assert page["first_satisfied_rr"] == 1e9 / 5
    assert page["last_satisfied_rr"] == 1e9 / 2


def test_clicks_of_one_instant_are_in_the_order_of_their_ranks() -> None:
    page = counted((1, 4, SEEN_40), (1, 2, SEEN_40))
    assert (page["first_satisfied_rr"], page["last_satisfied_rr"]) == (1e9 / 2, 1e9 / 4)


def test_the_time_to_the_first_click_is_in_whole_milliseconds() -> None:
    assert counted((7.2345, 1, NONE), (2.5006, 9, NONE))["first_click_ms"] == 2_501


def test_a_click_before_its_page_shows_as_a_negative_time() -> None:
    assert counted((-3, 1, NONE))["first_click_ms"] == -3_000


def test_a_click_weighs_one_over_how_likely_its_rank_is_examined() -> None:
    page = counted((1, 1, NONE), (2, 2, NONE), (3, 3, NONE), (4, 40, NONE))
    assert page["weighted_clicks"] == (1 + 2 + 4 + 4) * 10**9


def test_a_page_that_does_not_count_counts_nothing() -> None:
    page = counted((1, 1, SEEN_40), pages=0)
    assert {page[name] for name in in_order(page)} == {0}


@pytest.mark.parametrize("examination", [(), (1.0, 0.0), (1.0, math.nan)])
def test_ranks_that_nobody_examines_are_refused(examination: tuple[float, ...]) -> None:
    shown = nw.from_native(pl.LazyFrame({"page_id": ["p"], "pages": [1]}))
    clicks = nw.from_native(pl.LazyFrame({"page_id": ["p"], "position": [1]}))
    with pytest.raises(InvalidRequest, match=r"examination: must be a probability above 0"):
        with_clicks(shown, clicks, examination)


def test_dwells_belong_to_the_unit_of_their_page() -> None:
    shown = pl.LazyFrame({"page_id": [1, 2], "unit_id": ["a", "b"], "arm": ["x", "y"], "pages": 1})
    clicks = pl.LazyFrame(
        {"page_id": [1, 1, 1, 2], "dwell_ms": [7, None, None, 9], "any_dwell_ms": [7, 8, None, 9]}
    )
    shown = shown.with_columns(pages=pl.Series([1, 0]))
    dwells = collect(click_dwells(nw.from_native(shown), nw.from_native(clicks)))
    assert sorted(dwells.rows()) == [("a", "x", 7, False), ("a", "x", 8, True)]


def test_a_session_counts_on_its_first_page_that_counts() -> None:
    rows = pl.LazyFrame(
        {
            "unit_id": ["a", "a", "a", "a", "b", "b", "b"],
            "arm": "x",
            "session_id": ["s", "s", "t", "s", "s", "", None],
            "page_time": [after(s) for s in (3, 2, 4, 1, 1, 2, 3)],
            "pages": [1, 1, 1, 0, 1, 1, 1],
        }
    )
    found = collect(with_sessions(nw.from_native(rows))).sort("unit_id", "page_time")
    #  a: fallback at 1, first of s at 2, again s at 3, t at 4; b: s, and two without a session
    assert found["sessions"].to_list() == [0, 1, 0, 1, 1, 0, 0]


def test_a_session_past_midnight_counts_on_both_days() -> None:
    midnight = datetime(2025, 3, 2, tzinfo=UTC)
    rows = pl.LazyFrame(
        {
            "unit_id": ["a"] * 3,
            "arm": ["x"] * 3,
            "pages": [1, 1, 1],
            "session_id": ["s"] * 3,
            "page_time": [midnight + timedelta(minutes=minutes) for minutes in (-9, -1, 1)],
        }
    )
    found = collect(with_sessions(nw.from_native(rows))).sort("page_time")
    assert found["sessions"].to_list() == [1, 0, 1]


def test_halves_are_rounded_up_on_every_engine() -> None:
    halves = pl.DataFrame({"x": [0.5, 1.5, 2.5, -0.5, 2.4]})
    for frame in (halves.lazy(), duckdb.from_arrow(halves.to_arrow())):
        rounded = collect(nw.from_native(frame).select(whole(nw.col("x"))))
        assert sorted(rounded["x"].to_list()) == [0, 1, 2, 2, 3]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_instants_are_the_same_microseconds_whatever_the_zone(zone: str) -> None:
    there = after(0.000001).astimezone(timezone(timedelta(hours=9)))
    expected = round(T0.timestamp()) * 1_000_000 + 1
    polars = pl.DataFrame({"t": [there]}, schema={"t": pl.Datetime("ms", zone)})
    exact = pl.DataFrame({"t": [there]}, schema={"t": pl.Datetime("us", zone)})
    naive = exact.select(pl.col("t").dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = '{zone}'")
    for frame in (exact.lazy(), naive.lazy()):
        sql = connection.from_arrow(frame.collect().to_arrow())
        for engine in (frame, sql):
            found = collect(with_microseconds(nw.from_native(engine), "t", "us"))
            assert found["us"].to_list() == [expected]
    coarse = collect(with_microseconds(nw.from_native(polars.lazy()), "t", "us"))
    assert coarse["us"].to_list() == [expected - 1]
