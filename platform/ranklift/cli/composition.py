"""From settings to the parts that every command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from sqlalchemy import make_url

from ranklift.settings import Settings
from ranklift.store.database import upgrade
from ranklift.store.registry import Registry, open_registry, open_unchecked
from ranklift.v1.errors import Unreachable

log = structlog.get_logger(__name__)


@contextmanager
def registry_of(settings: Settings, *, may_be_down: bool = False) -> Iterator[Registry]:
    """Open the installation's registry and close it at the end.

    A new installation gets its SQLite file here; one of an older version is
    never changed without being asked. With `may_be_down` a registry that does not
    answer is opened unchecked.

    Raises:
        NotReady: the registry has the schema of another version.
        Unreachable: it does not answer.
    """
    url = make_url(settings.registry_url)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        upgrade(settings.registry_url)
    try:
        registry = open_registry(settings.registry_url)
    except Unreachable as error:
        if not may_be_down:
            raise
        log.error("registry_unreadable", error=str(error))
        registry = open_unchecked(settings.registry_url)
    try:
        yield registry
    finally:
        registry.close()
