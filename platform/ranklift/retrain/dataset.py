"""From the log to what a student learns from: lists of documents with debiased click rates.

What counts:

- A page that fell back to the champion counts: a user saw it, and position bias does not
  depend on who ranked. (Only a lift report leaves such pages out.)
- Several clicks on one document of one page count as one.
- A document whose text was never recorded counts for the examination, but is in no list.
- A document with several texts has one of them, always the same.
- A query with fewer than two documents left teaches no order and is left out.
- Queries, not pages, are held out: a query that was trained on tells nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import mmh3
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.clicks.query_text import normalised
from ranklift.events.frames import EventFrames, window
from ranklift.retrain.examination import Examination, examination_of

HELD_OUT_PERCENT = 20
# Every document starts with so many examined impressions at the mean click rate: a single click
# on a document shown once says little.
PRIOR_EXAMINATIONS = 4.0


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document as the pages of one query showed it.

    `click_rate`, in [0, 1], is clicks / examined impressions, drawn towards
    the mean over all documents: how attractive it is wherever it stands.
    """

    document_id: str
    title: str
    text: str
    impressions: int
    clicks: int
    click_rate: float


@dataclass(frozen=True, slots=True)
class QueryLog:
    """One query with the documents that were shown for it, most attractive first."""

    query: str
    documents: tuple[ShownDocument, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RetrainData:
    """What the pages shown in [`start`, `end`) teach; the queries in order of their text.

    `fallback_pages` are those that another ranker than the arm's answered;
    `without_text` counts the (query, document) pairs that are in no list.
    """

    start: datetime
    end: datetime
    train: tuple[QueryLog, ...]
    held_out: tuple[QueryLog, ...]
    examination: NDArray[np.float64]  # (positions,), relative to the first
    pages: int
    clicked_pages: int
    fallback_pages: int
    without_text: int


def retrain_data(
    frames: EventFrames,
    start: datetime,
    end: datetime,
    *,
    examination: Examination = examination_of,
) -> RetrainData:
    """Return what the pages shown in [`start`, `end`) teach, whatever the order of the rows.

    Position bias is removed as in Joachims, Swaminathan and Schnabel, "Unbiased
    learning-to-rank with biased feedback" (WSDM 2017), section 4, with the
    weights in the denominator: under the position-based model
    E[clicks] = alpha * sum of examination over the impressions, so

        click rate = (clicks + m * mean) / (examined impressions + m)

    estimates the attractiveness alpha; m is `PRIOR_EXAMINATIONS`.
    """
    cells, pages, texts = _collect(window(frames, start, end))
    weights = examination(
        cells["pair"].to_numpy(),
        cells["rank"].to_numpy(),
        cells["impressions"].to_numpy(),
        cells["clicks"].to_numpy(),
    )
    pairs = _pairs(cells, weights)
    lists = _lists(pairs.join(texts, on="document_id", how="inner"))
    known = pairs["document_id"].is_in(texts["document_id"].implode())
    return RetrainData(
        start=start,
        end=end,
        train=tuple(each for each in lists if not is_held_out(each.query)),
        held_out=tuple(each for each in lists if is_held_out(each.query)),
        examination=weights,
        pages=pages["pages"].item(),
        clicked_pages=pages["clicked_pages"].item(),
        fallback_pages=pages["fallback_pages"].item(),
        without_text=int((~known).sum()),
    )


def is_held_out(query: str) -> bool:
    """Return whether a query is kept for the comparison; the same in every run and process, and
    however it is spelt."""
    key = f"held-out:{normalised(query)}"
    return mmh3.hash(key.encode(), signed=False) % 100 < HELD_OUT_PERCENT


def _collect(frames: EventFrames) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Read the log once: counts by (query, document, rank), counts of pages, and texts.

    Returns:
        cells: query, document_id, rank (0-based), impressions, clicks, pair (from 0), sorted.
        pages: one row of pages, clicked_pages, fallback_pages.
        texts: document_id, title, text; each document once.
    """
    clicks = frames.clicks.select("impression_id", "document_id").unique()
    clicked_pages = clicks.select("impression_id", clicked=pl.lit(True)).unique()
    pages = (
        frames.pages.join(clicked_pages, on="impression_id", how="left")
        .select(
            pages=pl.len(),
            clicked_pages=pl.col("clicked").sum(),
            fallback_pages=(pl.col("fallback_reason") != "").sum(),
        )
        .cast(pl.Int64)
    )
    shown = frames.pages.select(
        "impression_id",
        "query",
        document_id="documents",
        rank=pl.int_ranges(0, pl.col("documents").list.len()),
    ).explode("document_id", "rank", empty_as_null=False)
    cells = (
        shown.join(
            clicks.with_columns(clicked=pl.lit(1)),
            on=["impression_id", "document_id"],
            how="left",
        )
        .group_by("query", "document_id", "rank")
        .agg(impressions=pl.len().cast(pl.Int64), clicks=pl.col("clicked").sum().cast(pl.Int64))
        .sort("query", "document_id", "rank")
        .with_columns(
            pair=pl.struct("query", "document_id").rle_id().cast(pl.Int64),
            rank=pl.col("rank").cast(pl.Int64),
        )
    )
    texts = (
        frames.documents.join(shown.select("document_id").unique(), on="document_id", how="semi")
        .sort("document_id", "digest")
        .unique("document_id", keep="first", maintain_order=True)
        .select("document_id", "title", "text")
    )
    collected = pl.collect_all([cells, pages, texts])
    return collected[0], collected[1], collected[2]


def _pairs(cells: pl.DataFrame, weights: NDArray[np.float64]) -> pl.DataFrame:
    """Return query, document_id, impressions, clicks, click_rate: one row for each pair."""
    by_rank = pl.DataFrame(
        {"rank": np.arange(len(weights), dtype=np.int64), "weight": weights},
        schema={"rank": pl.Int64, "weight": pl.Float64},
    )
    examined = pl.col("impressions") * pl.col("weight")
    pairs = (
        cells.join(by_rank, on="rank", how="left", maintain_order="left")
        .group_by("query", "document_id", maintain_order=True)
        .agg(pl.col("impressions", "clicks").sum(), examined=examined.sum())
    )
    mean = pl.col("clicks").sum() / pl.col("examined").sum()
    rate = (pl.col("clicks") + PRIOR_EXAMINATIONS * mean) / (
        pl.col("examined") + PRIOR_EXAMINATIONS
    )
    return pairs.with_columns(click_rate=rate.clip(0.0, 1.0)).drop("examined")


def _lists(pairs: pl.DataFrame) -> Iterable[QueryLog]:
    """Return the queries with two documents or more, by query, then best first."""
    ordered = pairs.filter(pl.len().over("query") >= 2).sort(
        "query", "click_rate", "document_id", descending=[False, True, False]
    )
    columns = ("document_id", "title", "text", "impressions", "clicks", "click_rate")
    grouped = ordered.group_by("query", maintain_order=True).agg(pl.struct(*columns).alias("rows"))
    return [
        QueryLog(query, tuple(ShownDocument(**row) for row in rows))
        for query, rows in grouped.iter_rows()
    ]
