"""A log and the place of its files belong together: neither is used with another one."""

from __future__ import annotations

import json
import secrets
import sqlite3

from ranklift.events.files import EventFiles
from ranklift.events.journal import Journal
from ranklift.events.manifest import Manifest
from ranklift.v1.errors import NotReady

# Beside the frames' folders, in a place that other logs could be sent to by mistake.
OWNER_NAME = "ranklift-log.json"
_URL, _ID = "url", "log_id"


def take_place(journal: Journal, files: EventFiles) -> None:
    """Make `files` the place of a log that has none yet, and check that it is otherwise.

    Whoever opens a log sweeps its place, so that two logs in one place would end each other.

    Raises:
        NotReady: the log's files lie elsewhere, or another log's files lie there.
        OSError: no way to the place.
    """
    manifest = Manifest(journal)
    _refuse_other(_url_of(journal.connection), files.url)
    if files.url and not _is_owner(journal, files):
        raise NotReady.of(
            "events.url", f"{files.url} holds the files of another log; name a prefix of its own"
        )
    if manifest.fact(_URL) is None:
        with journal.transaction():
            manifest.set_fact(_URL, files.url)


def was_taken(journal: Journal) -> bool:
    """Return whether the log has a place on object storage that was found to be its own."""
    return Manifest(journal).fact(_ID) is not None


def check_place(connection: sqlite3.Connection, url: str) -> None:
    """Check that a log's files lie at `url`, "" for the home; within a transaction.

    Raises:
        NotReady: they lie elsewhere.
    """
    _refuse_other(_url_of(connection), url)


def _url_of(connection: sqlite3.Connection) -> str | None:
    """Return where the files of a log lie, None when that is open."""
    (tables,) = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'facts'"
    ).fetchone()
    if tables:
        found = connection.execute("SELECT value FROM facts WHERE name = ?", (_URL,)).fetchone()
        if found is not None:
            return str(found[0])
    # A journal of an older ranklift knows no other place than the home.
    (files,) = connection.execute("SELECT count(*) FROM files").fetchone()
    return "" if files else None


def _refuse_other(recorded: str | None, url: str) -> None:
    if recorded is not None and recorded != url:
        raise NotReady.of(
            "events.url",
            f'is "{url}", but the files of this log lie at "{recorded}" ("" is the home); '
            "set it so, or move the log by exporting and importing it",
        )


def _is_owner(journal: Journal, files: EventFiles) -> bool:
    manifest = Manifest(journal)
    mine = manifest.fact(_ID)
    try:
        return bool(json.loads(files.read(OWNER_NAME)) == {"log": mine})
    except FileNotFoundError:
        mine = mine or secrets.token_hex(16)
        with journal.transaction():
            manifest.set_fact(_ID, mine)
        files.write(OWNER_NAME, memoryview(json.dumps({"log": mine}).encode()))
        return True
    except ValueError:
        return False
