"""What the commands say when a disk is full, or storage out of reach."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Turn what may pass into a line that says so; nothing is lost, and the command may run again.

    Raises:
        Overloaded: no room, a journal that others hold, no way to the storage.
    """
    from ranklift.v1.errors import Overloaded

    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise Overloaded.of(
            "", f"the storage gave way ({error}); make room or wait, then run it again"
        ) from error
