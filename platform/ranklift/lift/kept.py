"""Sums of past days, kept on disk: a report reads anew only the days that changed.

A day's clicks and dwells are filed under the day of their page, so a late click changes that day
and no other, and its fingerprint with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Protocol

import polars as pl
import structlog

from ranklift.lift.event_pages import EventTables
from ranklift.lift.measures import MEASURES

log = structlog.get_logger(__name__)

Frames = Mapping[str, pl.DataFrame]

# A file is a digest of all that follows, a line of JSON with the length of each frame by name, and
# the frames as Arrow IPC. Arrow has no checksum: what a bad disk changed would be read as numbers.
_DIGEST_BYTES = 32


class EventDay(Protocol):
    """The pages of one day, UTC, `date` as YYYY-MM-DD, and all that ever followed from them.

    `fingerprint` changes whenever any of it does.
    """

    @property
    def date(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def frames(self) -> EventTables: ...


class KeptDays:
    """Frames by what they are about, day and fingerprint, below a folder that may be deleted at
    any time. Several processes may share it."""

    def __init__(self, folder: Path) -> None:
        # What another version counted may mean something else.
        counted = hashlib.sha256(f"{version('ranklift')} {MEASURES}".encode()).hexdigest()[:16]
        self._folder = folder / counted

    def of(self, subject: str, day: EventDay, make: Callable[[], Frames]) -> Frames:
        """Return the frames of a day, made when they are not kept. `subject` names a folder."""
        path = self._folder / subject / day.date / f"{day.fingerprint}.sums"
        try:
            return _unpack(path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("kept_day_unreadable", path=str(path), error=str(error))
        made = make()
        try:
            _keep(_pack(made), path)
        except OSError as error:
            # A full disk makes the next report slower and this one no worse.
            log.warning("day_not_kept", path=str(path), error=str(error))
        return made


def drop_kept(folder: Path, before: str | None = None) -> None:
    """Remove what is kept of all days before one (YYYY-MM-DD), or of all days.

    Sums name units: they must not outlive the events that they were made of. Nothing else is lost,
    since sums of days that are still in the log are made again.
    """
    for path in folder.rglob("*"):
        if path.is_file() and (before is None or path.parent.name < before):
            path.unlink(missing_ok=True)


def _pack(frames: Frames) -> bytes:
    parts: dict[str, bytes] = {}
    for name, frame in frames.items():
        buffer = BytesIO()
        frame.write_ipc(buffer, compression="zstd")
        parts[name] = buffer.getvalue()
    lengths = json.dumps({name: len(part) for name, part in parts.items()})
    content = b"".join((lengths.encode(), b"\n", *parts.values()))
    return _digest(content) + content


def _unpack(packed: bytes) -> Frames:
    """Return the frames of a file's bytes.

    Raises:
        ValueError: they are not all that `_pack` returned.
    """
    content = memoryview(packed)[_DIGEST_BYTES:]
    if _digest(content) != packed[:_DIGEST_BYTES]:
        raise ValueError("its digest is another one")
    start = packed.index(b"\n", _DIGEST_BYTES) + 1
    lengths: dict[str, int] = json.loads(packed[_DIGEST_BYTES:start])
    frames = {}
    for name, length in lengths.items():
        frames[name] = pl.read_ipc(BytesIO(packed[start : start + length]))
        start += length
    return frames


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _keep(packed: bytes, path: Path) -> None:
    """Write a file so that it is there whole or not at all, and drop what it replaces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(packed)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for older in path.parent.glob("*.sums"):
        if older != path:
            with contextlib.suppress(OSError):  # another process dropped it
                older.unlink()
