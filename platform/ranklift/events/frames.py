"""The log as five polars frames, for whoever reads it: reports, training sets, notebooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from ranklift.events.journal import FOLDER_NAME
from ranklift.events.rows import SCHEMAS, Frame, decode
from ranklift.events.snapshot import Snapshot, read_snapshot


@dataclass(frozen=True, slots=True)
class EventFrames:
    """Pages, clicks, dwells, documents and shadow scores with the columns of docs/architecture.md.

    The order of the rows means nothing.
    """

    pages: pl.LazyFrame
    clicks: pl.LazyFrame
    dwells: pl.LazyFrame
    documents: pl.LazyFrame
    shadows: pl.LazyFrame = field(default_factory=lambda: pl.LazyFrame(schema=SCHEMAS["shadows"]))


def read_events(home: Path) -> EventFrames:
    """Return all that was recorded under `home` until now; empty frames when nothing was.

    The frames belong to one instant, also while other processes write. Parquet is scanned
    when a frame is collected; what is not in Parquet yet is in memory.

    Raises:
        NotReady: the journal is of another version of ranklift, or no journal.
    """
    folder = home / FOLDER_NAME
    return frames_of(folder, read_snapshot(folder))


def frames_of(folder: Path, snapshot: Snapshot) -> EventFrames:
    """Return the frames of what a snapshot of an events folder holds."""
    return EventFrames(
        pages=_frame(folder, snapshot, "pages"),
        clicks=_frame(folder, snapshot, "clicks"),
        dwells=_frame(folder, snapshot, "dwells"),
        documents=_frame(folder, snapshot, "documents"),
        shadows=_frame(folder, snapshot, "shadows"),
    )


def window(
    frames: EventFrames, start: datetime | None = None, end: datetime | None = None
) -> EventFrames:
    """Return the pages shown in [`start`, `end`) with their clicks and dwells, whenever those came.

    None leaves a side open. The documents stay as they are.
    """
    pages = frames.pages
    if start is not None:
        pages = pages.filter(pl.col("page_time") >= start)
    if end is not None:
        pages = pages.filter(pl.col("page_time") < end)
    ids = pages.select("impression_id")
    return EventFrames(
        pages=pages,
        clicks=frames.clicks.join(ids, on="impression_id", how="semi"),
        dwells=frames.dwells.join(ids, on="impression_id", how="semi"),
        documents=frames.documents,
        shadows=frames.shadows.join(ids, on="impression_id", how="semi"),
    )


def _frame(folder: Path, snapshot: Snapshot, frame: Frame) -> pl.LazyFrame:
    recent = decode(frame, [row.body for row in snapshot.rows if row.frame == frame]).lazy()
    files = [folder / file.path for file in snapshot.files if file.frame == frame]
    if not files:
        return recent
    # A home may be called "a[b]*", and dates in the path are no column.
    older = pl.scan_parquet(
        files,
        schema=SCHEMAS[frame],
        glob=False,
        hive_partitioning=False,
        missing_columns="insert",  # files of an older ranklift
    )
    return pl.concat([older, recent])
