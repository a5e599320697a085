"""Where the log's Parquet files lie: what the log needs of a place, and the folder on this disk.

A path is relative to the place, as the manifest names it: "pages/date=2025-03-01/<name>.parquet".
No name is ever used for two contents.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import polars as pl

from ranklift.events.rows import SCHEMAS, Frame


class EventFiles(Protocol):
    """A place for Parquet files. `url` is "" for the events folder of the home itself."""

    @property
    def url(self) -> str: ...

    def write(self, path: str, content: memoryview) -> None:
        """Put a file there; on return it is whole and lasting, before that it is not there.

        Raises:
            OSError: no room, or no way to the place.
        """

    def read(self, path: str) -> bytes:
        """Return what a file holds.

        Raises:
            FileNotFoundError: it is not there.
            OSError: no way to the place.
        """

    def scan(self, paths: Sequence[str], frame: Frame) -> pl.LazyFrame:
        """Return the rows of at least one file of a frame, read when they are collected."""

    def sizes(self, folders: Iterable[str] | None = None) -> Mapping[str, int]:
        """Return the bytes of all that lies in some folders ("pages/date=2025-03-01"), by path.

        In all folders of the frames when none are named.
        """

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""

    def mark(self, path: str) -> object:
        """Return what tells a file from one of another log that has its name."""


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The events folder itself."""

    folder: Path

    @property
    def url(self) -> str:
        return ""

    def write(self, path: str, content: memoryview) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            # On a full disk, what came through is the next to be in the way.
            temporary.unlink(missing_ok=True)
            raise
        # The new name, and the names of the folders that may be new too.
        for parent in (target.parent, target.parent.parent, self.folder):
            sync_folder(parent)

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def scan(self, paths: Sequence[str], frame: Frame) -> pl.LazyFrame:
        # A home may be called "a[b]*", and dates in the path are no column.
        return pl.scan_parquet(
            [self.folder / path for path in paths],
            schema=SCHEMAS[frame],
            glob=False,
            hive_partitioning=False,
            missing_columns="insert",  # files of an older ranklift
        )

    def sizes(self, folders: Iterable[str] | None = None) -> Mapping[str, int]:
        every = (path for frame in SCHEMAS for path in (self.folder / frame).glob("date=*"))
        named = every if folders is None else (self.folder / folder for folder in folders)
        return {
            path.relative_to(self.folder).as_posix(): path.stat().st_size
            for folder in named
            for path in folder.glob("*")
        }

    def delete(self, path: str) -> None:
        target = self.folder / path
        target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other files of the date
            target.parent.rmdir()

    def mark(self, path: str) -> object:
        status = (self.folder / path).stat()
        return status.st_size, status.st_mtime_ns


def parquet_of(frame: pl.DataFrame) -> memoryview:
    """Return a data frame as Parquet.

    By way of the memory, so that a full disk is an OSError, which polars does not keep.
    """
    parquet = BytesIO()
    frame.write_parquet(parquet, compression="zstd")
    return parquet.getbuffer()


def sweep(files: EventFiles, named: Iterable[str]) -> None:
    """Remove what a process that died left behind: all that is not `named`.

    The caller holds the folder's lock.
    """
    for path in files.sizes().keys() - set(named):
        files.delete(path)


def sync_folder(folder: Path) -> None:
    """Put the names of new files on disk, not only their contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
