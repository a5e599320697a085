"""The log by day, each day with a mark that changes whenever anything of it does."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from ranklift.events.files import EventFiles, LocalFiles
from ranklift.events.frames import EventFrames, frames_of
from ranklift.events.journal import FOLDER_NAME
from ranklift.events.snapshot import Snapshot, read_snapshot


@dataclass(frozen=True, slots=True)
class EventDay:
    """The pages of one day, UTC, and all that ever followed from them.

    `date` is YYYY-MM-DD. Two days of one home with the same `fingerprint` hold the same.
    `recorded` is what the day consists of, in `files`.
    """

    date: str
    fingerprint: str
    files: EventFiles
    recorded: Snapshot

    @property
    def frames(self) -> EventFrames:
        """Return the day as frames; read when asked for, since most days are asked for once."""
        return frames_of(self.files, self.recorded)


def read_event_days(home: Path, files: EventFiles | None = None) -> tuple[EventDay, ...]:
    """Return all that was recorded under `home` until now, by day; all of one instant.

    A day of which nothing but documents is left is none.

    `files` is where its files lie, if not under the home.

    Raises:
        NotReady: the journal is of another version of ranklift, or no journal.
    """
    folder = home / FOLDER_NAME
    place = files or LocalFiles(folder)
    snapshot = read_snapshot(folder, place.url)
    filed, rows = defaultdict(list), defaultdict(list)
    for file in snapshot.files:
        filed[file.date].append(file)
    for row in snapshot.rows:
        rows[row.date].append(row)
    days = {file.date for file in snapshot.files if file.frame != "documents"}
    days |= {row.date for row in snapshot.rows if row.frame != "documents"}
    parts = {date: Snapshot(tuple(filed[date]), tuple(rows[date])) for date in sorted(days)}
    return tuple(
        EventDay(date, _fingerprint(place, part), place, part) for date, part in parts.items()
    )


def _fingerprint(place: EventFiles, day: Snapshot) -> str:
    # A file never changes under its name, and the journal only ever gets longer while no file
    # appears: names and counts tell what was added. The times of the files and the last rows tell
    # this log from another one that was recorded in its place, whose names and counts are alike.
    files = [(file.path, place.mark(file.path)) for file in day.files]
    rows = Counter(row.frame for row in day.rows)
    last = {row.frame: row.body for row in day.rows}
    content = (files, sorted(rows.items()), sorted(last.items()))
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]
