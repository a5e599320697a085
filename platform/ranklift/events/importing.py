"""Days of events from elsewhere into the log: in bulk, and each event once.

Imported events go straight into files, a day in one transaction. What the log saw before is a
duplicate, as everywhere. Imported pages take no more events over gRPC: they are history.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

from ranklift.events.export import exclusive
from ranklift.events.files import EventFiles, parquet_of
from ranklift.events.frames import frames_of
from ranklift.events.journal import Journal, ParquetFile
from ranklift.events.known import Known, Mentions, identity
from ranklift.events.manifest import Manifest
from ranklift.events.rows import Frame
from ranklift.events.snapshot import Snapshot, read_snapshot

# An identity by frame: how `admission.py` names what it has seen.
_KINDS: Mapping[Frame, Literal["page", "event", "document"]] = {
    "pages": "page",
    "clicks": "event",
    "dwells": "event",
    "quarantine": "event",
    "documents": "document",
}


@dataclass(frozen=True, slots=True)
class ImportedDay:
    """Pages of one date (YYYY-MM-DD, UTC), and what followed from them, with the log's columns."""

    date: str
    frames: Mapping[Frame, pl.DataFrame]


@dataclass(slots=True)
class Imported:
    """Rows by frame: recorded now, seen before, and left out because their page is not there."""

    recorded: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)


def import_days(
    folder: Path, files: EventFiles, days: Iterable[ImportedDay], now: Callable[[], datetime]
) -> Imported:
    """Record days that are known to be well formed; what an interruption left out, a second call
    brings.

    Raises:
        OSError, sqlite3.OperationalError: no room; days before it are recorded.
    """
    outcome = Imported()
    for day in days:
        with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
            while not _import(folder, files, journal, day, outcome, int(now().timestamp())):
                pass  # somebody recorded one of the events at this moment
    return outcome


class _RecordedMeanwhile(Exception):
    """Somebody recorded one of the events since they were looked up."""


def _import(
    folder: Path,
    files: EventFiles,
    journal: Journal,
    day: ImportedDay,
    outcome: Imported,
    recorded: int,
) -> bool:
    """Record a day unless something of it was recorded meanwhile; return whether it was."""
    keys = {frame: _keys(frame, day.frames[frame]) for frame in _KINDS if frame in day.frames}
    every = {key for some in keys.values() for key in some}
    seen = journal.look_up(Mentions(seen=every), 0).seen
    done = Imported()
    fresh: dict[Frame, pl.DataFrame] = {}
    news: set[bytes] = set()
    for frame, some in keys.items():
        is_new = []
        for key in some:
            is_new.append(key not in seen and key not in news)
            news.add(key)
        rows = day.frames[frame]
        fresh[frame] = rows.filter(pl.Series(is_new, dtype=pl.Boolean))
        done.duplicates[frame] += rows.height - fresh[frame].height
    # A page may be a duplicate and not there: it was forgotten, or its day was dropped.
    here = _page_ids(folder, files, day.date)
    new_pages = fresh["pages"]["impression_id"] if "pages" in fresh else pl.Series(dtype=pl.String)
    ids = pl.concat([here, new_pages])
    following: tuple[Frame, ...] = ("clicks", "dwells", "quarantine")
    for frame in following:
        if frame in fresh:
            rows = fresh[frame]
            fresh[frame] = rows.filter(pl.col("impression_id").is_in(ids.implode()))
            done.orphans[frame] += rows.height - fresh[frame].height
    if "shadows" in day.frames:  # which have no id of their own: they come and stay with their page
        rows = day.frames["shadows"]
        fresh["shadows"] = rows.filter(pl.col("impression_id").is_in(new_pages.implode()))
        done.duplicates["shadows"] += rows.height - fresh["shadows"].height
    written = []
    for frame, rows in fresh.items():
        done.recorded[frame] += rows.height
        if not rows.is_empty():
            path = f"{frame}/date={day.date}/{uuid.uuid4().hex}.parquet"
            files.write(path, parquet_of(rows))
            written.append(ParquetFile(path, frame))
    manifest = Manifest(journal)
    try:
        with journal.transaction():
            if journal.look_up(Mentions(seen=news - seen), 0).seen:
                raise _RecordedMeanwhile
            journal.append(Known(seen=news - seen), [], recorded)
            manifest.swap([], written, due=0)
    except _RecordedMeanwhile:
        manifest.discard(files, written)
        return False
    except BaseException:
        manifest.discard(files, written)
        raise
    outcome.recorded += done.recorded
    outcome.duplicates += done.duplicates
    outcome.orphans += done.orphans
    return True


def _keys(frame: Frame, rows: pl.DataFrame) -> Sequence[bytes]:
    """Return the identities of rows, as `admission.py` has them."""
    kind = _KINDS[frame]
    match kind:
        case "page":
            names = rows["impression_id"].to_list()
        case "event":
            names = rows["event_id"].to_list()
        case "document":
            names = (rows["digest"] + rows["document_id"]).to_list()
    return [identity(kind, name) for name in names]


def _page_ids(folder: Path, files: EventFiles, date: str) -> pl.Series:
    snapshot = read_snapshot(folder, files.url)
    day = Snapshot(
        tuple(file for file in snapshot.files if file.date == date and file.frame == "pages"),
        tuple(row for row in snapshot.rows if row.date == date and row.frame == "pages"),
    )
    return frames_of(files, day).pages.select("impression_id").collect()["impression_id"]
