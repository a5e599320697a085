"""Page rows: one row a page, with what was counted on it.

The expressions are written once, in narwhals: they run on polars, and inside DuckDB and Spark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import narwhals as nw
import polars as pl

from ranklift.lift.measures import BILLIONTHS, MEASURES, PRE
from ranklift.v1.errors import InvalidRequest

Rows = nw.LazyFrame[Any]

# What search engines usually take for a satisfied click. One threshold for all pages is crude: Kim,
# Hassan, White and Zitouni 2014, "Modeling dwell time to predict click-level satisfaction".
SATISFIED_MS = 30_000
DAY_US = 86_400_000_000
FAULTS = "_faults"


@dataclass(frozen=True, slots=True)
class PageRows:
    """The pages of an experiment, not computed yet, and what their columns are.

    `rows` has a row per page: `unit_id` (text or whole numbers), `arm`, perhaps `page_time`, and
    the columns named here. `measures` add up; `constants` ("pre_*") are the same on all pages of a
    unit; `segments` are text. `dwells`, None where the log cannot tell, has a row per click with a
    dwell: `unit_id`, `arm`, `dwell_ms` i64, `censored` bool.

    `refuse` is None where all values were looked at. Otherwise the rows have a column `FAULTS`
    too, 1 where a value is wrong, else 0, and `refuse` says what is: see `faults_first`.
    """

    rows: Rows
    measures: tuple[str, ...]
    constants: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    dwells: Rows | None = None
    refuse: Callable[[], None] | None = None

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Return the column of `rows` that tells wrong values, if they were not looked at."""
        return () if self.refuse is None else (FAULTS,)

    def with_only(self, sums: Collection[str]) -> PageRows:
        """Return the same pages without the measures that are not in `sums`, but "pages".

        A pre-period sum of a measure goes with it; every other constant stays.
        """
        unused = {PRE + name for name in MEASURES if name not in sums}
        return replace(
            self,
            measures=tuple(name for name in self.measures if name in sums or name == "pages"),
            constants=tuple(name for name in self.constants if name not in unused),
        )


@contextmanager
def faults_first(log: PageRows) -> Iterator[None]:
    """Refuse wrong values of pages, rather than whatever they made go wrong.

    Raises:
        InvalidRequest: an exception was raised, and values are wrong.
    """
    try:
        yield
    except Exception:
        if log.refuse is not None:
            try:
                log.refuse()
            except InvalidRequest as refusal:
                raise refusal from None
        raise


def without_faults(log: PageRows, found: pl.DataFrame) -> pl.DataFrame:
    """Return what was read or summed of pages without `PageRows.unchecked`.

    Raises:
        RuntimeError: there are wrong values, or no pages; `faults_first` says so.
    """
    if log.unchecked and (found.is_empty() or found[FAULTS].sum()):
        raise RuntimeError("values are wrong in one pass over the pages and right in the next")
    return found.drop(log.unchecked)


def collect(frame: Rows) -> pl.DataFrame:
    """Return what a lazy frame of any engine comes to; row order means nothing."""
    native = nw.to_native(frame)
    if isinstance(native, pl.LazyFrame):
        # The streaming engine keeps memory bounded.
        return native.collect(engine="streaming")
    collected: pl.DataFrame = nw.to_native(frame.collect(backend="polars"))
    return collected


def as_rows(native: Any) -> Rows:
    """Return a lazy frame of polars, DuckDB or Spark as rows."""
    rows: Rows = nw.from_native(native)
    return rows


def has(frame: Rows, *columns: str) -> bool:
    """Return whether a frame has all these columns."""
    return set(columns) <= set(frame.collect_schema().names())


