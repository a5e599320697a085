"""All of the log at one instant, for any process, writing nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from ranklift.events.journal import (
    BUSY_SECONDS,
    FILE_NAME,
    ParquetFile,
    list_files,
    rows_of,
    schema_version,
)
from ranklift.events.places import check_place
from ranklift.events.rows import Row


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The valid Parquet files, and the rows that are in none of them."""

    files: tuple[ParquetFile, ...]
    rows: tuple[Row, ...]


def read_snapshot(folder: Path, url: str = "") -> Snapshot:
    """Return the log of an events folder; nothing when there is no journal yet.

    Its files lie at `url`, "" for the folder itself.

    One read transaction sees a row either in the journal or in a file, never in both or neither,
    however often other processes export meanwhile.

    Raises:
        NotReady: the file is no journal, or has a schema that this version does not know, or the
            log's files lie elsewhere.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return Snapshot((), ())
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    with contextlib.closing(connection):
        connection.execute("BEGIN")
        if schema_version(connection, path) == 0:
            return Snapshot((), ())
        check_place(connection, url)
        files = list_files(connection)
        blocks = connection.execute("SELECT frame, date, body FROM rows ORDER BY seq")
        return Snapshot(files, tuple(row for block in blocks for row in rows_of(*block)))
