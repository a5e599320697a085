"""Locks a SQLite registry from another process, for readers and writers alike.

    python registry_lock.py FILE    # until its standard input ends

`BEGIN EXCLUSIVE` keeps writers out, but in write-ahead mode readers go on. So the read marks are
taken too: bytes 123 to 127 of the -shm file, see "WAL-index" in SQLite's file format.
"""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def locked(registry: Path) -> Iterator[None]:
    """Hold the lock for as long as the context."""
    command = [sys.executable, __file__, str(registry)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.stdin.close()


def main(registry: str) -> None:
    with closing(sqlite3.connect(registry, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with Path(f"{registry}-shm").open("r+b") as shared:
            fcntl.lockf(shared, fcntl.LOCK_EX, 5, 123)
            sys.stdout.write("locked\n")
            sys.stdout.flush()
            sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
