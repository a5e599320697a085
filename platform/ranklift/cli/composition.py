"""From settings to the parts that every command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from ranklift.settings import Settings
from ranklift.store.database import upgrade
from ranklift.store.registry import Registry, open_registry


@contextmanager
def registry_of(settings: Settings) -> Iterator[Registry]:
    """Open the installation's registry and close it at the end.

    A new installation gets its SQLite file here; one of an older version is
    never changed without being asked.

    Raises:
        NotReady: the registry has the schema of another version.
    """
    url = make_url(settings.registry_url)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        upgrade(settings.registry_url)
    registry = open_registry(settings.registry_url)
    try:
        yield registry
    finally:
        registry.close()
