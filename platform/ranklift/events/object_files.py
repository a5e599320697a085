"""Parquet files of the log on object storage: any place that fsspec has a name for.

An object is put there whole or not at all, so nothing is renamed or synced.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import fsspec
import polars as pl
from polars.io.plugins import register_io_source

from ranklift.events.rows import SCHEMAS, Frame
from ranklift.v1.errors import InvalidRequest

# A request takes some 50 ms, most of it waiting.
_FETCHED_AHEAD = 8


@dataclass(frozen=True, slots=True)
class ObjectFiles:
    """Files below `root` of an fsspec file system; `url` names both."""

    system: Any  # fsspec has no types
    root: str
    url: str

    @classmethod
    def at(cls, url: str, options: Mapping[str, Any] | None = None) -> Self:
        """Return the place that an URL names; `options` go to its fsspec file system.

        Raises:
            InvalidRequest: no such kind of place, or its library is not installed.
        """
        try:
            # What was listed once is not what is there: other processes write too.
            system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **(options or {}))
        except (ImportError, ValueError) as error:
            raise InvalidRequest.of("url", f'cannot use "{url}": {error}') from error
        return cls(system, root.rstrip("/"), url.rstrip("/"))

    def write(self, path: str, content: memoryview) -> None:
        with _told_as_os_error():
            self.system.pipe_file(f"{self.root}/{path}", bytes(content))

    def read(self, path: str) -> bytes:
        with _told_as_os_error():
            content: bytes = self.system.cat_file(f"{self.root}/{path}")
            return content

    def scan(self, paths: Sequence[str], frame: Frame) -> pl.LazyFrame:
        # By way of fsspec and not of polars' own clients: what may write here may read here, and
        # there is one set of options to get right. The price: whole files, 32 MiB at most, travel.
        def rows_of(
            columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
        ) -> Iterator[pl.DataFrame]:
            for content in _ahead(self.read, paths):
                rows = pl.scan_parquet(
                    BytesIO(content), schema=SCHEMAS[frame], missing_columns="insert"
                )
                if predicate is not None:
                    rows = rows.filter(predicate)
                if columns is not None:
                    rows = rows.select(columns)
                if limit is not None:
                    rows = rows.head(limit)
                found = rows.collect()
                yield found
                if limit is not None:
                    limit -= found.height
                    if limit <= 0:
                        return

        return register_io_source(rows_of, schema=SCHEMAS[frame], is_pure=True)

    def sizes(self, folders: Iterable[str] | None = None) -> Mapping[str, int]:
        sizes = {}
        with _told_as_os_error():
            self.system.invalidate_cache()
            for folder in SCHEMAS if folders is None else folders:
                found = self.system.find(f"{self.root}/{folder}", detail=True)
                for name, info in found.items():
                    sizes[name.removeprefix(f"{self.root}/")] = int(info["size"])
        return sizes

    def delete(self, path: str) -> None:
        with _told_as_os_error(), contextlib.suppress(FileNotFoundError):
            self.system.rm_file(f"{self.root}/{path}")

    def mark(self, path: str) -> object:
        # One log to a place (`EventLog.open` sees to that), and no name is used twice in a log.
        return path


def _ahead(read: Callable[[str], bytes], paths: Sequence[str]) -> Iterator[bytes]:
    """Yield the contents of files in order, some of them fetched before they are asked for."""
    with ThreadPoolExecutor(_FETCHED_AHEAD) as pool:
        fetched: deque[Future[bytes]] = deque()
        try:
            for path in paths:
                fetched.append(pool.submit(read, path))
                if len(fetched) == _FETCHED_AHEAD:
                    yield fetched.popleft().result()
            while fetched:
                yield fetched.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _told_as_os_error() -> Iterator[None]:
    """Clients of object stores have exceptions of their own for a place that is out of reach."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"object storage: {error}") from error