def with_microseconds(frame: Rows, instant: str, name: str) -> Rows:
    """Return the frame with `name`, i64, the microseconds from 1970 (UTC) to the column `instant`.

    An instant without a time zone is taken as UTC. narwhals 2.28 has no expression for this that
    all engines know, and dates taken from instants follow the session's time zone in DuckDB and
    Spark.
    """
    column = nw.col(instant)
    if frame.implementation.is_spark_like():
        return as_rows(_spark_microseconds(nw.to_native(frame), instant, name))
    if frame.implementation.is_duckdb():
        dtype = frame.collect_schema()[instant]
        aware = isinstance(dtype, nw.Datetime) and dtype.time_zone is not None
        epoch = nw.lit(datetime(1970, 1, 1, tzinfo=UTC if aware else None))
        return frame.with_columns((column - epoch).dt.total_microseconds().alias(name))
    return frame.with_columns(column.dt.timestamp("us").alias(name))


def _spark_microseconds(frame: Any, instant: str, name: str) -> Any:
    from pyspark.sql import functions

    return frame.withColumn(name, functions.unix_micros(frame[instant].cast("timestamp")))


def with_sessions(rows: Rows) -> Rows:
    """Return page rows with `sessions`: 1 on a unit's earliest page of a `session_id` that day.

    Only pages that count (`pages` 1) are looked at. A page whose `session_id` is null or empty is
    in no session. One that runs past midnight, UTC, counts on both days: so days can be summed up
    apart, in any order. Without times there is one day.
    """
    keys = ["unit_id", "arm", "pages"]
    if has(rows, "page_time"):
        rows = with_microseconds(rows, "page_time", "_day").with_columns(
            _day=nw.col("_day") // DAY_US
        )
        keys.append("_day")
    nameless = nw.col("session_id").is_null() | (nw.col("session_id").cast(nw.String) == "")
    # Which page carries the 1 matters for sums by day only, so any order does without times.
    order = [name for name in ("page_time", "page_id") if has(rows, name)] or ["session_id"]
    first = nw.col("session_id").is_first_distinct().over(*keys, order_by=order).cast(nw.Int64)
    return rows.with_columns(
        sessions=nw.when(nameless)
        .then(nw.lit(0, dtype=nw.Int64))
        .otherwise(first * nw.col("pages"))
    )


def with_clicks(shown: Rows, clicks: Rows, examination: Sequence[float]) -> Rows:
    """Return pages with all measures that their clicks support.

    `shown`: `page_id`, `pages` (0 or 1), perhaps `page_time`; `clicks` has a row per click:
    `page_id`, perhaps `click_time`, `position` from 1, and `dwell_ms` (null unless observed to its
    end) with `any_dwell_ms` (observed or censored). `examination` holds the probability that a
    rank is examined; ranks beyond it have its last value. Pages with `pages` 0 count nothing.

    Raises:
        InvalidRequest: `examination` is empty or not positive.
    """
    timed = has(shown, "page_time") and has(clicks, "click_time")
    sums = _sums_by_page(clicks, examination)
    names = [name for name in sums.collect_schema().names() if name not in ("page_id", _FIRST)]
    rows = shown.join(sums, on="page_id", how="left").with_columns(
        nw.col(name).fill_null(0).cast(nw.Int64) * nw.col("pages") for name in names
    )
    rows = rows.with_columns(clicked_pages=(nw.col("clicks") > 0).cast(nw.Int64)).with_columns(
        abandoned_pages=nw.col("pages") - nw.col("clicked_pages")
    )
    if "satisfied_clicks" in names:
        rows = rows.with_columns(satisfied_pages=(nw.col("satisfied_clicks") > 0).cast(nw.Int64))
    if timed:
        rows = with_microseconds(rows, "page_time", _PAGE)
        # Negative when the clocks disagree: cutting it off at 0 would hide that.
        waited = whole((nw.col(_FIRST) - nw.col(_PAGE)) / 1_000)
        rows = rows.with_columns(first_click_ms=waited.fill_null(0) * nw.col("pages"))
    return rows


