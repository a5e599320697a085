"""From journal rows to Parquet files that are whole and on disk, or do not count.

A file is written, and only then named in the journal's manifest. What the manifest does not name
is not part of the log.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ranklift.events.files import EventFiles, parquet_of
from ranklift.events.journal import Chunk, Journal, ParquetFile
from ranklift.events.rows import decode

LOCK_NAME = "lock"
# Bounds the memory of an export; documents of 50 KB reach the second long before the first.
CHUNK_ROWS = 100_000
CHUNK_CHARACTERS = 64 * 1024 * 1024


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the events folder's lock: one process at a time makes, exports, merges or removes.

    The kernel frees the lock of a process that dies.
    """
    with (folder / LOCK_NAME).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def move_rows(
    journal: Journal,
    files: EventFiles,
    publish: Callable[[Chunk, Sequence[ParquetFile]], None],
) -> None:
    """Move what the journal holds now to files, which `publish` makes valid, chunk by chunk.

    The caller holds the folder's lock.
    """
    last = journal.last_seq()
    while chunk := journal.oldest(last, CHUNK_ROWS, CHUNK_CHARACTERS):
        publish(chunk, write_files(files, chunk))


def write_files(files: EventFiles, chunk: Chunk) -> tuple[ParquetFile, ...]:
    """Write `chunk` as one file for each frame and date; all of them are lasting on return.

    The names come from the chunk's `seq`, which are never used again: a second attempt after a
    failure overwrites the first, and nothing else ever can.
    """
    written = []
    for (frame, date), bodies in chunk.bodies.items():
        file = ParquetFile(
            f"{frame}/date={date}/{chunk.first:012d}-{chunk.last:012d}.parquet", frame
        )
        files.write(file.path, parquet_of(decode(frame, bodies)))
        written.append(file)
    return tuple(written)
