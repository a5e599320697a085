"""The registry's database: how it is opened, brought up to date, read and written.

SQLite by default; PostgreSQL by URL, with the same tables and the same repositories.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from ranklift.v1.errors import InvalidRequest, NotReady, RequestError, Unreachable

# How long a writer of SQLite waits for another one. Writes are a few rows each.
BUSY_TIMEOUT_MS = 10_000
_SWITCH_AGAIN_SECONDS = 0.005
# Any constant of ours: two upgrades of one PostgreSQL database queue up on it.
_UPGRADE_LOCK = 7_265_742
_ALONE_LOCK = 7_265_743
_WRITES = "ranklift_writes"


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def open_engine(url: str) -> Engine:
    """Return an engine on the database at `url`, a SQLite or a PostgreSQL URL.

    Raises:
        InvalidRequest: not such a URL, or its driver is not installed.
    """
    parsed = _parse(url)
    try:
        engine = create_engine(parsed)
    except ModuleNotFoundError as error:
        raise InvalidRequest.of(
            "registry_url", 'PostgreSQL needs psycopg; run "pip install ranklift[postgres]"'
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Open a session that only reads, on one snapshot of the database."""
    if engine.dialect.name == "postgresql":
        # SQLite's transactions are snapshots anyway; PostgreSQL's are when asked.
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Open a session that is committed at the end, or rolled back by an exception."""
    with Session(engine.execution_options(**{_WRITES: True})) as session, session.begin():
        yield session


@contextmanager
def writing_alone(engine: Engine) -> Iterator[Session]:
    """As `writing`, one such session at a time: what it read stays true until it is committed.

    For changes whose rules span many rows, such as who occupies a layer, and that are rare.
    """
    with writing(engine) as session:
        if engine.dialect.name == "postgresql":  # SQLite has one writer anyway
            session.execute(text(f"SELECT pg_advisory_xact_lock({_ALONE_LOCK})"))
        yield session


def upgrade(url: str) -> str:
    """Bring the database at `url` to the schema of this version and return the schema's name.

    All or nothing, and safe to run from several processes at once.
    """
    engine = open_engine(url)
    try:
        with engine.execution_options(**{_WRITES: True}).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise _unreachable(engine, error) from error
    finally:
        engine.dispose()
    return needed_schema()


def is_empty(url: str) -> bool:
    """Return whether the database at `url` has no tables: nobody upgraded it, or is about to.

    Raises:
        Unreachable: it does not answer.
    """
    engine = open_engine(url)
    try:
        return not inspect(engine).get_table_names()
    except OperationalError as error:
        raise _unreachable(engine, error) from error
    finally:
        engine.dispose()


def needed_schema() -> str:
    """Return the name of the schema that this version works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def check_schema(engine: Engine) -> None:
    """Make sure that the database has the schema of this version.

    Raises:
        NotReady: it has an older one, a newer one, or none.
        Unreachable: it does not answer.
    """
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    except OperationalError as error:
        raise _unreachable(engine, error) from error
    script = ScriptDirectory.from_config(_config())
    known = {revision.revision for revision in script.walk_revisions()}
    needed = needed_schema()
    if present == needed:
        return
    if present is not None and present not in known:
        raise NotReady.of(
            "",
            f"the registry is at schema {present}, which is newer than {needed}; update ranklift",
        )
    raise NotReady.of(
        "",
        f"the registry is at schema {present or 'none'}, this version needs {needed}; "
        'run "ranklift db upgrade"',
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "ranklift.migrations:")
    return config


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    backend = parsed.get_backend_name() if parsed is not None else ""
    if parsed is not None and backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed is not None and backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise InvalidRequest.of(
        "registry_url",
        "the registry is neither sqlite:///<file> nor postgresql://<user>@<host>/<database>",
    )


def _unreachable(engine: Engine, error: OperationalError) -> RequestError:
    where = engine.url.render_as_string(hide_password=True)
    why = str(error.orig).strip().splitlines()[0]
    return Unreachable.of("", f"the registry at {where} does not answer: {why}")


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` does.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch a file to its write-ahead log, in which readers and the writer share it.

    The file stays in that mode, so only its first users do more here than look. Two of them at
    once would wait for each other for ever, so SQLite refuses one at once, whatever the busy
    timeout says; by the time it tries again, the other one has switched.
    """
    gives_up = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > gives_up:
                raise
            time.sleep(_SWITCH_AGAIN_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins as a reader cannot wait for its turn to write: SQLite refuses it
    # at once when another writer was faster. So writers say so from the start.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
