"""Small files of one frame and date become large ones, while others write and read.

An export leaves a file for each frame and date, some thousand a day. Files of about one size are
merged when there are `FANOUT` of them, so that a row is rewritten a handful of times in all (as
LSM trees do: size-tiered compaction); of days that are over, files of any size. Replaced files
stay for `GRACE`: a reader that looked before the swap still finds what it saw.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ranklift.events.export import exclusive
from ranklift.events.files import EventFiles, parquet_of
from ranklift.events.journal import Journal, ParquetFile
from ranklift.events.manifest import Manifest
from ranklift.events.rows import Frame

FANOUT = 8
# As Parquet. Decoded, pages take about ten times as much, which bounds the memory of a merge.
TARGET_BYTES = 32 * 1024 * 1024
# Longer than any report reads; a notebook that holds a frame longer has to ask for it again.
GRACE = timedelta(hours=1)

# Windows of pages skip what lies outside; everything else is joined whole, and packs better sorted.
_ORDER: Mapping[Frame, str] = {
    "pages": "page_time",
    "clicks": "click_time",
    "dwells": "impression_id",
    "documents": "document_id",
    "shadows": "impression_id",
    "quarantine": "impression_id",
}
_SMALLEST_TIER = 4 * 1024

Group = tuple[ParquetFile, ...]
Run = Callable[[Callable[[Journal], None]], None]


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many files were merged, and into how many."""

    merged: int
    into: int


def plan(sizes: Mapping[ParquetFile, int], *, today: str, fully: bool = False) -> tuple[Group, ...]:
    """Return the groups of files to merge, given the bytes of each file.

    Days before `today` (YYYY-MM-DD) are over. `fully` merges whatever is small, even two files of
    different sizes.
    """
    tiers: dict[tuple[Frame, str, int], list[ParquetFile]] = defaultdict(list)
    for file, size in sizes.items():
        if size < TARGET_BYTES:
            tier = 0 if fully or file.date < today else _tier(size)
            tiers[file.frame, file.date, tier].append(file)
    least = 2 if fully else FANOUT
    groups = []
    for _, files in sorted(tiers.items()):
        group: list[ParquetFile] = []
        for file in sorted(files, key=lambda file: file.path):
            if group and sum(sizes[one] for one in group) + sizes[file] > TARGET_BYTES:
                groups.append(tuple(group))
                group = []
            group.append(file)
        groups.append(tuple(group))
    # A group that was cut at the target is worth a merge however few files it has.
    return tuple(
        group
        for group in groups
        if len(group) >= least
        or (len(group) > 1 and sum(sizes[one] for one in group) > TARGET_BYTES / 2)
    )


def compact(
    folder: Path,
    files: EventFiles,
    now: Callable[[], datetime],
    *,
    run: Run | None = None,
    fully: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Compacted:
    """Merge the small files of a log, one group after the other until `stop`, each atomically.

    `run` runs what changes the manifest, on a journal that may be busy elsewhere.

    Raises:
        OSError, sqlite3.OperationalError: no room. Nothing is lost or half done.
    """
    merged = into = 0
    with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
        sizes = _sizes(journal, files, 2 if fully else FANOUT)
    today = now().astimezone(UTC).date().isoformat()
    groups = plan(sizes, today=today, fully=fully)
    for group in groups:
        if stop():
            break
        # For each group anew: exports of other processes need not wait for all of them.
        with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
            if set(group) <= set(journal.files()):
                large = _merge(files, group)
                try:
                    _swap(group, large, now() + GRACE, run or (lambda job: job(journal)))
                except BaseException:
                    Manifest(journal).discard(files, [large])
                    raise
                merged += len(group)
                into += 1
    return Compacted(merged, into)


def delete_obsolete(folder: Path, files: EventFiles, now: Callable[[], datetime]) -> int:
    """Delete the replaced files that no reader may hold any more; return how many they were."""
    with exclusive(folder), contextlib.closing(Journal.open(folder)) as journal:
        return delete_due(journal, files, now())


def delete_due(journal: Journal, files: EventFiles, now: datetime) -> int:
    """Do as `delete_obsolete`, when the caller holds the folder's lock."""
    manifest = Manifest(journal)
    due = manifest.due(int(now.timestamp()))
    for path in due:
        files.delete(path)
    if due:
        with journal.transaction():
            manifest.deleted(due)
    return len(due)


def _sizes(journal: Journal, files: EventFiles, least: int) -> Mapping[ParquetFile, int]:
    """Return the bytes of the valid files of folders with at least so many of them.

    Most days are settled: nobody looks at their files every minute.
    """
    folders: dict[str, list[ParquetFile]] = defaultdict(list)
    for file in journal.files():
        folders[file.path.rpartition("/")[0]].append(file)
    busy = {folder: some for folder, some in folders.items() if len(some) >= least}
    sizes = files.sizes(busy)
    return {file: sizes[file.path] for some in busy.values() for file in some}


def _tier(size: int) -> int:
    """Return 0 for up to 4 KiB, 1 for up to 32 KiB, and so on by factors of `FANOUT`."""
    tier, limit = 0, _SMALLEST_TIER
    while size > limit:
        tier, limit = tier + 1, limit * FANOUT
    return tier


def _merge(files: EventFiles, group: Group) -> ParquetFile:
    frame, date = group[0].frame, group[0].date
    rows = files.scan([file.path for file in group], frame).sort(_ORDER[frame]).collect()
    merged = ParquetFile(f"{frame}/date={date}/{uuid.uuid4().hex}.parquet", frame)
    files.write(merged.path, parquet_of(rows))
    return merged


def _swap(group: Group, merged: ParquetFile, due: datetime, run: Run) -> None:
    def publish(journal: Journal) -> None:
        manifest = Manifest(journal)
        with journal.transaction():
            manifest.swap(group, [merged], due=int(due.timestamp()))

    run(publish)
