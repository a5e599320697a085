"""Identities recorded lately: appended to the journal as they come, sorted into its indexes later.

An identity is a hash, so each falls on a page of its own of a large index: one by one, every event
would cost a page of 4 KB, twice. Appended they cost their 16 bytes. What is not sorted yet is also
in memory; once it is much, it goes into the indexes in order, a portion with every transaction, and
neighbours share their pages. (A log-structured merge tree of two levels: O'Neil et al., 1996.)

Any number of processes may append. Each follows what the others appended, within its own
transaction; whoever has much in memory sorts.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from ranklift.events.known import IDENTITY_BYTES, Clicked

TABLE = """CREATE TABLE fresh (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    recorded INTEGER NOT NULL,
    clicks TEXT NOT NULL,
    identities BLOB NOT NULL
) STRICT"""

# About 100 bytes each in memory; twice as many while they are sorted.
MOST_FRESH = 300_000
# Sorted for each that is appended: a generation is sorted long before the next one is full.
SORTED_FOR_EACH = 2
SORTED_AT_LEAST = 500
# Values of one statement: `executemany` takes the interpreter's lock for each row.
_AT_A_TIME = 64


# When, and what was clicked: a plain tuple, which the garbage collector need not look through.
_Click = tuple[int, str, str, str]


class Fresh:
    """What of one journal is not in its indexes yet; to be used within write transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.reset()

    def reset(self) -> None:
        """Forget what is in memory: it may not be what is on disk."""
        self._seen: set[bytes] = set()
        self._clicked: dict[bytes, _Click] = {}
        self._first: int | None = None
        self._last = 0
        # The generation that is being sorted, its rest in order, and the last `seq` of it.
        self._old_seen: set[bytes] = set()
        self._old_clicked: dict[bytes, _Click] = {}
        self._to_sort: list[bytes] | None = None
        self._sorted = 0  # of `_to_sort`
        self._sorted_up_to = 0
        self.committed()

    def committed(self) -> None:
        """Keep what the transaction added: it is on disk."""
        self._added: Sequence[bytes] = ()
        self._before = (self._first, self._last, self._sorted)
        self._untouched = self._may_take_back = True

    def rolled_back(self) -> None:
        """Take back what the transaction added: it is not on disk.

        While a disk is full every transaction fails; to read again all that is fresh, each time,
        would hold up everything else.
        """
        if not self._may_take_back:
            self.reset()
            return
        self._seen.difference_update(self._added)
        for key in self._added:
            self._clicked.pop(key, None)
        self._first, self._last, self._sorted = self._before
        self.committed()

    def follow(self) -> None:
        """Take in what other processes appended, and drop what they sorted."""
        (first,) = self._connection.execute("SELECT min(seq) FROM fresh").fetchone()
        if first != self._first:
            self.reset()
            self._first = first
        for seq, recorded, clicks, identities in self._connection.execute(
            "SELECT seq, recorded, clicks, identities FROM fresh WHERE seq > ? ORDER BY seq",
            (self._last,),
        ):
            keys = [
                identities[i : i + IDENTITY_BYTES]
                for i in range(0, len(identities), IDENTITY_BYTES)
            ]
            texts = iter(json.loads(clicks))
            clicked = (Clicked(*what) for what in zip(texts, texts, texts, strict=True))
            self._remember(seq, recorded, keys, dict(zip(keys, clicked, strict=False)))
        if self._untouched:  # what others appended stays, whatever becomes of this transaction
            self.committed()

    def among(self, identities: set[bytes]) -> set[bytes]:
        """Return which identities are known here."""
        return (identities & self._seen) | (identities & self._old_seen)

    def clicked_among(self, identities: set[bytes], since: int) -> dict[bytes, Clicked]:
        """Return the clicks known here that were recorded in or after the second `since`."""
        found = {}
        for clicks in (self._old_clicked, self._clicked):
            for key in identities & clicks.keys():
                recorded, *what = clicks[key]
                if recorded >= since:
                    found[key] = Clicked(*what)
        return found

    def append(self, seen: set[bytes], clicked: Mapping[bytes, Clicked], recorded: int) -> None:
        """Append identities; those of clicks, with what was clicked, are among them."""
        self.follow()
        self._untouched = False
        if seen:
            keys = [*clicked, *(seen - clicked.keys())]
            texts = [
                text
                for click in clicked.values()
                for text in (click.date, click.impression_id, click.document_id)
            ]
            cursor = self._connection.execute(
                "INSERT INTO fresh (recorded, clicks, identities) VALUES (?, ?, ?)",
                (recorded, json.dumps(texts), b"".join(keys)),
            )
            seq = cursor.lastrowid or 0
            if self._first is None:
                self._first = seq
            self._added = [*self._added, *(key for key in keys if key not in self._seen)]
            self._remember(seq, recorded, keys, clicked)
        self._sort(max(SORTED_AT_LEAST, SORTED_FOR_EACH * len(seen)))

    def settle(self) -> None:
        """Sort everything now: the indexes then hold all that is known."""
        self.follow()
        self._untouched = self._may_take_back = False
        self._sort(sys.maxsize)
        self._begin_to_sort()
        self._sort(sys.maxsize)

    def _remember(
        self, seq: int, recorded: int, keys: Iterable[bytes], clicked: Mapping[bytes, Clicked]
    ) -> None:
        self._last = seq
        self._seen.update(keys)
        self._clicked.update((key, (recorded, *click)) for key, click in clicked.items())
        if self._to_sort is None and len(self._seen) >= MOST_FRESH:
            self._begin_to_sort()

    def _begin_to_sort(self) -> None:
        self._old_seen, self._seen = self._seen, set()
        self._old_clicked, self._clicked = self._clicked, {}
        self._to_sort, self._sorted = sorted(self._old_seen), 0
        self._sorted_up_to = self._last
        self._may_take_back = False

    def _sort(self, count: int) -> None:
        """Move the next `count` of the old generation into the indexes, and end with the last."""
        if self._to_sort is None:
            return
        part = self._to_sort[self._sorted : self._sorted + count]
        self._sorted += len(part)
        self._insert("seen", ((key,) for key in part))
        clicks = ((key, *self._old_clicked[key]) for key in part if key in self._old_clicked)
        self._insert("clicked", clicks)
        if len(part) == count:
            return
        self._connection.execute("DELETE FROM fresh WHERE seq <= ?", (self._sorted_up_to,))
        (self._first,) = self._connection.execute("SELECT min(seq) FROM fresh").fetchone()
        self._old_seen, self._old_clicked, self._to_sort = set(), {}, None
        self._may_take_back = False

    def _insert(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        # Some may be there: from another process that sorts the same, or did until it was killed.
        rest = iter(rows)
        while batch := list(islice(rest, _AT_A_TIME)):
            slots = "(" + ", ".join("?" * len(batch[0])) + ")"
            self._connection.execute(  # the table and the slots are ours, the values are bound
                f"INSERT OR IGNORE INTO {table} VALUES "  # noqa: S608
                + ", ".join([slots] * len(batch)),
                [value for row in batch for value in row],
            )
