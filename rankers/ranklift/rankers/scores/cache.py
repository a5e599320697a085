"""Scores by the text of a pair, in Parquet files that are named by what they hold.

    <SHA-256 of the file>.parquet    pair (32 bytes, ascending), score

A file is added whole or not at all, and never changed: what a `kill -9` leaves
is what was there before. Merging puts all files into one, in the order of the
keys; the same scores give the same file, whatever they came in. Nothing of it
is held in memory but what is asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import polars as pl
import structlog

from ranklift.rankers.base import Values

log = structlog.get_logger(__name__)

SCHEMA = {"pair": pl.Binary, "score": pl.Float64}
# With the compression and without statistics (no range of digests excludes any), part of the
# bytes of a file.
ROW_GROUP = 100_000
LOCK = "lock"


class ScoreCache:
    """The scores in a folder. Several processes may read, add to and merge one folder at once.

    `damaged` names the files that this cache found damaged and set aside: what
    they held is unknown again.
    """

    def __init__(self, folder: Path) -> None:
        self.damaged: list[str] = []
        self._folder = folder
        self._whole: set[Path] = set()

    def find(self, pairs: pl.Series) -> pl.DataFrame:
        """Return `pair` and `score` of those `pairs`, 32 bytes each, that are known."""
        if not self._folder.is_dir():
            return pl.DataFrame(schema=SCHEMA)
        with self._lock("shared"):
            files = self._files()
            if not files:
                return pl.DataFrame(schema=SCHEMA)
            asked = pairs.to_frame("pair").lazy()
            return _first_of_each(
                pl.scan_parquet(files).join(asked, on="pair", how="semi", maintain_order="left")
            ).collect(engine="streaming")

    def keep(self, pairs: pl.Series, scores: Values) -> None:
        """Add the scores, shape (pairs,), of `pairs`, 32 bytes each, no two the same."""
        self._folder.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame({"pair": pairs, "score": scores}, schema=SCHEMA).sort("pair")
        with self._lock("shared"):
            self._write(frame.lazy())

    def merge(self) -> None:
        """Put all files into one; of a pair that several hold, the largest file's score stays."""
        if not self._folder.is_dir():
            return
        with self._lock("exclusive"):
            # Nobody is writing now: these are of processes that died.
            for orphan in self._folder.glob("*.partial"):
                orphan.unlink()
            files = self._files()
            if len(files) < 2:
                return
            largest = pl.scan_parquet(files[0])
            added = _first_of_each(pl.scan_parquet(files[1:])).collect(engine="streaming")
            new = added.lazy().join(largest, on="pair", how="anti").collect(engine="streaming")
            merged = self._write(largest.merge_sorted(new.sort("pair").lazy(), key="pair"))
            for file in files:
                if file != merged:
                    file.unlink()

    def _files(self) -> list[Path]:
        """Return the undamaged files, the largest first; set the others aside."""
        found = []
        for file in sorted(self._folder.glob("*.parquet")):
            if file in self._whole or _sha256(file) == file.stem:
                found.append(file)
                continue
            # Unless another process was quicker.
            with suppress(FileNotFoundError):
                file.rename(file.with_suffix(".damaged"))
            self.damaged.append(file.name)
            log.warning(
                "a file of teacher scores is damaged and set aside; its pairs are scored again",
                file=str(file),
            )
        self._whole = set(found)
        return sorted(found, key=lambda file: -file.stat().st_size)

    def _write(self, rows: pl.LazyFrame) -> Path:
        partial = self._folder / f"{uuid.uuid4().hex}.partial"
        rows.sink_parquet(partial, row_group_size=ROW_GROUP, compression="zstd", statistics=False)
        file = partial.with_name(f"{_sha256(partial)}.parquet")
        partial.rename(file)
        return file

    @contextmanager
    def _lock(self, kind: Literal["shared", "exclusive"]) -> Iterator[None]:
        """Hold the folder's lock, which the kernel frees when its process dies."""
        with (self._folder / LOCK).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_SH if kind == "shared" else fcntl.LOCK_EX)
            yield


def _first_of_each(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.unique("pair", keep="first", maintain_order=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
