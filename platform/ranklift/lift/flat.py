"""Logs that ranklift did not write: one table of pages, perhaps one of clicks, read as page rows.

Columns of the pages; all but the unit and the arm are optional, and others are ignored:

- `user_id` (or `unit_id`, where something else was randomised): text or whole numbers
- `arm`: text, whole numbers or booleans
- `timestamp`: when the page was shown; an instant, in UTC where it has no time zone, or ISO 8601
- `page_id`: needed with a table of clicks; a page that is there twice, all columns alike, is one
- `session_id`: text or whole numbers, null or empty where not known
- `clicked`: whether the page was clicked, or `clicks`: how often. One of them, unless a table of
  clicks is given.
- `dwell_seconds`: after the click that `clicked` tells of, or all `clicks` together; null where
  not measured. Kept in whole milliseconds.
- `dwell_censored`: whether the dwell's end was not seen
- `latency_ms`: what the user waited for the page
- `pre_*`: numbers from before the experiment, the same on all pages of a user; best
  `pre_<measure>` (`measures.MEASURES`), which the metrics of that measure are adjusted with
- any other text, categories or booleans: segments; the value on the user's first page counts

Columns of the clicks: `page_id`, and optionally `timestamp`, `position` (from 1), `dwell_seconds`,
`censored`, and `click_id`: clicks with the same one are one click, with the longest dwell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import narwhals as nw

from ranklift.clicks.pbm import DEFAULT_EXAMINATION
from ranklift.lift.flat_clicks import read_clicks
from ranklift.lift.frames import (
    Fault,
    Kind,
    lazy_frame,
    read_columns,
    refuse_faults,
    rows_of,
    value_faults,
    with_faults,
)
from ranklift.lift.measures import MEASURES, PRE
from ranklift.lift.pages import (
    FAULTS,
    PageRows,
    Rows,
    click_dwells,
    collect,
    in_order,
    is_satisfied,
    log_dwell,
    whole,
    with_clicks,
    with_sessions,
)
from ranklift.v1.errors import InvalidRequest, Violation

_PAGES: Mapping[str, Kind] = {
    "user_id": Kind.ID,
    "unit_id": Kind.ID,
    "arm": Kind.LABEL,
    "timestamp": Kind.TIME,
    "page_id": Kind.ID,
    "session_id": Kind.ID,
    "clicked": Kind.FLAG,
    "clicks": Kind.COUNT,
    "dwell_seconds": Kind.SPAN,
    "dwell_censored": Kind.FLAG,
    "latency_ms": Kind.SPAN,
}
_ONE = nw.lit(1, dtype=nw.Int64)
_ZERO = nw.lit(0, dtype=nw.Int64)


def read_flat(
    pages: Any,
    clicks: Any = None,
    *,
    measures: Sequence[str] = (),
    trigger: str | None = None,
    examination: Sequence[float] = DEFAULT_EXAMINATION,
    at_once: bool = True,
) -> PageRows:
    """Return the page rows of a table of pages, with the measures that its columns support.

    The tables are polars (lazy or not), pandas, pyarrow, DuckDB or Spark frames, or paths of
    Parquet files; both of one engine. Values are checked here, in one pass; what is returned is not
    computed yet. Unless `at_once`, the values of a table that is read page by page are left for the
    pass that computes it (`PageRows.refuse`). `measures` names further columns of numbers to be
    summed, those of declared metrics; names that the pages lack are passed over. `trigger` names a
    column of flags: pages without it are read and left out. `examination` is by rank
    (`pages.with_clicks`).

    Raises:
        InvalidRequest: a table cannot be read, or a column is missing or holds what it must not.
    """
    table = lazy_frame(pages, "pages")
    schema = table.collect_schema()
    columns = _page_columns(schema, clicks is not None, measures) | _trigger(schema, trigger)
    segments = _segments(schema, columns)
    shown = read_columns(table, {**columns, **dict.fromkeys(segments, Kind.LABEL)}, "pages")
    faults = list(_page_faults(shown, columns))
    refuse = partial(_refuse_pages, shown, faults)
    by_page = clicks is None and trigger is None and not {"page_id", "session_id"} & set(columns)
    later = by_page and not at_once
    if later:
        shown = with_faults(shown, faults, FAULTS)
    else:
        refuse()
    if "page_id" in columns:
        shown = _distinct_pages(shown)
    known = shown
    if trigger is not None:
        shown = shown.filter(nw.col(trigger) == 1)
    shown = shown.with_columns(_unit_columns(columns), pages=_ONE)
    shown = shown.with_columns(_text(schema[name], name) for name in segments)
    dwells: Rows | None = None
    if clicks is None:
        if "clicked" in columns and "dwell_seconds" in columns:
            dwells = _page_dwells(shown, columns)
        rows = shown.with_columns(_page_measures(columns))
    else:
        clicked = read_clicks(lazy_frame(clicks, "clicks"), known)
        if "any_dwell_ms" in clicked.collect_schema():
            dwells = click_dwells(shown, clicked)
        rows = with_clicks(shown, clicked, examination)
    if "latency_ms" in columns:
        rows = rows.with_columns(latency_us=whole(nw.col("latency_ms") * 1_000))
    if "session_id" in columns:
        rows = with_sessions(rows)
    own = [n for n in columns if n not in (*_PAGES, trigger) and not n.startswith(PRE)]
    constants = tuple(name for name in columns if name.startswith(PRE))
    counted = (*in_order(rows.collect_schema().names()), *own)
    time = ("page_time",) if "timestamp" in columns else ()
    return PageRows(
        rows.select(
            "unit_id",
            "arm",
            *time,
            *(nw.col(n).fill_null(0) for n in counted),
            *constants,
            *segments,
            *((FAULTS,) if later else ()),
        ),
        counted,
        constants,
        segments,
        dwells,
        refuse if later else None,
    )


def _page_columns(schema: nw.Schema, has_clicks: bool, measures: Sequence[str]) -> dict[str, Kind]:
    """Return the columns to read, segments aside, and what each must hold.

    Raises:
        InvalidRequest: one is missing, or two say the same.
    """
    wrong = list(_wrong_columns(schema, has_clicks))
    if wrong:
        raise InvalidRequest(wrong)
    own = [name for name in measures if name in schema and name not in MEASURES]
    return {
        **{name: kind for name, kind in _PAGES.items() if name in schema},
        **{name: Kind.NUMBER for name in schema if name.startswith(PRE)},
        **dict.fromkeys(own, Kind.NUMBER),
    }


def _trigger(schema: nw.Schema, trigger: str | None) -> dict[str, Kind]:
    """Return the column that says which pages count, and what it must hold.

    Raises:
        InvalidRequest: the pages lack it.
    """
    if trigger is None:
        return {}
    if trigger not in schema or trigger in _PAGES:
        raise InvalidRequest.of(
            "trigger",
            f'"{trigger}" is no column of flags; name the one that says, alike in all arms, '
            "whether the arms' rankings differ on a page",
        )
    return {trigger: Kind.FLAG}


def _wrong_columns(schema: nw.Schema, has_clicks: bool) -> Iterator[Violation]:
    found = ", ".join(schema)
    if "user_id" not in schema and "unit_id" not in schema:
        yield Violation(
            "user_id", f"is missing in the pages; call what was randomised so (found: {found})"
        )
    if "user_id" in schema and "unit_id" in schema:
        yield Violation("unit_id", "stands beside user_id; keep the one that was randomised")
    if "arm" not in schema:
        yield Violation("arm", f"is missing in the pages; call what was shown so (found: {found})")
    told = [name for name in ("clicked", "clicks") if name in schema]
    if has_clicks:
        if "page_id" not in schema:
            yield Violation("page_id", "is missing in the pages; the clicks need it")
        for name in (*told, *(n for n in ("dwell_seconds", "dwell_censored") if n in schema)):
            yield Violation(name, "is in the pages, but the table of clicks tells it; drop one")
    elif not told:
        yield Violation(
            "clicked", f"is missing, and clicks too; give one or a table of clicks (found: {found})"
        )
    elif len(told) == 2:
        yield Violation("clicked", "stands beside clicks; keep one of them")
    if not has_clicks and "dwell_censored" in schema and "dwell_seconds" not in schema:
        yield Violation("dwell_censored", "tells nothing without dwell_seconds; add it or drop one")


def _segments(schema: nw.Schema, columns: Mapping[str, Kind]) -> tuple[str, ...]:
    """Return the columns that can be segments: text, categories or booleans for nothing else."""
    made = {"page_time", "first_page_time", "last_page_time", "busiest_day_pages"}
    taken = {*columns, *_PAGES, *MEASURES, *made}
    kinds = (nw.String, nw.Categorical, nw.Enum, nw.Boolean)
    return tuple(name for name, dtype in schema.items() if name not in taken and dtype in kinds)


def _page_faults(shown: Rows, columns: Mapping[str, Kind]) -> Iterator[Fault]:
    constants = [name for name, kind in columns.items() if kind is Kind.NUMBER]
    optional = {"session_id", "dwell_seconds", "dwell_censored", *constants}
    yield from value_faults(shown, columns, optional)
    if "dwell_seconds" not in columns:
        return
    dwell = nw.col("dwell_seconds")
    if "dwell_censored" in columns:
        yield Fault(
            "dwell_censored",
            nw.col("dwell_censored").is_null() & ~dwell.is_null(),
            "with null beside a dwell; say 0 or 1",
        )
    yield Fault(
        "dwell_seconds",
        (dwell > 0) & (_told(columns) == 0),
        "with a dwell but no click; dwell is the time after a click, else null",
    )


def _refuse_pages(shown: Rows, faults: Sequence[Fault]) -> None:
    if not refuse_faults(shown, faults):
        raise InvalidRequest.of("pages", "has no rows; give the pages of at least two arms")


def _distinct_pages(shown: Rows) -> Rows:
    """Return pages with each `page_id` once.

    Raises:
        InvalidRequest: rows of one page differ.
    """
    distinct = shown.unique()
    counts = collect(distinct.select(nw.len().alias("n"), ids=nw.col("page_id").n_unique()))
    count, ids = counts.row(0)
    if count != ids:
        raise InvalidRequest.of(
            "page_id",
            f"{rows_of(count - ids)} with the id of another page and other values; "
            "give every page an id of its own",
        )
    return distinct


def _unit_columns(columns: Mapping[str, Kind]) -> list[nw.Expr]:
    unit = "user_id" if "user_id" in columns else "unit_id"
    named = [nw.col(unit).alias("unit_id")]
    return [*named, nw.col("timestamp").alias("page_time")] if "timestamp" in columns else named


def _page_measures(columns: Mapping[str, Kind]) -> list[nw.Expr]:
    """Return the measures of pages that tell their clicks themselves."""
    single = "clicked" in columns
    clicks = _told(columns).cast(nw.Int64)
    clicked = (clicks > 0).cast(nw.Int64)
    made = {"clicked_pages": clicked, "abandoned_pages": 1 - clicked}
    if not single:
        made["clicks"] = clicks
    if "dwell_seconds" in columns:
        milliseconds, measured, observed = _dwell(columns)
        made["dwell_ms"] = nw.when(observed).then(milliseconds).otherwise(_ZERO)
        made["dwell_count"] = nw.when(observed).then(clicks).otherwise(_ZERO)
        made["clicks_with_dwell"] = nw.when(measured).then(clicks).otherwise(_ZERO)
        if single:
            # What several clicks came to together says nothing of any one of them.
            satisfied = nw.when(measured).then(is_satisfied(milliseconds)).otherwise(_ZERO)
            made["satisfied_clicks"] = made["satisfied_pages"] = satisfied
            made["log_dwell"] = nw.when(observed).then(log_dwell(milliseconds)).otherwise(_ZERO)
    return [expression.alias(name) for name, expression in made.items()]


def _told(columns: Mapping[str, Kind]) -> nw.Expr:
    """Return the clicks that the pages tell themselves."""
    return nw.col("clicked" if "clicked" in columns else "clicks")


def _dwell(columns: Mapping[str, Kind]) -> tuple[nw.Expr, nw.Expr, nw.Expr]:
    """Return a page's dwell in milliseconds, whether it has one, and whether its end was seen."""
    measured = ~nw.col("dwell_seconds").is_null() & (_told(columns) > 0)
    seen = measured
    if "dwell_censored" in columns:
        seen = measured & (nw.col("dwell_censored") == 0)
    return whole(nw.col("dwell_seconds") * 1_000), measured, seen


def _page_dwells(shown: Rows, columns: Mapping[str, Kind]) -> Rows:
    milliseconds, measured, observed = _dwell(columns)
    return shown.filter(measured).select(
        "unit_id",
        nw.col("arm").cast(nw.String),
        dwell_ms=milliseconds,
        censored=~observed,
    )


def _text(dtype: Any, name: str) -> nw.Expr:
    column = nw.col(name)
    if dtype != nw.Boolean:
        return column
    return nw.when(column).then(nw.lit("true")).when(~column).then(nw.lit("false")).alias(name)
