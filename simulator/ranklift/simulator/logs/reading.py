"""One door to logs of every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from ranklift.simulator.logs.exported import MARK, read_export
from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.logs.tiangong import read_tiangong
from ranklift.simulator.logs.ubi import QUERIES, read_ubi
from ranklift.simulator.logs.yandex import read_yandex
from ranklift.v1.errors import InvalidRequest, NotFound


class LogFormat(StrEnum):
    """Where a log comes from."""

    RANKLIFT = "ranklift"
    UBI = "ubi"
    TIANGONG = "tiangong"
    YANDEX = "yandex"


READERS: Mapping[LogFormat, Callable[[Path], SearchLog]] = {
    LogFormat.RANKLIFT: read_export,
    LogFormat.UBI: read_ubi,
    LogFormat.TIANGONG: read_tiangong,
    LogFormat.YANDEX: read_yandex,
}


def read_log(path: Path, format_: LogFormat | None = None) -> SearchLog:
    """Return the log at `path`; its format is found out unless given.

    Raises:
        NotFound: there is nothing at `path`.
        InvalidRequest: the format is not known, or a line or row is wrong.
    """
    if not path.exists():
        raise NotFound.of("log", f"there is nothing at {path}")
    try:
        return READERS[format_ or _format_of(path)](path)
    except UnicodeDecodeError as error:
        raise InvalidRequest.of(str(path), f"is not text in UTF-8: {error}") from error
    except IsADirectoryError as error:
        raise InvalidRequest.of(str(path), "is a folder, must be a file of this format") from error
    except FileNotFoundError as error:
        raise NotFound.of(str(path), f"{error.filename} is missing") from error


def _format_of(path: Path) -> LogFormat:
    if path.is_dir():
        if (path / MARK).is_file() or (path / "pages").is_dir():
            return LogFormat.RANKLIFT
        if (path / QUERIES).is_file():
            return LogFormat.UBI
    else:
        with path.open("rb") as file:
            fields = file.readline().split(b"\t")
        if len(fields) == 5 and fields[2].startswith(b"["):
            return LogFormat.TIANGONG
        if len(fields) >= 4 and fields[2] in (b"Q", b"C"):
            return LogFormat.YANDEX
    raise InvalidRequest.of(
        str(path), f"is in no format that is known; say which of {', '.join(LogFormat)} it is"
    )
