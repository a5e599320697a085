"""`events/journal.db`: what is on disk and not yet in Parquet, and what is valid of the rest.

SQLite in WAL mode with synchronous=FULL: when COMMIT returns, the transaction is on the disk. One
process at a time writes, the others wait; readers never wait.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from ranklift.events import fresh
from ranklift.events.files import sync_folder
from ranklift.events.known import Clicked, Known, Mentions, Shown
from ranklift.events.rows import Frame, Row
from ranklift.v1.errors import NotReady

FOLDER_NAME = "events"
FILE_NAME = "journal.db"
SCHEMA_VERSION = 2
# Version 1 had a row for each record, which is a block of one, and everything sorted.
READABLE = (1, SCHEMA_VERSION)
# Long enough for another process to write its largest group or to publish an export.
BUSY_SECONDS = 30.0
CACHE_BYTES = 64 * 1024 * 1024
CHECKPOINT_PAGES = 8_000  # 32 MB

_SCHEMA = (
    # AUTOINCREMENT: a `seq` is never used again, so it can name a file for good.
    """CREATE TABLE rows (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        frame TEXT NOT NULL,
        date TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE files (
        path TEXT PRIMARY KEY,
        frame TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE seen (identity BLOB PRIMARY KEY) STRICT, WITHOUT ROWID",
    """CREATE TABLE shown (
        identity BLOB PRIMARY KEY,
        recorded INTEGER NOT NULL,
        date TEXT NOT NULL,
        documents TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX shown_recorded ON shown (recorded)",
    """CREATE TABLE clicked (
        identity BLOB PRIMARY KEY,
        recorded INTEGER NOT NULL,
        date TEXT NOT NULL,
        impression_id TEXT NOT NULL,
        document_id TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX clicked_recorded ON clicked (recorded)",
    fresh.TABLE,
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_FROM_1_TO_2 = (fresh.TABLE, f"PRAGMA user_version = {SCHEMA_VERSION}")


# 64 identities a query: twice as fast as one by one, and no faster with more.
_LOOK_UP_SIZE = 64
_INSERT_SIZE = 64
# Between the records of a block: JSON as we write it is one line.
BETWEEN = "\n"
_SLOTS = "(" + ", ".join("?" * _LOOK_UP_SIZE) + ")"
_SEEN = "SELECT identity FROM seen WHERE identity IN (?)".replace("(?)", _SLOTS)
_SHOWN = """SELECT identity, date, documents
    FROM shown WHERE identity IN (?) AND recorded >= ?""".replace("(?)", _SLOTS)
_CLICKED = """SELECT identity, date, impression_id, document_id
    FROM clicked WHERE identity IN (?) AND recorded >= ?""".replace("(?)", _SLOTS)


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A file of one frame, by its path below the events folder."""

    path: str
    frame: Frame

    @property
    def date(self) -> str:
        """The date (YYYY-MM-DD) in "pages/date=2025-03-01/...parquet"."""
        return self.path.split("/")[1].removeprefix("date=")


@dataclass(frozen=True, slots=True)
class Chunk:
    """The oldest rows that are not in Parquet, and the `seq` of the first and the last block."""

    first: int
    last: int
    bodies: Mapping[tuple[Frame, str], Sequence[str]]  # by frame and date

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(
            Row(frame, date, body)
            for (frame, date), bodies in self.bodies.items()
            for body in bodies
        )


class Journal:
    """An open journal, for one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._fresh = fresh.Fresh(connection)

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Open the journal of an events folder for writing; make it when there is none.

        The caller holds the folder's lock, so that only one process makes it.

        Raises:
            NotReady: the file is no journal, or has a schema that this version does not know.
        """
        connection = sqlite3.connect(
            folder / FILE_NAME, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        journal = cls(connection)
        try:
            version = schema_version(connection, folder / FILE_NAME)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # Ids come in no order, so each falls on a page of its own of a large index. SQLite's
            # own 2 MB of cache and checkpoint every 4 MB write such pages again and again.
            connection.execute(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            if version != SCHEMA_VERSION:
                with journal.transaction():
                    for statement in _FROM_1_TO_2 if version else _SCHEMA:
                        connection.execute(statement)
                sync_folder(folder)
        except BaseException:
            connection.close()
            raise
        return journal

    def close(self) -> None:
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body in one transaction that is on disk, or nowhere, afterwards."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self._fresh.rolled_back()
            # Some failures, a full disk among them, end the transaction by themselves.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self._fresh.committed()

    def look_up(self, mentions: Mentions, recorded_since: int) -> Known:
        """Return what is known of `mentions`; pages and clicks only when recorded in or after the
        second `recorded_since`. Within a transaction."""
        self._fresh.follow()
        seen = self._fresh.among(mentions.seen)
        clicked = self._fresh.clicked_among(mentions.clicked, recorded_since)
        shown = self._select(_SHOWN, mentions.shown, recorded_since)
        sorted_clicks = self._select(_CLICKED, mentions.clicked - clicked.keys(), recorded_since)
        return Known(
            seen=seen | {key for (key,) in self._select(_SEEN, mentions.seen - seen)},
            shown={key: Shown(date, tuple(json.loads(ids))) for key, date, ids in shown},
            clicked=clicked | {key: Clicked(*what) for key, *what in sorted_clicks},
        )

    def append(self, news: Known, rows: Sequence[Row], recorded: int) -> None:
        """Add what calls bring, as recorded in the second `recorded`; within a transaction."""
        self._fresh.append(news.seen, news.clicked, recorded)
        self._insert(
            "shown",
            (
                (key, recorded, page.date, json.dumps(page.documents))
                for key, page in news.shown.items()
            ),
        )
        blocks: dict[tuple[Frame, str], list[str]] = {}
        for row in rows:
            blocks.setdefault((row.frame, row.date), []).append(row.body)
        self._insert(
            "rows (frame, date, body)",
            ((frame, date, BETWEEN.join(bodies)) for (frame, date), bodies in blocks.items()),
        )

    def settle(self) -> None:
        """Have the tables `seen` and `clicked` hold all that is known; within a transaction."""
        self._fresh.settle()

    def files(self) -> tuple[ParquetFile, ...]:
        """Return the valid Parquet files by path."""
        return list_files(self.connection)

    def last_seq(self) -> int:
        """Return the highest `seq` not in Parquet; 0 when there is none."""
        (last,) = self.connection.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()
        return int(last)

    def oldest(self, up_to: int, max_rows: int, max_characters: int) -> Chunk | None:
        """Return the oldest rows with `seq` at most `up_to`, none when there are none.

        Stops after the block of rows that reaches `max_rows` or `max_characters`.
        """
        parts: dict[tuple[Frame, str], list[str]] = {}
        sequence: list[int] = []
        rows = characters = 0
        for seq, frame, date, body in self.connection.execute(
            "SELECT seq, frame, date, body FROM rows WHERE seq <= ? ORDER BY seq", (up_to,)
        ):
            sequence.append(seq)
            bodies = body.split(BETWEEN)
            parts.setdefault((frame, date), []).extend(bodies)
            rows += len(bodies)
            characters += len(body)
            if rows >= max_rows or characters >= max_characters:
                break
        return Chunk(sequence[0], sequence[-1], parts) if sequence else None

    def publish(self, chunk: Chunk, files: Sequence[ParquetFile], recorded_since: int) -> None:
        """Make `files`, which hold `chunk`, valid in place of its rows, in one transaction.

        Also forgets the pages and clicks recorded before the second `recorded_since`.
        """
        with self.transaction():
            self.connection.executemany(
                "INSERT INTO files VALUES (?, ?)", ((file.path, file.frame) for file in files)
            )
            self.connection.execute(
                "DELETE FROM rows WHERE seq BETWEEN ? AND ?", (chunk.first, chunk.last)
            )
            self.connection.execute("DELETE FROM shown WHERE recorded < ?", (recorded_since,))
            self.connection.execute("DELETE FROM clicked WHERE recorded < ?", (recorded_since,))

    def _insert(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Insert rows many at a time: `executemany` takes the interpreter's lock for each of them,
        and the event loop, which is answering meanwhile, waits for it as often."""
        rest = iter(rows)
        while batch := list(islice(rest, _INSERT_SIZE)):
            slots = "(" + ", ".join("?" * len(batch[0])) + ")"
            values = [value for row in batch for value in row]
            self.connection.execute(  # the table and the slots are ours, the values are bound
                f"INSERT INTO {table} VALUES " + ", ".join([slots] * len(batch)),  # noqa: S608
                values,
            )

    def _select(
        self, query: str, identities: Iterable[bytes], *parameters: int
    ) -> Iterator[tuple[Any, ...]]:
        rest = iter(identities)
        while batch := list(islice(rest, _LOOK_UP_SIZE)):
            # NULL is in no list, so it fills the slots that are left.
            unused = [None] * (_LOOK_UP_SIZE - len(batch))
            yield from self.connection.execute(query, (*batch, *unused, *parameters))


def rows_of(frame: Frame, date: str, block: str) -> Iterator[Row]:
    """Yield the rows of a block."""
    return (Row(frame, date, body) for body in block.split(BETWEEN))


def list_files(connection: sqlite3.Connection) -> tuple[ParquetFile, ...]:
    """Return the valid Parquet files by path."""
    rows = connection.execute("SELECT path, frame FROM files ORDER BY path")
    return tuple(ParquetFile(path, frame) for path, frame in rows)


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the schema of the journal at `path`, 0 when it is empty.

    Raises:
        NotReady: the file is no journal, or has a schema that this version does not know.
    """
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise NotReady.of("", f"{path} is not an event journal ({error}); move it away") from error
    if version in READABLE or (version == 0 and tables == 0):
        return cast(int, version)
    raise NotReady.of(
        "",
        f"{path} has schema version {version}, this ranklift knows version {SCHEMA_VERSION}; "
        "use the ranklift that wrote it, or another RANKLIFT_HOME",
    )
