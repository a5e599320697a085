"""From journal rows to Parquet files that are whole and on disk, or do not count.

A file is written under a temporary name, put on disk, renamed, and only then named in the
journal's manifest. What the manifest does not name is not part of the log; `sweep` removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path

from ranklift.events.journal import Chunk, ParquetFile, sync_folder
from ranklift.events.rows import SCHEMAS, Frame, decode

LOCK_NAME = "lock"
# Bounds the memory of an export; documents of 50 KB reach the second long before the first.
CHUNK_ROWS = 100_000
CHUNK_CHARACTERS = 64 * 1024 * 1024


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the events folder's lock: one process at a time makes, exports or sweeps.

    The kernel frees the lock of a process that dies.
    """
    with (folder / LOCK_NAME).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_files(folder: Path, chunk: Chunk) -> tuple[ParquetFile, ...]:
    """Write `chunk` as one file for each frame and date; all of them are on disk on return.

    The names come from the chunk's `seq`, which are never used again: a second attempt after a
    failure overwrites the first, and nothing else ever can.
    """
    parts: dict[tuple[Frame, str], list[str]] = defaultdict(list)
    for row in chunk.rows:
        parts[row.frame, row.date].append(row.body)
    files = []
    for (frame, date), bodies in parts.items():
        file = ParquetFile(
            f"{frame}/date={date}/{chunk.first:012d}-{chunk.last:012d}.parquet", frame
        )
        _write(folder, folder / file.path, frame, bodies)
        files.append(file)
    return tuple(files)


def sweep(folder: Path, valid: Collection[ParquetFile]) -> None:
    """Remove what an export that died left behind; the caller holds the lock."""
    names = {file.path for file in valid}
    for frame in SCHEMAS:
        for path in (folder / frame).glob("date=*/*"):
            if path.relative_to(folder).as_posix() not in names:
                path.unlink()


def _write(folder: Path, path: Path, frame: Frame, bodies: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    # By way of the memory, so that a full disk is an OSError, which polars does not keep.
    parquet = BytesIO()
    decode(frame, bodies).write_parquet(parquet, compression="zstd")
    with temporary.open("wb") as file:
        file.write(parquet.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    # The new name, and the names of the folders that may be new too.
    for parent in (path.parent, path.parent.parent, folder):
        sync_folder(parent)
