"""A table of clicks that ranklift did not write; its columns are in `flat`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import narwhals as nw

from ranklift.lift.frames import Fault, Kind, read_columns, refuse_faults, value_faults
from ranklift.lift.pages import Rows, collect, whole
from ranklift.v1.errors import InvalidRequest

_CLICKS: Mapping[str, Kind] = {
    "page_id": Kind.ID,
    "click_id": Kind.ID,
    "timestamp": Kind.TIME,
    "position": Kind.RANK,
    "dwell_seconds": Kind.SPAN,
    "censored": Kind.FLAG,
}


def read_clicks(table: Rows, shown: Rows) -> Rows:
    """Return a row per click as `pages.with_clicks` takes them.

    Raises:
        InvalidRequest: a column is missing or holds what it must not, or a page is not known.
    """
    engines = [frame.implementation for frame in (table, shown)]
    if engines[0] is not engines[1]:
        raise InvalidRequest.of(
            "clicks", f"are in {engines[0]}, the pages in {engines[1]}; give both in one engine"
        )
    schema = table.collect_schema()
    columns = {name: kind for name, kind in _CLICKS.items() if name in schema or name == "page_id"}
    if "censored" in columns and "dwell_seconds" not in columns:
        raise InvalidRequest.of("clicks.censored", "tells nothing without dwell_seconds")
    try:
        clicks = read_columns(table, columns, "clicks")
        count = refuse_faults(clicks, _click_faults(clicks, columns))
        _refuse_unknown_pages(clicks, shown, count)
    except InvalidRequest as error:
        raise error.under("clicks") from None
    made = {"page_id": nw.col("page_id")}
    if "click_id" in columns:
        made["click_id"] = nw.col("click_id")
    if "timestamp" in columns:
        made["click_time"] = nw.col("timestamp")
    if "position" in columns:
        made["position"] = nw.col("position").cast(nw.Int64)
    if "dwell_seconds" in columns:
        made["any_dwell_ms"] = made["dwell_ms"] = whole(nw.col("dwell_seconds") * 1_000)
        if "censored" in columns:
            made["dwell_ms"] = nw.when(nw.col("censored") == 0).then(made["dwell_ms"])
    clicks = clicks.select(**made)
    if "click_id" not in columns:
        return clicks
    first = [nw.col(name).min() for name in ("click_time", "position") if name in made]
    longest = [nw.col(name).max() for name in ("dwell_ms", "any_dwell_ms") if name in made]
    return clicks.group_by("page_id", "click_id").agg(
        nw.len().alias("deliveries"), *first, *longest
    )


def _click_faults(clicks: Rows, columns: Mapping[str, Kind]) -> Iterator[Fault]:
    yield from value_faults(clicks, columns, {"dwell_seconds", "censored"})
    if "censored" in columns:
        yield Fault(
            "censored",
            nw.col("censored").is_null() & ~nw.col("dwell_seconds").is_null(),
            "with null beside a dwell; say 0 or 1",
        )


def _refuse_unknown_pages(clicks: Rows, shown: Rows, count: int) -> None:
    ids = shown.select("page_id")
    kinds = [frame.collect_schema()["page_id"] for frame in (ids, clicks)]
    if kinds[0] != kinds[1]:
        raise InvalidRequest.of(
            "page_id", f"is {kinds[1]}, in the pages {kinds[0]}; give both one type"
        )
    unknown = clicks.select("page_id").join(ids, on="page_id", how="anti")
    missing = collect(unknown.select(n=nw.len(), example=nw.col("page_id").min())).row(0)
    if missing[0]:
        raise InvalidRequest.of(
            "page_id",
            f"{missing[0]:,} of {count:,} clicks name pages that the pages lack, e.g. "
            f'"{missing[1]}"; add the pages or drop the clicks',
        )
