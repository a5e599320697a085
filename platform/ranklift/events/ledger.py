"""What a log counts as it judges: events by rule and day, and clicks by page.

Counts of a group of calls are written in the transaction of the group, those of refused calls
too, and become the ledger's own when it is on disk: a transaction that fails counts nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ranklift.events.journal import BUSY_SECONDS, FILE_NAME, schema_version

# Bounds the memory: about 8 MB. A page whose clicks lie further back is counted from 0 again.
MAX_PAGES = 50_000

# Made with the first count: a journal of an older ranklift has no such table.
_TABLE = """CREATE TABLE IF NOT EXISTS counts (
    date TEXT NOT NULL,
    rule TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (date, rule)
) STRICT, WITHOUT ROWID"""
_ADD = """INSERT INTO counts VALUES (?, ?, ?)
    ON CONFLICT (date, rule) DO UPDATE SET n = n + excluded.n"""


class Ledger:
    """The counts of one writer; for its thread alone, but for `totals`."""

    def __init__(self) -> None:
        # Events by rule since the process began.
        self.totals: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        # Not a dict: the first of one is looked for behind all that were ever dropped.
        self._clicks: OrderedDict[bytes, int] = OrderedDict()
        self._new_clicks: dict[bytes, int] = {}
        self._table_made = False

    def clicks(self, page: bytes) -> int:
        """Return how many clicks on a page were taken, as far back as is remembered."""
        return self._new_clicks.get(page) or self._clicks.get(page, 0)

    def add(self, rules: Mapping[str, int], clicks: Mapping[bytes, int]) -> None:
        """Count what became of the events of a call; `clicks` are those of its pages by now."""
        self._counts.update(rules)
        self._new_clicks.update(clicks)

    def begin(self) -> None:
        """Begin a group; one that failed leaves nothing."""
        self._counts.clear()
        self._new_clicks.clear()

    def write(self, connection: sqlite3.Connection, now: datetime) -> None:
        """Add the group's counts to those of the day; within its transaction."""
        if not self._counts:
            return
        if not self._table_made:
            connection.execute(_TABLE)
        day = now.astimezone(UTC).date().isoformat()
        for rule, n in self._counts.items():
            connection.execute(_ADD, (day, rule, n))

    def committed(self) -> None:
        """Make the group's counts the ledger's: it is on disk."""
        self._table_made = self._table_made or bool(self._counts)
        self.totals.update(self._counts)
        for page, clicks in self._new_clicks.items():
            self._clicks[page] = clicks
            self._clicks.move_to_end(page)
        while len(self._clicks) > MAX_PAGES:
            self._clicks.popitem(last=False)


def read_counts(folder: Path) -> Mapping[tuple[str, str], int]:
    """Return the events of an events folder by day (YYYY-MM-DD, UTC, on which they came) and rule.

    Raises:
        NotReady: the journal is of another version of ranklift, or no journal.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return {}
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    with contextlib.closing(connection):
        schema_version(connection, path)
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'counts'").fetchone():
            return {}
        rows = connection.execute("SELECT date, rule, n FROM counts ORDER BY date, rule")
        return {(date, rule): n for date, rule, n in rows}
