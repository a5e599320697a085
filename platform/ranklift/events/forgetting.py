"""Removing one unit from the log for good: rows, files, and what a database keeps of deleted rows.

What belongs to a unit are the pages that name it as user, as session or as the unit of an
assignment, and all that followed from these pages. One transaction makes the rewritten files valid,
so a reader sees all of it or nothing. Identities in `seen` stay: they are hashes, and without them
a client that sends again would bring everything back. Documents stay: they are what was offered,
and to everybody.
"""

from __future__ import annotations

import contextlib
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

import polars as pl

from ranklift.events.compaction import delete_due
from ranklift.events.export import exclusive, move_rows, write_files
from ranklift.events.files import EventFiles, parquet_of, sweep
from ranklift.events.frames import frames_of
from ranklift.events.journal import Chunk, Journal, ParquetFile
from ranklift.events.known import cutoff
from ranklift.events.manifest import Manifest, Removal
from ranklift.events.rows import Frame, Row, decode
from ranklift.events.snapshot import read_snapshot
from ranklift.v1.errors import Overloaded

# What follows from pages names them by `impression_id`.
_FRAMES: tuple[Frame, ...] = ("pages", "clicks", "dwells", "shadows", "quarantine")
_KEY = "audit_key"


@dataclass(slots=True)
class _Rewriting:
    """Files that hold something of the unit, what takes their place, and the rows that go."""

    pages: set[str]
    dates: set[str]
    removed: list[ParquetFile] = field(default_factory=list)
    added: list[ParquetFile] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_FRAMES, 0))


def count(folder: Path, files: EventFiles, unit: str) -> Mapping[str, int]:
    """Return how many rows of each frame belong to a unit now."""
    frames = frames_of(files, read_snapshot(folder, files.url))
    ids = frames.pages.filter(_belongs_to(unit)).select("impression_id").collect()
    counts = {"pages": ids.height}
    for name in _FRAMES[1:]:
        rows: pl.LazyFrame = getattr(frames, name)
        found = rows.join(ids.lazy(), on="impression_id", how="semi").select(pl.len()).collect()
        counts[name] = int(found.item())
    return counts


def forget(
    folder: Path, files: EventFiles, unit: str, now: Callable[[], datetime]
) -> Mapping[str, int]:
    """Remove a unit from the log, and return how many rows of each frame went.

    On return no file of the log and no page of the journal holds anything of it, whether the call
    found rows or an earlier one that was interrupted did. Readers that looked before do not find
    their files any more. Writers wait while the journal is written anew.

    Raises:
        Overloaded: a reader kept the journal from being written anew; call again.
        OSError, sqlite3.OperationalError: no room; call again.
    """
    with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
        manifest = Manifest(journal)
        # Nearly all of the journal, while others write.
        move_rows(
            journal, files, lambda chunk, written: journal.publish(chunk, written, cutoff(now()))
        )
        rewriting = _rewrite(files, journal.files(), unit)
        with journal.transaction():
            # The rest of it, while nobody writes.
            chunk = journal.oldest(journal.last_seq(), max_rows=1 << 62, max_characters=1 << 62)
            if chunk is not None:
                rewriting.added += write_files(files, _without(unit, chunk, rewriting))
                manifest.drop_rows(chunk)
            manifest.swap(rewriting.removed, rewriting.added, due=0)
            manifest.hasten(rewriting.dates)
            manifest.close_pages(sorted(rewriting.pages))
            manifest.record(
                Removal(int(now().timestamp()), "forget", _hash(manifest, unit), rewriting.counts)
            )
        delete_due(journal, files, now())
        sweep(files, manifest.named())
        _scrub(journal)
        return rewriting.counts


def _belongs_to(unit: str) -> pl.Expr:
    def any_of(column: str) -> pl.Expr:
        ids = pl.col(column).list.eval(pl.element().struct.field("unit_id") == unit)
        return ids.list.any().fill_null(False)  # files of an older ranklift lack the column

    return (
        (pl.col("user_id") == unit)
        | (pl.col("session_id") == unit)
        | any_of("assignments")
        | any_of("forced")
    )


def _rewrite(files: EventFiles, valid: tuple[ParquetFile, ...], unit: str) -> _Rewriting:
    """Write anew, under other names, each file that holds something of the unit."""
    rewriting = _Rewriting(set(), set())
    for file in valid:
        if file.frame == "pages":
            ids = files.scan([file.path], "pages").filter(_belongs_to(unit)).select("impression_id")
            found = ids.collect()["impression_id"].to_list()
            rewriting.pages.update(found)
            # All that follows from a page is filed under its date.
            rewriting.dates.update([file.date] if found else [])
    gone = _named(rewriting.pages)
    for file in valid:
        if file.frame not in _FRAMES or file.date not in rewriting.dates:
            continue
        rows = files.scan([file.path], file.frame).collect()
        kept = rows.filter(~gone)
        if kept.height == rows.height:
            continue
        rewriting.removed.append(file)
        rewriting.counts[file.frame] += rows.height - kept.height
        if not kept.is_empty():
            path = f"{file.frame}/date={file.date}/{uuid.uuid4().hex}.parquet"
            files.write(path, parquet_of(kept))
            rewriting.added.append(ParquetFile(path, file.frame))
    return rewriting


def _without(unit: str, chunk: Chunk, rewriting: _Rewriting) -> Chunk:
    """Return a chunk without the unit, and add what is not in it to `rewriting`."""
    pages = [row for row in chunk.rows if row.frame == "pages"]
    shown = decode("pages", [row.body for row in pages]).select(
        "impression_id", gone=_belongs_to(unit)
    )
    for row, (name, gone) in zip(pages, shown.rows(), strict=True):
        if gone:
            rewriting.pages.add(name)
            rewriting.dates.add(row.date)
    kept: dict[tuple[Frame, str], list[str]] = {}
    for row in _kept(chunk, rewriting):
        kept.setdefault((row.frame, row.date), []).append(row.body)
    return Chunk(chunk.first, chunk.last, kept)


def _kept(chunk: Chunk, rewriting: _Rewriting) -> Iterator[Row]:
    gone = _named(rewriting.pages)
    for frame in dict.fromkeys(row.frame for row in chunk.rows):
        rows = [row for row in chunk.rows if row.frame == frame]
        if frame not in _FRAMES:
            yield from rows
            continue
        marks = decode(frame, [row.body for row in rows]).select(gone)
        for row, (is_gone,) in zip(rows, marks.rows(), strict=True):
            rewriting.counts[frame] += is_gone
            if not is_gone:
                yield row


def _named(pages: set[str]) -> pl.Expr:
    return pl.col("impression_id").is_in(pl.Series(sorted(pages), dtype=pl.String).implode())


def _hash(manifest: Manifest, unit: str) -> str:
    """Return a hash that tells whether a given unit was forgotten, to who holds the journal.

    Keyed with a secret of this journal: hashes of two logs cannot be compared.
    """
    key = manifest.fact(_KEY)
    if key is None:
        key = secrets.token_hex(32)
        manifest.set_fact(_KEY, key)
    return blake2b(unit.encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()


def _scrub(journal: Journal) -> None:
    """Write the journal anew: deleted rows live on in free pages, and in the write-ahead log."""
    journal.connection.execute("VACUUM")
    busy, _, _ = journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise Overloaded.of(
            "", "the unit is out of the log, but a reader keeps the journal's old pages; run again"
        )
