"""The log of a simulated world as the four event frames of docs/architecture.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.simulator.collections import Document
from ranklift.simulator.users import Pages
from ranklift.simulator.world import USER_DIGITS, World

INSTANT = pl.Datetime("us", "UTC")
ASSIGNMENTS = pl.List(
    pl.Struct(
        {
            "experiment": pl.String(),
            "revision": pl.Int64(),
            "layer": pl.String(),
            "arm": pl.String(),
            "unit_id": pl.String(),
            "bucket": pl.Int32(),
        }
    )
)
ATTRIBUTES = pl.List(pl.Struct({"name": pl.String(), "value": pl.String()}))


@dataclass(frozen=True, slots=True, eq=False)
class EventFrames:
    """A log: pages by user and time, the clicks and dwells on them by page and rank, and
    every candidate document."""

    pages: pl.DataFrame
    clicks: pl.DataFrame
    dwells: pl.DataFrame
    documents: pl.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class PageColumns:
    """What the ranker and the experiment add to each page; series of length (pages,)."""

    documents: pl.Series
    scores: pl.Series
    model: pl.Series
    version: pl.Series
    digest: pl.Series
    assignments: pl.Series


@dataclass(frozen=True, slots=True, eq=False)
class ClickRows:
    """The clicks of a log; arrays of shape (clicks,)."""

    page: NDArray[np.int64]  # row in the pages
    position: NDArray[np.int64]  # 1-based
    click_time_us: NDArray[np.int64]  # microseconds since 1970, UTC
    dwell_ms: NDArray[np.int64]
    censored: NDArray[np.bool_]
    document_id: pl.Series


def page_frame(world: World, pages: Pages, columns: PageColumns) -> pl.DataFrame:
    """Return the frame of pages that their own ranker served, without latency."""
    user_id, session_id, page_id = ids(world, pages)
    queries = pl.Series([world.collection.queries[q] for q in world.query_ids])
    frame = pl.DataFrame(
        {
            "impression_id": page_id,
            "page_time": pl.Series(pages.time_us).cast(INSTANT),
            "user_id": user_id,
            "session_id": session_id,
            "query": queries.gather(pages.query),
            "documents": columns.documents,
            "scores": columns.scores,
            "model": columns.model,
            "version": columns.version,
            "digest": columns.digest,
            "assignments": columns.assignments,
            "fallback_reason": pl.repeat("", len(pages), dtype=pl.String, eager=True),
            "latency_ms": pl.repeat(0.0, len(pages), dtype=pl.Float64, eager=True),
        }
    )
    devices = world.population.devices
    if devices is None:
        return frame
    known = [[{"name": "device", "value": segment.name}] for segment in devices.segments]
    device = devices.of(world.seed, pages.user)
    return frame.with_columns(attributes=pl.Series(known, dtype=ATTRIBUTES).gather(device))


def click_frames(impression_id: pl.Series, rows: ClickRows) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the frames of clicks and of the dwells that followed, one for each click.

    Event ids are those of `world.event_ids`.
    """
    shared = pl.DataFrame(
        {
            "impression_id": impression_id.gather(rows.page),
            "document_id": rows.document_id,
            "position": pl.Series(rows.position, dtype=pl.Int32),
            "click_time": pl.Series(rows.click_time_us).cast(INSTANT),
            "dwell_ms": pl.Series(rows.dwell_ms),
            "censored": pl.Series(rows.censored),
        }
    ).with_columns(
        click_id=pl.format("{}-c{}", "impression_id", "position"),
        dwell_id=pl.format("{}-d{}", "impression_id", "position"),
    )
    clicks = shared.select(
        pl.col("click_id").alias("event_id"),
        "impression_id",
        "document_id",
        "position",
        "click_time",
    )
    dwells = shared.select(
        pl.col("dwell_id").alias("event_id"),
        pl.col("click_id").alias("click_event_id"),
        "impression_id",
        "document_id",
        "dwell_ms",
        "censored",
    )
    return clicks, dwells


def document_frame(documents: Iterable[Document]) -> pl.DataFrame:
    """Return the frame of documents, digested as the event log does."""
    rows = [(d.id, _digest(d), d.title, d.text) for d in documents]
    schema = dict.fromkeys(("document_id", "digest", "title", "text"), pl.String())
    return pl.DataFrame(rows, schema=schema, orient="row")


def ids(world: World, pages: Pages) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Return the ids of user, session and page of each page, as `World` makes them."""
    frame = pl.DataFrame({"user": pages.user, "visit": pages.visit, "step": pages.step}).select(
        user=pl.format(
            "{}-{}", pl.lit(world.name), pl.col("user").cast(pl.String).str.zfill(USER_DIGITS)
        ),
        visit="visit",
        step="step",
    )
    session = frame.select(pl.format("{}-{}", "user", "visit")).to_series()
    page = frame.select(pl.format("{}-{}-{}", "user", "visit", "step")).to_series()
    return frame["user"], session, page


def _digest(document: Document) -> str:
    title, text = document.title.encode(), document.text.encode()
    return "sha256:" + sha256(b"%d:%b%b" % (len(title), title, text)).hexdigest()
