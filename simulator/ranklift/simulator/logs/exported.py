"""ranklift's own log as `ranklift events export` writes it, and frames of its schema."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ranklift.simulator.logs.search_log import CLICKS, INSTANT, PAGES, SearchLog
from ranklift.v1.errors import InvalidRequest

MARK = "ranklift-events.json"


def read_export(folder: Path) -> SearchLog:
    """Return the log in the folder of an export.

    Raises:
        InvalidRequest: a file or a row is wrong; the field is "file row n", from 0.
    """
    pages = _read(
        folder,
        "pages",
        {
            "impression_id": pl.String,
            "page_time": pl.Datetime,
            "user_id": pl.String,
            "session_id": pl.String,
            "query": pl.String,
            "documents": pl.List,
        },
    )
    clicks = _read(
        folder,
        "clicks",
        {
            "event_id": pl.String,
            "impression_id": pl.String,
            "document_id": pl.String,
            "position": pl.Int32,
            "click_time": pl.Datetime,
        },
    )
    dwells = _read(
        folder,
        "dwells",
        {"click_event_id": pl.String, "dwell_ms": pl.Int64, "censored": pl.Boolean},
    )
    return log_of_frames(pages, clicks, dwells, str(folder))


def log_of_frames(
    pages: pl.DataFrame, clicks: pl.DataFrame, dwells: pl.DataFrame, where: str
) -> SearchLog:
    """Return the log of frames of the event schema; their column `at` names rows, if they have it.

    Raises:
        InvalidRequest: a row is wrong.
    """
    pages, clicks, dwells = (
        frame if "at" in frame.columns else frame.with_columns(at=pl.lit(where))
        for frame in (pages, clicks, dwells)
    )
    if not pages.height:
        raise InvalidRequest.of(where, "holds no session; give a log with at least one page")
    _refuse(pages, pl.col("documents").list.len() == 0, "shows no document")
    _refuse(
        pages,
        pl.col("documents").list.n_unique() < pl.col("documents").list.len(),
        "shows a document twice; a page shows it once",
    )
    _refuse(pages, pl.col("impression_id").is_duplicated(), "has the impression_id of another row")
    session = pl.when(pl.col("session_id") != "").then("session_id").otherwise("impression_id")
    ordered = (
        pages.with_columns(session=session)
        .with_columns(began=pl.col("page_time").min().over("session"))
        .sort("began", "session", "page_time", "impression_id")
        .with_row_index("page")
    )
    user = pl.when(pl.col("user_id") != "").then("user_id")
    shown = ordered.select(
        "session",
        user.alias("user"),
        "query",
        pl.col("page_time").cast(INSTANT).alias("time"),
        "documents",
    ).cast(PAGES)
    return SearchLog(shown, _clicks(ordered, clicks, dwells))


def _clicks(pages: pl.DataFrame, clicks: pl.DataFrame, dwells: pl.DataFrame) -> pl.DataFrame:
    joined = clicks.join(
        pages.select("impression_id", "page", "documents"), on="impression_id", how="left"
    )
    _refuse(joined, pl.col("page").is_null(), "is a click on a page that the log does not have")
    shown = pl.col("documents").list
    _refuse(
        joined,
        ~pl.col("documents").list.contains(pl.col("document_id")),
        "is a click on a document that its page did not show",
    )
    from_one = shown.get(pl.col("position") - 1, null_on_oob=True) == pl.col("document_id")
    from_zero = shown.get(pl.col("position"), null_on_oob=True) == pl.col("document_id")
    fits = (pl.col("position") >= 1) & from_one.fill_null(value=False)
    some_fit = joined.select(fits.any()).item()
    _refuse(
        joined,
        ~fits & from_zero.fill_null(value=False),
        "has a position that counts from 0"
        + (", others of the log count from 1" if some_fit else "; count them from 1"),
    )
    _refuse(joined, ~fits, "has a position at which its page did not show the document")
    measured = dwells.group_by("click_event_id").agg(
        pl.col("dwell_ms").max(), pl.col("censored").last()
    )
    return (
        joined.join(measured, left_on="event_id", right_on="click_event_id", how="left")
        .sort("page", "click_time", "event_id")
        .select(
            pl.col("page").cast(pl.Int64),
            (pl.col("position") - 1).cast(pl.Int64).alias("rank"),
            pl.int_range(pl.len(), dtype=pl.Int64).over("page").alias("nth"),
            pl.col("click_time").cast(INSTANT).alias("time"),
            (pl.col("dwell_ms") / 1_000).alias("dwell_seconds"),
            pl.col("censored").fill_null(value=False),
        )
        .cast(CLICKS)
    )


def _read(folder: Path, frame: str, columns: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    """Return the columns of all files of a frame, with where each row is in `at`."""
    parts = []
    for path in sorted((folder / frame).glob("**/*.parquet")):
        try:
            part = pl.read_parquet(path, hive_partitioning=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InvalidRequest.of(str(path), f"cannot be read: {error}") from error
        for name, kind in columns.items():
            found = part.schema.get(name)
            if found is None or found.base_type() is not kind:
                raise InvalidRequest.of(
                    str(path), f'column "{name}" is {found or "missing"}, must be {kind.__name__}'
                )
        at = pl.format("{} row {}", pl.lit(str(path)), pl.int_range(pl.len()))
        parts.append(part.select(*columns, at=at))
    if not parts:
        return pl.DataFrame(schema={**columns, "at": pl.String})
    whole = pl.concat(parts)
    for name in columns:
        _refuse(whole, pl.col(name).is_null(), f'has no "{name}"')
    return whole


def _refuse(rows: pl.DataFrame, wrong: pl.Expr, what: str) -> None:
    """Raise InvalidRequest for the first row that is `wrong`."""
    bad = rows.filter(wrong)
    if bad.height:
        raise InvalidRequest.of(bad["at"][0], what)
