"""Sums per unit, arm and day: what is kept between looks, and merged by addition."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw
import polars as pl

from ranklift.lift.pages import DAY_US, Rows, collect, with_microseconds
from ranklift.lift.sums import FIRST, LAST, total, utc

_KEYS = ("unit_id", "arm", "day")


def unit_days(rows: Rows, *, measures: Sequence[str]) -> pl.DataFrame:
    """Return one row per unit, arm and day (UTC) of page rows, sorted by arm, unit and day.

    `unit_id`, `arm` str, `day` date, the `measures` summed as in `sums.unit_sums`,
    `first_page_time` and `last_page_time`; the rows must have `page_time`.
    """
    schema = rows.collect_schema()
    time = nw.col("page_time")
    numbered = with_microseconds(rows, "page_time", "_us").with_columns(day=nw.col("_us") // DAY_US)
    days = collect(
        numbered.group_by(*_KEYS)
        .agg(
            *(total(name, schema) for name in measures),
            time.min().alias(FIRST),
            time.max().alias(LAST),
        )
        .with_columns(nw.col("arm").cast(nw.String))
    )
    return days.select(
        "unit_id",
        "arm",
        pl.col("day").cast(pl.Int32).cast(pl.Date),  # days from 1970-01-01
        *measures,
        utc(days, FIRST),
        utc(days, LAST),
    ).sort("arm", "unit_id", "day")


def merge(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Return the sums per unit, arm and day of two sets of pages together; they share no page.

    Both have the columns of `unit_days`; so has the result. Order and grouping do not matter.
    """
    return _add_up(pl.concat([a, b.select(a.columns)]), _KEYS)


def units_of(days: pl.DataFrame) -> pl.DataFrame:
    """Return the sums per unit and arm over all days, sorted by arm and unit."""
    return _add_up(days.drop("day"), _KEYS[:2])


def busiest_day(days: pl.DataFrame) -> pl.DataFrame:
    """Return `busiest_day_pages` i64 per unit and arm; fallback pages count too."""
    shown = [name for name in ("pages", "fallback_pages") if name in days.columns]
    return days.group_by("unit_id", "arm").agg(
        busiest_day_pages=pl.sum_horizontal(shown).max().cast(pl.Int64)
    )


def _add_up(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    measures = [name for name in rows.columns if name not in (*_KEYS, FIRST, LAST)]
    return (
        rows.group_by(keys)
        .agg(pl.col(measures).sum(), pl.col(FIRST).min(), pl.col(LAST).max())
        .sort(sorted(keys, key=("arm", "unit_id", "day").index))
    )
