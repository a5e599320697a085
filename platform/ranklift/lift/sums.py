"""From events to exact sums per unit, in one lazy pass.

All sums are whole numbers, so they do not depend on the order of the rows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import polars as pl


class EventTables(Protocol):
    """The event log as frames; the schemas are in docs/architecture.md, "Event frames"."""

    @property
    def pages(self) -> pl.LazyFrame: ...
    @property
    def clicks(self) -> pl.LazyFrame: ...
    @property
    def dwells(self) -> pl.LazyFrame: ...


def unit_sums(
    events: EventTables,
    experiment: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame:
    """Return one row per unit and arm of an experiment, sorted by arm and unit.

    Only pages shown in [start, end) count, and the clicks on them, whenever these came.

    - `unit_id`, `arm` str
    - `pages`, `fallback_pages` i64: pages that the arm's ranker served, and pages that the champion
      answered for it; every other sum is over `pages` only
    - `clicked_pages` i64: pages with at least one click
    - `clicks` i64: distinct click events
    - `clicked` i64: 1 when the unit clicked at all, else 0
    - `dwell_ms`, `dwell_count` i64: the dwells observed to their end. A click with several dwells
      counts with the longest one.
    - `first_page_time`, `last_page_time` datetime: over all pages, fallback pages included
    """
    pages = _assigned_pages(events.pages, experiment, start, end)
    clicks = events.clicks.group_by("impression_id").agg(clicks=pl.col("event_id").n_unique())
    dwells = (
        events.dwells.filter(~pl.col("censored"))
        .group_by("impression_id", "click_event_id")
        .agg(pl.col("dwell_ms").max())
        .group_by("impression_id")
        .agg(pl.col("dwell_ms").sum(), dwell_count=pl.len())
    )
    served = pl.col("served")
    by_page = (
        pages.join(clicks, on="impression_id", how="left")
        .join(dwells, on="impression_id", how="left")
        .with_columns(pl.col("clicks", "dwell_ms", "dwell_count").fill_null(0).cast(pl.Int64))
    )
    return (
        by_page.group_by("unit_id", "arm")
        .agg(
            pages=served.sum().cast(pl.Int64),
            fallback_pages=(~served).sum().cast(pl.Int64),
            clicked_pages=(served & (pl.col("clicks") > 0)).sum().cast(pl.Int64),
            clicks=pl.col("clicks").filter(served).sum(),
            dwell_ms=pl.col("dwell_ms").filter(served).sum(),
            dwell_count=pl.col("dwell_count").filter(served).sum(),
            first_page_time=pl.col("page_time").min(),
            last_page_time=pl.col("page_time").max(),
        )
        .with_columns(clicked=(pl.col("clicks") > 0).cast(pl.Int64))
        .sort("arm", "unit_id")
        .collect()
    )


def _assigned_pages(
    pages: pl.LazyFrame, experiment: str, start: datetime | None, end: datetime | None
) -> pl.LazyFrame:
    """Return one row per page of the experiment: impression, time, unit, arm, whether served."""
    if start is not None:
        pages = pages.filter(pl.col("page_time") >= start)
    if end is not None:
        pages = pages.filter(pl.col("page_time") < end)
    assignment = pl.col("assignments").struct
    return (
        pages.select("impression_id", "page_time", "fallback_reason", "assignments")
        .explode("assignments")
        .filter(assignment.field("experiment") == experiment)
        .select(
            "impression_id",
            "page_time",
            unit_id=assignment.field("unit_id"),
            arm=assignment.field("arm"),
            served=pl.col("fallback_reason") == "",
        )
        # A page delivered twice is one page.
        .unique()
    )
