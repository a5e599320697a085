"""From settings to the parts that every command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import make_url

from ranklift.settings import Settings
from ranklift.store.database import is_empty, upgrade
from ranklift.store.registry import Registry, open_registry, open_unchecked
from ranklift.v1.errors import InvalidRequest, NotReady, Unreachable

if TYPE_CHECKING:
    from ranklift.events.files import EventFiles
    from ranklift.events.log import Retention

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecordedLog:
    """An event log that exists: its folder, and where its files lie."""

    folder: Path
    files: EventFiles


def place_of(name: str, settings: Settings) -> EventFiles:
    """Return the files at a folder or an fsspec URL.

    Raises:
        InvalidRequest: no such kind of place, or its library is not installed.
    """
    from ranklift.events.files import LocalFiles
    from ranklift.events.object_files import ObjectFiles

    if "://" not in name:
        return LocalFiles(Path(name))
    return ObjectFiles.at(name, settings.events.storage_options)


def files_of(settings: Settings) -> EventFiles:
    """Return where the Parquet files of the installation's event log lie.

    Raises:
        InvalidRequest: at no such place, or its library is not installed.
    """
    from ranklift.events.files import LocalFiles
    from ranklift.events.journal import FOLDER_NAME
    from ranklift.events.object_files import ObjectFiles

    url = settings.events.url
    if not url:
        return LocalFiles(settings.home / FOLDER_NAME)
    if "://" not in url or url.startswith(("file://", "local://")):
        # fsspec does not wait for a local disk, and "recorded" means on it.
        raise InvalidRequest.of(
            "events.url", f'is "{url}"; name object storage, or nothing for files under the home'
        )
    return ObjectFiles.at(url, settings.events.storage_options)


def log_of(settings: Settings) -> RecordedLog:
    """Return the installation's event log.

    Raises:
        NotReady: nothing was ever recorded.
    """
    from ranklift.events.journal import FILE_NAME, FOLDER_NAME

    folder = settings.home / FOLDER_NAME
    if not (folder / FILE_NAME).exists():
        raise NotReady.of(
            "home", f"no event log in {folder}; record something, or name another --home"
        )
    return new_log_of(settings)


def new_log_of(settings: Settings) -> RecordedLog:
    """Return the installation's event log, made when there is none."""
    from ranklift.events.journal import FOLDER_NAME
    from ranklift.events.log import open_journal

    log = RecordedLog(settings.home / FOLDER_NAME, files_of(settings))
    open_journal(log.folder, log.files).close()
    return log


def kept_sums(settings: Settings) -> Path:
    """Return the folder of the sums that reports keep of past days."""
    return settings.home / "cache" / "lift"


def retention_of(settings: Settings) -> Retention | None:
    """Return how long the installation keeps events, None for ever."""
    from ranklift.events.log import Retention
    from ranklift.lift.kept import drop_kept

    days = settings.events.retention_days
    return Retention(days, partial(drop_kept, kept_sums(settings))) if days else None


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
    if url.get_backend_name() == "sqlite" and url.database:
        settings.home.mkdir(parents=True, exist_ok=True)
        # Empty: another process is making it at this moment, which `upgrade` waits for.
        if not Path(url.database).exists() or is_empty(settings.registry_url):
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
