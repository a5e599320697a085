"""The log as six polars frames, for whoever reads it: reports, training sets, notebooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from ranklift.events.files import EventFiles, LocalFiles
from ranklift.events.journal import FOLDER_NAME
from ranklift.events.rows import SCHEMAS, Frame, decode
from ranklift.events.snapshot import Snapshot, read_snapshot


@dataclass(frozen=True, slots=True)
class EventFrames:
    """Pages, clicks, dwells, documents, shadow scores and the quarantine: docs/architecture.md.

    The order of the rows means nothing.
    """

    pages: pl.LazyFrame
    clicks: pl.LazyFrame
    dwells: pl.LazyFrame
    documents: pl.LazyFrame
    shadows: pl.LazyFrame = field(default_factory=lambda: pl.LazyFrame(schema=SCHEMAS["shadows"]))
    quarantine: pl.LazyFrame = field(
        default_factory=lambda: pl.LazyFrame(schema=SCHEMAS["quarantine"])
    )


def read_events(home: Path, files: EventFiles | None = None) -> EventFrames:
    """Return all that was recorded under `home` until now; empty frames when nothing was.

    `files` is where its files lie, if not under the home.

    The frames belong to one instant, also while other processes write. Parquet is scanned
    when a frame is collected; what is not in Parquet yet is in memory.

    Raises:
        NotReady: the journal is of another version of ranklift, or no journal.
    """
    folder = home / FOLDER_NAME
    place = files or LocalFiles(folder)
    return frames_of(place, read_snapshot(folder, place.url))


def frames_of(files: EventFiles, snapshot: Snapshot) -> EventFrames:
    """Return the frames of what a snapshot holds, with its files in `files`."""
    return EventFrames(
        pages=_frame(files, snapshot, "pages"),
        clicks=_frame(files, snapshot, "clicks"),
        dwells=_frame(files, snapshot, "dwells"),
        documents=_frame(files, snapshot, "documents"),
        shadows=_frame(files, snapshot, "shadows"),
        quarantine=_frame(files, snapshot, "quarantine"),
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
        quarantine=frames.quarantine.join(ids, on="impression_id", how="semi"),
    )


def _frame(files: EventFiles, snapshot: Snapshot, frame: Frame) -> pl.LazyFrame:
    recent = decode(frame, [row.body for row in snapshot.rows if row.frame == frame]).lazy()
    paths = [file.path for file in snapshot.files if file.frame == frame]
    return pl.concat([files.scan(paths, frame), recent]) if paths else recent
