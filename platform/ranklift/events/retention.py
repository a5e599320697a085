"""Whole days that are old enough are dropped: the files, and what the journal knows of them.

Documents stay, whatever day they were met first: pages that are kept show them too.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from ranklift.events.compaction import delete_due
from ranklift.events.export import exclusive, move_rows
from ranklift.events.files import EventFiles
from ranklift.events.journal import Journal
from ranklift.events.known import cutoff
from ranklift.events.manifest import Manifest, Removal


@dataclass(frozen=True, slots=True)
class Retained:
    """What is left begins with the day `first` (YYYY-MM-DD); `dropped` are rows by frame."""

    first: str
    days: tuple[str, ...]
    dropped: Mapping[str, int]


def first_kept(days: int, now: datetime) -> str:
    """Return the first day that is kept: today, UTC, and the `days` before it are."""
    return (now.astimezone(UTC) - timedelta(days=days)).date().isoformat()


def retain(folder: Path, files: EventFiles, days: int, now: Callable[[], datetime]) -> Retained:
    """Drop all days but the last `days` and today, in the journal too.

    The files are deleted on return. Pages of dropped days take no more events. Readers that looked
    before do not find their files any more.
    """
    with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
        # Rows of old days leave the journal as files do.
        move_rows(
            journal, files, lambda chunk, written: journal.publish(chunk, written, cutoff(now()))
        )
        return _drop(journal, files, days, now())


def retain_files(
    folder: Path, files: EventFiles, days: int, now: Callable[[], datetime]
) -> Retained:
    """Do as `retain` with what is in files; whoever exports now and then needs no more."""
    with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
        return _drop(journal, files, days, now())


def _drop(journal: Journal, files: EventFiles, days: int, now: datetime) -> Retained:
    first = first_kept(days, now)
    manifest = Manifest(journal)
    old = [f for f in journal.files() if f.date < first and f.frame != "documents"]
    counts: Counter[str] = Counter()
    for file in old:
        rows = files.scan([file.path], file.frame).select(pl.len()).collect()
        counts[file.frame] += rows.item()
    dates = {file.date for file in old}
    if old:
        with journal.transaction():
            manifest.swap(old, [], due=0)
            manifest.hasten(dates)
            manifest.close_days(first)
            manifest.record(Removal(int(now.timestamp()), "retain", first, counts))
    delete_due(journal, files, now)
    return Retained(first, tuple(sorted(dates)), counts)
