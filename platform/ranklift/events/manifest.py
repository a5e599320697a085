"""The journal's list of valid files, and what became of those that were valid once.

Tables of its own beside the journal's: a journal of an older ranklift gets them when it is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ranklift.events.files import EventFiles
from ranklift.events.journal import Chunk, Journal, ParquetFile
from ranklift.events.known import identity

_TABLES = (
    # Files that are replaced or dropped, and the second from which they may be deleted.
    """CREATE TABLE IF NOT EXISTS obsolete (
        path TEXT PRIMARY KEY,
        due INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS removals (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        time INTEGER NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        counts TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS facts (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True)
class Removal:
    """That data was removed, in the second `time`; `counts` are the rows by frame.

    `subject` is the first day that was kept, or the keyed hash of the unit that was forgotten.
    """

    time: int
    kind: Literal["retain", "forget"]
    subject: str
    counts: Mapping[str, int]


class Manifest:
    """The manifest of an open journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._connection = journal.connection
        (tables,) = self._connection.execute(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('obsolete', 'removals', 'facts')"
        ).fetchone()
        if tables < len(_TABLES):
            with journal.transaction():
                for statement in _TABLES:
                    self._connection.execute(statement)

    def swap(
        self, removed: Sequence[ParquetFile], added: Sequence[ParquetFile], *, due: int
    ) -> None:
        """Make `added` valid in place of `removed`, which may be deleted in the second `due`.

        Within a transaction.
        """
        self._connection.executemany(
            "DELETE FROM files WHERE path = ?", ((file.path,) for file in removed)
        )
        self._connection.executemany(
            "INSERT INTO files VALUES (?, ?)", ((file.path, file.frame) for file in added)
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO obsolete VALUES (?, ?)", ((file.path, due) for file in removed)
        )

    def named(self) -> set[str]:
        """Return the paths of all files that must not be swept: valid, or not due yet."""
        obsolete = self._connection.execute("SELECT path FROM obsolete")
        return {file.path for file in self._journal.files()} | {path for (path,) in obsolete}

    def discard(self, files: EventFiles, written: Sequence[ParquetFile]) -> None:
        """Delete files that were to become valid and did not: a full disk needs their room."""
        valid = set(self._journal.files())
        for file in written:
            if file not in valid:
                files.delete(file.path)

    def due(self, now: int) -> tuple[str, ...]:
        """Return the paths of the files that may be deleted in the second `now`."""
        rows = self._connection.execute("SELECT path FROM obsolete WHERE due <= ?", (now,))
        return tuple(path for (path,) in rows)

    def deleted(self, paths: Iterable[str]) -> None:
        """Forget obsolete files that are deleted; within a transaction."""
        self._connection.executemany(
            "DELETE FROM obsolete WHERE path = ?", ((path,) for path in paths)
        )

    def hasten(self, dates: Iterable[str]) -> None:
        """Let the obsolete files of some dates be deleted at once; within a transaction."""
        self._connection.executemany(
            "UPDATE obsolete SET due = 0 WHERE path LIKE ?", ((f"%/date={day}/%",) for day in dates)
        )

    def drop_rows(self, chunk: Chunk) -> None:
        """Drop the rows of a chunk from the journal; within a transaction."""
        self._connection.execute(
            "DELETE FROM rows WHERE seq BETWEEN ? AND ?", (chunk.first, chunk.last)
        )

    def close_pages(self, impression_ids: Sequence[str]) -> None:
        """Let some pages take no more events, as if they had never been; within a transaction."""
        self._journal.settle()
        keys = ((identity("page", name),) for name in impression_ids)
        self._connection.executemany("DELETE FROM shown WHERE identity = ?", keys)
        self._connection.execute(
            "DELETE FROM clicked WHERE impression_id IN (SELECT value FROM json_each(?))",
            (json.dumps(impression_ids),),
        )

    def close_days(self, before: str) -> None:
        """Let the pages of all days before one take no more events; within a transaction."""
        self._journal.settle()
        self._connection.execute("DELETE FROM shown WHERE date < ?", (before,))
        self._connection.execute("DELETE FROM clicked WHERE date < ?", (before,))

    def fact(self, name: str) -> str | None:
        """Return what is kept of the log under a name."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Keep something of the log under a name; within a transaction."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def record(self, removal: Removal) -> None:
        """Keep for good that something was removed; within a transaction."""
        self._connection.execute(
            "INSERT INTO removals (time, kind, subject, counts) VALUES (?, ?, ?, ?)",
            (removal.time, removal.kind, removal.subject, json.dumps(dict(removal.counts))),
        )

    def removals(self) -> tuple[Removal, ...]:
        """Return all that was ever removed, oldest first."""
        rows = self._connection.execute(
            "SELECT time, kind, subject, counts FROM removals ORDER BY number"
        )
        return tuple(
            Removal(time, kind, who, json.loads(counts)) for time, kind, who, counts in rows
        )