def click_dwells(shown: Rows, clicks: Rows) -> Rows:
    """Return a row per click with a dwell on the pages that count: unit, arm, dwell, censored."""
    counted = shown.filter(nw.col("pages") == 1).select("page_id", "unit_id", "arm")
    return (
        clicks.filter(~nw.col("any_dwell_ms").is_null())
        .join(counted, on="page_id", how="inner")
        .select(
            "unit_id",
            nw.col("arm").cast(nw.String),
            nw.coalesce("dwell_ms", "any_dwell_ms").alias("dwell_ms"),
            censored=nw.col("dwell_ms").is_null(),
        )
    )


def whole(number: nw.Expr) -> nw.Expr:
    """Return numbers rounded to whole ones, halves up: engines disagree on what `round` does."""
    return (number + 0.5).floor().cast(nw.Int64)


def log_dwell(milliseconds: nw.Expr) -> nw.Expr:
    """Return ln(1 + seconds) in whole billionths."""
    return whole((1 + milliseconds / 1_000).log() * BILLIONTHS)


def is_satisfied(milliseconds: nw.Expr) -> nw.Expr:
    """Return 1 for a dwell that satisfied, 0 for a shorter one; null stays null."""
    return (milliseconds >= SATISFIED_MS).cast(nw.Int64)


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """Return those of the measures that are among `names`, as `MEASURES` orders them."""
    return tuple(name for name in MEASURES if name in names)


# Columns on the way, which no page row keeps.
_CLICK, _PAGE, _FIRST = "_click_us", "_page_us", "_first_click_us"


def _sums_by_page(clicks: Rows, examination: Sequence[float]) -> Rows:
    """Return a row per page with clicks: the measures, and the first click's microseconds."""
    timed = has(clicks, "click_time")
    ranked = has(clicks, "position")
    dwelt = has(clicks, "any_dwell_ms")
    sums = [nw.len().alias("clicks")]
    if timed:
        clicks = with_microseconds(clicks, "click_time", _CLICK)
        sums.append(nw.col(_CLICK).min().alias(_FIRST))
    if dwelt:
        observed, satisfied = nw.col("dwell_ms"), is_satisfied(nw.col("any_dwell_ms"))
        sums += [
            satisfied.sum().alias("satisfied_clicks"),
            observed.sum().alias("dwell_ms"),
            observed.count().alias("dwell_count"),
            log_dwell(observed).sum().alias("log_dwell"),
            nw.col("any_dwell_ms").count().alias("clicks_with_dwell"),
        ]
    if ranked:
        sums.append(_weight(nw.col("position"), examination).sum().alias("weighted_clicks"))
    if timed and ranked and dwelt:
        at = nw.when(satisfied == 1).then(nw.col(_CLICK))
        clicks = clicks.with_columns(
            _satisfied_us=at,
            _first_satisfied_us=at.min().over("page_id"),
            _last_satisfied_us=at.max().over("page_id"),
        )
        first = nw.col("_satisfied_us") == nw.col("_first_satisfied_us")
        last = nw.col("_satisfied_us") == nw.col("_last_satisfied_us")
        # Clicks of one instant are taken in the order of their ranks.
        sums += [
            _reciprocal(nw.when(first).then(nw.col("position")).min()).alias("first_satisfied_rr"),
            _reciprocal(nw.when(last).then(nw.col("position")).max()).alias("last_satisfied_rr"),
        ]
    return clicks.group_by("page_id").agg(*sums)


def _reciprocal(rank: nw.Expr) -> nw.Expr:
    return whole(BILLIONTHS / rank)


def _weight(position: nw.Expr, examination: Sequence[float]) -> nw.Expr:
    """Return 1 / examination of a rank, in whole billionths."""
    if not examination or not all(math.isfinite(p) and p > 0 for p in examination):
        raise InvalidRequest.of(
            "examination", "must be a probability above 0 for each rank, the first rank first"
        )
    weights = [round(BILLIONTHS / probability) for probability in examination]
    weight = nw.lit(weights[-1], dtype=nw.Int64)
    for rank in range(len(weights) - 1, 0, -1):
        here = nw.lit(weights[rank - 1], dtype=nw.Int64)
        weight = nw.when(position == rank).then(here).otherwise(weight)
    return weight
