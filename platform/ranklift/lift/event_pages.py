"""From ranklift's own event log to page rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import polars as pl

from ranklift.clicks.pbm import DEFAULT_EXAMINATION
from ranklift.lift.pages import (
    PageRows,
    Rows,
    as_rows,
    click_dwells,
    in_order,
    with_clicks,
    with_sessions,
)


class EventTables(Protocol):
    """The event log as frames; the schemas are in docs/architecture.md, "Event frames"."""

    @property
    def pages(self) -> pl.LazyFrame: ...
    @property
    def clicks(self) -> pl.LazyFrame: ...
    @property
    def dwells(self) -> pl.LazyFrame: ...


def event_pages(
    events: EventTables,
    experiment: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    examination: Sequence[float] = DEFAULT_EXAMINATION,
) -> PageRows:
    """Return the pages of an experiment, with all measures.

    Only pages shown in [start, end) count, and the clicks on them, whenever these came. A page
    that the champion answered is a fallback page and counts in no other measure. A click with
    several dwells counts with the longest one. `examination` is by rank (`pages.with_clicks`).

    Raises:
        InvalidRequest: `examination` is empty or not positive.
    """
    assignment = pl.col("assignments").struct
    shown = (
        _between(events.pages, start, end)
        .select(*_PAGE_COLUMNS, "assignments")
        .explode("assignments")
        .filter(assignment.field("experiment") == experiment)
        .with_columns(unit_id=assignment.field("unit_id"), arm=assignment.field("arm"))
    )
    return _page_rows(shown, events, examination)


def pages_of_users(
    events: EventTables,
    *,
    outside: str,
    start: datetime | None = None,
    end: datetime | None = None,
    examination: Sequence[float] = DEFAULT_EXAMINATION,
) -> PageRows:
    """Return all pages shown to known users, in any experiment or none but in the one `outside`.

    Like `event_pages`, with the user as the unit and an empty arm. What an experiment did must not
    explain its effect away, even where a wrong clock puts its pages before its start.
    """
    own = pl.col("assignments").list.eval(pl.element().struct.field("experiment") == outside)
    shown = (
        _between(events.pages, start, end)
        .filter(pl.col("user_id").fill_null("") != "", ~own.list.any().fill_null(False))
        .select(*_PAGE_COLUMNS, unit_id="user_id", arm=pl.lit(""))
    )
    return _page_rows(shown, events, examination)


def met_arms(
    events: EventTables,
    experiment: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame:
    """Return a row per arm of another experiment that a unit of this one met on the same pages.

    `unit_id`, `experiment` and `arm` str, in no order.
    """
    assignment = pl.col("assignments").struct
    assigned = (
        _between(events.pages, start, end)
        .select("impression_id", "assignments")
        .explode("assignments")
        .select(
            "impression_id",
            experiment=assignment.field("experiment"),
            arm=assignment.field("arm"),
            unit_id=assignment.field("unit_id"),
        )
        .unique()
    )
    own = assigned.filter(pl.col("experiment") == experiment).select("impression_id", "unit_id")
    others = assigned.filter(pl.col("experiment") != experiment).drop("unit_id")
    met = own.join(others, on="impression_id", how="inner")
    return met.select("unit_id", "experiment", "arm").unique().collect()


_PAGE_COLUMNS = ("impression_id", "page_time", "session_id", "fallback_reason", "latency_ms")


def _between(pages: pl.LazyFrame, start: datetime | None, end: datetime | None) -> pl.LazyFrame:
    if start is not None:
        pages = pages.filter(pl.col("page_time") >= start)
    if end is not None:
        pages = pages.filter(pl.col("page_time") < end)
    return pages


def _page_rows(shown: pl.LazyFrame, events: EventTables, examination: Sequence[float]) -> PageRows:
    """Return page rows of `_PAGE_COLUMNS` with `unit_id` and `arm`."""
    served = (pl.col("fallback_reason") == "").cast(pl.Int64)
    latency = (pl.col("latency_ms") * 1_000).round().cast(pl.Int64, strict=False).fill_null(0)
    pages = as_rows(
        shown.select(
            "unit_id",
            "arm",
            "page_time",
            "session_id",
            page_id="impression_id",
            pages=served,
            fallback_pages=1 - served,
            latency_us=latency * served,
        )
        # A page delivered twice is one page.
        .unique()
    )
    clicks = _clicks(events)
    rows = with_sessions(with_clicks(pages, clicks, examination))
    measures = in_order(rows.collect_schema().names())
    return PageRows(
        rows.select("unit_id", "arm", "page_time", *measures),
        measures,
        dwells=click_dwells(pages, clicks),
    )


def _clicks(events: EventTables) -> Rows:
    """Return a row per click, each with its longest dwell, however often it was delivered."""
    keys = ("impression_id", "click_event_id")
    milliseconds = pl.col("dwell_ms")
    longest = events.dwells.group_by(keys).agg(
        milliseconds.filter(~pl.col("censored")).max(), any_dwell_ms=milliseconds.max()
    )
    clicks = (
        events.clicks.group_by("impression_id", click_event_id="event_id")
        .agg(pl.col("click_time", "position").min())
        .join(longest, on=keys, how="left")
        .select("click_time", "position", "dwell_ms", "any_dwell_ms", page_id="impression_id")
    )
    return as_rows(clicks)
