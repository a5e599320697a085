"""Sums per day add up to sums per unit, however the pages were split and in whatever order."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import reduce

import duckdb
import narwhals as nw
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.platform.lift.page_logs import draw_clicks, draw_pages

from ranklift.lift.days import busiest_day, merge, unit_days, units_of
from ranklift.lift.flat import read_flat
from ranklift.lift.pages import collect
from ranklift.lift.sums import unit_sums

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)
MIDNIGHT = datetime(2025, 3, 2, tzinfo=UTC)


def pages_around_midnight() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "unit_id": ["a", "a", "a", "b"],
            "arm": ["x", "x", "x", "y"],
            "page_time": [
                MIDNIGHT.replace(day=1, hour=23, minute=59),
                MIDNIGHT,
                MIDNIGHT.replace(hour=12),
                datetime(1969, 12, 31, 23, tzinfo=UTC),
            ],
            "pages": [1, 1, 0, 1],
            "fallback_pages": [0, 0, 1, 0],
        }
    )


def test_days_begin_at_midnight_utc_wherever_the_engine_is() -> None:
    frame = pages_around_midnight()
    tokyo = frame.with_columns(pl.col("page_time").dt.convert_time_zone("Asia/Tokyo"))
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'")
    expected = [
        ("a", "x", date(2025, 3, 1), 1),
        ("a", "x", date(2025, 3, 2), 1),
        ("b", "y", date(1969, 12, 31), 1),
    ]
    for engine in (frame.lazy(), tokyo.lazy(), connection.from_arrow(frame.to_arrow())):
        days = unit_days(nw.from_native(engine), measures=["pages"])
        assert days.select("unit_id", "arm", "day", "pages").rows() == expected
        assert days["first_page_time"].to_list()[1] == MIDNIGHT


def test_the_busiest_day_counts_fallback_pages_too() -> None:
    days = unit_days(
        nw.from_native(pages_around_midnight().lazy()), measures=["pages", "fallback_pages"]
    )
    assert sorted(busiest_day(days).rows()) == [("a", "x", 2), ("b", "y", 1)]


@few
@given(seed=seeds, shards=st.integers(1, 5), order=seeds)
def test_days_of_shards_merged_in_any_order_are_the_days_of_all(
    seed: int, shards: int, order: int
) -> None:
    pages = draw_pages(seed)
    read = read_flat(pages, draw_clicks(seed, pages))
    rng = np.random.default_rng(order)
    frame = collect(read.rows).with_columns(shard=rng.integers(0, shards, pages.height))
    parts = [
        unit_days(nw.from_native(part.lazy()), measures=read.measures)
        for part in frame.partition_by("shard")
    ]
    merged = reduce(merge, [parts[i] for i in rng.permutation(len(parts))])
    assert_frame_equal(merged, unit_days(read.rows, measures=read.measures))
    assert_frame_equal(units_of(merged), unit_sums(read.rows, measures=read.measures))
